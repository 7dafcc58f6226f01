//! The wrapper.

use super::local;
use core::alloc::{GlobalAlloc, Layout};

#[cfg(feature = "jemalloc")]
pub use super::jemalloc::Inner;
#[cfg(not(feature = "jemalloc"))]
pub use super::system::Inner;

/// A global allocator that counts: exact to the byte, without a lock or a locked instruction.
///
/// ```
/// #[global_allocator]
/// static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
///
/// let before = plimsoll::heap().live_bytes();
/// let kept = vec![0u8; 10_000];
/// assert!(plimsoll::heap().live_bytes() >= before + 10_000);
/// # drop(kept);
/// ```
///
/// Any other allocator goes inside with [`wrap`](Plimsoll::wrap). All four methods of
/// [`GlobalAlloc`] are forwarded with the layout as it came, so growing in place, pages that are
/// zero already and sized deallocation keep working.
///
/// # What is counted
///
/// Sizes are the requested ones, not what the allocator rounds them up to. A refused allocation
/// counts as failed and as nothing else. The counters belong to the process, not to the value:
/// two `Plimsoll`s in one program add up in the same figures.
///
/// # Cost
///
/// Eleven to nineteen instructions for an allocation and its free over the allocator inside on
/// x86-64, by whether the layout is known when the program is compiled (the `peers` benchmark counts
/// eleven), 256 bytes for each thread alive at once, and one shared atomic addition for every 256 KiB that a
/// thread allocates or frees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plimsoll<A = Inner> {
    inner: A,
}

impl Plimsoll<Inner> {
    /// Counts over [`Inner`].
    #[must_use]
    pub const fn new() -> Plimsoll<Inner> {
        Plimsoll { inner: Inner }
    }
}

impl<A> Plimsoll<A> {
    /// Counts over an allocator of your choice.
    ///
    /// ```
    /// use std::alloc::System;
    ///
    /// #[global_allocator]
    /// static HEAP: plimsoll::Plimsoll<System> = plimsoll::Plimsoll::wrap(System);
    /// # assert!(plimsoll::heap().allocations() > 0);
    /// ```
    pub const fn wrap(inner: A) -> Plimsoll<A> {
        Plimsoll { inner }
    }

    /// The allocator inside. What is allocated through it directly is not counted.
    pub const fn inner(&self) -> &A {
        &self.inner
    }
}

// SAFETY: every call is forwarded unchanged to `A`, which upholds the contract, and its answer is
// returned unchanged; or it is refused with null, which the contract allows. The counting neither
// unwinds nor allocates.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Plimsoll<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if local::alloc_due(layout.size()) {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { alloc_with_event(layout.size(), layout.align(), &self.inner) };
        }
        let size = local::kept(layout.size());
        // SAFETY: the caller's obligations are passed on as they are.
        let address = unsafe { self.inner.alloc(layout) };
        if address.is_null() {
            return local::failed();
        }
        local::allocated(size);
        address
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if local::alloc_due(layout.size()) {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { alloc_zeroed_with_event(layout.size(), layout.align(), &self.inner) };
        }
        let size = local::kept(layout.size());
        // SAFETY: the caller's obligations are passed on as they are.
        let address = unsafe { self.inner.alloc_zeroed(layout) };
        if address.is_null() {
            return local::failed();
        }
        local::allocated(size);
        address
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if !local::try_deallocated(layout.size()) {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe {
                dealloc_with_event(address, layout.size(), layout.align(), &self.inner)
            };
        }
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { self.inner.dealloc(address, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if local::realloc_due(layout.size(), new_size) {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { realloc_with_event(&self.inner, address, layout, new_size) };
        }
        // SAFETY: the caller's obligations are passed on as they are.
        let moved = unsafe { self.inner.realloc(address, layout, new_size) };
        if moved.is_null() {
            return local::failed();
        }
        local::reallocated(layout.size(), new_size);
        moved
    }
}

// With an event due nothing has been done yet, and the hot path ends in a jump to one of these: it
// has nothing to keep across a call. Sizes come first, in the register in which they came: what a cold
// path wants elsewhere costs the hot one a move.

/// # Safety
///
/// As [`GlobalAlloc::alloc`], with size and alignment of a layout.
#[cold]
#[inline(never)]
unsafe fn alloc_with_event<A: GlobalAlloc>(size: usize, align: usize, inner: &A) -> *mut u8 {
    if local::refuses(size) {
        return local::failed();
    }
    // SAFETY: they come from a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller's obligations are passed on as they are.
    local::allocated_event(unsafe { inner.alloc(layout) }, size)
}

/// # Safety
///
/// As [`GlobalAlloc::alloc_zeroed`], with size and alignment of a layout.
#[cold]
#[inline(never)]
unsafe fn alloc_zeroed_with_event<A: GlobalAlloc>(size: usize, align: usize, inner: &A) -> *mut u8 {
    if local::refuses(size) {
        return local::failed();
    }
    // SAFETY: they come from a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller's obligations are passed on as they are.
    local::allocated_event(unsafe { inner.alloc_zeroed(layout) }, size)
}

/// # Safety
///
/// As [`GlobalAlloc::dealloc`], with size and alignment of a layout.
#[cold]
#[inline(never)]
unsafe fn dealloc_with_event<A: GlobalAlloc>(
    address: *mut u8,
    size: usize,
    align: usize,
    inner: &A,
) {
    local::deallocated_event(address, size);
    // SAFETY: they come from a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller's obligations are passed on as they are.
    unsafe { inner.dealloc(address, layout) }
}

#[cold]
#[inline(never)]
unsafe fn realloc_with_event<A: GlobalAlloc>(
    inner: &A,
    address: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    let old_size = layout.size();
    if new_size > old_size && local::refuses(new_size) {
        return local::failed();
    }
    // Told before, because from then on the address may be somebody else's.
    local::reallocating(address);
    // SAFETY: the caller's obligations are passed on as they are.
    let moved = unsafe { inner.realloc(address, layout, new_size) };
    local::reallocated_event(moved, old_size, new_size)
}
