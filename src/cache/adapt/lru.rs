use super::super::freed::freed;
use super::Adapted;
use crate::{Level, Shrink};
use lru::LruCache;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An [`lru::LruCache`] behind a lock: resized at once, its table too, and stays so while a level lasts.
///
/// It counts entries only, and holds at least one.
///
/// ```
/// use plimsoll::cache::adapt::Lru;
/// use std::num::NonZeroUsize;
/// use std::sync::{Arc, Mutex};
///
/// let most = NonZeroUsize::new(1000).unwrap();
/// let cache = Arc::new(Mutex::new(lru::LruCache::<u32, String>::new(most)));
/// // To be kept, and registered with the monitor.
/// let adapted = Arc::new(Lru::new("staff", Arc::clone(&cache), 200));
/// # drop(adapted);
/// ```
pub struct Lru<K: Eq + Hash, V, S = lru::DefaultHasher> {
    cache: Arc<Mutex<LruCache<K, V, S>>>,
    whole: NonZeroUsize,
    adapted: Adapted,
}

impl<K: Eq + Hash, V, S> fmt::Debug for Lru<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lru").field(&self.adapted).finish()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Lru<K, V, S> {
    /// Takes part under this name. `bytes_an_entry` is about what an entry has.
    pub fn new(
        name: impl Into<String>,
        cache: Arc<Mutex<LruCache<K, V, S>>>,
        bytes_an_entry: u64,
    ) -> Self {
        let whole = lock(&cache).cap();
        Lru {
            whole,
            cache,
            adapted: Adapted::new(name, bytes_an_entry),
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

/// A panic while it was locked leaves it whole: it has no unfinished states.
fn lock<T>(cache: &Mutex<T>) -> MutexGuard<'_, T> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V, S> Shrink for Lru<K, V, S>
where
    K: Eq + Hash + Send,
    V: Send,
    S: BuildHasher + Send,
{
    fn name(&self) -> &str {
        &self.adapted.name
    }

    fn bytes(&self) -> u64 {
        self.adapted.bytes(lock(&self.cache).len() as u64)
    }

    fn shrink(&self, level: Level) -> u64 {
        let entries = self.adapted.under(level, self.whole.get() as u64) as usize;
        let entries = NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        freed(|| self.bytes(), || lock(&self.cache).resize(entries))
    }
}
