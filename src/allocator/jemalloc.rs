//! jemalloc as the allocator inside.

use core::alloc::{GlobalAlloc, Layout};
use tikv_jemalloc_sys as ffi;

/// What every block is aligned to without being asked: the least size class is 8, and all others are multiples
/// of it.
const ALWAYS: usize = 8;

/// jemalloc, as [`tikv_jemallocator::Jemalloc`], which it is for layouts that want more than every block has.
///
/// That one compares the alignment with 16 and with the size; nearly all layouts want at most 8, which is known by
/// one comparison. It makes an allocation and its free eight instructions shorter where the layout is not known when
/// the program is compiled, as behind `__rust_alloc` in a program without LTO.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jemalloc;

// SAFETY: each call is answered by jemalloc as the contract wants it, by the same size class for a layout in all
// four: without flags that of the size, whose blocks are aligned to `ALWAYS` at least.
unsafe impl GlobalAlloc for Jemalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALWAYS {
            // SAFETY: any size can be asked for.
            return unsafe { ffi::malloc(layout.size()) }.cast();
        }
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { tikv_jemallocator::Jemalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALWAYS {
            // SAFETY: any size can be asked for.
            return unsafe { ffi::calloc(1, layout.size()) }.cast();
        }
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { tikv_jemallocator::Jemalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if layout.align() <= ALWAYS {
            // SAFETY: the block is of this size, and was asked for without flags.
            return unsafe { ffi::sdallocx(address.cast(), layout.size(), 0) };
        }
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { tikv_jemallocator::Jemalloc.dealloc(address, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() <= ALWAYS {
            // SAFETY: the block was asked for without flags, and the new size is not zero.
            return unsafe { ffi::realloc(address.cast(), new_size) }.cast();
        }
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { tikv_jemallocator::Jemalloc.realloc(address, layout, new_size) }
    }
}
