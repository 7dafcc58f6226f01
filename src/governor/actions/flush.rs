//! Giving back what threads keep in their caches.
//!
//! jemalloc lets only a thread itself flush its tcache. So every thread is called, does it at its
//! next allocation or free, and tells the number of the call that it followed.

use crate::allocator::local;
use std::time::{Duration, Instant};

/// How long to wait for the threads that are busy. One that sleeps comes when it wakes.
#[cfg(feature = "jemalloc")]
const PATIENCE: Duration = Duration::from_millis(150);

/// Calls every thread and gives the busy ones time to come. `false` when there is no jemalloc.
#[cfg(feature = "jemalloc")]
pub(in crate::governor) fn flush_thread_caches() -> bool {
    if flush_path().is_none() {
        return false;
    }
    flush_own();
    let number = local::call_all(flush_own);
    let start = Instant::now();
    loop {
        let (done, of) = local::errand_done(number);
        if done == of || start.elapsed() >= PATIENCE {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Only jemalloc has them.
#[cfg(not(feature = "jemalloc"))]
pub(in crate::governor) fn flush_thread_caches() -> bool {
    let _ = (
        local::call_all,
        local::errand_done,
        flush_own,
        Instant::now,
        Duration::ZERO,
    );
    false
}

/// Looked up each time, some 0.2 µs, and not kept: in the child of a fork nobody finishes what another
/// thread had begun to look up.
#[cfg(feature = "jemalloc")]
fn flush_path() -> Option<crate::figures::jemalloc::ctl::Path<3>> {
    crate::figures::jemalloc::ctl::Path::new(b"thread.tcache.flush\0").ok()
}

/// Flushes the calling thread's cache. Runs inside the allocator: the lookup takes no lock, and the first
/// of all, for which jemalloc makes its tree, was before any thread was called.
pub(super) fn flush_own() {
    #[cfg(feature = "jemalloc")]
    if let Some(flush) = flush_path() {
        // A thread without a cache refuses this, and has nothing to flush.
        // SAFETY: `thread.tcache.flush` takes and answers no value.
        let _ = unsafe { flush.call() };
    }
}

/// While `standing`, every thread that parks flushes its cache before.
pub(in crate::governor) fn at_park(standing: bool) {
    local::errand_at_park(standing);
}

/// For a runtime to call on a thread that is about to wait for work: if memory is short, the thread
/// gives back what it keeps in its cache, because nobody else can.
///
/// ```
/// let mut tokio = tokio::runtime::Builder::new_multi_thread();
/// tokio.on_thread_park(plimsoll::on_thread_park);
/// ```
///
/// # Cost
///
/// Two loads while memory is not short; otherwise a flush, some microseconds.
pub fn on_thread_park() {
    local::parks();
}
