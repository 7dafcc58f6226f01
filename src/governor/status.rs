//! The state of the program in one value, in the shape of the HTTP contract.

use super::ledger::ActionKind;
use super::level::Level;
use super::policy::Policy;
use super::restart::Withheld;
use super::statistics::CacheStatistics;
#[cfg(feature = "jemalloc")]
use crate::figures::JemallocFigures;
use crate::figures::{HeapFigures, Limit, Pressure};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Everything at a glance. With the `serde` feature it serialises as
/// `GET /api/system/memory-stats` answers; without `jemalloc` there is no `allocator`, which is null there.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// The program's own view: requested bytes, exact.
    pub heap: HeapStatus,
    /// jemalloc's view; `None` when it is not the allocator.
    #[cfg(feature = "jemalloc")]
    pub allocator: Option<JemallocFigures>,
    /// The kernel's view; `None` when it could not be read.
    pub process: Option<ProcessStatus>,
    /// What the program is held to.
    pub limit: LimitStatus,
    /// How much of it is used.
    pub utilization: Pressure,
    /// The level that the monitor is at.
    pub level: Level,
    /// Seconds since the monitor started.
    pub uptime_seconds: f64,
}

/// The heap as the program asked for it, a copy of [`HeapFigures`] that can be serialised.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeapStatus {
    /// Bytes allocated and not freed.
    pub live_bytes: u64,
    /// Blocks allocated and not freed.
    pub live_blocks: u64,
    /// Successful allocations.
    pub allocations: u64,
    /// Frees.
    pub deallocations: u64,
    /// Successful reallocations.
    pub reallocations: u64,
    /// Refused allocations.
    pub failed_allocations: u64,
    /// The most bytes that were live at once.
    pub peak_bytes: u64,
    /// Threads alive that have allocated or freed.
    pub threads: u32,
}

impl From<HeapFigures> for HeapStatus {
    fn from(heap: HeapFigures) -> HeapStatus {
        HeapStatus {
            live_bytes: heap.live_bytes(),
            live_blocks: heap.live_blocks(),
            allocations: heap.allocations(),
            deallocations: heap.deallocations(),
            reallocations: heap.reallocations(),
            failed_allocations: heap.failed_allocations(),
            peak_bytes: heap.peak_bytes(),
            threads: heap.threads(),
        }
    }
}

/// The process as the kernel sees it, in bytes, out of [`ProcessFigures`](crate::figures::ProcessFigures).
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProcessStatus {
    /// All resident memory, file mappings included.
    pub resident_bytes: u64,
    /// The part of it that the kernel cannot drop.
    pub anonymous_bytes: u64,
    /// Anonymous memory that is swapped out.
    pub swap_bytes: u64,
}

/// The limit and who set it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimitStatus {
    /// In bytes.
    pub bytes: u64,
    /// As [`LimitSource::as_str`](crate::figures::LimitSource::as_str) names it.
    pub source: &'static str,
}

impl From<Limit> for LimitStatus {
    fn from(limit: Limit) -> LimitStatus {
        LimitStatus {
            bytes: limit.bytes,
            source: limit.source.as_str(),
        }
    }
}

/// What a registered cache says of itself.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheStatus {
    /// Its name.
    pub name: String,
    /// The bytes that it holds.
    pub bytes: u64,
    /// Whether it holds no more than it was told while a level lasts.
    pub keeps_cap: bool,
    /// What it holds and has done, of a cache that counts.
    pub statistics: Option<CacheStatistics>,
}

/// Whether a restart may happen now.
///
/// ```no_run
/// # fn told(monitor: &plimsoll::Monitor) {
/// let outlook = monitor.restart_outlook();
/// let budget = outlook.policy.budget_per_hour;
/// println!("{} of {budget} restarts in the last hour", outlook.used_in_last_hour);
/// if let Some(why) = outlook.withheld {
///     println!("one is due, and withheld: {why}");
/// }
/// for record in monitor.restarts() {
///     println!("at {} s since 1970 it had {} bytes", record.at_unix_seconds, record.heap_bytes);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RestartOutlook {
    /// The policy in force.
    pub policy: Policy,
    /// What is left of the cooldown; zero when it is over.
    pub cooldown_remaining: Duration,
    /// The part of the budget that is spent: restarts in the last hour.
    pub used_in_last_hour: u32,
    /// Why a restart that is due does not happen; `None` while none is due.
    pub withheld: Option<Withheld>,
}

/// What a monitor has seen and done since it started.
///
/// ```no_run
/// use plimsoll::{ActionKind, Level};
///
/// # fn told(monitor: &plimsoll::Monitor) {
/// let summary = monitor.summary();
/// let purges = summary.of(ActionKind::PurgeArenas);
/// println!("memory was critical {} times", summary.entered(Level::Critical));
/// println!("{} purges gave {} bytes back", purges.count, purges.given_back_bytes);
/// println!("99 in 100 took at most {:?}", summary.purge.p99);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Summary {
    #[cfg_attr(feature = "serde", serde(serialize_with = "by_level"))]
    pub(super) levels_entered: [u64; Level::ALL.len()],
    /// Actions carried out.
    pub actions: u64,
    /// Bytes that they gave back.
    pub given_back_bytes: u64,
    #[cfg_attr(feature = "serde", serde(serialize_with = "by_kind"))]
    pub(super) by_action: [ActionTotals; ActionKind::ALL.len()],
    /// Times at which a restart was due and first withheld for one reason.
    pub restarts_withheld: u64,
    /// Times at which the kernel or the service manager had the monitor look before its interval was
    /// over.
    pub early_wakes: u64,
    /// From the crossing of a line, inside an allocation, to the monitor looking at it.
    pub reaction: Times,
    /// How long purges took.
    pub purge: Times,
}

impl Summary {
    /// How often this level was entered from below.
    #[must_use]
    pub fn entered(&self, level: Level) -> u64 {
        self.levels_entered[level as usize]
    }

    /// What actions of this kind came to: their sums are [`actions`](Self::actions) and
    /// [`given_back_bytes`](Self::given_back_bytes).
    #[must_use]
    pub fn of(&self, action: ActionKind) -> ActionTotals {
        self.by_action[action as usize]
    }
}

/// As an object by the levels' names.
#[cfg(feature = "serde")]
fn by_level<S: serde::Serializer>(entered: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    let names = Level::ALL.iter().map(|level| level.as_str());
    serializer.collect_map(names.zip(entered))
}

/// As an object by the actions' names.
#[cfg(feature = "serde")]
fn by_kind<S: serde::Serializer>(
    totals: &[ActionTotals],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let names = ActionKind::ALL.iter().map(|action| action.as_str());
    serializer.collect_map(names.zip(totals))
}

/// What actions of one kind came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ActionTotals {
    /// How many were carried out.
    pub count: u64,
    /// Bytes that they gave back.
    pub given_back_bytes: u64,
}

/// How long something took, over all times it happened. Durations are known to two digits, rounded up; what takes
/// over ten minutes is not among them.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Times {
    /// How often.
    pub count: u64,
    /// Half of them took at most this long.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "p50_seconds", serialize_with = "crate::units::seconds")
    )]
    pub p50: Duration,
    /// 99 in 100 took at most this long.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "p99_seconds", serialize_with = "crate::units::seconds")
    )]
    pub p99: Duration,
    /// The longest.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "max_seconds", serialize_with = "crate::units::seconds")
    )]
    pub max: Duration,
}

impl Times {
    /// From a microsecond to ten minutes in two digits, without growing: 20 KiB.
    pub(super) fn histogram() -> Histogram<u64> {
        Histogram::new_with_bounds(1_000, 600_000_000_000, 2)
            .unwrap_or_else(|_| unreachable!("constant bounds within the crate's own"))
    }

    /// Of a histogram of nanoseconds.
    pub(super) fn of(histogram: &Histogram<u64>) -> Times {
        Times {
            count: histogram.len(),
            p50: Duration::from_nanos(histogram.value_at_quantile(0.5)),
            p99: Duration::from_nanos(histogram.value_at_quantile(0.99)),
            max: Duration::from_nanos(histogram.max()),
        }
    }
}
