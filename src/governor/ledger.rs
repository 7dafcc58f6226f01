//! The ledger: what each action was for, what it cost and what it gave back.

use super::level::Level;
use crate::figures::Signal;
use std::time::Duration;

/// Rows that are kept. At the slowest repetition, four actions a minute, an hour.
const ROWS: usize = 256;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ActionKind {
    /// Every registered cache was asked to hold no more than the level allows.
    ShrinkCaches,
    /// Every thread was asked to give the blocks in its thread cache back to their arenas.
    FlushThreadCaches,
    /// The C library's own heap gave its free pages back (`malloc_trim`).
    TrimSystemHeap,
    /// The arenas of jemalloc gave their free pages back, one after the other.
    PurgeArenas,
    /// jemalloc gives pages back as soon as they are free.
    TightenDecay,
    /// jemalloc keeps free pages for as long as before [`TightenDecay`](Self::TightenDecay).
    RestoreDecay,
    /// New work is refused.
    ShedLoad,
    /// New work is taken again.
    TakeLoad,
}

/// Why an action that was due was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Skipped {
    /// A dry run decides and does nothing.
    DryRun,
    /// By the figures there is next to nothing that it could give back.
    NothingToGain,
    /// Not with this allocator, or not on this system; or there is nothing that it could be done to, as when no
    /// cache is registered.
    NotPossible,
}

impl Skipped {
    /// `dry_run`, `nothing_to_gain` or `not_possible`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Skipped::DryRun => "dry_run",
            Skipped::NothingToGain => "nothing_to_gain",
            Skipped::NotPossible => "not_possible",
        }
    }
}

impl ActionKind {
    /// All of them.
    pub const ALL: &'static [ActionKind] = &[
        ActionKind::ShrinkCaches,
        ActionKind::FlushThreadCaches,
        ActionKind::TrimSystemHeap,
        ActionKind::PurgeArenas,
        ActionKind::TightenDecay,
        ActionKind::RestoreDecay,
        ActionKind::ShedLoad,
        ActionKind::TakeLoad,
    ];

    /// What a round of optimising consists of, in this order: each frees what the next gives back.
    pub(super) const OPTIMISING: [ActionKind; 4] = [
        ActionKind::ShrinkCaches,
        ActionKind::FlushThreadCaches,
        ActionKind::TrimSystemHeap,
        ActionKind::PurgeArenas,
    ];

    /// As in JSON: `purge_arenas`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ActionKind::ShrinkCaches => "shrink_caches",
            ActionKind::FlushThreadCaches => "flush_thread_caches",
            ActionKind::TrimSystemHeap => "trim_system_heap",
            ActionKind::PurgeArenas => "purge_arenas",
            ActionKind::TightenDecay => "tighten_decay",
            ActionKind::RestoreDecay => "restore_decay",
            ActionKind::ShedLoad => "shed_load",
            ActionKind::TakeLoad => "take_load",
        }
    }
}

/// What was held at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Held {
    /// Live heap.
    pub heap_bytes: u64,
    /// Anonymous resident memory; 0 when it could not be read.
    pub resident_bytes: u64,
}

/// One action.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LedgerRow {
    /// What was done.
    pub action: ActionKind,
    /// The level at the time.
    pub level: Level,
    /// Since the monitor started.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "at_seconds", serialize_with = "crate::units::seconds")
    )]
    pub at: Duration,
    /// Just before.
    pub before: Held,
    /// Just after.
    pub after: Held,
    /// A quarter of a second or more later, when the kernel's figures have settled: filled in in
    /// [`Monitor::ledger`](crate::Monitor::ledger), and `None` until then.
    pub settled: Option<Held>,
    /// The figure that decided the level.
    pub signal: Signal,
    /// The bytes given back: for caches off the live heap, for thread caches off what was in them,
    /// for the others off the resident memory. What the program allocated meanwhile hides as much.
    pub given_back_bytes: u64,
    /// How long it took.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "duration_seconds", serialize_with = "crate::units::seconds")
    )]
    pub duration: Duration,
    /// The longest stretch without a pause: of a purge, its slowest arena.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "longest_slice_seconds",
            serialize_with = "crate::units::seconds"
        )
    )]
    pub longest_slice: Duration,
    /// Why it was not carried out, if it was not.
    pub skipped: Option<Skipped>,
}

/// After how long a row's settled figures are read.
const SETTLING: Duration = Duration::from_millis(250);

/// The last rows, in memory that is reserved at the start.
pub(super) struct Ledger {
    rows: Vec<LedgerRow>,
    next: usize,
    /// Rows at the end of the ledger whose settled figures are still due.
    unsettled: usize,
}

impl Ledger {
    pub(super) const CAPACITY: usize = ROWS;

    pub(super) fn new() -> Ledger {
        Ledger {
            rows: Vec::with_capacity(ROWS),
            next: 0,
            unsettled: 0,
        }
    }

    pub(super) fn push(&mut self, row: LedgerRow) {
        if self.rows.len() < ROWS {
            self.rows.push(row);
        } else {
            self.rows[self.next] = row;
        }
        self.next = (self.next + 1) % ROWS;
        self.unsettled = (self.unsettled + 1).min(ROWS);
    }

    /// Enters `held` as the settled figures of the rows that have waited long enough.
    pub(super) fn settle(&mut self, now: Duration, held: Held) {
        while self.unsettled > 0 {
            let oldest = (self.next + ROWS - self.unsettled) % ROWS;
            let Some(row) = self.rows.get_mut(oldest) else {
                return;
            };
            if now < row.at + row.duration + SETTLING {
                return;
            }
            row.settled = Some(held);
            self.unsettled -= 1;
        }
    }

    /// Whether a row waits for its settled figures.
    pub(super) fn is_settling(&self) -> bool {
        self.unsettled > 0
    }

    /// The rows from the oldest, into memory that the caller brings.
    pub(super) fn copy_into(&self, out: &mut Vec<LedgerRow>) {
        let oldest = if self.rows.len() < ROWS { 0 } else { self.next };
        out.extend_from_slice(&self.rows[oldest..]);
        out.extend_from_slice(&self.rows[..oldest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: u64) -> LedgerRow {
        LedgerRow {
            action: ActionKind::PurgeArenas,
            level: Level::Optimise,
            at: Duration::from_millis(at),
            before: Held::default(),
            after: Held::default(),
            settled: None,
            signal: Signal::Heap,
            given_back_bytes: at,
            duration: Duration::ZERO,
            longest_slice: Duration::ZERO,
            skipped: None,
        }
    }

    #[test]
    fn the_oldest_row_makes_room_and_the_order_stays() {
        let mut ledger = Ledger::new();
        for at in 0..ROWS as u64 + 3 {
            ledger.push(row(at));
        }
        let mut rows = Vec::new();
        ledger.copy_into(&mut rows);
        let given: Vec<_> = rows.iter().map(|row| row.given_back_bytes).collect();
        assert_eq!(given, (3..ROWS as u64 + 3).collect::<Vec<_>>());
    }

    #[test]
    fn a_row_is_settled_once_a_quarter_of_a_second_later() {
        let mut ledger = Ledger::new();
        ledger.push(row(0));
        ledger.push(row(200));
        let held = |heap_bytes| Held {
            heap_bytes,
            resident_bytes: 0,
        };
        ledger.settle(Duration::from_millis(100), held(1));
        assert!(ledger.is_settling());
        ledger.settle(Duration::from_millis(300), held(2));
        ledger.settle(Duration::from_millis(500), held(3));
        assert!(!ledger.is_settling());
        let mut rows = Vec::new();
        ledger.copy_into(&mut rows);
        assert_eq!(rows[0].settled, Some(held(2)));
        assert_eq!(rows[1].settled, Some(held(3)));
    }
}
