//! How much may be held: the capacity that was set, and the share of it that the level leaves.
//!
//! Both are kept behind one lock, and the table is told while it is held. So whoever comes last has
//! the last word, and a slow eviction cannot bring back an older cap. A cap is only lifted by the next
//! level: what an owner sets meanwhile is held to the same share.

use super::base::{SCALE, Table, Unit};
use super::builder::Shares;
use crate::Level;
use crate::caught::kept;
use std::hash::Hash;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The least weight of a shard that lets a single entry in where each weighs 1. More than one does not
/// fit either. Where there is room for more entries the table keeps one place for new ones, as it would
/// by itself: with slack it would take all for used often, and hardly learn.
const SINGLE: u64 = SCALE + SCALE / 25;

/// The limits, under one level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) entries: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) share: f64,
}

impl Limits {
    /// What is left of a limit.
    fn under(self, limit: u64) -> u64 {
        (limit as f64 * self.share) as u64
    }

    pub(super) fn entries_now(self) -> Option<u64> {
        self.entries.map(|limit| self.under(limit).min(limit))
    }

    pub(super) fn bytes_now(self) -> Option<u64> {
        self.bytes.map(|limit| self.under(limit).min(limit))
    }

    /// As weight, for all shards together.
    pub(super) fn weight(self, unit: Unit) -> u64 {
        let by_entries = self
            .entries_now()
            .map(|limit| limit.saturating_mul(if unit.counts_bytes() { unit.least } else { 1 }));
        let both = [by_entries, self.bytes_now()];
        match both.into_iter().flatten().min() {
            None | Some(0) => 0,
            Some(least) if !unit.counts_bytes() => least.saturating_mul(SCALE),
            // Short of one more, so that a single entry is well below the table's part for what is used
            // often, above which it lets nothing in.
            Some(least) => least.saturating_mul(SCALE).saturating_add(SCALE - 1),
        }
    }
}

pub(super) struct Capacity {
    limits: Mutex<Limits>,
    shares: Shares,
    unit: Unit,
    /// The part of a shard that one entry may be at most.
    largest: f64,
    /// An entry of fewer bytes may come in; 0 while none may.
    bound: AtomicU64,
}

impl Capacity {
    pub(super) fn new(limits: Limits, shares: Shares, unit: Unit, largest: f64) -> Capacity {
        Capacity {
            limits: Mutex::new(limits),
            shares,
            unit,
            largest,
            bound: AtomicU64::new(0),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        // Nothing of the program's runs between its two words; where a key's drop panics, the limits are as set.
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry of so many bytes may come in.
    #[inline]
    pub(super) fn admits(&self, bytes: u64) -> bool {
        bytes < self.bound.load(Ordering::Relaxed)
    }

    /// Changes the limits, and what the table holds, before it comes back.
    pub(super) fn change<K: Eq + Hash, V: Clone>(
        &self,
        table: &Table<K, V>,
        change: impl FnOnce(&mut Limits),
    ) {
        let mut limits = self.lock();
        change(&mut limits);
        self.set(table, limits.weight(self.unit));
    }

    /// Leaves the share of this level.
    pub(super) fn follow<K: Eq + Hash, V: Clone>(&self, table: &Table<K, V>, level: Level) {
        let share = self.shares.at(level);
        let mut limits = self.lock();
        if limits.share != share {
            limits.share = share;
            self.set(table, limits.weight(self.unit));
        }
    }

    /// Holds no more than this share of the weight that is held now, and then up to the limits again.
    pub(super) fn squeeze<K: Eq + Hash, V: Clone>(&self, table: &Table<K, V>, share: f64) {
        let limits = self.lock();
        let weight = (table.weight() as f64 * share) as u64;
        let whole = limits.weight(self.unit);
        let mut panicked = None;
        if weight < whole {
            // A key whose drop panics is not to leave the cache as small.
            kept(&mut panicked, || self.set(table, weight));
        }
        self.set(table, whole);
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }

    /// The table rounds up for every shard; rounded down before, the sum keeps to the weight.
    fn set<K: Eq + Hash, V: Clone>(&self, table: &Table<K, V>, weight: u64) {
        let mut a_shard = weight / table.num_shards() as u64;
        if !self.unit.counts_bytes() && (SCALE..SINGLE).contains(&a_shard) {
            a_shard = SINGLE;
        }
        let heaviest = ((a_shard as f64 * self.largest) as u64).clamp(a_shard.min(1), a_shard);
        self.bound
            .store(self.unit.bound(heaviest), Ordering::Relaxed);
        table.set_capacity(a_shard * table.num_shards() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::base::{Plan, largest, table};
    use super::*;
    use std::sync::Arc;

    fn limits(entries: Option<u64>, bytes: Option<u64>, share: f64) -> Limits {
        Limits {
            entries,
            bytes,
            share,
        }
    }

    #[test]
    fn the_weight_holds_both_limits() {
        let unit = Unit::bytes(100);
        // As first set, more bytes, more entries: always the tighter one.
        let weight = |entries, bytes| limits(Some(entries), Some(bytes), 1.0).weight(unit) / SCALE;
        assert_eq!(weight(10, 1000), 1000);
        assert_eq!(weight(10, 5000), 1000);
        assert_eq!(weight(50, 1000), 1000);
        assert_eq!(weight(5, 1000), 500);
        assert_eq!(weight(0, 1000), 0);
    }

    #[test]
    fn with_an_entry_for_each_shard_each_lets_one_in() {
        let unit = Unit::ENTRIES;
        let plan = Plan {
            entries: 100_000,
            shards: None,
        };
        let table: Table<u64, u64> = table(plan, 0, unit, &Default::default(), &Arc::default());
        let shards = table.num_shards() as u64;
        let limits = limits(Some(shards), None, 1.0);
        let largest = largest(plan, unit);
        let capacity = Capacity::new(limits, Shares::default(), unit, largest);
        capacity.change(&table, |_| {});
        assert!(capacity.admits(0));
        capacity.change(&table, |limits| limits.entries = Some(shards - 1));
        assert!(!capacity.admits(0));
    }

    #[test]
    fn a_share_is_of_each_limit_and_rounds_down() {
        let unit = Unit::ENTRIES;
        assert_eq!(limits(Some(100), None, 0.8).weight(unit) / SCALE, 80);
        assert_eq!(limits(Some(25), None, 0.5).weight(unit) / SCALE, 12);
        let whole = limits(Some(u64::MAX), None, 1.0);
        assert_eq!(whole.entries_now(), Some(u64::MAX));
        assert_eq!(whole.weight(unit), u64::MAX);
    }
}
