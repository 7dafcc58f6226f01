use super::Adapted;
use crate::{Level, Shrink};
use foyer_memory::Cache;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

/// A memory cache of foyer: resized at once, and stays so while a level lasts.
///
/// Its resize starts a thread for each shard, which takes memory of its own at a time when there is
/// little: give it few shards. What such threads free is not this thread's, so the bytes freed are what
/// the cache says.
///
/// ```
/// use plimsoll::cache::adapt::Foyer;
/// use std::sync::Arc;
///
/// let cache = foyer_memory::Cache::<u32, String>::builder(1000).with_shards(1).build();
/// // To be kept, and registered with the monitor.
/// let adapted = Arc::new(Foyer::new("staff", cache.clone(), 200));
/// # drop(adapted);
/// ```
#[derive(Debug)]
pub struct Foyer<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    cache: Cache<K, V>,
    whole: u64,
    /// What it was resized to last: its own `capacity` goes on saying what it was built with.
    told: AtomicU64,
    adapted: Adapted,
}

impl<K, V> Foyer<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// `bytes_a_unit` is what a unit of its weight stands for: 1 when its weigher counts bytes, else
    /// about what an entry has.
    pub fn new(name: impl Into<String>, cache: Cache<K, V>, bytes_a_unit: u64) -> Self {
        let whole = cache.capacity() as u64;
        Foyer {
            whole,
            told: AtomicU64::new(whole),
            cache,
            adapted: Adapted::new(name, bytes_a_unit),
        }
    }

    /// What the levels leave of its capacity: over 0, at most 1, and the second at most the first.
    /// Others are reported by `tracing` and not taken.
    #[must_use]
    pub fn shares(mut self, at_optimise: f64, at_critical: f64) -> Self {
        self.adapted.set_shares(at_optimise, at_critical);
        self
    }
}

impl<K, V> Shrink for Foyer<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.adapted.name
    }

    fn bytes(&self) -> u64 {
        self.adapted.bytes(self.cache.usage() as u64)
    }

    fn shrink(&self, level: Level) -> u64 {
        let units = self.adapted.under(level, self.whole);
        // Threads are not started for nothing each time that a level is told again.
        if units == self.told.load(Ordering::Relaxed) {
            return 0;
        }
        let before = self.bytes();
        match self.cache.resize(units as usize) {
            Ok(()) => self.told.store(units, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(cache = self.adapted.name, %error, "foyer could not resize");
            }
        }
        before.saturating_sub(self.bytes())
    }
}
