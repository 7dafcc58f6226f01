//! Events, ledger rows and restarts.

use super::Clock;
use crate::figures::Signal;
use crate::governor::{
    ActionKind, Event, EventKind, Fault, Held, LedgerRow, Level, Restart, RestartRecord, Skipped,
    Withheld,
};
use serde::Serialize;
use utoipa::ToSchema;

/// One action: what it was for, and what it gave back.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Row {
    action: ActionKind,
    level: Level,
    at_unix_seconds: f64,
    /// Since the monitor's start.
    at_seconds: f64,
    before: Held,
    after: Held,
    /// A quarter of a second later; null until then.
    #[schema(required)]
    settled: Option<Held>,
    signal: Signal,
    given_back_bytes: u64,
    duration_seconds: f64,
    /// The longest stretch without a pause.
    longest_slice_seconds: f64,
    /// Why it was not carried out; null when it was.
    #[schema(required)]
    skipped: Option<Skipped>,
}

impl Row {
    pub(crate) fn of(row: &LedgerRow, clock: Clock) -> Row {
        Row {
            action: row.action,
            level: row.level,
            at_unix_seconds: clock.at(row.at),
            at_seconds: row.at.as_secs_f64(),
            before: row.before,
            after: row.after,
            settled: row.settled,
            signal: row.signal,
            given_back_bytes: row.given_back_bytes,
            duration_seconds: row.duration.as_secs_f64(),
            longest_slice_seconds: row.longest_slice.as_secs_f64(),
            skipped: row.skipped,
        }
    }

    pub(crate) fn given_back_bytes(&self) -> u64 {
        self.given_back_bytes
    }
}

/// One restart: why, and what had been tried.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Restarted {
    at_unix_seconds: u64,
    process_id: u32,
    /// `exec`, `abort`, or `exit:` and a code.
    how: String,
    level: Level,
    signal: Signal,
    heap_bytes: u64,
    resident_bytes: u64,
    limit_bytes: u64,
    /// How long that image had run.
    uptime_seconds: u64,
    /// Actions that it had carried out.
    actions: u64,
    given_back_bytes: u64,
    /// Its start was not over yet.
    during_start: bool,
}

impl From<&RestartRecord> for Restarted {
    fn from(record: &RestartRecord) -> Restarted {
        Restarted {
            at_unix_seconds: record.at_unix_seconds,
            process_id: record.process_id,
            how: how(record.how),
            level: record.level,
            signal: record.signal,
            heap_bytes: record.heap_bytes,
            resident_bytes: record.resident_bytes,
            limit_bytes: record.limit_bytes,
            uptime_seconds: record.uptime_seconds,
            actions: record.actions,
            given_back_bytes: record.given_back_bytes,
            during_start: record.during_start,
        }
    }
}

/// `exec`, `abort`, or `exit:` and a code.
pub(crate) fn how(restart: Restart) -> String {
    match restart {
        Restart::Exec => "exec".to_owned(),
        Restart::Abort => "abort".to_owned(),
        Restart::Exit(code) => format!("exit:{code}"),
    }
}

/// Something that happened.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    /// Counts up by one from 0 with each event of an image.
    sequence: u64,
    at_unix_seconds: f64,
    uptime_seconds: f64,
    kind: Kind,
    /// For people.
    words: String,
    /// Of a level: the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Level>,
    /// Of a level: the one now.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Level>,
    /// Of an action.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Row>,
    /// Of a restart that begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<Restarted>,
    /// Whether a restart that had begun did not happen: its image could not be started, or it was called off.
    ends_restart: bool,
}

/// What kind of event.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Started,
    Level,
    Limit,
    Action,
    Diagnosis,
    Leak,
    Shedding,
    RestartWithheld,
    Restarting,
    EarlyWake,
    Drill,
    Policy,
    Lost,
    Fault,
}

impl EventAnswer {
    pub(crate) fn of(event: &Event, clock: Clock) -> EventAnswer {
        let mut answer = EventAnswer {
            sequence: event.sequence,
            at_unix_seconds: clock.at(event.uptime),
            uptime_seconds: event.uptime.as_secs_f64(),
            kind: kind(&event.kind),
            words: event.kind.to_string(),
            from: None,
            to: None,
            row: None,
            restart: None,
            ends_restart: matches!(
                event.kind,
                EventKind::Fault(Fault::ExecFailed(_))
                    | EventKind::RestartWithheld(Withheld::Ending | Withheld::PolicyChanged)
            ),
        };
        match &event.kind {
            EventKind::Level { from, to, .. } => {
                (answer.from, answer.to) = (Some(*from), Some(*to));
            }
            EventKind::Action(row) => answer.row = Some(Row::of(row, clock)),
            EventKind::Restarting(record) => answer.restart = Some(record.into()),
            _ => {}
        }
        answer
    }
}

fn kind(of: &EventKind) -> Kind {
    match of {
        EventKind::Started { .. } => Kind::Started,
        EventKind::Level { .. } => Kind::Level,
        EventKind::Limit { .. } => Kind::Limit,
        EventKind::Action(_) => Kind::Action,
        EventKind::Diagnosis(_) => Kind::Diagnosis,
        EventKind::Leak(_) => Kind::Leak,
        EventKind::Shedding(_) => Kind::Shedding,
        EventKind::RestartWithheld(_) => Kind::RestartWithheld,
        EventKind::Restarting(_) => Kind::Restarting,
        EventKind::EarlyWake(_) => Kind::EarlyWake,
        EventKind::Drill(_) => Kind::Drill,
        EventKind::Policy(_) => Kind::Policy,
        EventKind::Lost { .. } => Kind::Lost,
        EventKind::Fault(_) => Kind::Fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn every_part_of_a_restart_holds_what_its_name_says() {
        let record = RestartRecord {
            at_unix_seconds: 1,
            process_id: 2,
            how: Restart::Abort,
            level: Level::Critical,
            signal: Signal::Resident,
            heap_bytes: 3,
            resident_bytes: 4,
            limit_bytes: 5,
            uptime_seconds: 6,
            actions: 7,
            given_back_bytes: 8,
            during_start: true,
        };
        let event = Event {
            sequence: 9,
            uptime: Duration::from_secs(10),
            kind: EventKind::Restarting(record),
        };
        let mut answer = serde_json::to_value(EventAnswer::of(&event, Clock::from(100.0))).unwrap();
        answer.as_object_mut().unwrap().remove("words");
        let expected = json!({
            "sequence": 9,
            "at_unix_seconds": 110.0,
            "uptime_seconds": 10.0,
            "kind": "restarting",
            "ends_restart": false,
            "restart": {
                "at_unix_seconds": 1,
                "process_id": 2,
                "how": "abort",
                "level": "critical",
                "signal": "resident",
                "heap_bytes": 3,
                "resident_bytes": 4,
                "limit_bytes": 5,
                "uptime_seconds": 6,
                "actions": 7,
                "given_back_bytes": 8,
                "during_start": true,
            },
        });
        assert_eq!(answer, expected);
    }

    #[test]
    fn every_part_of_an_action_holds_what_its_name_says() {
        let held = |heap_bytes, resident_bytes| Held {
            heap_bytes,
            resident_bytes,
        };
        let row = LedgerRow {
            action: ActionKind::PurgeArenas,
            level: Level::Optimise,
            at: Duration::from_secs(1),
            before: held(2, 3),
            after: held(4, 5),
            settled: Some(held(6, 7)),
            signal: Signal::Resident,
            given_back_bytes: 8,
            duration: Duration::from_secs(9),
            longest_slice: Duration::from_secs(10),
            skipped: Some(Skipped::NothingToGain),
        };
        let expected = json!({
            "action": "purge_arenas",
            "level": "optimise",
            "at_unix_seconds": 101.0,
            "at_seconds": 1.0,
            "before": { "heap_bytes": 2, "resident_bytes": 3 },
            "after": { "heap_bytes": 4, "resident_bytes": 5 },
            "settled": { "heap_bytes": 6, "resident_bytes": 7 },
            "signal": "resident",
            "given_back_bytes": 8,
            "duration_seconds": 9.0,
            "longest_slice_seconds": 10.0,
            "skipped": "nothing_to_gain",
        });
        let answer = Row::of(&row, Clock::from(100.0));
        assert_eq!(serde_json::to_value(answer).unwrap(), expected);
    }

    #[test]
    fn what_ends_a_restart_that_had_begun_says_so() {
        let ends = |kind| {
            let event = Event {
                sequence: 0,
                uptime: Duration::ZERO,
                kind,
            };
            EventAnswer::of(&event, Clock::from(0.0)).ends_restart
        };
        assert!(ends(EventKind::Fault(Fault::ExecFailed(7))));
        assert!(ends(EventKind::RestartWithheld(Withheld::Ending)));
        assert!(ends(EventKind::RestartWithheld(Withheld::PolicyChanged)));
        assert!(!ends(EventKind::RestartWithheld(Withheld::Tidal)));
        assert!(!ends(EventKind::Fault(Fault::CallbackPanicked)));
    }
}
