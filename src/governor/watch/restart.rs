//! The way to a restart: written down, drained, tried; and back again when it is called off or
//! fails.
//!
//! It is written down before it is tried, so that a process that dies in it counts. What is known
//! not to have happened is struck out again, and tried again less and less often.

use super::{Reading, Watch};
use crate::figures::{Pressure, Signal};
use crate::governor::command::RestartError;
use crate::governor::control::NEAR_INTERVAL;
use crate::governor::event::{EventKind, Fault};
use crate::governor::latency::{Children, ShortSlices};
use crate::governor::ledger::Held;
use crate::governor::lock::lock;
use crate::governor::restart::{Caught, Restart, RestartRecord, Withheld, unix_seconds};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long callbacks may take over the news of a restart when there is no drain to wait for.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// From here on a drain is cut short if the figure still rises.
const EDGE: f64 = 0.97;

/// From a signal's handler to the program calling the restart off: a runtime has to run a task.
const LAST_WORD: Duration = Duration::from_millis(10);

/// When to try again after a failure, doubled with each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Restarts that could not be written down, or whose image could not be started.
#[derive(Default)]
pub(super) struct Failures {
    /// Until then it is not tried again, and that was waited for.
    until: Option<(Duration, Duration)>,
}

impl Failures {
    /// How long the next try has to wait.
    pub(super) fn remaining(&self, now: Duration) -> Option<Duration> {
        let (until, _) = self.until?;
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    fn failed(&mut self, now: Duration) {
        let wait = self
            .until
            .map_or(FIRST_RETRY, |(_, wait)| (wait * 2).min(LAST_RETRY));
        self.until = Some((now + wait, wait));
    }
}

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drained {
    /// All is answered, or there is no more time. Whether memory is refused by then.
    GoOn { starved: bool },
    /// The program is about to end by itself, or restarts are not wanted any more.
    CalledOff(RestartError),
}

impl Watch {
    /// Restarts because a handle asks for it.
    pub(super) fn restart_as_asked(&mut self) {
        let reading = self.read();
        let Held {
            heap_bytes,
            resident_bytes,
        } = reading.held;
        let mut pressure = Pressure::new(heap_bytes, resident_bytes, self.limit.bytes);
        pressure.deciding = Signal::Command;
        self.restart(&reading, pressure, None);
    }

    /// Restarts. Comes back when that was not possible, and tells those who asked for it why.
    /// `left` is the time until the limit.
    pub(super) fn restart(
        &mut self,
        reading: &Reading,
        pressure: Pressure,
        left: Option<Duration>,
    ) {
        let error = self.why_not(reading, pressure, left);
        for reply in self.asked.drain(..) {
            let _ = reply.try_send(error);
        }
    }

    fn why_not(
        &mut self,
        reading: &Reading,
        pressure: Pressure,
        left: Option<Duration>,
    ) -> RestartError {
        let Some(how) = self.control.policy().how else {
            return RestartError::NotConfigured;
        };
        if self.shared.is_ending() {
            return RestartError::Ending;
        }
        let record = self.record(how, reading, pressure);
        if let Err(error) = self.state.record(record) {
            self.failures.failed(self.shared.uptime());
            self.report(EventKind::Fault(Fault::unwritable(&error)));
            return RestartError::Failed;
        }
        let drained = self.drain(reading, record, left);
        let error = match drained {
            Drained::GoOn { starved } => self.try_to(how, starved),
            Drained::CalledOff(why) => why,
        };
        // What cannot be struck out on the disk counts here as well.
        if self.state.withdraw().is_err() {
            lock(&self.shared.restarts).push(record);
        }
        self.shared.draining.end();
        self.shared.draining_now.store(false, Ordering::Release);
        // The latter each time: who has stopped to accept for it begins again.
        match error {
            RestartError::Ending => self.withhold(Withheld::Ending),
            RestartError::NotConfigured => self.tell_withheld(Withheld::PolicyChanged),
            _ => {}
        }
        // As it was before: a start that is not over is not ready for that.
        if !record.during_start || self.shared.is_ready.load(Ordering::Acquire) {
            lock(&self.shared.notifier).ready();
        }
        error
    }

    fn record(&self, how: Restart, reading: &Reading, pressure: Pressure) -> RestartRecord {
        let summary = *lock(&self.shared.summary);
        RestartRecord {
            at_unix_seconds: unix_seconds(),
            process_id: std::process::id(),
            how,
            level: self.control.level(),
            signal: pressure.deciding,
            heap_bytes: reading.held.heap_bytes,
            resident_bytes: reading.held.resident_bytes,
            limit_bytes: self.limit.bytes,
            uptime_seconds: self.shared.uptime().as_secs(),
            actions: summary.actions,
            given_back_bytes: summary.given_back_bytes,
            during_start: self.control.baseline_bytes().is_none(),
        }
    }

    /// Comes back when the program is to end, or when it did not work.
    fn try_to(&mut self, how: Restart, starved: bool) -> RestartError {
        let caught = match how {
            Restart::Exec => Caught::let_go(),
            _ => None,
        };
        // A handler that has run already has this time to have the restart called off.
        if caught.is_some() && !starved {
            std::thread::sleep(LAST_WORD);
        }
        // Who has restarts called off lets the listeners go under their lock.
        let listeners = lock(&self.shared.listeners);
        let failed = if self.shared.is_ending() {
            None
        } else {
            if let Some(slices) = self.slices {
                slices.put_back();
            }
            Some(self.image.restart(how, &listeners))
        };
        drop(listeners);
        if let Some(caught) = caught {
            caught.put_back();
        }
        match failed {
            None => RestartError::Ending,
            Some(code) => {
                self.slices = Some(ShortSlices::ask(Children::Inherit));
                self.failures.failed(self.shared.uptime());
                self.report(EventKind::Fault(Fault::ExecFailed(code)));
                RestartError::Failed
            }
        }
    }

    /// Lets the program answer what is under way: until it is done, the deadline is over, or the
    /// limit is there. A program that is refused memory already has no time for it.
    fn drain(
        &mut self,
        reading: &Reading,
        record: RestartRecord,
        left: Option<Duration>,
    ) -> Drained {
        let mut most = if self.settings.drains {
            self.control.policy().drain_deadline
        } else {
            ANNOUNCING
        };
        if let Some(left) = left {
            most = most.min(left / 2);
        }
        let mut starved = reading.starved;
        if starved {
            most = Duration::ZERO;
        }
        let deadline = Instant::now() + most;
        self.shared.draining.begin(deadline);
        self.shared.draining_now.store(true, Ordering::Release);
        self.report(EventKind::Restarting(record));
        let notifier = lock(&self.shared.notifier);
        match record.how {
            Restart::Exec => notifier.reloading(most),
            _ => notifier.stopping(most),
        }
        drop(notifier);
        while Instant::now() < deadline {
            let step = NEAR_INTERVAL.min(deadline.saturating_duration_since(Instant::now()));
            if self.shared.draining.wait(step) {
                break;
            }
            // A request that is waited for may itself wait for an answer of ours.
            if self.take_commands().is_stop() || self.shared.is_ending() {
                return Drained::CalledOff(RestartError::Ending);
            }
            if self.control.policy().how != Some(record.how) {
                return Drained::CalledOff(RestartError::NotConfigured);
            }
            let before = reading.held.heap_bytes.max(reading.held.resident_bytes);
            let now = self.read();
            let most = now.held.heap_bytes.max(now.held.resident_bytes);
            starved |= now.starved;
            if starved || (most > before && most as f64 >= EDGE * self.limit.bytes as f64) {
                break;
            }
        }
        if self.shared.is_ending() {
            Drained::CalledOff(RestartError::Ending)
        } else {
            Drained::GoOn { starved }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_that_fails_is_tried_less_and_less_often() {
        let mut failures = Failures::default();
        let mut tries = Vec::new();
        let second = Duration::from_secs(1);
        for now in (0..600).map(|seconds| second * seconds) {
            if failures.remaining(now).is_none() {
                tries.push(now.as_secs());
                failures.failed(now);
            }
        }
        assert_eq!(tries[..7], [0, 1, 3, 7, 15, 31, 63]);
        assert_eq!(tries[7..9], [123, 183]);
    }
}
