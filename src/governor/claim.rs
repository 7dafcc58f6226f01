//! The right to be this process's monitor: there is one at most, because there is one line.

use super::error::StartError;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which process of a line of forks has a monitor: [`local::forks`](crate::allocator::local::forks) plus one, or 0.
static RUNNING_IN: AtomicU64 = AtomicU64::new(0);

/// The right to be this process's monitor, given up unless kept.
pub(super) struct Claim {
    kept: bool,
}

impl Claim {
    pub(super) fn take(home: u64) -> Result<Claim, StartError> {
        let mut running = RUNNING_IN.load(Ordering::Acquire);
        loop {
            if running == home + 1 {
                return Err(StartError::AlreadyRunning);
            }
            // Free, or claimed by a process that this one was forked from.
            match RUNNING_IN.compare_exchange(
                running,
                home + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(Claim { kept: false }),
                Err(now) => running = now,
            }
        }
    }

    /// Nobody gives it up from now on but [`give_up`].
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            give_up();
        }
    }
}

/// Another monitor may start.
pub(super) fn give_up() {
    RUNNING_IN.store(0, Ordering::Release);
}
