//! Atomics and spinning, from `core` in the program that ships and from loom in the model.
//!
//! The counting protocol names atomics through this module alone, so that loom explores the very
//! code that runs inside `malloc` and not a copy of it.

#[cfg(not(plimsoll_loom))]
pub(crate) use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(plimsoll_loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
