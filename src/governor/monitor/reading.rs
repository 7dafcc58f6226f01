//! What the handle answers: figures, history, and what was done.

use super::Monitor;
use crate::figures::{self, Limit, Pressure, ProcessFigures, Signal};
use crate::governor::control::{Mode, Past};
use crate::governor::diagnosis::{Diagnosis, Parts};
use crate::governor::event::{Event, EventReader};
use crate::governor::history::Sample;
use crate::governor::ledger::{Ledger, LedgerRow};
use crate::governor::level::{Level, Levels};
use crate::governor::lock::lock;
use crate::governor::options::EffectiveOption;
use crate::governor::policy::Policy;
use crate::governor::restart::{RestartRecord, cooldown_left, in_last_hour, unix_seconds};
use crate::governor::status::{CacheStatus, ProcessStatus, RestartOutlook, Status, Summary};
use crate::governor::timeline::{Stretch, Timeline};
use crate::trend::Verdict;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

impl Monitor {
    /// The state of the program now. Reads jemalloc's statistics and a file of `/proc`: some tens
    /// of microseconds.
    #[must_use]
    pub fn status(&self) -> Status {
        let heap = figures::heap();
        let process = ProcessFigures::read(&self.roots).ok();
        let limit = *lock(&self.shared.limit);
        let resident = process
            .as_ref()
            .map_or(0, |process| process.anonymous_bytes);
        let mut utilization = Pressure::new(heap.live_bytes(), resident, limit.bytes);
        let drilled = self.shared.drilled.load(Ordering::Relaxed);
        if drilled > 0 {
            // As the levels are judged by it.
            utilization.heap = f64::from(drilled) / 1000.0;
            utilization.deciding = Signal::Drill;
        }
        Status {
            heap: heap.into(),
            #[cfg(feature = "jemalloc")]
            allocator: figures::jemalloc().ok(),
            process: process.map(|process| ProcessStatus {
                resident_bytes: process.resident_bytes,
                anonymous_bytes: process.anonymous_bytes,
                swap_bytes: process.swap_bytes,
            }),
            limit: limit.into(),
            utilization,
            level: self.level(),
            uptime_seconds: self.shared.uptime().as_secs_f64(),
        }
    }

    /// The level that the monitor is at. One load: cheap enough for every request.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::from_u8(self.shared.level.load(Ordering::Relaxed))
    }

    /// The share of the limit that was used at the last look, above 1 where it is passed: the pressure
    /// by which levels are judged, kept to a thousandth. One load: cheap enough for every request.
    #[must_use]
    pub fn last_utilization(&self) -> f64 {
        f64::from(self.shared.pressure.load(Ordering::Relaxed)) / 1000.0
    }

    /// For a job that keeps within memory: it sees this without keeping the monitor alive.
    #[cfg(feature = "batch")]
    pub(crate) fn lookout(&self) -> crate::governor::Lookout {
        crate::governor::Lookout::new(&self.shared, self.home)
    }

    /// Where the levels begin and end, as they are in force.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.policy().levels
    }

    /// The lines, and when and how to restart, as they are in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        *lock(&self.shared.policy)
    }

    /// Whether it acts on what it sees.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// When it started: with [`Restart::Exec`](crate::Restart::Exec), which leaves the process its id,
    /// this tells one image of the program from the next.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.shared.started_at
    }

    /// How long it has run, by a clock that stands still while the machine sleeps.
    #[cfg(feature = "http")]
    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.shared.uptime()
    }

    /// The limit, as last read.
    #[must_use]
    pub fn limit(&self) -> Limit {
        *lock(&self.shared.limit)
    }

    /// A reader of the last events, up to 256, and of all to come. Every reader gets every event.
    ///
    /// ```no_run
    /// # fn follow(monitor: &plimsoll::Monitor) {
    /// use plimsoll::EventKind;
    ///
    /// let events = monitor.events();
    /// std::thread::spawn(move || {
    ///     // Ends when the monitor has stopped.
    ///     for event in events {
    ///         if let EventKind::Level { from, to, .. } = event.kind {
    ///             println!("after {:?}: from {from} to {to}", event.uptime);
    ///         }
    ///     }
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> EventReader {
        self.shared.bus.subscribe()
    }

    /// The last events, up to 256, from the oldest.
    #[must_use]
    pub fn recent_events(&self) -> Vec<Event> {
        self.shared.bus.recent()
    }

    /// How many events there were.
    #[cfg(feature = "http")]
    pub(crate) fn event_count(&self) -> u64 {
        self.shared.bus.count()
    }

    /// Whether new work is better refused: memory is critical, or a restart is due and the budget
    /// is spent. Only by a monitor that acts. One load: cheap enough for every request.
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        self.shared.shedding.load(Ordering::Acquire)
    }

    /// Whether a restart has begun and waits for what is under way. One load.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.draining_now.load(Ordering::Acquire)
    }

    /// Where the memory was at the last look: at the entry into a level, and before each round of
    /// actions. `None` until then.
    #[must_use]
    pub fn last_diagnosis(&self) -> Option<Diagnosis> {
        *lock(&self.shared.diagnosis)
    }

    /// Where the memory is now, and what can help; `None` when resident memory cannot be read.
    /// Renews jemalloc's statistics, some tens of microseconds, and asks the caches what they hold.
    #[must_use]
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.diagnosis_with(self.shared.caches.bytes())
    }

    /// [`diagnosis`](Self::diagnosis) where it is known what the caches say they hold.
    pub(crate) fn diagnosis_with(&self, cache_bytes: u64) -> Option<Diagnosis> {
        let process = ProcessFigures::read(&self.roots).ok()?;
        Some(Diagnosis::new(&process, cache_bytes))
    }

    /// The last samples at the monitor's interval, from the oldest: as many as
    /// [`MonitorBuilder::history`](crate::MonitorBuilder::history) says.
    #[must_use]
    pub fn history(&self) -> Vec<Sample> {
        let capacity = lock(&self.shared.history).capacity();
        // Memory before the lock: the monitor does not wait for it.
        let mut samples = Vec::with_capacity(capacity);
        samples.extend(lock(&self.shared.history).samples());
        samples
    }

    /// What resident memory was made of, from seconds to a month back, the finest resolution first.
    ///
    /// Looked at once a second, or at the monitor's interval if that is longer. Allocates some 170 KiB.
    #[must_use]
    pub fn timeline(&self) -> Vec<Stretch> {
        let mut stretches = Timeline::stretches();
        lock(&self.shared.timeline).copy_into(&mut stretches);
        stretches
    }

    /// What resident memory was made of when it was last looked at; `None` before the first look, and
    /// where it cannot be read.
    #[must_use]
    pub fn last_parts(&self) -> Option<Parts> {
        lock(&self.shared.timeline).last()
    }

    /// What the registered caches say they hold. One that panics at the question is taken to hold
    /// nothing.
    ///
    /// Each is asked on the calling thread, which waits where a cache waits for a lock of its own.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheStatus> {
        self.shared.caches.status()
    }

    /// Whether the program leaks, how fast, how surely, and how long there is left: of the live heap
    /// where it is counted, of anonymous resident memory where not. Made with the last sample.
    #[must_use]
    pub fn leak_verdict(&self) -> Verdict {
        *lock(&self.shared.leak)
    }

    /// What was seen and done since the start.
    #[must_use]
    pub fn summary(&self) -> Summary {
        *lock(&self.shared.summary)
    }

    /// The last actions, up to 256, from the oldest.
    #[must_use]
    pub fn ledger(&self) -> Vec<LedgerRow> {
        // Memory before the lock: the monitor does not wait for it.
        let mut rows = Vec::with_capacity(Ledger::CAPACITY);
        lock(&self.shared.ledger).copy_into(&mut rows);
        rows
    }

    /// The restarts that are remembered, from the oldest: those of earlier images only with a
    /// [`state_file`](crate::MonitorBuilder::state_file). As many as may happen in an hour, and 32 at least.
    #[must_use]
    pub fn restarts(&self) -> Vec<RestartRecord> {
        lock(&self.shared.restarts).clone()
    }

    /// Whether a restart may happen now, and what stands against it.
    #[must_use]
    pub fn restart_outlook(&self) -> RestartOutlook {
        let policy = self.policy();
        let restarts = self.restarts();
        let past = Past {
            restarts: &restarts,
            is_kept: self.is_kept,
            unix_seconds: unix_seconds(),
            uptime: self.shared.uptime(),
            ..Past::default()
        };
        RestartOutlook {
            policy,
            cooldown_remaining: cooldown_left(&policy, &past),
            used_in_last_hour: in_last_hour(&past),
            withheld: *lock(&self.shared.withheld),
        }
    }

    /// jemalloc's options as wanted and as they were after the start. Empty where it is not in use.
    #[must_use]
    pub fn jemalloc_options(&self) -> &[EffectiveOption] {
        &self.options
    }
}
