//! Giving free pages back: every arena of jemalloc in turn.
//!
//! Arena by arena rather than all at once, because one call over everything takes 70 to 200 ms a
//! GiB. What other threads keep in their caches they must flush themselves; the caller's own is
//! flushed first.

/// Purges every arena that is in use. `false` when there is no jemalloc to purge.
#[cfg(feature = "jemalloc")]
pub(in crate::governor) fn purge_arenas() -> bool {
    use crate::figures::jemalloc::{self, ctl::Path};
    use once_cell::sync::OnceCell;

    static PATHS: OnceCell<(Path<3>, Path<3>)> = OnceCell::new();
    let paths = PATHS.get_or_try_init(|| {
        Ok::<_, tikv_jemalloc_ctl::Error>((
            Path::new(b"thread.tcache.flush\0")?,
            Path::new(b"arena.0.purge\0")?,
        ))
    });
    let (Ok((flush, purge)), Ok(arenas)) = (paths, jemalloc::arena_count()) else {
        return false;
    };
    // A thread without a cache refuses this, and has nothing to flush.
    // SAFETY: `thread.tcache.flush` takes and answers no value.
    let _ = unsafe { flush.call() };
    let mut purged = false;
    for arena in (0..arenas).filter(|&arena| jemalloc::in_use(arena)) {
        // SAFETY: `arena.<i>.purge` takes and answers no value.
        purged |= unsafe { purge.with(1, arena).call() }.is_ok();
    }
    purged
}

/// Only jemalloc can be told to.
#[cfg(not(feature = "jemalloc"))]
pub(in crate::governor) fn purge_arenas() -> bool {
    false
}
