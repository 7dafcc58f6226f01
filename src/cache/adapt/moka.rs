use super::super::freed::freed;
use super::Adapted;
use crate::{Level, Shrink};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Rounds in which a share of the entries is taken out: entries differ, so the first leaves some over.
const ROUNDS: usize = 4;

/// A [`moka::sync::Cache`].
///
/// moka 0.12 cannot be resized. So entries are invalidated, whichever come first, until its size is the
/// level's share of its greatest capacity (of its size, without one). It may fill again at once, and is
/// asked again while the level lasts.
///
/// ```
/// use plimsoll::cache::adapt::Moka;
/// use std::sync::Arc;
///
/// let cache = moka::sync::Cache::<u32, String>::new(1000);
/// // To be kept, and registered with the monitor.
/// let adapted = Arc::new(Moka::new("staff", cache.clone(), 200));
/// # drop(adapted);
/// ```
pub struct Moka<K, V, S = std::hash::RandomState> {
    cache: moka::sync::Cache<K, V, S>,
    adapted: Adapted,
}

/// A [`moka::future::Cache`], as [`Moka`].
pub struct MokaFuture<K, V, S = std::hash::RandomState> {
    cache: moka::future::Cache<K, V, S>,
    adapted: Adapted,
}

impl<K, V, S> fmt::Debug for Moka<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Moka").field(&self.adapted).finish()
    }
}

impl<K, V, S> fmt::Debug for MokaFuture<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MokaFuture").field(&self.adapted).finish()
    }
}

impl<K, V, S> Moka<K, V, S> {
    /// `bytes_a_unit` is what a unit of its size stands for: 1 when its weigher counts bytes, else about
    /// what an entry has.
    pub fn new(
        name: impl Into<String>,
        cache: moka::sync::Cache<K, V, S>,
        bytes_a_unit: u64,
    ) -> Self {
        let adapted = Adapted::new(name, bytes_a_unit);
        Moka { cache, adapted }
    }

    /// What the levels leave of its capacity: over 0, at most 1, and the second at most the first.
    /// Others are reported by `tracing` and not taken.
    #[must_use]
    pub fn shares(mut self, at_optimise: f64, at_critical: f64) -> Self {
        self.adapted.set_shares(at_optimise, at_critical);
        self
    }
}

impl<K, V, S> MokaFuture<K, V, S> {
    /// As [`Moka::new`].
    pub fn new(
        name: impl Into<String>,
        cache: moka::future::Cache<K, V, S>,
        bytes_a_unit: u64,
    ) -> Self {
        let adapted = Adapted::new(name, bytes_a_unit);
        MokaFuture { cache, adapted }
    }

    /// As [`Moka::shares`].
    #[must_use]
    pub fn shares(mut self, at_optimise: f64, at_critical: f64) -> Self {
        self.adapted.set_shares(at_optimise, at_critical);
        self
    }
}

impl<K, V, S> Shrink for Moka<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.adapted.name
    }

    fn bytes(&self) -> u64 {
        self.adapted.bytes(self.cache.weighted_size())
    }

    fn keeps_cap(&self) -> bool {
        false
    }

    fn shrink(&self, level: Level) -> u64 {
        let settle = || {
            self.cache.run_pending_tasks();
            (self.cache.weighted_size(), self.cache.entry_count())
        };
        let take = |entries| {
            let keys = self.cache.iter().map(|(key, _)| key);
            keys.take(entries)
                .for_each(|key| self.cache.invalidate(&*key));
        };
        let most = self.cache.policy().max_capacity();
        let work = || thin(&self.adapted, level, most, settle, take);
        freed(|| self.bytes(), work)
    }
}

impl<K, V, S> Shrink for MokaFuture<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.adapted.name
    }

    fn bytes(&self) -> u64 {
        self.adapted.bytes(self.cache.weighted_size())
    }

    fn keeps_cap(&self) -> bool {
        false
    }

    fn shrink(&self, level: Level) -> u64 {
        let settle = || {
            wait(self.cache.run_pending_tasks());
            (self.cache.weighted_size(), self.cache.entry_count())
        };
        let take = |entries| {
            let keys = self.cache.iter().map(|(key, _)| key);
            keys.take(entries)
                .for_each(|key| wait(self.cache.invalidate(&*key)));
        };
        let most = self.cache.policy().max_capacity();
        let work = || thin(&self.adapted, level, most, settle, take);
        freed(|| self.bytes(), work)
    }
}

/// Takes out entries until the size is the level's share.
fn thin(
    adapted: &Adapted,
    level: Level,
    most: Option<u64>,
    settle: impl Fn() -> (u64, u64),
    take: impl Fn(usize),
) {
    if level == Level::Normal {
        return;
    }
    let (mut size, mut entries) = settle();
    let target = adapted.under(level, most.unwrap_or(size));
    for _ in 0..ROUNDS {
        if size <= target || entries == 0 {
            return;
        }
        let over = (size - target) as f64 / size as f64;
        take((entries as f64 * over).ceil() as usize);
        (size, entries) = settle();
    }
}

/// Waits on this thread: the monitor's threads belong to no runtime.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
