//! What several threads allocate together.

use super::Unseen;
use super::carried::{Carried, Shared, join, within};
use super::measure::Measurement;
use crate::allocator::block::Totals;
use crate::allocator::scope::Call;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The threads of a pool, or all who work on one thing: their figures are summed as they allocate.
///
/// A handle; clones stand for the same group. Who belongs to it:
///
/// | | |
/// |---|---|
/// | this thread, for a while | [`run`](Group::run) |
/// | a thread for life | [`join_thread`](Group::join_thread), in a pool's start hook |
/// | a closure, wherever it runs | [`carry`](Group::carry), or [`carry`](super::carry()) inside the group |
/// | a task, in each poll | [`carry_future`](Group::carry_future) |
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::testing::Group;
///
/// let group = Group::new();
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .worker_threads(2)
///     .on_thread_start({
///         let group = group.clone();
///         move || group.join_thread()
///     })
///     .build()
///     .unwrap();
/// let before = group.figures();
/// runtime.block_on(async {
///     tokio::spawn(async { drop(std::hint::black_box(vec![0u8; 100_000])) }).await.unwrap();
/// });
/// let after = group.figures();
/// assert!(after.allocated_bytes - before.allocated_bytes >= 100_000);
/// ```
///
/// With rayon: `ThreadPoolBuilder::new().start_handler(move |_| group.join_thread())`.
///
/// Exact when the members rest, the peak too: it is the most that all of them together had live,
/// above the start, at any instant in the order in which their calls were added up. A block that a
/// member allocates and a stranger frees stays live for the group. A thread that
/// [joined](Group::join_thread) is counted until its thread-locals are dropped.
///
/// # Cost
///
/// Some tens of nanoseconds for each call of a member, and the members' processors share a few cache
/// lines: made for tests. Others pay nothing.
#[derive(Clone, Debug)]
pub struct Group {
    sums: Unseen<Arc<Sums>>,
}

#[derive(Debug, Default)]
struct Sums {
    allocations: AtomicU64,
    deallocations: AtomicU64,
    reallocations: AtomicU64,
    allocated: AtomicU64,
    deallocated: AtomicU64,
    live: AtomicI64,
    peak: AtomicI64,
}

impl Sums {
    fn live(&self, change: i64) {
        let live = self.live.fetch_add(change, Ordering::AcqRel) + change;
        if change > 0 {
            self.peak.fetch_max(live, Ordering::AcqRel);
        }
    }
}

impl Shared for Sums {
    fn saw(&self, call: Call) {
        let add = |sum: &AtomicU64, by: usize| sum.fetch_add(by as u64, Ordering::AcqRel);
        match call {
            Call::Allocated { size, .. } => {
                add(&self.allocations, 1);
                add(&self.allocated, size);
                self.live(size as i64);
            }
            Call::Freed { size, .. } => {
                add(&self.deallocations, 1);
                add(&self.deallocated, size);
                self.live(-(size as i64));
            }
            Call::Moved { old, new, .. } => {
                add(&self.reallocations, 1);
                add(&self.allocated, new);
                add(&self.deallocated, old);
                self.live(new as i64 - old as i64);
            }
            Call::Moving { .. } | Call::Stayed => {}
        }
    }
}

/// As [`Group::new`]: it panics when [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
impl Default for Group {
    #[track_caller]
    fn default() -> Group {
        Group::new()
    }
}

impl Group {
    /// A group without members.
    ///
    /// # Panics
    ///
    /// When [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
    #[track_caller]
    pub fn new() -> Group {
        super::global::require("a `Group`");
        Group {
            sums: Unseen::new(Arc::default),
        }
    }

    fn carried(&self) -> Unseen<Carried> {
        Unseen::new(|| Arc::<Sums>::clone(&self.sums) as Carried)
    }

    /// Runs `work` on this thread as a member. [`carry`](super::carry()), [`spawn`](super::spawn) and
    /// [`carry_future`](super::carry_future()) inside it hand the membership on.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        within(&self.carried(), work)
    }

    /// From now on, until it ends, the calling thread is a member: for the start hook of a pool, as
    /// rayon's `start_handler` and tokio's `on_thread_start`.
    pub fn join_thread(&self) {
        join(&self.carried());
    }

    /// Work that runs as a member wherever it runs.
    pub fn carry<R, W: FnOnce() -> R>(&self, work: W) -> impl FnOnce() -> R + use<R, W> {
        let group = self.clone();
        move || group.run(work)
    }

    /// A task that is a member whenever it is polled.
    pub fn carry_future<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let group = self.clone();
        async move {
            let mut future = pin!(future);
            poll_fn(|context| group.run(|| future.as_mut().poll(context))).await
        }
    }

    /// What the members have allocated so far. While they go on, each figure is right for some
    /// instant during the call; when they rest all are exact.
    #[must_use]
    pub fn figures(&self) -> Measurement {
        let sums = &self.sums;
        let load = |sum: &AtomicU64| sum.load(Ordering::Acquire);
        let counted = Totals {
            allocations: load(&sums.allocations),
            deallocations: load(&sums.deallocations),
            reallocations: load(&sums.reallocations),
            allocated: load(&sums.allocated),
            deallocated: load(&sums.deallocated),
            ..Totals::ZERO
        };
        Measurement::new(counted, sums.peak.load(Ordering::Acquire).max(0) as u64)
    }
}
