//! What a job sees of the monitor: the level, the room that is left, and whether the program ends.
//!
//! A job may outlive the monitor's handle, and must not keep the monitor alive: it holds what the
//! threads share and nothing else. When the monitor has stopped, and in the child of a fork, there is
//! no level and no end of the room.

use super::level::Level;
use super::lock::lock;
use super::shared::Shared;
use crate::allocator::local;
use crate::figures;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// See the module.
#[derive(Clone)]
pub(crate) struct Lookout {
    shared: Arc<Shared>,
    /// The monitor's [`local::forks`].
    home: u64,
}

impl Lookout {
    pub(super) fn new(shared: &Arc<Shared>, home: u64) -> Lookout {
        Lookout {
            shared: Arc::clone(shared),
            home,
        }
    }

    fn is_home(&self) -> bool {
        self.home == local::forks()
    }

    pub(crate) fn level(&self) -> Level {
        if !self.is_home() {
            return Level::Normal;
        }
        Level::from_u8(self.shared.level.load(Ordering::Relaxed))
    }

    /// Whether the program is about to end, or the monitor has stopped.
    pub(crate) fn is_ending(&self) -> bool {
        self.shared.is_ending()
    }

    /// Whether a restart waits for what is under way.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_home() && self.shared.draining_now.load(Ordering::Acquire)
    }

    /// Bytes left below the line of `level`: of the limit, less what the heap holds now or what was
    /// used at the last look, whichever is more. Some tens of nanoseconds, with threads that allocate
    /// up to a microsecond ([`figures::heap`]). `None` where no monitor runs.
    pub(crate) fn room(&self, level: Level) -> Option<u64> {
        if !self.is_home() || self.shared.is_stopped() {
            return None;
        }
        let limit = lock(&self.shared.limit).bytes as f64;
        let line = lock(&self.shared.policy).levels.threshold(level)?.enter;
        let seen = f64::from(self.shared.pressure.load(Ordering::Relaxed)) / 1000.0;
        let used = (seen * limit).max(figures::heap().live_bytes() as f64);
        // Below zero saturates to 0.
        Some((line * limit - used) as u64)
    }
}
