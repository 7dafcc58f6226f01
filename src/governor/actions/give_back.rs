//! Giving back what one thread has freed: its cache, then the free pages of its arena.

use super::flush::flush_own;
#[cfg(feature = "jemalloc")]
use crate::figures::jemalloc::{self, ctl::Path};

/// Gives the free memory of the calling thread back to the system, here and now: flushes its cache
/// and purges its arena. For a job at a point where it holds little and will not need what it has
/// freed soon, such as before a pause. `false` without the feature `jemalloc`, and for the arena whose
/// pages are kept for answers at the limit. It is jemalloc that is asked, also where another allocator was
/// [wrapped](crate::Plimsoll::wrap), which keeps what it has.
///
/// ```
/// drop(vec![1u8; 1 << 20]);
/// plimsoll::give_back();
/// ```
///
/// An arena is shared by some threads (jemalloc has four for each processor), so theirs goes as
/// well; they take it again when they need it. Unlike [`Monitor::optimise`](crate::Monitor::optimise)
/// it asks nothing of caches and of other arenas, needs no monitor, and is not entered into the
/// ledger.
///
/// # Cost
///
/// Some microseconds when nothing is free, and about 0.1 ms for each MiB that is given back. What is
/// allocated again costs page faults: not for every batch of a job, unless memory is worth it.
pub fn give_back() -> bool {
    flush_own();
    purge_own()
}

#[cfg(feature = "jemalloc")]
fn purge_own() -> bool {
    // Not kept from call to call, for the same reason as the path of the flush.
    let (Ok(own), Ok(purge)) = (
        Path::<2>::new(b"thread.arena\0"),
        Path::<3>::new(b"arena.0.purge\0"),
    ) else {
        return false;
    };
    // SAFETY: `thread.arena` is an `unsigned`.
    let Ok(arena) = (unsafe { own.read::<u32>() }) else {
        return false;
    };
    let arena = arena as usize;
    // SAFETY: `arena.<i>.purge` takes and answers no value.
    !jemalloc::is_kept(arena) && unsafe { purge.with(1, arena).call() }.is_ok()
}

#[cfg(not(feature = "jemalloc"))]
fn purge_own() -> bool {
    false
}
