//! What a job passes before each batch: a stop, or a pause, or nothing.

use super::error::Reason;
use super::pause::{Passed, Pause};
use super::settings::{Purge, Settings};
use crate::Level;
use crate::governor::Lookout;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// For how long the room is what it was: small batches follow each other faster than the heap may be
/// looked at without slowing down whoever allocates ([`heap`](crate::heap)). In this time a program that
/// allocates 1 GB/s takes 1 MB of it.
const MOMENT: Duration = Duration::from_millis(1);

/// How a job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// With a batch.
    Batch,
    /// With one item, because it has waited for long enough.
    Trickle,
}

/// See the module.
pub(super) struct Gate {
    settings: Arc<Settings>,
    pause: Option<Pause>,
    /// The room that was left, and when.
    room: Option<(Instant, Option<u64>)>,
}

impl Gate {
    pub(super) fn new(settings: &Arc<Settings>) -> Gate {
        let pause = |lookout: &Lookout| {
            let mut pause = Pause::with(
                lookout.clone(),
                settings.pause_while?,
                settings.longest_hold,
            );
            pause.progress = Some(settings.progress.clone());
            pause.gives_back = settings.purge != Purge::Never;
            Some(pause)
        };
        Gate {
            settings: Arc::clone(settings),
            pause: settings.lookout.as_ref().and_then(pause),
            room: None,
        }
    }

    fn why_stop(&self) -> Option<Reason> {
        let Settings {
            stop_at,
            stop_when_ending,
            ..
        } = *self.settings;
        let lookout = self.settings.lookout.as_ref()?;
        if stop_when_ending && lookout.is_draining() {
            return Some(Reason::Restarting);
        }
        if stop_when_ending && lookout.is_ending() {
            return Some(Reason::Ending);
        }
        let level = lookout.level();
        let is_stop = stop_at.is_some_and(|line| level >= line);
        is_stop.then_some(Reason::Level(level))
    }

    /// How to go on, if it may; otherwise how long to wait before looking again.
    pub(super) fn look(&mut self) -> Result<Result<Pace, Reason>, Duration> {
        if let Some(reason) = self.why_stop() {
            self.leave();
            return Ok(Err(reason));
        }
        let Some(pause) = &mut self.pause else {
            return Ok(Ok(Pace::Batch));
        };
        let passed = pause.look()?;
        Ok(self.after(passed))
    }

    /// Ends a pause that lasts.
    pub(super) fn leave(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.leave();
        }
    }

    fn after(&self, passed: Passed) -> Result<Pace, Reason> {
        match passed {
            Passed::Trickle(level) if self.settings.stop_after_hold => {
                Err(Reason::HeldTooLong(level))
            }
            Passed::Trickle(level) => {
                tracing::warn!(%level, "memory is still short: a job goes on with one item");
                Ok(Pace::Trickle)
            }
            Passed::Free | Passed::Ending => Ok(Pace::Batch),
        }
    }

    /// Waits, blocking the thread.
    pub(super) fn pass(&mut self) -> Result<Pace, Reason> {
        loop {
            match self.look() {
                Ok(passed) => return passed,
                Err(time) => std::thread::sleep(time),
            }
        }
    }

    pub(super) fn poll_pass(&mut self, context: &mut Context<'_>) -> Poll<Result<Pace, Reason>> {
        loop {
            match self.look() {
                Ok(passed) => {
                    self.stop_waiting();
                    return Poll::Ready(passed);
                }
                Err(time) => {
                    let Some(pause) = &mut self.pause else {
                        continue;
                    };
                    if pause.poll_nap(time, context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn stop_waiting(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.drop_timer();
        }
    }

    /// What is left below the line at which the job pauses, or was a moment ago.
    pub(super) fn room(&mut self) -> Option<u64> {
        let lookout = self.settings.lookout.as_ref()?;
        let now = Instant::now();
        if let Some((at, room)) = self.room
            && now.saturating_duration_since(at) < MOMENT
        {
            return room;
        }
        let line = self.settings.pause_while.unwrap_or(Level::Optimise);
        let room = lookout.room(line);
        self.room = Some((now, room));
        room
    }

    /// Whether memory is short.
    pub(super) fn is_short(&self) -> bool {
        let lookout = self.settings.lookout.as_ref();
        lookout.is_some_and(|lookout| lookout.level() >= Level::Optimise)
    }

    pub(super) fn paused(&self) -> Duration {
        self.pause.as_ref().map_or(Duration::ZERO, Pause::paused)
    }
}
