//! jemalloc's decay time while memory is critical: pages are given back as soon as they are free.

/// The decay times as they were before they were tightened, in memory that is reserved at the start.
#[derive(Default)]
pub(in crate::governor) struct Decay {
    #[cfg(feature = "jemalloc")]
    saved: Vec<(usize, isize)>,
    #[cfg(feature = "jemalloc")]
    default: Option<isize>,
}

#[cfg(feature = "jemalloc")]
impl Decay {
    /// Room for more arenas than any machine's default makes, four for each processor.
    const ARENAS: usize = 4096;

    pub(in crate::governor) fn new() -> Decay {
        Decay {
            saved: Vec::with_capacity(Decay::ARENAS),
            default: None,
        }
    }

    /// Sets the decay of dirty pages to 0 in every arena in use and for those to come. `false` when
    /// there is no jemalloc, or nothing was changed.
    pub(in crate::governor) fn tighten(&mut self) -> bool {
        use crate::governor::options::decay::{DIRTY, arenas, get_arena, get_default, set};
        if self.default.is_some() {
            return false;
        }
        let Some(default) = get_default(DIRTY) else {
            return false;
        };
        self.saved.clear();
        for arena in arenas().take(Decay::ARENAS) {
            if let Some(milliseconds) = get_arena(DIRTY, arena) {
                self.saved.push((arena, milliseconds));
            }
        }
        self.default = Some(default);
        set(DIRTY, 0);
        true
    }

    /// Puts back what [`tighten`](Self::tighten) found. `false` when nothing was tightened.
    pub(in crate::governor) fn restore(&mut self) -> bool {
        use crate::governor::options::decay::{DIRTY, set, set_arena};
        let Some(default) = self.default.take() else {
            return false;
        };
        // Arenas that were made meanwhile get the default, as they would have. Memory may still be short:
        // nothing here allocates, so no thread is started for an arena that is being made just now.
        set(DIRTY, default);
        for &(arena, milliseconds) in &self.saved {
            set_arena(DIRTY, arena, milliseconds);
        }
        true
    }
}

#[cfg(not(feature = "jemalloc"))]
impl Decay {
    pub(in crate::governor) fn new() -> Decay {
        Decay::default()
    }

    pub(in crate::governor) fn tighten(&mut self) -> bool {
        false
    }

    pub(in crate::governor) fn restore(&mut self) -> bool {
        false
    }
}
