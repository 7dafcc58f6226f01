//! Events in words, for people.

use super::event::EventKind;
use super::ledger::{ActionKind, Skipped};
use crate::units::Bytes;
use std::fmt;

/// A line without its end.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Started { limit } => write!(
                f,
                "the monitor runs, with a limit of {} ({})",
                Bytes::from(limit.bytes),
                limit.source
            ),
            EventKind::Level { from, to, pressure } => {
                let course = if to > from { "rises" } else { "falls" };
                write!(
                    f,
                    "the level {course} from {from} to {to}: {} at {:.1} %",
                    pressure.deciding,
                    100.0 * pressure.value()
                )
            }
            EventKind::Limit { from, to } => write!(
                f,
                "the limit was {} and is {} ({})",
                Bytes::from(from.bytes),
                Bytes::from(to.bytes),
                to.source
            ),
            EventKind::Action(row) => {
                let name = action(row.action);
                match row.skipped {
                    Some(why) => write!(f, "{name}: not carried out, {}", reason(why)),
                    None => write!(
                        f,
                        "{name}: {} given back",
                        Bytes::from(row.given_back_bytes)
                    ),
                }
            }
            EventKind::Diagnosis(found) => found.fmt(f),
            EventKind::Leak(news) => news.fmt(f),
            EventKind::Shedding(true) => f.write_str("new work is refused"),
            EventKind::Shedding(false) => f.write_str("new work is taken again"),
            EventKind::RestartWithheld(why) => write!(f, "a restart is due and withheld: {why}"),
            EventKind::Restarting(record) => write!(
                f,
                "restarting at level {}: heap {}, resident {}, limit {}",
                record.level,
                Bytes::from(record.heap_bytes),
                Bytes::from(record.resident_bytes),
                Bytes::from(record.limit_bytes)
            ),
            EventKind::EarlyWake(source) => write!(f, "memory is short, says {source}"),
            EventKind::Drill(drill) => write!(
                f,
                "a drill pretends {:.0} % for {:.0} s",
                100.0 * drill.pressure(),
                drill.duration().as_secs_f64()
            ),
            EventKind::Policy(_) => f.write_str("the policy was changed"),
            EventKind::Lost { events } => write!(f, "{events} events were lost: too slow"),
            EventKind::Fault(fault) => fault.fmt(f),
        }
    }
}

fn action(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::ShrinkCaches => "caches shrink",
        ActionKind::FlushThreadCaches => "thread caches are flushed",
        ActionKind::TrimSystemHeap => "the C library's heap is trimmed",
        ActionKind::PurgeArenas => "free pages are purged",
        ActionKind::TightenDecay => "pages are given back as soon as they are free",
        ActionKind::RestoreDecay => "pages are kept as long as before",
        ActionKind::ShedLoad => "new work is refused",
        ActionKind::TakeLoad => "new work is taken again",
    }
}

fn reason(why: Skipped) -> &'static str {
    match why {
        Skipped::DryRun => "a dry run",
        Skipped::NothingToGain => "there is nothing to gain",
        Skipped::NotPossible => "it is not possible here",
    }
}
