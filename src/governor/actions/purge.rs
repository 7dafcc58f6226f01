//! Giving free pages back: one arena of jemalloc after the other.
//!
//! One call over everything takes 70 to 200 ms a GiB, so the purge goes arena by arena, pauses
//! between two, and stops when enough came back. An arena that holds much is emptied in slices: its
//! decay time is set so that jemalloc's own decay, which is smooth, empties it at
//! [`PACE`], and the decay is called for at every [`PAUSE`]. While jemalloc's background threads run,
//! the decay is theirs alone (`arena_decide_unforced_purge_eagerness`), so they are stopped for it.

#[cfg(feature = "jemalloc")]
use crate::caught::caught;
#[cfg(feature = "jemalloc")]
use crate::figures::jemalloc::{self, ctl::Path};
#[cfg(feature = "jemalloc")]
use crate::governor::options::decay::{DIRTY, get_arena, set_arena};
use std::time::Duration;
#[cfg(feature = "jemalloc")]
use std::time::Instant;

/// Between two slices, so that a thread that waits for a lock of jemalloc's comes to it.
#[cfg(feature = "jemalloc")]
const PAUSE: Duration = Duration::from_millis(2);

/// For each GiB: four times what emptying it at once takes, so that three quarters are pauses.
#[cfg(feature = "jemalloc")]
const PACE: Duration = Duration::from_millis(400);

/// From so much on an arena is emptied in slices: 256 MiB at once take 20 to 50 ms.
#[cfg(feature = "jemalloc")]
const MUCH: u64 = 256 << 20;

/// Purges the arenas in use until `enough` says so, which is asked after each slice. Answers how
/// long the slowest took; `None` when there is no jemalloc to purge.
#[cfg(feature = "jemalloc")]
pub(in crate::governor) fn purge_arenas(enough: impl FnMut() -> bool) -> Option<Duration> {
    let mut purge = Purge {
        purge: Path::new(b"arena.0.purge\0").ok()?,
        decay: Path::new(b"arena.0.decay\0").ok()?,
        enough,
        slowest: Duration::ZERO,
    };
    let mut background = Background::default();
    let may_be_purged = |&arena: &usize| jemalloc::in_use(arena) && !jemalloc::is_kept(arena);
    for arena in (0..jemalloc::arena_count().ok()?).filter(may_be_purged) {
        let Some(dirty) = jemalloc::dirty_bytes(arena).filter(|&dirty| dirty > 0) else {
            continue;
        };
        if dirty >= MUCH {
            background.stop();
            if purge.in_slices(arena, dirty) {
                break;
            }
        }
        if purge.slice(purge.purge.with(1, arena)) {
            break;
        }
    }
    Some(purge.slowest)
}

/// jemalloc's background threads, which run again after this.
#[cfg(feature = "jemalloc")]
#[derive(Default)]
struct Background {
    stopped: bool,
}

#[cfg(feature = "jemalloc")]
impl Background {
    fn stop(&mut self) {
        use tikv_jemalloc_ctl::background_thread;
        if !self.stopped && background_thread::read() == Ok(true) {
            self.stopped = background_thread::write(false).is_ok();
        }
    }
}

#[cfg(feature = "jemalloc")]
impl Drop for Background {
    fn drop(&mut self) {
        if self.stopped && tikv_jemalloc_ctl::background_thread::write(true).is_err() {
            caught(|| {
                tracing::warn!("jemalloc's background threads could not be started again");
            });
        }
    }
}

#[cfg(feature = "jemalloc")]
struct Purge<E> {
    purge: Path<3>,
    decay: Path<3>,
    enough: E,
    slowest: Duration,
}

#[cfg(feature = "jemalloc")]
impl<E: FnMut() -> bool> Purge<E> {
    /// One call, and a pause. Answers whether that was enough.
    fn slice(&mut self, control: Path<3>) -> bool {
        let start = Instant::now();
        // SAFETY: `arena.<i>.purge` and `arena.<i>.decay` take and answer no value.
        let _ = unsafe { control.call() };
        self.slowest = self.slowest.max(start.elapsed());
        let enough = (self.enough)();
        if !enough {
            std::thread::sleep(PAUSE);
        }
        enough
    }

    /// Empties an arena by its decay. What is left after that is little.
    fn in_slices(&mut self, arena: usize, dirty: u64) -> bool {
        let Some(before) = get_arena(DIRTY, arena) else {
            return false;
        };
        let time = PACE.mul_f64(dirty as f64 / (1u64 << 30) as f64);
        set_arena(DIRTY, arena, time.as_millis() as isize);
        let until = Instant::now() + time;
        let mut enough = false;
        while !enough && Instant::now() < until {
            enough = self.slice(self.decay.with(1, arena));
        }
        set_arena(DIRTY, arena, before);
        enough
    }
}

/// Only jemalloc can be told to.
#[cfg(not(feature = "jemalloc"))]
pub(in crate::governor) fn purge_arenas(_enough: impl FnMut() -> bool) -> Option<Duration> {
    None
}
