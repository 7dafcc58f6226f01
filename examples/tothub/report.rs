//! The nightly report: how long children were there, by room, over all recorded visits.

use crate::store::{Store, Visit};
use plimsoll::batch::{Batches, Done, InBatches, Reason};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default, Serialize)]
pub struct Report {
    visits: u64,
    days: u64,
    by_room: BTreeMap<String, Room>,
    #[serde(skip)]
    last_day: String,
}

#[derive(Default, Serialize)]
struct Room {
    visits: u64,
    minutes: u64,
    /// Children who were not collected by the end of the day.
    not_collected: u64,
}

#[derive(Debug)]
pub enum ReportError {
    Database(rusqlite::Error),
    /// What was done until then is thrown away: the report is made again another time.
    Stopped(Done, Reason<rusqlite::Error>),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::Database(error) => write!(f, "the report failed: {error}"),
            ReportError::Stopped(done, reason) => {
                write!(
                    f,
                    "the report stopped after {} visits: {reason}",
                    done.items
                )
            }
        }
    }
}

impl std::error::Error for ReportError {}

impl From<rusqlite::Error> for ReportError {
    fn from(error: rusqlite::Error) -> ReportError {
        ReportError::Database(error)
    }
}

impl ReportError {
    /// Whether it is for want of memory, and may go well later.
    pub fn is_for_now(&self) -> bool {
        matches!(self, ReportError::Stopped(_, reason) if !matches!(reason, Reason::Failed(_)))
    }
}

impl Report {
    /// In batches, as large as memory allows.
    pub fn in_batches(store: &Store, batches: &Batches) -> Result<(Report, Done), ReportError> {
        let mut report = Report::default();
        let done = store.visits(|visits| {
            let job = visits.in_batches(batches).try_run(|batch| {
                for visit in batch.drain(..) {
                    report.note(&visit?);
                }
                Ok(())
            });
            job.map_err(|stopped| ReportError::Stopped(stopped.done, stopped.reason))
        })?;
        Ok((report, done))
    }

    /// All visits first, then the report: as it was before it met a small container.
    pub fn all_at_once(store: &Store) -> Result<Report, ReportError> {
        let visits = store.visits(|visits| visits.collect::<rusqlite::Result<Vec<_>>>())?;
        let mut report = Report::default();
        visits.iter().for_each(|visit| report.note(visit));
        Ok(report)
    }

    /// In order of days.
    fn note(&mut self, visit: &Visit) {
        self.visits += 1;
        if visit.date != self.last_day {
            self.days += 1;
            self.last_day.clone_from(&visit.date);
        }
        if !self.by_room.contains_key(&visit.room) {
            self.by_room.insert(visit.room.clone(), Room::default());
        }
        let Some(room) = self.by_room.get_mut(&visit.room) else {
            return;
        };
        room.visits += 1;
        match visit.left.as_deref().map(minutes) {
            Some(left) => room.minutes += left.saturating_sub(minutes(&visit.arrived)),
            None => room.not_collected += 1,
        }
    }
}

/// Of a time like `16:05`, since midnight.
fn minutes(time: &str) -> u64 {
    let (hours, minutes) = time.split_once(':').unwrap_or_default();
    let number = |digits: &str| digits.parse::<u64>().unwrap_or(0);
    number(hours) * 60 + number(minutes)
}
