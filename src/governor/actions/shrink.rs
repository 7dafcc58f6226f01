//! Asking caches to give way.

use crate::caught::caught;
use crate::governor::Level;
use crate::governor::statistics::CacheStatistics;
use crate::governor::status::CacheStatus;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A cache, or anything else that can hold less than it does.
///
/// The monitor holds it weakly: who drops the cache need not tell.
///
/// ```
/// use plimsoll::{Level, Shrink};
/// use std::sync::Mutex;
///
/// const CAPACITY: usize = 10;
///
/// struct Cache { pages: Mutex<Pages> }
/// struct Pages { kept: Vec<Vec<u8>>, cap: usize }
///
/// impl Shrink for Cache {
///     fn name(&self) -> &str {
///         "pages"
///     }
///     fn bytes(&self) -> u64 {
///         let pages = self.pages.lock().unwrap();
///         pages.kept.iter().map(|page| page.len() as u64).sum()
///     }
///     fn shrink(&self, level: Level) -> u64 {
///         let before = self.bytes();
///         let mut pages = self.pages.lock().unwrap();
///         // `insert` keeps to it as well.
///         pages.cap = match level {
///             Level::Normal => CAPACITY,
///             Level::Optimise | Level::Restart => CAPACITY * 4 / 5,
///             Level::Critical => CAPACITY / 2,
///         };
///         let cap = pages.cap;
///         pages.kept.truncate(cap);
///         drop(pages);
///         before - self.bytes()
///     }
/// }
/// # let kept = vec![vec![0; 100]; 10];
/// # let cache = Cache { pages: Mutex::new(Pages { kept, cap: CAPACITY }) };
/// # assert_eq!(cache.shrink(Level::Optimise), 200);
/// ```
pub trait Shrink: Send + Sync {
    /// Names the cache in reports.
    fn name(&self) -> &str;

    /// The bytes that it holds now, as well as it knows.
    fn bytes(&self) -> u64;

    /// Holds no more than this level allows, from now on and until told otherwise: by convention
    /// everything at [`Level::Normal`], four fifths of the capacity at [`Level::Optimise`] and
    /// [`Level::Restart`], half at [`Level::Critical`]. Answers the bytes freed now.
    ///
    /// Called when a level is entered or left, and again while it lasts; with the level that lasts when it is
    /// [registered](crate::Monitor::register); by [`Monitor::optimise`](crate::Monitor::optimise), at
    /// [`Level::Normal`] with `Optimise` and then `Normal`; and with `Normal` at the monitor's end. What a cache refills
    /// while the level lasts was freed for nothing, so the cap stays: only a call with a lower
    /// level lifts it.
    ///
    /// Runs on a thread of the monitor's, so it should neither wait nor allocate much. A panic is
    /// caught there and reported; when it is registered it runs on the thread that does so.
    fn shrink(&self, level: Level) -> u64;

    /// Whether it holds to what it was told until it is told otherwise, as it should. Said in reports;
    /// one that cannot is told again while the level lasts, as all are.
    fn keeps_cap(&self) -> bool {
        true
    }

    /// What it holds and has done, if it counts.
    fn statistics(&self) -> Option<CacheStatistics> {
        None
    }
}

/// The registered caches.
#[derive(Default)]
pub(in crate::governor) struct Caches(Mutex<Vec<Weak<dyn Shrink>>>);

/// What asking all caches came to.
#[derive(Default)]
pub(in crate::governor) struct Asked {
    pub(in crate::governor) caches: usize,
    pub(in crate::governor) panicked: bool,
}

impl Caches {
    pub(in crate::governor) fn add(&self, cache: Weak<dyn Shrink>) {
        let mut caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|known| known.strong_count() > 0);
        caches.push(cache);
    }

    /// Asks every cache that is still there; one that panics does not keep the others from being
    /// asked.
    ///
    /// The lock is let go while a cache shrinks, so a cache may register another.
    pub(in crate::governor) fn shrink(&self, level: Level) -> Asked {
        let mut asked = Asked::default();
        for place in 0.. {
            let Some(cache) = self.get(place) else { break };
            let Some(cache) = cache.upgrade() else {
                continue;
            };
            asked.caches += 1;
            if caught(|| cache.shrink(level)).is_none() {
                asked.panicked = true;
            }
        }
        asked
    }

    /// What all caches say they hold.
    pub(in crate::governor) fn bytes(&self) -> u64 {
        let mut bytes = 0u64;
        self.each(|cache| bytes = bytes.saturating_add(held(cache)));
        bytes
    }

    /// What each says of itself.
    pub(in crate::governor) fn status(&self) -> Vec<CacheStatus> {
        let mut all = Vec::new();
        self.each(|cache| {
            all.push(CacheStatus {
                name: caught(|| cache.name().to_owned()).unwrap_or_default(),
                bytes: held(cache),
                keeps_cap: caught(|| cache.keeps_cap()).unwrap_or(false),
                statistics: caught(|| cache.statistics()).flatten(),
            });
        });
        all
    }

    fn each(&self, mut visit: impl FnMut(&dyn Shrink)) {
        for place in 0.. {
            let Some(cache) = self.get(place) else { break };
            if let Some(cache) = cache.upgrade() {
                visit(&*cache);
            }
        }
    }

    fn get(&self, place: usize) -> Option<Weak<dyn Shrink>> {
        let caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        caches.get(place).cloned()
    }
}

/// What a cache says it holds; one that panics is taken to hold nothing.
fn held(cache: &dyn Shrink) -> u64 {
    caught(|| cache.bytes()).unwrap_or(0)
}

/// Forgets the type of a cache.
pub(in crate::governor) fn weak<C: Shrink + 'static>(cache: &Arc<C>) -> Weak<dyn Shrink> {
    let weak: Weak<C> = Arc::downgrade(cache);
    weak
}

// A panic that aborts is caught by nobody.
#[cfg(all(test, panic = "unwind"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counting(AtomicU64);

    impl Shrink for Counting {
        fn name(&self) -> &str {
            "counting"
        }
        fn bytes(&self) -> u64 {
            0
        }
        fn shrink(&self, level: Level) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(level != Level::Critical, "a broken cache");
            0
        }
    }

    #[test]
    fn every_cache_is_asked_although_one_panics_and_one_is_gone() {
        let caches = Caches::default();
        let kept: Vec<_> = (0..3)
            .map(|_| Arc::new(Counting(AtomicU64::new(0))))
            .collect();
        for cache in &kept {
            caches.add(weak(cache));
        }
        caches.add(weak(&Arc::new(Counting(AtomicU64::new(0)))));

        let asked = caches.shrink(Level::Critical);
        assert_eq!(asked.caches, 3);
        assert!(asked.panicked);
        assert!(
            kept.iter()
                .all(|cache| cache.0.load(Ordering::Relaxed) == 1)
        );
    }
}
