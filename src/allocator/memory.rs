//! Where blocks of counters come from: pages straight from the kernel.
//!
//! This runs inside an allocation, so it must not allocate; and blocks are read by threads that
//! nobody waits for, so their memory is never given back.

use super::block::Block;

/// `count` zeroed blocks that live for ever, or null when the kernel has none to give.
#[cfg(all(unix, not(plimsoll_loom)))]
pub(crate) fn blocks(count: usize) -> *mut Block {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory
    // that anyone else holds.
    let pages = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            count * size_of::<Block>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return core::ptr::null_mut();
    }
    // Pages are zeroed and aligned far beyond 128 bytes: valid blocks as they are.
    pages.cast()
}

/// Gives back blocks that no other thread has seen.
///
/// # Safety
///
/// `blocks` came from [`blocks`] with the same `count` and was published nowhere.
#[cfg(all(unix, not(plimsoll_loom)))]
pub(crate) unsafe fn discard(blocks: *mut Block, count: usize) {
    // SAFETY: the caller owns the whole mapping and nobody else knows its address.
    unsafe {
        libc::munmap(blocks.cast(), count * size_of::<Block>());
    }
}

/// Without thread-exit hooks blocks could not be handed back, so every thread shares one.
#[cfg(all(not(unix), not(plimsoll_loom)))]
pub(crate) fn blocks(_count: usize) -> *mut Block {
    core::ptr::null_mut()
}

#[cfg(all(not(unix), not(plimsoll_loom)))]
pub(crate) unsafe fn discard(_blocks: *mut Block, _count: usize) {}

#[cfg(all(plimsoll_loom, not(plimsoll_shuttle)))]
pub(crate) fn blocks(_count: usize) -> *mut Block {
    core::ptr::null_mut()
}

#[cfg(all(plimsoll_loom, not(plimsoll_shuttle)))]
pub(crate) unsafe fn discard(_blocks: *mut Block, _count: usize) {}

#[cfg(plimsoll_shuttle)]
pub(crate) fn blocks(count: usize) -> *mut Block {
    let blocks: Box<[Block]> = (0..count).map(|_| Block::new()).collect();
    Box::into_raw(blocks).cast()
}

#[cfg(plimsoll_shuttle)]
pub(crate) unsafe fn discard(blocks: *mut Block, count: usize) {
    // SAFETY: the caller has them from `blocks(count)`.
    drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(blocks, count)) });
}
