//! This thread's counts around a closure.

use super::held::Open;
use crate::allocator::block::Totals;
use crate::allocator::scope::{Observer, Scope};
use std::rc::Rc;

/// What a piece of work allocated on the thread that ran it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Measurement {
    /// Successful calls of `alloc` and `alloc_zeroed`.
    pub allocations: u64,
    /// Calls of `dealloc`.
    pub deallocations: u64,
    /// Successful calls of `realloc`.
    pub reallocations: u64,
    /// Requested bytes; a `realloc` adds its new size.
    pub allocated_bytes: u64,
    /// Freed bytes; a `realloc` adds its old size.
    pub deallocated_bytes: u64,
    /// Allocated minus freed: what the work left behind, or below zero what it cleared away.
    pub net_bytes: i64,
    /// The most that the thread held above what it held at the start. Exact.
    pub peak_bytes: u64,
}

impl Measurement {
    /// Blocks allocated minus blocks freed: what the work left behind, or below zero what it cleared
    /// away. A `realloc` changes neither.
    #[must_use]
    pub fn net_blocks(&self) -> i64 {
        self.allocations.wrapping_sub(self.deallocations) as i64
    }

    pub(crate) fn new(counted: Totals, peak_bytes: u64) -> Measurement {
        Measurement {
            allocations: counted.allocations,
            deallocations: counted.deallocations,
            reallocations: counted.reallocations,
            allocated_bytes: counted.allocated,
            deallocated_bytes: counted.deallocated,
            net_bytes: counted.net(),
            peak_bytes,
        }
    }
}

/// Runs `work` and answers its result with what it allocated: this thread's calls only, exact,
/// whatever other threads do meanwhile, so tests that run in parallel do not disturb each other.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// let (kept, found) = plimsoll::measure(|| {
///     drop(vec![0u8; 3000]);
///     vec![0u8; 1000]
/// });
/// assert_eq!(found.allocations, 2);
/// assert_eq!(found.net_bytes, 1000);
/// assert_eq!(found.peak_bytes, 3000);
/// # drop(kept);
/// ```
///
/// Scopes nest: what an inner one sees, the outer ones see too. When `work` panics the scope is
/// closed and the panic goes on. All figures are zero when [`Plimsoll`](crate::Plimsoll) is not
/// the program's global allocator. The optimiser may remove an allocation whose result is unused;
/// [`black_box`](std::hint::black_box) keeps it.
///
/// # Cost
///
/// Some tens of nanoseconds for the scope, and about ten for each new peak inside.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, Measurement) {
    watched(None, work)
}

/// The same, with an observer who is told of each call.
pub(super) fn watched<R>(
    observer: Option<Rc<dyn Observer>>,
    work: impl FnOnce() -> R,
) -> (R, Measurement) {
    let scope = Scope::watched(observer);
    // SAFETY: `scope` stays in this frame, and `open` closes it on every way out, on this thread,
    // before the frame dies.
    let open = unsafe { Open::new(&scope) };
    let result = work();
    let (counted, peak_bytes) = open.close();
    (result, Measurement::new(counted, peak_bytes))
}
