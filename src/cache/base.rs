//! The table below: `quick_cache`, whose values carry their time and their weight.
//!
//! # Weights
//!
//! The table knows one limit, of weight. Entries and bytes are brought to it like this: where only
//! entries are limited each weighs 1; where only bytes are, each weighs its bytes; where both are,
//! each weighs its bytes, but at least a *share* of bytes ÷ entries, as set at first. With that weight,
//! a sum of at most min(bytes, entries × share) means both limits hold, whatever they are later set to.
//!
//! The table rounds what it derives from its capacity (the part for what is often used), anew with
//! every change of it. Weights are scaled by [`SCALE`], so that a thousand changes lose nothing.
//!
//! # What was tried for more of the table's speed
//!
//! `quick_cache` with one thing more after another, on one thread: with the entry's second word 1.00 of its speed
//! (0.97–1.01 over ten traces and sizes), with a lifecycle that does nothing 0.98, with a weigher that decides 0.99.
//! So what is lost is this crate's own: an insertion is 441 instructions where `quick_cache`'s is 357, a look-up 106
//! where it is 90. It was more before both were compiled into one place each, before an insertion without a time to
//! live and of the usual weight decided once, and before what it evicts was left where it is; since then 0.85 and
//! more of the speed is left where it was 0.77 and more. Counting is 0.025 of it. A table
//! whose weights are a constant of its type is 10 instructions shorter for an insertion, and no faster; telling an
//! eviction by reference, so that plain data is not moved, 2.

use super::stamp::{Stamp, Weight};
use super::statistics::{Cause, Counters, Gone};
use crate::caught::caught;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use std::hash::Hash;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop, size_of};
use std::ops::Deref;
use std::sync::Arc;

/// Of weights to bytes or entries.
pub(super) const SCALE: u64 = 1 << 16;

/// Fewest entries that a shard is made for, as the table itself would have it. With fewer shards threads
/// wait for each other: on one for 100 entries, two that do nothing else have 0.82 of the table's own speed, and
/// on one for 200 three quarters.
const ENTRIES_A_SHARD: u64 = 32;

/// The same where bytes are limited: an entry can be at most as heavy as a shard.
const WEIGHED_A_SHARD: u64 = 1024;

/// Most entries that a shard should have: a sweep holds its lock for as long as it looks at them, some
/// 0.2 ms.
const MOST_ENTRIES_A_SHARD: u64 = 16 << 10;

/// The part of a shard for what is used often, and the most that one entry may be of it: the table's own
/// default.
const OFTEN: f64 = 0.97;

/// The same where a heavy entry may be a large part of all. Then nearly everything is taken for used
/// often, and fewer of those that are stay.
const OFTEN_OF_FEW: f64 = 1.0;

/// Entries below which they are few.
const FEW: u64 = 64;

/// Above it the locks of a sweep or a resize cost more than they save.
const MOST_SHARDS: u64 = 1024;

pub(super) type Table<K, V> =
    quick_cache::sync::Cache<K, Entry<V>, Unit, DefaultHashBuilder, Noting<K, V>>;

/// A value with its time and its weight.
#[derive(Clone, Debug)]
pub(super) struct Entry<V> {
    pub(super) value: Held<V>,
    pub(super) stamp: Stamp,
}

impl<V> Entry<V> {
    #[inline]
    pub(super) fn is_live(&self, now: impl FnOnce() -> u64) -> bool {
        self.stamp.is_live(now)
    }

    /// As counted against the capacity.
    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        self.stamp.weight().bytes()
    }
}

/// A value as the table has it: a panic of its drop ends here, with a line in the log. One that came through
/// the table would leave what it was about to take out next counted as gone, or a shard at its old size.
#[derive(Clone, Debug)]
pub(super) struct Held<V>(ManuallyDrop<V>);

impl<V> Held<V> {
    #[inline]
    pub(super) fn new(value: V) -> Held<V> {
        Held(ManuallyDrop::new(value))
    }

    #[inline]
    pub(super) fn into_inner(self) -> V {
        let mut held = ManuallyDrop::new(self);
        // SAFETY: `held` is neither used nor dropped after it.
        unsafe { ManuallyDrop::take(&mut held.0) }
    }
}

impl<V> Deref for Held<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        &self.0
    }
}

impl<V> Drop for Held<V> {
    #[inline]
    fn drop(&mut self) {
        if needs_drop::<V>() {
            // SAFETY: nothing uses the value after its holder's drop, which comes once: `into_inner` prevents it.
            let dropped = caught(|| unsafe { ManuallyDrop::drop(&mut self.0) });
            if dropped.is_none() {
                tell();
            }
        }
    }
}

#[cold]
fn tell() {
    // Who takes the log is the program's too.
    caught(|| tracing::error!("a value panicked while a cache dropped it"));
}

/// What an entry takes in the table itself: key, value, time, weight, the links of its queues, and its
/// part of the index, which is filled to at most seven eighths.
pub(super) const fn slot_bytes<K, V>() -> u64 {
    (size_of::<(K, Entry<V>)>() + 24 + 6) as u64
}

/// Turns bytes into weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    counts_bytes: bool,
    /// The least that an entry counts for.
    pub(super) least: u64,
}

impl Unit {
    /// Each entry counts for one.
    pub(super) const ENTRIES: Unit = Unit {
        counts_bytes: false,
        least: 1,
    };

    /// Each counts for its bytes, and at least for so many.
    pub(super) fn bytes(least: u64) -> Unit {
        Unit {
            counts_bytes: true,
            least: least.clamp(1, Weight::MOST_BYTES),
        }
    }

    pub(super) fn counts_bytes(self) -> bool {
        self.counts_bytes
    }

    /// Of at most [`Weight::MOST_BYTES`]. The table asks three times for each entry that it evicts.
    #[inline]
    pub(super) fn weight(self, bytes: u64) -> u64 {
        if self.counts_bytes {
            bytes.max(self.least) * SCALE
        } else {
            SCALE
        }
    }

    /// The bytes from which on an entry is heavier than this; 0 where every one is.
    pub(super) fn bound(self, heaviest: u64) -> u64 {
        if self.weight(0) > heaviest {
            0
        } else if self.counts_bytes {
            heaviest / SCALE + 1
        } else {
            u64::MAX
        }
    }
}

impl<K, V> Weighter<K, Entry<V>> for Unit {
    #[inline]
    fn weight(&self, _: &K, entry: &Entry<V>) -> u64 {
        Unit::weight(*self, entry.bytes())
    }
}

/// Tells what the table evicts, and keeps it until the lock is let go.
pub(super) struct Noting<K, V> {
    counters: Arc<Counters>,
    of: PhantomData<fn(K, V)>,
}

impl<K, V> Clone for Noting<K, V> {
    fn clone(&self) -> Self {
        Noting {
            counters: Arc::clone(&self.counters),
            of: PhantomData,
        }
    }
}

/// What one operation evicts, dropped after the lock.
pub(super) struct Evicted<K, V> {
    /// By an insertion, maybe of an old value of the key. Else the capacity is made smaller.
    by_inserting: bool,
    /// Not told of what is evicted while the capacity is made smaller: that is counted at once.
    pub(super) gone: Gone,
    /// An insertion evicts one or two, mostly.
    first: Option<(K, Entry<V>)>,
    second: Option<(K, Entry<V>)>,
    others: Option<Vec<(K, Entry<V>)>>,
}

impl<K, V> Default for Evicted<K, V> {
    fn default() -> Self {
        Evicted {
            by_inserting: false,
            gone: Gone::default(),
            first: None,
            second: None,
            others: None,
        }
    }
}

impl<K, V> Evicted<K, V> {
    #[inline]
    pub(super) fn by_inserting() -> Evicted<K, V> {
        Evicted {
            by_inserting: true,
            ..Evicted::default()
        }
    }

    #[inline]
    fn keep(&mut self, evicted: (K, Entry<V>)) {
        match self.first {
            None => self.first = Some(evicted),
            Some(_) => self.keep_another(evicted),
        }
    }

    #[inline(never)]
    fn keep_another(&mut self, evicted: (K, Entry<V>)) {
        if self.second.is_none() {
            self.second = Some(evicted);
            return;
        }
        let others = self.others.get_or_insert_default();
        // On a full heap there may be no room to keep it: then it is dropped under the lock.
        if others.len() < others.capacity() || others.try_reserve(64).is_ok() {
            others.push(evicted);
        }
    }
}

impl<K, V> Lifecycle<K, Entry<V>> for Noting<K, V> {
    type RequestState = Evicted<K, V>;

    /// Comes before an entry makes room, and not before a new value takes an old one's place.
    #[inline]
    fn before_evict(&self, state: &mut Evicted<K, V>, _: &K, _: &mut Entry<V>) {
        state.gone.to_make_room += 1;
    }

    #[inline]
    fn on_evict(&self, state: &mut Evicted<K, V>, key: K, entry: Entry<V>) {
        if state.by_inserting {
            state.gone.add(entry.bytes());
        } else {
            self.counters.left(Cause::Pressure, entry.bytes());
        }
        // Plain data has nothing that must wait for the lock's end.
        if needs_drop::<(K, V)>() {
            state.keep((key, entry));
        }
    }
}

/// What a table is made for.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// About so many.
    pub(super) entries: u64,
    /// At most so many; `None` for as many as are good for it.
    pub(super) shards: Option<u64>,
}

/// The part of a shard that one entry may be at most. Where only entries count, one always fits.
pub(super) fn largest(plan: Plan, unit: Unit) -> f64 {
    if unit.counts_bytes() && plan.entries < FEW {
        OFTEN_OF_FEW
    } else {
        OFTEN
    }
}

/// A table with no room yet.
pub(super) fn table<K: Eq + Hash, V: Clone>(
    plan: Plan,
    weight: u64,
    unit: Unit,
    hashing: &DefaultHashBuilder,
    counters: &Arc<Counters>,
) -> Table<K, V> {
    let shards = shards(plan, unit);
    let options = OptionsBuilder::new()
        .shards(shards as usize)
        .estimated_items_capacity(plan.entries as usize)
        .weight_capacity(weight)
        .hot_allocation(largest(plan, unit))
        .build()
        .expect("both capacities are set");
    let noting = Noting {
        counters: Arc::clone(counters),
        of: PhantomData,
    };
    Table::with_options(options, unit, hashing.clone(), noting)
}

/// A power of two.
fn shards(plan: Plan, unit: Unit) -> u64 {
    let good = || {
        let fewest = match unit.counts_bytes() {
            true => WEIGHED_A_SHARD,
            false => ENTRIES_A_SHARD,
        };
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        // As many as the table would take by itself, where there is enough to share out.
        let wanted = (threads as u64 * 4).min(plan.entries / fewest);
        wanted.max(plan.entries / MOST_ENTRIES_A_SHARD)
    };
    let shards = plan.shards.unwrap_or_else(good).clamp(1, MOST_SHARDS);
    1 << shards.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_cache_is_one_shard_and_a_large_one_has_shards_that_are_swept_fast() {
        let shards = |entries, at_most, unit| {
            let shards = at_most;
            super::shards(Plan { entries, shards }, unit)
        };
        for (entries, expected) in [(0, 1), (63, 1), (64, 2), (128, 4), (1 << 20, 64)] {
            let found = shards(entries, None, Unit::ENTRIES);
            assert_eq!(found, expected, "{entries} entries");
        }
        for (entries, expected) in [(100, 1), (2047, 1), (1 << 20, 64)] {
            let found = shards(entries, None, Unit::bytes(1));
            assert_eq!(found, expected, "{entries} weighed");
        }
        assert_eq!(shards(u64::MAX, None, Unit::ENTRIES), MOST_SHARDS);
        for (at_most, expected) in [(1, 1), (7, 4), (u64::MAX, MOST_SHARDS)] {
            let found = shards(1 << 20, Some(at_most), Unit::ENTRIES);
            assert_eq!(found, expected, "at most {at_most}");
        }
    }

    #[test]
    fn the_heaviest_entry_of_all_does_not_wrap() {
        let most = Weight::MOST_BYTES;
        assert_eq!(Unit::bytes(u64::MAX).weight(most), most * SCALE);
        assert_eq!(Unit::ENTRIES.weight(most), SCALE);
        assert_eq!(Unit::bytes(0).weight(0), SCALE);
    }
}
