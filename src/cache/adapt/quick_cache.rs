use super::super::freed::freed;
use super::Adapted;
use crate::{Level, Shrink};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter, Weighter};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// A [`quick_cache::sync::Cache`]: resized at once, and stays so while a level lasts.
///
/// Every change of its capacity rounds what it keeps for what is used often, and the number of keys that
/// it remembers after they left, by one for each shard at most.
#[derive(Debug)]
pub struct QuickCache<K, V, We = UnitWeighter, B = DefaultHashBuilder, L = DefaultLifecycle<K, V>> {
    cache: Arc<Cache<K, V, We, B, L>>,
    whole: u64,
    adapted: Adapted,
}

impl<K, V, We, B, L> QuickCache<K, V, We, B, L>
where
    K: Eq + Hash,
    V: Clone,
    We: Weighter<K, V> + Clone,
    B: BuildHasher + Clone,
    L: Lifecycle<K, V> + Clone,
{
    /// `bytes_a_unit` is what a unit of its weight stands for: 1 when its weigher counts bytes, else
    /// about what an entry has.
    pub fn new(
        name: impl Into<String>,
        cache: Arc<Cache<K, V, We, B, L>>,
        bytes_a_unit: u64,
    ) -> Self {
        QuickCache {
            whole: cache.capacity(),
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

impl<K, V, We, B, L> Shrink for QuickCache<K, V, We, B, L>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
    We: Weighter<K, V> + Clone + Send + Sync,
    B: BuildHasher + Clone + Send + Sync,
    L: Lifecycle<K, V> + Clone + Send + Sync,
{
    fn name(&self) -> &str {
        &self.adapted.name
    }

    fn bytes(&self) -> u64 {
        self.adapted.bytes(self.cache.weight())
    }

    fn shrink(&self, level: Level) -> u64 {
        let shards = self.cache.num_shards() as u64;
        // It rounds up for every shard.
        let units = self.adapted.under(level, self.whole);
        let units = if level == Level::Normal {
            units
        } else {
            units / shards * shards
        };
        // Asked again while a level lasts: then there is nothing to change.
        if units == self.cache.capacity() {
            return 0;
        }
        freed(|| self.bytes(), || self.cache.set_capacity(units))
    }
}
