//! Settings that make no sense, and a job that stopped before its end.

use crate::{ConfigFault, Level};
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

/// All settings that make no sense, not only the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    pub(super) faults: Vec<ConfigFault>,
}

impl SettingsError {
    /// One by one: at least one.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }

    /// An error unless it `holds`.
    pub(super) fn unless(
        holds: bool,
        setting: &'static str,
        value: impl fmt::Display,
        expected: &'static str,
    ) -> Result<(), SettingsError> {
        let mut faults = Vec::new();
        note_unless(&mut faults, holds, setting, value, expected);
        SettingsError::from_faults(faults)
    }

    pub(super) fn from_faults(faults: Vec<ConfigFault>) -> Result<(), SettingsError> {
        if faults.is_empty() {
            return Ok(());
        }
        Err(SettingsError { faults })
    }
}

/// Adds a fault unless it `holds`.
pub(super) fn note_unless(
    faults: &mut Vec<ConfigFault>,
    holds: bool,
    setting: &'static str,
    value: impl fmt::Display,
    expected: &'static str,
) {
    if !holds {
        faults.push(ConfigFault {
            setting,
            value: value.to_string(),
            expected,
        });
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ConfigFault::list(&self.faults, f)
    }
}

impl std::error::Error for SettingsError {}

/// What a job has done, in total: over all its parts when it was stopped and went on. Of
/// [`for_each_within`](super::ForEachWithin::for_each_within) each part counts by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// Items whose work is done.
    pub items: u64,
    /// Batches, also one whose work failed. Of a job in parallel, every item is one.
    pub batches: u64,
    /// What the batches took, each at its most, added up: bytes. 0 where nothing is measured and
    /// items own nothing by value.
    pub bytes: u64,
    /// How long it paused.
    pub paused: Duration,
}

/// A job stopped before its end, and what there is to go on with.
///
/// ```
/// use plimsoll::batch::{Batches, InBatches, Reason};
///
/// # fn main() {
/// let mut sum = 0;
/// let stopped = (1..=100).in_batches(&Batches::default()).try_run(|batch| {
///     for item in batch.drain(..) {
///         if item == 50 {
///             return Err("the disk is full");
///         }
///         sum += item;
///     }
///     Ok(())
/// });
/// let stopped = stopped.unwrap_err();
/// assert!(matches!(stopped.reason, Reason::Failed("the disk is full")));
/// assert!(stopped.done.items >= 40);
///
/// // Later: what was not done yet, from where it stopped.
/// let done = stopped.resume.run(|batch| sum += batch.iter().sum::<i32>()).unwrap();
/// # assert_eq!(done.items, 100);
/// # }
/// ```
#[non_exhaustive]
pub struct Stopped<R, E = Infallible> {
    /// What was done before.
    pub done: Done,
    /// The job with everything that is not done yet: run it again to go on. `()` for a job that is
    /// still in the caller's hands, as when it is used as an iterator or a stream.
    pub resume: R,
    /// Why it stopped.
    pub reason: Reason<E>,
}

/// Why a job stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason<E = Infallible> {
    /// Memory is at the level at which it was told to stop
    /// ([`stop_at`](super::BatchesBuilder::stop_at)), or above.
    Level(Level),
    /// Memory was still at this level after the longest hold, and it was told to stop then
    /// ([`stop_after_hold`](super::BatchesBuilder::stop_after_hold)).
    HeldTooLong(Level),
    /// The program is about to end, or the monitor has stopped
    /// ([`stop_when_ending`](super::BatchesBuilder::stop_when_ending)).
    Ending,
    /// A restart waits for what is under way (likewise).
    Restarting,
    /// The work failed.
    Failed(E),
}

impl<R, E> Stopped<R, E> {
    /// The error alone, and the job: for an error that is passed on out of the life of what the job
    /// borrows, such as a statement of a database.
    ///
    /// ```
    /// use plimsoll::batch::{Batches, InBatches};
    ///
    /// fn total(rows: &[u64]) -> Result<u64, Box<dyn std::error::Error>> {
    ///     let mut total = 0;
    ///     let job = rows.iter().in_batches(&Batches::default());
    ///     job.run(|rows| total += rows.drain(..).sum::<u64>())
    ///         .map_err(|stopped| stopped.split().0)?;
    ///     Ok(total)
    /// }
    /// # assert_eq!(total(&[1, 2]).unwrap(), 3);
    /// ```
    pub fn split(self) -> (Stopped<(), E>, R) {
        let Stopped {
            done,
            resume,
            reason,
        } = self;
        let error = Stopped {
            done,
            resume: (),
            reason,
        };
        (error, resume)
    }
}

impl<E> Stopped<(), E> {
    /// With the job to go on with.
    pub(super) fn with<R>(self, resume: R) -> Stopped<R, E> {
        Stopped {
            done: self.done,
            resume,
            reason: self.reason,
        }
    }
}

impl Reason {
    /// The same, of work that can fail.
    pub(super) fn widen<E>(self) -> Reason<E> {
        match self {
            Reason::Level(level) => Reason::Level(level),
            Reason::HeldTooLong(level) => Reason::HeldTooLong(level),
            Reason::Ending => Reason::Ending,
            Reason::Restarting => Reason::Restarting,
            Reason::Failed(never) => match never {},
        }
    }
}

impl<E: fmt::Display> fmt::Display for Reason<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Level(level) => write!(f, "memory is at {level}"),
            Reason::HeldTooLong(level) => {
                write!(f, "memory is still at {level} after the longest hold")
            }
            Reason::Ending => f.write_str("the program is about to end"),
            Reason::Restarting => f.write_str("a restart waits for what is under way"),
            Reason::Failed(error) => error.fmt(f),
        }
    }
}

impl<R, E: fmt::Display> fmt::Display for Stopped<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stopped after {} items: {}",
            self.done.items, self.reason
        )
    }
}

impl<R, E: fmt::Debug> fmt::Debug for Stopped<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped")
            .field("done", &self.done)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<R, E: std::error::Error + 'static> std::error::Error for Stopped<R, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Failed(error) => Some(error),
            _ => None,
        }
    }
}
