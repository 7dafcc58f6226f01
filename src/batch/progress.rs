//! How far a job is, for another thread to read.

use crate::Level;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// No length is known.
const UNKNOWN: u64 = u64::MAX;

/// The state as a number: 0 to 3 paused at that level, else:
const RUNNING: u8 = 10;
const IDLE: u8 = 11;
const STOPPED: u8 = 12;
const FINISHED: u8 = 13;

/// How far a job is: written by the job after each batch, read by anyone at any time.
///
/// Clones are of the same counters. Given to a job by
/// [`BatchesBuilder::progress`](super::BatchesBuilder::progress); several jobs with the same one add up: it pauses
/// or runs as the one that changed last does, and has stopped or finished as the last one that was under way did.
/// What a bar of the crate `indicatif` needs is there, without depending on it:
///
/// ```
/// # struct ProgressBar;
/// # impl ProgressBar {
/// #     fn set_length(&self, _: u64) {}
/// #     fn set_position(&self, _: u64) {}
/// #     fn set_message(&self, _: impl Into<std::borrow::Cow<'static, str>>) {}
/// # }
/// use plimsoll::batch::Progress;
///
/// fn show(progress: &Progress, bar: &ProgressBar) {
///     bar.set_length(progress.len().unwrap_or(0));
///     bar.set_position(progress.position());
///     bar.set_message(progress.message());
/// }
/// # show(&Progress::with_len(10), &ProgressBar);
/// ```
///
/// # Cost
///
/// For the job a few atomic additions a batch; for the reader a load.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    items: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
    len: AtomicU64,
    paused_millis: AtomicU64,
    pauses: AtomicU64,
    state: AtomicU8,
    /// Jobs under way. Held while they begin and end, so that the last one to end says so.
    jobs: Mutex<usize>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            len: AtomicU64::new(UNKNOWN),
            paused_millis: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            state: AtomicU8::new(IDLE),
            jobs: Mutex::new(0),
        }
    }
}

/// Why a job pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paused {
    /// Memory is at this level.
    Level(Level),
}

impl Progress {
    /// Nothing done, and no length known.
    #[must_use]
    pub fn new() -> Progress {
        Progress::default()
    }

    /// Nothing done, of so many items.
    #[must_use]
    pub fn with_len(items: u64) -> Progress {
        let progress = Progress::new();
        progress.set_len(items);
        progress
    }

    /// Says how many items there are: `u64::MAX` means that it is not known.
    pub fn set_len(&self, items: u64) {
        self.shared.len.store(items, Ordering::Relaxed);
    }

    /// How many items there are, if that is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        Some(self.shared.len.load(Ordering::Relaxed)).filter(|&len| len != UNKNOWN)
    }

    /// Whether there are no items at all; `None` when their number is not known.
    #[must_use]
    pub fn is_empty(&self) -> Option<bool> {
        self.len().map(|len| len == 0)
    }

    /// Items that are done.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.shared.items.load(Ordering::Relaxed)
    }

    /// What batches took, each at its most, added up: bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Batches that are done.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.shared.batches.load(Ordering::Relaxed)
    }

    /// Why it pauses now; `None` while it does not.
    #[must_use]
    pub fn paused(&self) -> Option<Paused> {
        let state = self.shared.state.load(Ordering::Relaxed);
        (state < RUNNING).then(|| Paused::Level(Level::from_u8(state)))
    }

    /// How often it paused.
    #[must_use]
    pub fn pauses(&self) -> u64 {
        self.shared.pauses.load(Ordering::Relaxed)
    }

    /// How long it paused, up to the end of the last pause: whole milliseconds.
    #[must_use]
    pub fn paused_for(&self) -> Duration {
        Duration::from_millis(self.shared.paused_millis.load(Ordering::Relaxed))
    }

    /// Whether the job came to its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.state.load(Ordering::Relaxed) == FINISHED
    }

    /// In words, for a line beside a bar: `running`, `paused: memory is at optimise` and so on.
    #[must_use]
    pub fn message(&self) -> Cow<'static, str> {
        match self.shared.state.load(Ordering::Relaxed) {
            RUNNING => "running".into(),
            IDLE => "not started".into(),
            STOPPED => "stopped".into(),
            FINISHED => "finished".into(),
            level => format!("paused: memory is at {}", Level::from_u8(level)).into(),
        }
    }

    pub(super) fn note(&self, items: u64, batches: u64, bytes: u64) {
        self.shared.items.fetch_add(items, Ordering::Relaxed);
        self.shared.batches.fetch_add(batches, Ordering::Relaxed);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn runs(&self) {
        self.shared.state.store(RUNNING, Ordering::Relaxed);
    }

    fn jobs(&self) -> MutexGuard<'_, usize> {
        let jobs = self.shared.jobs.lock();
        jobs.unwrap_or_else(PoisonError::into_inner)
    }

    /// A job begins; it ends once.
    pub(super) fn begins(&self) {
        let mut jobs = self.jobs();
        *jobs += 1;
        self.runs();
    }

    fn ends(&self, state: u8) {
        let mut jobs = self.jobs();
        *jobs -= 1;
        let state = if *jobs == 0 { state } else { RUNNING };
        self.shared.state.store(state, Ordering::Relaxed);
    }

    pub(super) fn pauses_at(&self, level: Level) {
        self.shared.pauses.fetch_add(1, Ordering::Relaxed);
        self.shared.state.store(level as u8, Ordering::Relaxed);
    }

    pub(super) fn goes_on_after(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.shared
            .paused_millis
            .fetch_add(millis, Ordering::Relaxed);
        self.runs();
    }

    pub(super) fn stops(&self) {
        self.ends(STOPPED);
    }

    pub(super) fn finishes(&self) {
        self.ends(FINISHED);
    }
}
