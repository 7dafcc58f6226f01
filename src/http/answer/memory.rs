//! What the memory is, was, and is made of.

use super::Clock;
use super::event::{EventAnswer, Row};
#[cfg(feature = "jemalloc")]
use crate::figures::JemallocFigures;
use crate::figures::{Pressure, ThreadFigures, largest_threads};
use crate::governor::{
    CacheStatus, Diagnosis, EffectiveOption, HeapStatus, Level, Levels, LimitStatus, Mode, Moment,
    Monitor, ProcessStatus, Status, Stretch, Summary, Times,
};
use crate::http::caches::Said;
use serde::Serialize;
use utoipa::ToSchema;

#[cfg(feature = "jemalloc")]
type Allocator = JemallocFigures;

/// There are none without jemalloc.
#[cfg(not(feature = "jemalloc"))]
#[derive(Serialize, ToSchema)]
pub(crate) struct Allocator {}

/// The program's memory now.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemoryStats {
    heap: HeapStatus,
    /// jemalloc's view; null where it is not the allocator.
    #[schema(required)]
    allocator: Option<Allocator>,
    /// The kernel's view; null where it could not be read.
    #[schema(required)]
    process: Option<ProcessStatus>,
    limit: LimitStatus,
    utilization: Pressure,
    level: Level,
    uptime_seconds: f64,
}

impl From<Status> for MemoryStats {
    fn from(status: Status) -> MemoryStats {
        MemoryStats {
            heap: status.heap,
            #[cfg(feature = "jemalloc")]
            allocator: status.allocator,
            #[cfg(not(feature = "jemalloc"))]
            allocator: None,
            process: status.process,
            limit: status.limit,
            utilization: status.utilization,
            level: status.level,
            uptime_seconds: status.uptime_seconds,
        }
    }
}

/// Threads that are told of: an answer is bounded whatever the program does.
const MOST_THREADS: usize = 256;

/// Everything that is known of the program's memory.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemoryDetails {
    #[serde(flatten)]
    stats: MemoryStats,
    image: Image,
    levels: Levels,
    /// Where resident memory is and what can help; null where it could not be read.
    #[schema(required)]
    diagnosis: Option<Explained>,
    /// Those that hold most, from the largest, up to 256; `heap.threads` tells how many there are.
    threads: Vec<ThreadFigures>,
    caches: Vec<CacheStatus>,
    /// One of them does not answer, as when it waits for a lock: what stands there is what they said last.
    caches_are_late: bool,
    /// Several resolutions, the finest first.
    history: Vec<Columns>,
    /// The last actions, from the oldest.
    ledger: Vec<Row>,
    summary: Totals,
    /// The last events, from the oldest.
    events: Vec<EventAnswer>,
    jemalloc_options: Vec<EffectiveOption>,
}

impl MemoryDetails {
    pub(crate) fn of(monitor: &Monitor, said: Said) -> MemoryDetails {
        let clock = Clock::of(monitor);
        let events = monitor.recent_events();
        let stretches = monitor.timeline();
        MemoryDetails {
            stats: monitor.status().into(),
            image: Image::of(monitor),
            levels: monitor.levels(),
            diagnosis: monitor.diagnosis_with(said.bytes()).map(Explained::from),
            threads: largest_threads(MOST_THREADS),
            caches: said.caches,
            caches_are_late: said.is_late,
            history: stretches
                .iter()
                .map(|stretch| Columns::of(stretch, clock))
                .collect(),
            ledger: monitor
                .ledger()
                .iter()
                .map(|row| Row::of(row, clock))
                .collect(),
            summary: monitor.summary().into(),
            events: events
                .iter()
                .map(|event| EventAnswer::of(event, clock))
                .collect(),
            jemalloc_options: monitor.jemalloc_options().to_vec(),
        }
    }
}

/// Which image of which program answers.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Image {
    /// Of this crate.
    version: &'static str,
    process_id: u32,
    /// Tells one image from the next: a restart in place leaves the process its id.
    started_unix_seconds: f64,
    mode: Mode,
}

impl Image {
    pub(crate) fn of(monitor: &Monitor) -> Image {
        Image {
            version: env!("CARGO_PKG_VERSION"),
            process_id: std::process::id(),
            started_unix_seconds: Clock::of(monitor).started(),
            mode: monitor.mode(),
        }
    }
}

/// A diagnosis with its words.
#[derive(Serialize, ToSchema)]
struct Explained {
    #[serde(flatten)]
    found: Diagnosis,
    /// For people.
    words: String,
}

impl From<Diagnosis> for Explained {
    fn from(found: Diagnosis) -> Explained {
        Explained {
            words: found.to_string(),
            found,
        }
    }
}

/// One resolution of the history, column by column; all are of one length.
#[derive(Serialize, ToSchema)]
struct Columns {
    /// The width of a bin. Where the monitor looks less often, a bin is a look.
    interval_seconds: u64,
    at_unix_seconds: Vec<f64>,
    live_heap_bytes: Vec<u64>,
    anonymous_bytes: Vec<u64>,
    fragmentation_bytes: Vec<u64>,
    thread_cache_bytes: Vec<u64>,
    dirty_bytes: Vec<u64>,
    metadata_bytes: Vec<u64>,
    other_anonymous_bytes: Vec<u64>,
    file_backed_bytes: Vec<u64>,
}

impl Columns {
    fn of(stretch: &Stretch, clock: Clock) -> Columns {
        let moments = &stretch.moments;
        let column = |part: fn(&Moment) -> u64| moments.iter().map(part).collect();
        Columns {
            interval_seconds: stretch.interval_seconds,
            at_unix_seconds: moments
                .iter()
                .map(|moment| clock.at_seconds(moment.seconds))
                .collect(),
            live_heap_bytes: column(|moment| moment.parts.live_heap_bytes),
            anonymous_bytes: column(|moment| moment.parts.anonymous_bytes),
            fragmentation_bytes: column(|moment| moment.parts.fragmentation_bytes),
            thread_cache_bytes: column(|moment| moment.parts.thread_cache_bytes),
            dirty_bytes: column(|moment| moment.parts.dirty_bytes),
            metadata_bytes: column(|moment| moment.parts.metadata_bytes),
            other_anonymous_bytes: column(|moment| moment.parts.other_anonymous_bytes),
            file_backed_bytes: column(|moment| moment.parts.file_backed_bytes),
        }
    }
}

/// What was seen and done since the start.
#[derive(Serialize, ToSchema)]
struct Totals {
    /// How often each level was entered from below: normal, optimise, restart, critical.
    levels_entered: [u64; 4],
    actions: u64,
    given_back_bytes: u64,
    restarts_withheld: u64,
    early_wakes: u64,
    /// From the crossing of a line to the monitor looking at it.
    reaction: TimesAnswer,
    /// How long purges took.
    purge: TimesAnswer,
}

impl From<Summary> for Totals {
    fn from(summary: Summary) -> Totals {
        Totals {
            levels_entered: Level::ALL.map(|level| summary.entered(level)),
            actions: summary.actions,
            given_back_bytes: summary.given_back_bytes,
            restarts_withheld: summary.restarts_withheld,
            early_wakes: summary.early_wakes,
            reaction: summary.reaction.into(),
            purge: summary.purge.into(),
        }
    }
}

/// How long something took, in seconds.
#[derive(Serialize, ToSchema)]
struct TimesAnswer {
    count: u64,
    p50: f64,
    p99: f64,
    max: f64,
}

impl From<Times> for TimesAnswer {
    fn from(times: Times) -> TimesAnswer {
        TimesAnswer {
            count: times.count,
            p50: times.p50.as_secs_f64(),
            p99: times.p99.as_secs_f64(),
            max: times.max.as_secs_f64(),
        }
    }
}

/// What the optimising actions came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Optimised {
    rows: Vec<Row>,
    given_back_bytes: u64,
}

impl Optimised {
    pub(crate) fn new(rows: Vec<Row>) -> Optimised {
        Optimised {
            given_back_bytes: rows.iter().map(Row::given_back_bytes).sum(),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::Parts;
    use serde_json::json;
    use std::time::Duration;

    /// Each figure in its own place: all are numbers, and none is another.
    #[test]
    fn every_column_holds_what_its_name_says() {
        let moment = |first: u64| Moment {
            seconds: first as f64,
            parts: Parts {
                live_heap_bytes: first + 1,
                anonymous_bytes: first + 2,
                fragmentation_bytes: first + 3,
                thread_cache_bytes: first + 4,
                dirty_bytes: first + 5,
                metadata_bytes: first + 6,
                other_anonymous_bytes: first + 7,
                file_backed_bytes: first + 8,
            },
        };
        let stretch = Stretch {
            interval_seconds: 9,
            moments: vec![moment(10), moment(20)],
        };
        let columns = Columns::of(&stretch, Clock::from(1_000.0));
        assert_eq!(
            serde_json::to_value(columns).unwrap(),
            json!({
                "interval_seconds": 9,
                "at_unix_seconds": [1_010.0, 1_020.0],
                "live_heap_bytes": [11, 21],
                "anonymous_bytes": [12, 22],
                "fragmentation_bytes": [13, 23],
                "thread_cache_bytes": [14, 24],
                "dirty_bytes": [15, 25],
                "metadata_bytes": [16, 26],
                "other_anonymous_bytes": [17, 27],
                "file_backed_bytes": [18, 28],
            })
        );
    }

    #[test]
    fn every_total_holds_what_its_name_says() {
        let times = |first: u64| Times {
            count: first,
            p50: Duration::from_secs(first + 1),
            p99: Duration::from_secs(first + 2),
            max: Duration::from_secs(first + 3),
        };
        let mut summary = Summary::default();
        (summary.actions, summary.given_back_bytes) = (1, 2);
        (summary.restarts_withheld, summary.early_wakes) = (3, 4);
        (summary.reaction, summary.purge) = (times(10), times(20));
        assert_eq!(
            serde_json::to_value(Totals::from(summary)).unwrap(),
            json!({
                "levels_entered": [0, 0, 0, 0],
                "actions": 1,
                "given_back_bytes": 2,
                "restarts_withheld": 3,
                "early_wakes": 4,
                "reaction": { "count": 10, "p50": 11.0, "p99": 12.0, "max": 13.0 },
                "purge": { "count": 20, "p50": 21.0, "p99": 22.0, "max": 23.0 },
            })
        );
    }
}
