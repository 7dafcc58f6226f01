//! How a cache is set up.

use super::base::{Plan, slot_bytes};
use super::capacity::Limits;
use super::clock::{Clock, ManualClock};
use super::pressure_cache::PressureCache;
use super::weigh::Weigh;
use crate::allocator::local::OwnCount;
use crate::{ConfigFault, Level};
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Entries that a cache limited by bytes alone is taken to hold, for the number of its shards and
/// what it remembers of keys that have left: as if each had 1 KiB. And what each counts for at the least in one
/// of both limits of which one was 0 at first.
pub(super) const TYPICAL_ENTRY: u64 = 1024;

/// What a level leaves of a capacity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) at_optimise: f64,
    pub(super) at_critical: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Shares {
            at_optimise: 0.8,
            at_critical: 0.5,
        }
    }
}

impl Shares {
    pub(super) fn faults(self) -> Vec<ConfigFault> {
        let Shares {
            at_optimise,
            at_critical,
        } = self;
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        let mut faults = Vec::new();
        if !is_share(at_optimise) {
            faults.push(ConfigFault {
                setting: "share_at_optimise",
                value: at_optimise.to_string(),
                expected: "over 0 and at most 1",
            });
        }
        if !is_share(at_critical) || at_critical > at_optimise {
            faults.push(ConfigFault {
                setting: "share_at_critical",
                value: at_critical.to_string(),
                expected: "over 0 and at most `share_at_optimise`",
            });
        }
        faults
    }

    pub(super) fn at(self, level: Level) -> f64 {
        match level {
            Level::Normal => 1.0,
            Level::Optimise | Level::Restart => self.at_optimise,
            Level::Critical => self.at_critical,
        }
    }
}

/// Why a cache could not be built or resized: every setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheError {
    /// The cache's name.
    pub cache: String,
    /// At least one.
    pub faults: Vec<ConfigFault>,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache `{}`: ", self.cache)?;
        ConfigFault::list(&self.faults, f)
    }
}

impl std::error::Error for CacheError {}

/// Settings of a [`PressureCache`]; see [`PressureCache::builder`].
#[must_use = "it builds nothing until `build`"]
pub struct CacheBuilder<K, V> {
    name: String,
    entries: Option<u64>,
    bytes: Option<u64>,
    expected_entries: Option<u64>,
    shards: Option<u64>,
    weigh: Option<Weigh<K, V>>,
    ttl: Option<Duration>,
    shares: Shares,
    clock: Option<ManualClock>,
    of: PhantomData<fn(K, V)>,
}

impl<K, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .field("entries", &self.entries)
            .field("bytes", &self.bytes)
            .field("shards", &self.shards)
            .field("weigh", &self.weigh)
            .field("ttl", &self.ttl)
            .field("shares", &self.shares)
            .finish_non_exhaustive()
    }
}

impl<K, V> CacheBuilder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(name: impl Into<String>) -> CacheBuilder<K, V> {
        CacheBuilder {
            name: name.into(),
            entries: None,
            bytes: None,
            expected_entries: None,
            shards: None,
            weigh: None,
            ttl: None,
            shares: Shares::default(),
            clock: None,
            of: PhantomData,
        }
    }

    /// At most so many entries. With 0 it holds nothing: every value is made anew.
    ///
    /// A cache of several [`shards`](Self::shards), as one of 64 entries or more is by default, and of 2,048 or
    /// more where bytes are limited too, evicts from a full shard while others have room: some per cent early.
    pub fn entries(mut self, most: u64) -> Self {
        self.entries = Some(most);
        self
    }

    /// At most so many bytes, as [`weigh`](Self::weigh) counts them. With [`entries`](Self::entries)
    /// both hold; each entry then counts for at least bytes ÷ entries, as they are here. With 0 it holds
    /// nothing, and when that is raised each entry counts for at least 1 KiB.
    ///
    /// An entry of more than 97 % of a shard's part is not let in (of more than all of it, where fewer than 64
    /// entries are expected): whoever makes it gets it, and the next makes it anew; what was there under its key
    /// leaves.
    pub fn bytes(mut self, most: u64) -> Self {
        self.bytes = Some(most);
        self
    }

    /// About how many entries it will hold, when only bytes limit it: for the number of
    /// [`shards`](Self::shards). An estimate within ten times is good enough. By default as if an entry had 1 KiB.
    pub fn expected_entries(mut self, about: u64) -> Self {
        self.expected_entries = Some(about);
        self
    }

    /// At most so many shards, 1 or more, rounded down to a power of two: parts with a lock and an equal part of the
    /// capacity each, rounded down. With one, the cache holds all that it has room for, and one thread at a time
    /// puts in: for a small cache that is to hold just what it is made for.
    ///
    /// By default one for every 32 entries, as quick_cache has it, or for every 1,024 where bytes are limited,
    /// up to four for each processor or what keeps a shard at 16,384 entries. There are no more than 1,024, and none
    /// is made for fewer than 32 entries.
    pub fn shards(mut self, most: u64) -> Self {
        self.shards = Some(most);
        self
    }

    /// How bytes are known. A limit of bytes needs it to be said; else it is [`Weigh::Measured`] where
    /// [`Plimsoll`](crate::Plimsoll) is the program's allocator, and [`Weigh::Shallow`] elsewhere.
    pub fn weigh(mut self, how: Weigh<K, V>) -> Self {
        self.weigh = Some(how);
        self
    }

    /// [`weigh`](Self::weigh) with [`Weigh::By`].
    ///
    /// ```
    /// use plimsoll::cache::PressureCache;
    ///
    /// # fn main() -> Result<(), plimsoll::cache::CacheError> {
    /// let texts = PressureCache::<u32, String>::builder("texts")
    ///     .bytes(1 << 20)
    ///     .weigh_by(|_, text| 64 + text.capacity() as u64)
    ///     .build()?;
    /// texts.get_or_insert_with(&1, || "one".repeat(100));
    /// texts.get_or_insert_with(&1, || unreachable!());
    /// let told = texts.statistics();
    /// assert_eq!((told.entries, told.bytes), (1, 364));
    /// assert_eq!((told.hits, told.misses, told.hit_ratio()), (1, 1, Some(0.5)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn weigh_by(self, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigh(Weigh::By(Arc::new(weigh)))
    }

    /// How long an entry is answered after it was made; for ever by default.
    ///
    /// With a time of zero nothing is held, nor with one below 131 µs, to which times are rounded down.
    /// What would expire later than 36 years after the machine's start, or the start of a
    /// [`ManualClock`], is held for ever. From one second on the kernel's coarse clock is asked, by which
    /// an entry can go up to two of its ticks early (4 ms each, mostly), and never late.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// What [`Level::Optimise`] and [`Level::Restart`] leave of the capacity: over 0, at most 1, by
    /// default 0.8 (MatrixOne's soft target).
    pub fn share_at_optimise(mut self, share: f64) -> Self {
        self.shares.at_optimise = share;
        self
    }

    /// What [`Level::Critical`] leaves of it: over 0, at most what the other levels leave, by default
    /// 0.5 (MatrixOne's hard target).
    pub fn share_at_critical(mut self, share: f64) -> Self {
        self.shares.at_critical = share;
        self
    }

    /// Entries expire by this clock, for tests.
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Builds it, shared: the monitor and what sweeps expired entries know it weakly.
    ///
    /// # Errors
    ///
    /// All settings that make no sense: no limit at all; a limit of bytes where [`weigh`](Self::weigh) says nothing;
    /// one, above 0, with room for not even the
    /// place of one entry, unless [`Weigh::By`] says what an entry weighs; no shards; shares out of their range; and
    /// [`Weigh::Measured`] where [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
    pub fn build(self) -> Result<Arc<PressureCache<K, V>>, CacheError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(CacheError {
                cache: self.name,
                faults,
            });
        }
        let weigh = self.weigh.unwrap_or(if OwnCount::new().is_counting() {
            Weigh::Measured
        } else {
            Weigh::Shallow
        });
        let clock = match self.clock {
            Some(clock) => Clock::Manual(clock),
            None => Clock::of_the_system(self.ttl),
        };
        let limits = Limits {
            entries: self.entries,
            bytes: self.bytes,
            share: 1.0,
        };
        let expected = self
            .entries
            .or(self.expected_entries)
            .unwrap_or_else(|| (self.bytes.unwrap_or(0) / TYPICAL_ENTRY).clamp(64, 1 << 20));
        let plan = Plan {
            entries: expected,
            shards: self.shards,
        };
        Ok(PressureCache::new(
            self.name,
            limits,
            plan,
            weigh,
            self.ttl,
            self.shares,
            clock,
        ))
    }

    fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = self.shares.faults();
        let mut fault = |setting, value: String, expected| {
            faults.push(ConfigFault {
                setting,
                value,
                expected,
            });
        };
        if self.entries.is_none() && self.bytes.is_none() {
            fault(
                "entries",
                "not set".into(),
                "a most number of entries, or of bytes",
            );
        }
        if self.shards == Some(0) {
            fault("shards", "0".into(), "at least 1");
        }
        if self.bytes.is_some() && self.weigh.is_none() {
            fault(
                "weigh",
                "not set".into(),
                "`Weigh::Measured`, `weigh_by` or `Weigh::Shallow` for a limit of bytes",
            );
        }
        if matches!(self.weigh, Some(Weigh::Measured)) && !OwnCount::new().is_counting() {
            fault(
                "weigh",
                "Weigh::Measured".into(),
                "`weigh_by` while Plimsoll is not the program's allocator",
            );
        }
        let slot = slot_bytes::<K, V>();
        if self
            .weigh
            .as_ref()
            .is_some_and(|weigh| !matches!(weigh, Weigh::By(_)))
            && self.bytes.is_some_and(|bytes| bytes > 0 && bytes < slot)
        {
            let value = self.bytes.unwrap_or(0).to_string();
            fault(
                "bytes",
                value,
                "0, or room for an entry with its place in the table",
            );
        }
        faults
    }
}
