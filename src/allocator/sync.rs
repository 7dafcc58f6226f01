//! Atomics and spinning, from `core` in the program that ships and from loom in the model.
//!
//! The counting protocol names atomics through this module alone, so that loom explores the very
//! code that runs inside `malloc` and not a copy of it.

#[cfg(not(plimsoll_loom))]
pub(crate) use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(plimsoll_loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

/// A load by the only thread that ever stores there.
///
/// loom remembers the last access to an atomic alone: the owner's own load, just before its store, would
/// hide a reader's load before that, and with it every order in which the two race. So in the model it is
/// a load that loom does not take for an access.
#[inline(always)]
pub(crate) fn own_load(word: &AtomicU64) -> u64 {
    #[cfg(not(plimsoll_loom))]
    return word.load(Ordering::Relaxed);
    #[cfg(plimsoll_loom)]
    // SAFETY: no other thread stores, so no store is under way.
    return unsafe { word.unsync_load() };
}
