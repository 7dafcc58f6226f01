//! A cache beside a model that never evicts: what it answers is what was put in last, and within its time;
//! what it holds is within both limits, under the share of the level, after every single call; and what all
//! fits is all there.

use plimsoll::cache::{ManualClock, PressureCache};
use plimsoll::{Level, Shrink};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub enum Step {
    Insert(u8, u16),
    InsertFor(u8, u16, u16),
    Get(u8),
    GetOrInsert(u8, u16),
    Remove(u8),
    InvalidateEven,
    Clear,
    Advance(u16),
    Sweep,
    Level(u8),
    Entries(u8),
    Bytes(u16),
    FreeBytes(u16),
}

/// What the cache is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub entries: u64,
    pub bytes: u64,
    /// In milliseconds.
    pub ttl: u64,
    /// Of a size to bytes: weights above 16 KiB are rounded.
    pub scale: u64,
    /// All limits are one shard's, so that it is known what fits.
    pub one_shard: bool,
}

/// A value that knows which insertion it is of.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    number: u64,
    size: u64,
}

/// With the share of its capacity that each leaves a cache.
pub const LEVELS: [(Level, f64); 4] = [
    (Level::Normal, 1.0),
    (Level::Optimise, 0.8),
    (Level::Restart, 0.8),
    (Level::Critical, 0.5),
];

struct Model {
    cache: Arc<PressureCache<u8, Value>>,
    clock: ManualClock,
    settings: Settings,
    share: f64,
    /// In milliseconds.
    now: u64,
    /// By key: the last value, and when its time is over.
    last: HashMap<u8, (Value, u64)>,
    /// Keys of those that are there, for as long as their time is not over: nothing had to go since.
    kept: HashSet<u8>,
    /// Of bytes to entries, as set at first.
    least: f64,
    hits: u64,
    misses: u64,
}

/// # Panics
///
/// Where the cache does not keep to the model.
pub fn run(settings: Settings, steps: impl IntoIterator<Item = Step>) {
    let clock = ManualClock::new();
    let scale = settings.scale;
    let mut builder = PressureCache::builder("model");
    if settings.one_shard {
        builder = builder.shards(1);
    }
    let cache = builder
        .entries(settings.entries)
        .bytes(settings.bytes * scale)
        .weigh_by(move |_, value: &Value| value.size * scale)
        .ttl(Duration::from_millis(settings.ttl))
        .clock(&clock)
        .build()
        .expect("settings that fit together");
    let mut model = Model {
        cache,
        clock,
        settings,
        share: 1.0,
        now: 0,
        last: HashMap::new(),
        kept: HashSet::new(),
        // The cache rounds it down, and an entry that is as light weighs that.
        least: match (settings.bytes * scale).checked_div(settings.entries) {
            None => 1_024.0,
            Some(_) if settings.bytes == 0 => 1_024.0,
            Some(0) => 1.0,
            Some(least) => least as f64,
        },
        hits: 0,
        misses: 0,
    };
    for (number, step) in (0..).zip(steps) {
        model.step(number, step);
        model.check();
    }
    model.cache.clear();
    assert_eq!(model.cache.statistics().bytes, 0);
}

impl Model {
    fn step(&mut self, number: u64, step: Step) {
        let value = |size: u16| Value {
            number,
            size: size.into(),
        };
        let cache = Arc::clone(&self.cache);
        match step {
            Step::Insert(key, size) => {
                cache.insert(key, value(size));
                self.put(key, value(size), self.settings.ttl);
            }
            Step::InsertFor(key, size, ttl) => {
                cache.insert_for(key, value(size), Duration::from_millis(ttl.into()));
                self.put(key, value(size), ttl.into());
            }
            Step::Get(key) => {
                let found = cache.get(&key);
                assert_eq!(found.is_some(), cache.contains(&key));
                *(if found.is_some() {
                    &mut self.hits
                } else {
                    &mut self.misses
                }) += 1;
                self.check_answer(key, found);
            }
            Step::GetOrInsert(key, size) => {
                let found = cache.get_or_insert_with(&key, || value(size));
                if found == value(size) {
                    self.misses += 1;
                    assert!(!self.has_to_be_there(key), "{key} was made anew");
                    self.put(key, found, self.settings.ttl);
                } else {
                    self.hits += 1;
                    self.check_answer(key, Some(found));
                }
            }
            Step::Remove(key) => {
                self.check_answer(key, cache.remove(&key));
                self.last.remove(&key);
                self.kept.remove(&key);
                assert!(!cache.contains(&key));
            }
            Step::InvalidateEven => {
                let before = cache.statistics().entries;
                let gone = cache.invalidate_if(|key, _| key % 2 == 0);
                assert_eq!(gone, before - cache.statistics().entries);
                self.last.retain(|key, _| key % 2 == 1);
                self.kept.retain(|key| key % 2 == 1);
            }
            Step::Clear => {
                cache.clear();
                self.last.clear();
                self.kept.clear();
                assert_eq!(cache.statistics().entries, 0);
            }
            Step::Advance(by) => {
                self.now += u64::from(by);
                self.clock.advance(Duration::from_millis(by.into()));
            }
            Step::Sweep => {
                let before = cache.statistics().entries;
                let gone = cache.sweep();
                assert_eq!(gone, before - cache.statistics().entries);
                self.last.retain(|_, (_, over)| self.now < *over);
                self.kept.retain(|key| self.last.contains_key(key));
                assert!(cache.statistics().entries <= self.last.len() as u64);
            }
            Step::Level(level) => {
                let (level, share) = LEVELS[usize::from(level) % LEVELS.len()];
                cache.shrink(level);
                self.share = share;
                self.let_go();
            }
            Step::Entries(most) => {
                self.settings.entries = most.into();
                let set = cache.set_entries(self.settings.entries);
                set.expect("it has a limit of entries");
                self.let_go();
            }
            Step::Bytes(most) => {
                self.settings.bytes = most.into();
                let set = cache.set_bytes(self.settings.bytes * self.settings.scale);
                set.expect("it has a limit of bytes");
                self.let_go();
            }
            Step::FreeBytes(wanted) => {
                let wanted = u64::from(wanted) * self.settings.scale;
                let before = cache.statistics().bytes;
                cache.free_bytes(wanted);
                let after = cache.statistics().bytes;
                assert!(wanted == 0 || after == 0 || after < before);
                if wanted > 0 {
                    self.kept.clear();
                }
            }
        }
    }

    fn put(&mut self, key: u8, value: Value, ttl: u64) {
        self.last.insert(key, (value, self.now + ttl));
        self.kept.insert(key);
        self.let_go();
    }

    /// At least its part of what there was room for at first; rounded up by a sixteen thousandth at the most.
    fn weight(&self, size: u64) -> f64 {
        (1.0001 * (size * self.settings.scale) as f64).max(self.least)
    }

    /// What there is room for, by both limits.
    fn most(&self) -> f64 {
        let bytes = ((self.settings.bytes * self.settings.scale) as f64 * self.share).floor();
        bytes.min((self.settings.entries as f64 * self.share).floor() * self.least)
    }

    /// Where not all of it surely fits, any may have gone; and what is large beside all that there is room
    /// for may not have come in.
    fn let_go(&mut self) {
        let weights = self.last.values().map(|(value, _)| self.weight(value.size));
        let largest = weights.clone().fold(0.0, f64::max);
        if weights.sum::<f64>().max(8.0 * largest) > self.most() {
            self.kept.clear();
        }
    }

    fn has_to_be_there(&self, key: u8) -> bool {
        self.settings.one_shard && self.kept.contains(&key) && self.now < self.last[&key].1
    }

    fn check_answer(&self, key: u8, found: Option<Value>) {
        assert!(
            found.is_some() || !self.has_to_be_there(key),
            "{key} is gone"
        );
        if let Some(found) = found {
            let (last, over) = &self.last[&key];
            assert_eq!(&found, last);
            assert!(self.now < *over, "answered at {}, over at {over}", self.now);
        }
    }

    fn check(&self) {
        let found = self.cache.statistics();
        let most = |limit: u64| (limit as f64 * self.share) as u64;
        let entries = most(self.settings.entries);
        let bytes = most(self.settings.bytes * self.settings.scale);
        assert!(found.entries <= entries, "{found:?}");
        assert!(found.bytes <= bytes, "{found:?}");
        assert_eq!(found.most_entries, Some(entries));
        assert_eq!(found.most_bytes, Some(bytes));
        assert_eq!((found.hits, found.misses), (self.hits, self.misses));
        let left = found.evictions;
        let left = left.capacity + left.pressure + left.expired + left.replaced + left.removed;
        assert_eq!(found.insertions - left, found.entries);
    }
}
