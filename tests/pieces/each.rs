//! The truth, and each thread's own part of it.

use crate::truth::Truth;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

pub struct Each;

thread_local! {
    /// Bytes that this thread allocated and freed.
    static OWN: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn count(allocated: usize, freed: usize) {
    let _ = OWN.try_with(|own| {
        let (before, after) = own.get();
        own.set((before + allocated as u64, after + freed as u64));
    });
}

// SAFETY: forwards unchanged.
unsafe impl GlobalAlloc for Each {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        let address = unsafe { Truth.alloc(layout) };
        if !address.is_null() {
            count(layout.size(), 0);
        }
        address
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        let address = unsafe { Truth.alloc_zeroed(layout) };
        if !address.is_null() {
            count(layout.size(), 0);
        }
        address
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { Truth.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        let moved = unsafe { Truth.realloc(address, layout, new_size) };
        if !moved.is_null() {
            count(new_size, layout.size());
        }
        moved
    }
}

/// Bytes that the calling thread allocated and freed.
pub fn own() -> (u64, u64) {
    OWN.get()
}
