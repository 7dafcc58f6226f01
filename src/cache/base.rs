//! The table below: `quick_cache`, whose keys carry their hash and whose values carry their time.
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

use super::due::NEVER;
use super::statistics::{Cause, Counters};
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::mem::{needs_drop, size_of};
use std::sync::Arc;

/// Of weights to bytes or entries.
pub(super) const SCALE: u64 = 1 << 16;

/// Fewest entries that a shard is made for. What a shard has no room for is evicted although others
/// have, so small caches are one.
const ENTRIES_A_SHARD: u64 = 1024;

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
    quick_cache::sync::Cache<Hashed<K>, Entry<V>, Unit, Known, Noting<K, V>>;

/// A key with its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hashed<K> {
    pub(super) hash: u64,
    pub(super) key: K,
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A key as it is asked for.
pub(super) struct Asked<'a, Q: ?Sized> {
    pub(super) hash: u64,
    pub(super) key: &'a Q,
}

impl<Q: ToOwned + ?Sized> Asked<'_, Q> {
    pub(super) fn owned(&self) -> Hashed<Q::Owned> {
        Hashed {
            hash: self.hash,
            key: self.key.to_owned(),
        }
    }
}

impl<Q: ?Sized> Hash for Asked<'_, Q> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Borrow<Q>, Q: Eq + ?Sized> Equivalent<Hashed<K>> for Asked<'_, Q> {
    fn equivalent(&self, known: &Hashed<K>) -> bool {
        self.key == known.key.borrow()
    }
}

/// Hashes keys, once.
#[derive(Debug, Default)]
pub(super) struct Hashing(DefaultHashBuilder);

impl Hashing {
    #[inline]
    pub(super) fn asked<'a, Q: Hash + ?Sized>(&self, key: &'a Q) -> Asked<'a, Q> {
        let hash = self.0.hash_one(key);
        Asked { hash, key }
    }
}

/// Passes on the hash that a key carries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known;

#[derive(Default)]
pub(super) struct KnownHasher(u64);

impl BuildHasher for Known {
    type Hasher = KnownHasher;
    #[inline]
    fn build_hasher(&self) -> KnownHasher {
        KnownHasher(0)
    }
}

impl Hasher for KnownHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn write(&mut self, bytes: &[u8]) {
        // Keys write their hash alone; kept right for the trait's sake.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

/// A value with its time and its weight.
#[derive(Clone, Debug)]
pub(super) struct Entry<V> {
    pub(super) value: V,
    /// By the cache's clock; odd for a time to live that is not the cache's.
    pub(super) expires: u64,
    /// As counted against the capacity.
    pub(super) bytes: u64,
}

impl<V> Entry<V> {
    #[inline]
    pub(super) fn is_live(&self, now: impl FnOnce() -> u64) -> bool {
        self.expires == NEVER || now() < self.expires
    }
}

/// What an entry takes in the table itself: key, hash, value, times, the links of its queues, and its
/// part of the index, which is filled to at most seven eighths.
pub(super) const fn slot_bytes<K, V>() -> u64 {
    (size_of::<(Hashed<K>, Entry<V>)>() + 24 + 6) as u64
}

/// Turns bytes into weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) counts_bytes: bool,
    /// The least that an entry counts for.
    pub(super) least: u64,
}

impl Unit {
    pub(super) fn weight(self, bytes: u64) -> u64 {
        let units = if self.counts_bytes {
            bytes.max(self.least)
        } else {
            1
        };
        units.saturating_mul(SCALE)
    }
}

impl<K, V> Weighter<Hashed<K>, Entry<V>> for Unit {
    #[inline]
    fn weight(&self, _: &Hashed<K>, entry: &Entry<V>) -> u64 {
        Unit::weight(*self, entry.bytes)
    }
}

/// Counts what the table evicts, and keeps it until the lock is let go.
#[derive(Debug)]
pub(super) struct Noting<K, V> {
    counters: Arc<Counters>,
    of: PhantomData<fn(K, V)>,
}

impl<K, V> Noting<K, V> {
    fn new(counters: &Arc<Counters>) -> Noting<K, V> {
        Noting {
            counters: Arc::clone(counters),
            of: PhantomData,
        }
    }
}

impl<K, V> Clone for Noting<K, V> {
    fn clone(&self) -> Self {
        Noting::new(&self.counters)
    }
}

/// What the table is doing while it evicts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Doing {
    /// Its capacity is made smaller.
    #[default]
    Shrinking,
    /// An entry with this hash goes in, maybe over another of its key.
    Putting(u64),
    /// An entry goes in where there was none.
    Filling,
    /// One with this hash goes in where there was none, and is likely too heavy.
    Refusing(u64),
}

/// What one operation evicts, dropped after the lock.
pub(super) struct Evicted<K, V> {
    doing: Doing,
    /// An insertion evicts one or two, mostly.
    few: [Option<(Hashed<K>, Entry<V>)>; 2],
    more: Vec<(Hashed<K>, Entry<V>)>,
}

impl<K, V> Default for Evicted<K, V> {
    fn default() -> Self {
        Evicted::by(Doing::default())
    }
}

impl<K, V> Evicted<K, V> {
    pub(super) fn by(doing: Doing) -> Evicted<K, V> {
        Evicted {
            doing,
            few: [None, None],
            more: Vec::new(),
        }
    }

    fn keep(&mut self, evicted: (Hashed<K>, Entry<V>)) {
        match &mut self.few {
            [place @ None, _] | [_, place @ None] => *place = Some(evicted),
            _ => {
                // On a full heap there may be no room to keep it: then it is dropped under the lock.
                if self.more.len() < self.more.capacity() || self.more.try_reserve(64).is_ok() {
                    self.more.push(evicted);
                }
            }
        }
    }
}

impl<K, V> Lifecycle<Hashed<K>, Entry<V>> for Noting<K, V> {
    type RequestState = Evicted<K, V>;

    fn on_evict(&self, state: &mut Evicted<K, V>, key: Hashed<K>, entry: Entry<V>) {
        let cause = match state.doing {
            Doing::Shrinking => Some(Cause::Pressure),
            Doing::Putting(hash) if hash == key.hash => Some(Cause::Replaced),
            Doing::Refusing(hash) if hash == key.hash => None,
            Doing::Putting(_) | Doing::Filling | Doing::Refusing(_) => Some(Cause::Capacity),
        };
        match cause {
            Some(cause) => self.counters.left(cause, entry.bytes),
            None => self.counters.not_inserted(entry.bytes),
        }
        // Plain data has nothing that must wait for the lock's end.
        if needs_drop::<(K, V)>() {
            state.keep((key, entry));
        }
    }
}

/// The part of a shard that one entry may be at most. Where only entries count, one always fits.
pub(super) fn largest(expected_entries: u64, unit: Unit) -> f64 {
    if unit.counts_bytes && expected_entries < FEW {
        OFTEN_OF_FEW
    } else {
        OFTEN
    }
}

/// A table for about so many entries, with no room yet.
pub(super) fn table<K: Eq + Hash, V: Clone>(
    expected_entries: u64,
    weight: u64,
    unit: Unit,
    counters: &Arc<Counters>,
) -> Table<K, V> {
    let shards = shards(expected_entries);
    let options = OptionsBuilder::new()
        .shards(shards as usize)
        .estimated_items_capacity(expected_entries as usize)
        .weight_capacity(weight)
        .hot_allocation(largest(expected_entries, unit))
        .build()
        .expect("both capacities are set");
    let noting = Noting::new(counters);
    Table::with_options(options, unit, Known, noting)
}

/// A power of two.
fn shards(expected_entries: u64) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    // As many as the table would take by itself, where there is enough to share out.
    let wanted = (threads * 4).min(expected_entries / ENTRIES_A_SHARD);
    let needed = expected_entries / MOST_ENTRIES_A_SHARD;
    let shards = wanted.max(needed).clamp(1, MOST_SHARDS);
    1 << shards.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_cache_is_one_shard_and_a_large_one_has_shards_that_are_swept_fast() {
        for (entries, least, most) in [(0, 1, 1), (100, 1, 1), (2047, 1, 1), (1 << 20, 64, 64)] {
            let shards = shards(entries);
            assert!((least..=most).contains(&shards), "{entries}: {shards}");
        }
        assert_eq!(shards(u64::MAX), MOST_SHARDS);
    }

    #[test]
    fn a_hash_is_passed_on_as_it_is() {
        let key = Hashed {
            hash: 0x0123_4567_89ab_cdef,
            key: "k",
        };
        assert_eq!(Known.hash_one(&key), key.hash);
        assert_eq!(Known.hash_one(Asked { hash: 7, key: "k" }), 7);
    }
}
