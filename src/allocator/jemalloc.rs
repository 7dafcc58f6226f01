//! jemalloc as the allocator inside.

use core::alloc::{GlobalAlloc, Layout};
use tikv_jemalloc_sys as ffi;

/// What every block is aligned to without being asked: the least size class is 8, and all others are multiples
/// of it.
const ALWAYS: usize = 8;

/// The allocator inside `Plimsoll::new()`: jemalloc, or the system's without the feature `jemalloc`. The same type
/// with it and without, so that what compiles with the one does with the other.
///
/// As [`tikv_jemallocator::Jemalloc`], which it is for layouts that want more than every block has.
///
/// That one compares the alignment with 16 and with the size; nearly all layouts want at most 8, which is known by
/// one comparison. It makes an allocation and its free three instructions shorter, and eight where the layout is not
/// known when the program is compiled, as behind `__rust_alloc` in a program without LTO.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inner;

// SAFETY: each call is answered by jemalloc as the contract wants it, by the same size class for a layout in all
// four: without flags that of the size, whose blocks are aligned to `ALWAYS` at least.
unsafe impl GlobalAlloc for Inner {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALWAYS {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { aligned_alloc(layout.size(), layout.align()) };
        }
        // SAFETY: any size can be asked for.
        unsafe { ffi::malloc(layout.size()) }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALWAYS {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { ALIGNED.alloc_zeroed(layout) };
        }
        // SAFETY: any size can be asked for.
        unsafe { ffi::calloc(1, layout.size()) }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if layout.align() > ALWAYS {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { aligned_dealloc(address, layout.size(), layout.align()) };
        }
        // SAFETY: the block is of this size, and was asked for without flags.
        unsafe { ffi::sdallocx(address.cast(), layout.size(), 0) }
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() > ALWAYS {
            // SAFETY: the caller's obligations are passed on as they are.
            return unsafe { ALIGNED.realloc(address, layout, new_size) };
        }
        // SAFETY: the block was asked for without flags, and the new size is not zero.
        unsafe { ffi::realloc(address.cast(), new_size) }.cast()
    }
}

const ALIGNED: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// Apart, and ending in a jump: in one function the two ways would share their last call, and the frequent one would
// carry flags to it. Sizes come before alignments, as in what the compiler calls.

/// # Safety
///
/// As [`GlobalAlloc::alloc`], with size and alignment of a layout.
#[cold]
#[inline(never)]
unsafe fn aligned_alloc(size: usize, align: usize) -> *mut u8 {
    // SAFETY: they come from a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller's obligations are passed on as they are.
    unsafe { ALIGNED.alloc(layout) }
}

/// # Safety
///
/// As [`GlobalAlloc::dealloc`], with size and alignment of a layout.
#[cold]
#[inline(never)]
unsafe fn aligned_dealloc(address: *mut u8, size: usize, align: usize) {
    // SAFETY: they come from a layout.
    let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
    // SAFETY: the caller's obligations are passed on as they are.
    unsafe { ALIGNED.dealloc(address, layout) }
}
