//! Waiting while memory is short, and for how long at the most.

use super::error::{SettingsError, note_unless};
use super::progress::Progress;
use crate::governor::Lookout;
use crate::{Level, Monitor};
use futures_timer::Delay;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How often a pause looks whether it is over. The monitor looks every 50 ms at its fastest, so
/// looking oftener would find out little, and one look is a load.
const LOOK: Duration = Duration::from_millis(20);

/// The longest hold unless it is said otherwise: `max_hold` of `scalo`. Long enough for caches to
/// shrink and pages to be given back, and for a burst elsewhere to pass; short enough that a job that
/// waits for what only it could change is seen to move.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(30);

/// What a hold may be: longer than a day is as good as for ever, shorter than this is none.
const HOLDS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

pub(super) const HOLD_EXPECTED: &str = "1 ms to 24 hours";
pub(super) const LEVEL_EXPECTED: &str =
    "`optimise`, `restart` or `critical`: memory is always at `normal` or above";

pub(super) fn may_hold(time: Duration) -> bool {
    HOLDS.contains(&time)
}

/// One hold after another, for as long as it is high water. A value; the clock is the caller's.
#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    since: Option<Instant>,
    /// What was waited of it before it was interrupted.
    before: Duration,
}

/// What a look at it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It is not high.
    Free,
    /// Wait, for so long at the most.
    Wait(Duration),
    /// It has been long enough: a little may go, and the next hold begins.
    Over,
}

impl Hold {
    fn look(&mut self, is_high: bool, now: Instant, longest: Duration) -> Held {
        if !is_high {
            *self = Hold::default();
            return Held::Free;
        }
        let since = *self.since.get_or_insert(now);
        let waited = self.before + now.saturating_duration_since(since);
        let left = longest.saturating_sub(waited);
        if left.is_zero() {
            *self = Hold::default();
            return Held::Over;
        }
        Held::Wait(left)
    }

    /// Nobody waits from now on, until the next look.
    fn interrupt(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Passed {
    /// Memory is below the level, or nobody watched it any more when the wait began. Go on.
    Free,
    /// Memory has been at the level, this one or above, for the longest hold. Do a little, then wait
    /// again: the next hold begins then.
    Trickle(Level),
    /// The program is about to end, or its monitor was stopped meanwhile, or a restart waits for what is
    /// under way: waiting would keep it.
    /// Finish, or stop where you can go on later.
    Ending,
}

/// Waits while memory is at a level or above, in a loop of your own. What [`Batches`](super::Batches)
/// are told by [`pause_while`](super::BatchesBuilder::pause_while) happens by itself.
///
/// ```no_run
/// use plimsoll::batch::{Passed, Pause};
/// use plimsoll::{Level, Monitor};
///
/// # fn import(monitor: &Monitor, files: Vec<String>) -> Result<(), Box<dyn std::error::Error>> {
/// let mut pause = Pause::new(monitor, Level::Optimise)?;
/// for file in files {
///     if pause.wait() == Passed::Ending {
///         break;
///     }
///     // …
/// #   drop(file);
/// }
/// # Ok(())
/// # }
/// ```
///
/// A level is left below where it was entered (see [`Levels`](crate::Levels)), so a pause does not
/// end and begin again at every wave.
///
/// # Cost
///
/// Some loads while memory is not short. During a pause a look every 20 ms.
pub struct Pause {
    lookout: Lookout,
    level: Level,
    longest: Duration,
    hold: Hold,
    /// When the pause that lasts began.
    begun: Option<Instant>,
    /// How long pauses lasted that are over.
    paused: Duration,
    timer: Option<Delay>,
    pub(super) progress: Option<Progress>,
    pub(super) gives_back: bool,
}

impl Pause {
    /// Waits while memory is at `level` or above, by what this monitor sees. Holds for 30 s at the
    /// most. It keeps the monitor from nothing; when the monitor stops the pause is over.
    ///
    /// # Errors
    ///
    /// When the level is [`Level::Normal`]: memory is always there or above.
    pub fn new(monitor: &Monitor, level: Level) -> Result<Pause, SettingsError> {
        let is_line = level != Level::Normal;
        SettingsError::unless(is_line, "pause_while", level, LEVEL_EXPECTED)?;
        Ok(Pause::with(monitor.lookout(), level, LONGEST_HOLD))
    }

    pub(super) fn with(lookout: Lookout, level: Level, longest: Duration) -> Pause {
        Pause {
            lookout,
            level,
            longest,
            hold: Hold::default(),
            begun: None,
            paused: Duration::ZERO,
            timer: None,
            progress: None,
            gives_back: false,
        }
    }

    /// Holds for so long at the most: 1 ms to 24 hours.
    ///
    /// # Errors
    ///
    /// When it is none of these.
    pub fn longest_hold(mut self, time: Duration) -> Result<Pause, SettingsError> {
        let mut faults = Vec::new();
        let value = format_args!("{time:?}");
        note_unless(
            &mut faults,
            may_hold(time),
            "longest_hold",
            value,
            HOLD_EXPECTED,
        );
        SettingsError::from_faults(faults)?;
        self.longest = time;
        Ok(self)
    }

    /// Waits, blocking the thread.
    pub fn wait(&mut self) -> Passed {
        loop {
            match self.look() {
                Ok(passed) => return passed,
                Err(time) => std::thread::sleep(time),
            }
        }
    }

    /// Waits, as a task of whatever runtime. May be cancelled: what was waited counts for the next
    /// wait, and what comes between them does not.
    pub async fn wait_async(&mut self) -> Passed {
        /// Ended, or cancelled.
        struct Waits<'a>(&'a mut Pause);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.interrupt();
            }
        }
        let waits = Waits(self);
        poll_fn(|context| waits.0.poll_wait(context)).await
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<Passed> {
        loop {
            match self.look() {
                Ok(passed) => {
                    self.drop_timer();
                    return Poll::Ready(passed);
                }
                Err(time) => {
                    if self.poll_nap(time, context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Waits for the timer that runs, or for a new one of so long.
    pub(super) fn poll_nap(&mut self, time: Duration, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Delay::new(time));
        let polled = Pin::new(timer).poll(context);
        if polled.is_ready() {
            self.timer = None;
        }
        polled
    }

    pub(super) fn drop_timer(&mut self) {
        self.timer = None;
    }

    /// How long all its pauses lasted so far.
    #[must_use]
    pub fn paused(&self) -> Duration {
        let lasting = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        self.paused.saturating_add(lasting)
    }

    /// Whether it is over, or how long to wait before looking again.
    pub(super) fn look(&mut self) -> Result<Passed, Duration> {
        let level = self.lookout.level();
        if level < self.level && self.begun.is_none() {
            // What was waited before it was interrupted was for a level that is over.
            self.hold = Hold::default();
            return Ok(Passed::Free);
        }
        if self.lookout.is_ending() || self.lookout.is_draining() {
            self.end(level);
            self.hold = Hold::default();
            return Ok(Passed::Ending);
        }
        let is_high = level >= self.level;
        match self.hold.look(is_high, Instant::now(), self.longest) {
            Held::Free => {
                self.end(level);
                Ok(Passed::Free)
            }
            Held::Over => {
                self.end(level);
                Ok(Passed::Trickle(level))
            }
            Held::Wait(left) => {
                self.begin(level);
                Err(left.min(LOOK))
            }
        }
    }

    /// Stops waiting for now.
    fn interrupt(&mut self) {
        let level = self.lookout.level();
        self.end(level);
        self.hold.interrupt(Instant::now());
        self.drop_timer();
    }

    /// Stops waiting: whoever waited does something else.
    pub(super) fn leave(&mut self) {
        let level = self.lookout.level();
        self.end(level);
        self.hold = Hold::default();
    }

    fn begin(&mut self, level: Level) {
        if self.begun.is_some() {
            return;
        }
        self.begun = Some(Instant::now());
        tracing::info!(%level, "a job pauses while memory is short");
        if let Some(progress) = &self.progress {
            progress.pauses_at(level);
        }
        if self.gives_back {
            crate::give_back();
        }
    }

    fn end(&mut self, level: Level) {
        let Some(begun) = self.begun.take() else {
            return;
        };
        let lasted = begun.elapsed();
        self.paused = self.paused.saturating_add(lasted);
        let seconds = lasted.as_secs_f64();
        tracing::info!(%level, seconds, "a job goes on");
        if let Some(progress) = &self.progress {
            progress.goes_on_after(lasted);
        }
    }
}

/// One that lasts is over.
impl Drop for Pause {
    fn drop(&mut self) {
        self.interrupt();
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause")
            .field("level", &self.level)
            .field("longest_hold", &self.longest)
            .field("paused", &self.paused())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_with_the_level_or_after_its_time_and_then_begins_anew() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let longest = Duration::from_secs(30);
        let left = |seconds| Held::Wait(Duration::from_secs(seconds));
        let mut hold = Hold::default();
        for (seconds, is_high, expected) in [
            (0, false, Held::Free),
            (1, true, left(30)),
            (11, true, left(20)),
            (12, false, Held::Free),
            (13, true, left(30)),
            (43, true, Held::Over),
            (44, true, left(30)),
            (90, true, Held::Over),
            (91, false, Held::Free),
        ] {
            assert_eq!(
                hold.look(is_high, at(seconds), longest),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn of_a_hold_that_is_interrupted_only_what_was_waited_counts() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let longest = Duration::from_secs(30);
        let left = |seconds| Held::Wait(Duration::from_secs(seconds));
        let mut hold = Hold::default();
        assert_eq!(hold.look(true, at(0), longest), left(30));
        hold.interrupt(at(10));
        hold.interrupt(at(100));
        assert_eq!(hold.look(true, at(600), longest), left(20));
        hold.interrupt(at(605));
        assert_eq!(hold.look(true, at(700), longest), left(15));
        assert_eq!(hold.look(true, at(715), longest), Held::Over);
        assert_eq!(hold.look(true, at(716), longest), left(30));
        hold.interrupt(at(720));
        assert_eq!(hold.look(false, at(721), longest), Held::Free);
        assert_eq!(hold.look(true, at(722), longest), left(30));
    }

    #[test]
    fn a_hold_may_last_a_millisecond_to_a_day() {
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(may_hold(Duration::from_millis(1)) && may_hold(LONGEST_HOLD) && may_hold(day));
        let ten_thousand_years = day * 365 * 10_000;
        for hold in [Duration::ZERO, ten_thousand_years, Duration::MAX] {
            assert!(!may_hold(hold), "{hold:?}");
        }
    }
}
