//! Giving free pages back: one arena of jemalloc after the other.
//!
//! One call over everything takes 70 to 200 ms a GiB. An arena is the smallest slice that jemalloc
//! offers; between two the purge pauses, and it stops when enough came back.

use std::time::{Duration, Instant};

/// Between two arenas, so that a thread that waits for a lock of jemalloc's comes to it.
#[cfg(feature = "jemalloc")]
const PAUSE: Duration = Duration::from_micros(200);

/// Purges the arenas in use until `enough` says so, which is asked after each. Answers how long the
/// slowest took; `None` when there is no jemalloc to purge.
#[cfg(feature = "jemalloc")]
pub(in crate::governor) fn purge_arenas(mut enough: impl FnMut() -> bool) -> Option<Duration> {
    use crate::figures::jemalloc::{self, ctl::Path};
    use once_cell::sync::OnceCell;

    static PURGE: OnceCell<Path<3>> = OnceCell::new();
    let purge = PURGE
        .get_or_try_init(|| Path::new(b"arena.0.purge\0"))
        .ok()?;
    let mut slowest = None;
    for arena in (0..jemalloc::arena_count().ok()?).filter(|&arena| jemalloc::in_use(arena)) {
        if jemalloc::dirty_pages(arena) == Some(0) {
            continue;
        }
        let start = Instant::now();
        // SAFETY: `arena.<i>.purge` takes and answers no value.
        if unsafe { purge.with(1, arena).call() }.is_ok() {
            slowest = slowest.max(Some(start.elapsed()));
        }
        if enough() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    // With nothing dirty there was nothing to do, and that is done.
    slowest.or(Some(Duration::ZERO))
}

/// Only jemalloc can be told to.
#[cfg(not(feature = "jemalloc"))]
pub(in crate::governor) fn purge_arenas(_enough: impl FnMut() -> bool) -> Option<Duration> {
    let _ = Instant::now;
    None
}
