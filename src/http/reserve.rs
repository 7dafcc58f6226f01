//! Memory that is there when there is none.
//!
//! The threads that answer get an arena of jemalloc's to themselves, with free pages in it that are
//! never given back. Its address space and its pages are taken at the start, so an answer needs
//! nothing from a system that refuses the rest of the program, by a resource limit or by a control
//! group.

/// An answer in full, with a history of two days, takes 400 KiB; a connection 20 KiB.
#[cfg(feature = "jemalloc")]
const BYTES: usize = 2 << 20;

/// For the calling thread. Without jemalloc there is no such memory: the thread then shares the
/// program's.
pub(super) fn take() {
    #[cfg(feature = "jemalloc")]
    if crate::figures::jemalloc().is_ok()
        && let Err(error) = crate::figures::jemalloc::keep_arena(BYTES)
    {
        crate::caught::caught(|| {
            tracing::warn!(%error, "no memory is kept for the admin surface");
        });
    }
}
