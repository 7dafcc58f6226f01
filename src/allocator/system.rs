//! The system's allocator as the one inside.

use core::alloc::{GlobalAlloc, Layout};
use std::alloc::System;

/// The allocator inside `Plimsoll::new()`: jemalloc, or the system's without the feature `jemalloc`. The same type
/// with it and without, so that what compiles with the one does with the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inner;

// SAFETY: each call is answered by the system's allocator.
unsafe impl GlobalAlloc for Inner {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { System.dealloc(address, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on as they are.
        unsafe { System.realloc(address, layout, new_size) }
    }
}
