//! How a job is to be done, checked as a whole.

use super::error::{SettingsError, note_unless};
use super::pause::{HOLD_EXPECTED, LEVEL_EXPECTED, LONGEST_HOLD, may_hold};
use super::progress::Progress;
use crate::governor::Lookout;
use crate::{Level, Monitor};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a batch unless it is said otherwise: 16 MiB, the upper end of what `scalo` starts with.
/// An eighth of the smallest container that services commonly get, 128 MiB; and what a batch costs
/// beside its items, about a tenth of a microsecond, is nothing against the milliseconds that 16 MiB take.
const BUDGET: u64 = 16 << 20;

/// Of the room that is left, for one batch: four jobs that see the same room fit in it.
const SHARE: f64 = 0.25;

/// Items of a batch. What a batch costs is then a hundredth of a nanosecond an item, so for a larger one
/// there is nothing to be had, and between two is where a job pauses and stops.
const MOST_ITEMS: usize = 8192;

/// The same where nothing is measured or guessed: items of 64 KiB then fill the usual budget.
pub(super) const MOST_UNKNOWN_ITEMS: usize = 256;

/// How long a stream's batch waits for more, so that items that trickle in are passed on: less than
/// people notice, more than a database takes for a page of rows.
const LINGER: Duration = Duration::from_millis(50);

/// When free pages are given back ([`give_back`](crate::give_back)): they are used again by the next
/// batch, so most jobs do better without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purge {
    /// Never by the job.
    #[default]
    Never,
    /// When a pause begins: the job will not need them for a while, and others do.
    WhenPausing,
    /// After each batch, and when a pause begins. It costs about 0.1 ms for each MiB of a batch, and the page
    /// faults of the next: for jobs with rare, large batches.
    EveryBatch,
}

/// How a job is done: made once by a [`builder`](Self::builder), given to any number of jobs. Clones
/// are cheap.
///
/// [`Batches::default`] has a budget of 16 MiB and no monitor.
#[derive(Clone, Debug, Default)]
pub struct Batches {
    pub(super) settings: Arc<Settings>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) budget: u64,
    pub(super) share: f64,
    pub(super) most_items: Option<usize>,
    pub(super) item_bytes: Option<u64>,
    pub(super) lookout: Option<Lookout>,
    pub(super) pause_while: Option<Level>,
    pub(super) longest_hold: Duration,
    pub(super) stop_at: Option<Level>,
    pub(super) stop_after_hold: bool,
    pub(super) stop_when_ending: bool,
    pub(super) linger: Duration,
    pub(super) purge: Purge,
    pub(super) progress: Progress,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            budget: BUDGET,
            share: SHARE,
            most_items: None,
            item_bytes: None,
            lookout: None,
            pause_while: None,
            longest_hold: LONGEST_HOLD,
            stop_at: None,
            stop_after_hold: false,
            stop_when_ending: false,
            linger: LINGER,
            purge: Purge::Never,
            progress: Progress::new(),
        }
    }
}

impl Settings {
    pub(super) fn most_items(&self, is_known: bool) -> usize {
        self.most_items.unwrap_or(if is_known {
            MOST_ITEMS
        } else {
            MOST_UNKNOWN_ITEMS
        })
    }
}

impl Batches {
    /// Settings at their defaults.
    pub fn builder() -> BatchesBuilder {
        BatchesBuilder::default()
    }

    /// How far the jobs are that have these settings.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.settings.progress
    }
}

/// Makes [`Batches`].
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plimsoll::batch::{Batches, Purge};
/// use plimsoll::{Level, Monitor};
///
/// let monitor = Monitor::builder().start()?;
/// let batches = Batches::builder()
///     .budget(8 << 20)
///     .monitor(&monitor)
///     .pause_while(Level::Optimise)
///     .stop_at(Level::Critical)
///     .purge(Purge::WhenPausing)
///     .build()?;
/// # drop(batches);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "settings are checked and used by `build`"]
pub struct BatchesBuilder {
    settings: Settings,
}

impl BatchesBuilder {
    /// Bytes that a batch and the work on it take, at the most: at least 1; 16 MiB by default. An item
    /// that takes more runs alone.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.settings.budget = bytes;
        self
    }

    /// Items of a batch, at the most: at least 1; 8192 by default, 256 where nothing is measured and
    /// no [`item_bytes`](Self::item_bytes) is given.
    pub fn most_items(mut self, items: usize) -> Self {
        self.settings.most_items = Some(items);
        self
    }

    /// What an item takes, work included, as far as you know: at least 1 byte. The first batch is
    /// planned by it, and is of one item without it. What is measured then takes its place; where
    /// nothing is measured it stays.
    pub fn item_bytes(mut self, bytes: u64) -> Self {
        self.settings.item_bytes = Some(bytes);
        self
    }

    /// The monitor that says how much room is left. The settings do not keep it from stopping; when
    /// it has stopped, memory counts as not short.
    pub fn monitor(mut self, monitor: &Monitor) -> Self {
        self.settings.lookout = Some(monitor.lookout());
        self
    }

    /// Of the room that is left, what one batch may take: above 0, up to 1; 0.25 by default.
    pub fn room_share(mut self, share: f64) -> Self {
        self.settings.share = share;
        self
    }

    /// Between batches, waits while memory is at this level or above: not [`Level::Normal`]. Not at
    /// all by default. Needs a [`monitor`](Self::monitor).
    pub fn pause_while(mut self, level: Level) -> Self {
        self.settings.pause_while = Some(level);
        self
    }

    /// A pause lasts for so long at the most: 1 ms to 24 hours; 30 s by default. After it goes one
    /// batch of one item, then the next hold begins.
    pub fn longest_hold(mut self, time: Duration) -> Self {
        self.settings.longest_hold = time;
        self
    }

    /// Stops between batches when memory is at this level or above: not [`Level::Normal`]. Not at all
    /// by default. Needs a [`monitor`](Self::monitor). Above the level of
    /// [`pause_while`](Self::pause_while) it also ends a pause.
    pub fn stop_at(mut self, level: Level) -> Self {
        self.settings.stop_at = Some(level);
        self
    }

    /// Whether it stops after the longest hold, where it goes on with one item by default. Needs
    /// [`pause_while`](Self::pause_while).
    pub fn stop_after_hold(mut self, stops: bool) -> Self {
        self.settings.stop_after_hold = stops;
        self
    }

    /// Whether it stops between batches when the program is about to end
    /// ([`Monitor::ending`](crate::Monitor::ending)), when the monitor was stopped, and when a restart
    /// waits for what is under way. By default it goes on, without pauses. Needs a
    /// [`monitor`](Self::monitor).
    pub fn stop_when_ending(mut self, stops: bool) -> Self {
        self.settings.stop_when_ending = stops;
        self
    }

    /// How long the batch of a stream waits for more when the stream has no item ready: up to 24 hours,
    /// 50 ms by default. It does not wait for its first item.
    pub fn linger(mut self, time: Duration) -> Self {
        self.settings.linger = time;
        self
    }

    /// When free pages are given back: [`Purge::Never`] by default.
    pub fn purge(mut self, purge: Purge) -> Self {
        self.settings.purge = purge;
        self
    }

    /// Where it is told how far the job is; jobs with the same settings add up there.
    pub fn progress(mut self, progress: &Progress) -> Self {
        self.settings.progress = progress.clone();
        self
    }

    /// Checks the settings as a whole, and makes what any number of jobs are given.
    ///
    /// # Errors
    ///
    /// Every setting that makes no sense, with its value and what it may be.
    pub fn build(self) -> Result<Batches, SettingsError> {
        SettingsError::from_faults(self.settings.faults())?;
        Ok(Batches {
            settings: Arc::new(self.settings),
        })
    }
}

impl Settings {
    fn faults(&self) -> Vec<crate::ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |holds, setting, value: &dyn fmt::Display, expected| {
            note_unless(&mut faults, holds, setting, value, expected);
        };
        check(self.budget > 0, "budget", &self.budget, "at least 1 byte");
        if let Some(items) = self.most_items {
            check(items > 0, "most_items", &items, "at least 1");
        }
        if let Some(bytes) = self.item_bytes {
            check(bytes > 0, "item_bytes", &bytes, "at least 1 byte");
        }
        let is_share = self.share > 0.0 && self.share <= 1.0;
        check(is_share, "room_share", &self.share, "above 0, up to 1");
        let hold = self.longest_hold;
        let value = format_args!("{hold:?}");
        check(may_hold(hold), "longest_hold", &value, HOLD_EXPECTED);
        let linger = self.linger;
        let may_linger = linger.is_zero() || linger <= Duration::from_secs(24 * 60 * 60);
        check(
            may_linger,
            "linger",
            &format_args!("{linger:?}"),
            "0 to 24 hours",
        );
        let is_watched = self.lookout.is_some();
        let levels = [("pause_while", self.pause_while), ("stop_at", self.stop_at)];
        for (setting, level) in levels {
            let Some(level) = level else { continue };
            check(level != Level::Normal, setting, &level, LEVEL_EXPECTED);
            check(is_watched, setting, &level, "a `monitor` beside it");
        }
        let switches = [
            (
                "stop_when_ending",
                self.stop_when_ending,
                is_watched,
                "a `monitor` beside it",
            ),
            (
                "stop_after_hold",
                self.stop_after_hold,
                self.pause_while.is_some(),
                "`pause_while` beside it",
            ),
        ];
        for (setting, is_on, has_what_it_needs, expected) in switches {
            check(!is_on || has_what_it_needs, setting, &is_on, expected);
        }
        faults
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("budget", &self.budget)
            .field("room_share", &self.share)
            .field("most_items", &self.most_items)
            .field("item_bytes", &self.item_bytes)
            .field("is_watched", &self.lookout.is_some())
            .field("pause_while", &self.pause_while)
            .field("longest_hold", &self.longest_hold)
            .field("stop_at", &self.stop_at)
            .field("stop_after_hold", &self.stop_after_hold)
            .field("stop_when_ending", &self.stop_when_ending)
            .field("linger", &self.linger)
            .field("purge", &self.purge)
            .finish_non_exhaustive()
    }
}
