//! Atomics and yielding, from `core` and `std` in the program that ships, from loom in the model, and from shuttle in larger ones.
//!
//! The counting protocol names atomics through this module alone, so that loom explores the very
//! code that runs inside `malloc` and not a copy of it. `plimsoll_loom` is set in every model,
//! `plimsoll_shuttle` beside it where shuttle runs it.

#[cfg(not(plimsoll_loom))]
pub(crate) use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(all(plimsoll_loom, not(plimsoll_shuttle)))]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(plimsoll_shuttle)]
pub(crate) use shuttle::sync::atomic::{
    AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence,
};
#[cfg(plimsoll_shuttle)]
pub(crate) use shuttle::thread::yield_now;
#[cfg(not(plimsoll_loom))]
pub(crate) use std::thread::yield_now;

/// A load by the only thread that ever stores there.
///
/// loom remembers the last access to an atomic alone: the owner's own load, just before its store, would
/// hide a reader's load before that, and with it every order in which the two race. So in the model it is
/// a load that loom does not take for an access.
#[inline(always)]
pub(crate) fn own_load(word: &AtomicU64) -> u64 {
    #[cfg(any(not(plimsoll_loom), plimsoll_shuttle))]
    return word.load(Ordering::Relaxed);
    #[cfg(all(plimsoll_loom, not(plimsoll_shuttle)))]
    // SAFETY: no other thread stores, so no store is under way.
    return unsafe { word.unsync_load() };
}
