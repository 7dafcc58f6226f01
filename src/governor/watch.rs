//! The monitor's thread: look, decide, act, arm, sleep.
//!
//! One round: take commands; read heap, resident memory and, now and then, the limit; move between
//! levels; carry out what the level asks for; judge a restart; arm the line at the next level up;
//! sleep until the interval is over or somebody unparks the thread, be it a thread that crosses
//! the line or a handle with a command.
//!
//! The thread works on what was made ready before it started. In a round without news it reads two
//! figures and allocates nothing.

use super::actions::purge_arenas;
use super::config::Callback;
use super::event::{Event, EventKind, Events, Fault};
use super::latency::ask_for_short_slices;
use super::ledger::{ActionKind, Held, LedgerRow};
use super::level::{Level, Levels};
use super::monitor::{Command, Shared, lock};
use super::restart::{Image, Policy, RestartRecord, State, Withheld, judge, unix_seconds};
use super::status::Times;
use crate::allocator::{alarm, total};
use crate::figures::{Limit, LimitReader, Pressure, ProcessFigures, Roots, heap};
use crate::governor::RestartError;
use crossbeam_channel::Receiver;
use hdrhistogram::Histogram;
use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the limit is read anew: an operator who resizes a container waits this long at the
/// most.
const LIMIT_INTERVAL: Duration = Duration::from_secs(30);

/// The interval while a level lasts or the lowest line is near. Resident memory that grows behind
/// the allocator's back, by 1 GB/s, comes 50 MB further in that time.
const NEAR_INTERVAL: Duration = Duration::from_millis(50);

/// From this share of the lowest line on, the line is near.
const NEAR: f64 = 0.9;

/// While a level lasts its actions are repeated, first after a second. Each time that gives back
/// less than [`WORTHWHILE`] of what is too much doubles the wait, up to a minute.
const FIRST_REPEAT: Duration = Duration::from_secs(1);
const LAST_REPEAT: Duration = Duration::from_secs(60);
const WORTHWHILE: f64 = 0.05;

pub(super) struct Settings {
    pub(super) levels: Levels,
    pub(super) interval: Duration,
    pub(super) act: bool,
    pub(super) policy: Policy,
    pub(super) callbacks: Vec<Callback>,
    pub(super) roots: Roots,
    pub(super) started: Instant,
    pub(super) set_aside: bool,
}

pub(super) struct Watch {
    shared: Arc<Shared>,
    inbox: Receiver<Command>,
    events: Events,
    limits: LimitReader,
    limit: Limit,
    limit_read: Instant,
    state: State,
    image: Image,
    settings: Settings,
    level: Level,
    /// When the level's actions are due again, and how long they will wait after that.
    repeat_at: Option<Instant>,
    repeat_after: Duration,
    /// The reason for which a restart was last withheld, so that it is said once.
    withheld: Option<Withheld>,
    /// Faults that last are said once.
    resident_unreadable: bool,
    limit_unreadable: bool,
    reaction: Histogram<u64>,
    purge: Histogram<u64>,
}

/// What one look finds.
#[derive(Clone, Copy)]
struct Reading {
    held: Held,
    /// The highest that the live heap can have been.
    heap_high: u64,
    pressure: Pressure,
}

impl Watch {
    pub(super) fn new(
        shared: Arc<Shared>,
        inbox: Receiver<Command>,
        limits: LimitReader,
        state: State,
        image: Image,
        settings: Settings,
    ) -> Watch {
        let limit = *lock(&shared.limit);
        // From a microsecond to ten minutes in two digits, without growing: 20 KiB each.
        let times = || {
            Histogram::new_with_bounds(1_000, 600_000_000_000, 2)
                .unwrap_or_else(|_| unreachable!("constant bounds within the crate's own"))
        };
        Watch {
            shared,
            inbox,
            events: Events::new(),
            limits,
            limit,
            limit_read: Instant::now(),
            state,
            image,
            settings,
            level: Level::Normal,
            repeat_at: None,
            repeat_after: FIRST_REPEAT,
            withheld: None,
            resident_unreadable: false,
            limit_unreadable: false,
            reaction: times(),
            purge: times(),
        }
    }

    pub(super) fn events(&self) -> Receiver<Event> {
        self.events.receiver()
    }

    pub(super) fn run(mut self) {
        ask_for_short_slices();
        self.report(EventKind::Started { limit: self.limit });
        if heap().allocations() == 0 {
            self.report(EventKind::Fault(Fault::NotInstalled));
        }
        if self.settings.set_aside {
            self.report(EventKind::Fault(Fault::StateSetAside));
        }
        loop {
            if self.take_commands().is_stop() {
                return;
            }
            let reading = self.look();
            self.move_level(&reading);
            self.keep_level(&reading);
            std::thread::park_timeout(self.arm_and_interval(&reading));
        }
    }

    fn take_commands(&mut self) -> Next {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Stop => return Next::Stop,
                Command::Optimise(reply) => {
                    let rows = self.optimise();
                    let _ = reply.try_send(rows.into_iter().flatten().collect());
                }
                Command::Restart(reply) => {
                    let reading = self.read();
                    let _ = reply.try_send(self.restart(&reading));
                }
            }
        }
        Next::GoOn
    }

    /// Reads what has to be read this time, and notes what came of earlier actions.
    fn look(&mut self) -> Reading {
        if let Some(nanos) = alarm::take_crossing() {
            let _ = self.reaction.record(nanos);
            lock(&self.shared.summary).reaction = times(&self.reaction);
        }
        if self.limit_read.elapsed() >= LIMIT_INTERVAL {
            self.read_limit();
        }
        let reading = self.read();
        lock(&self.shared.ledger).settle(self.uptime(), reading.held);
        reading
    }

    fn read(&mut self) -> Reading {
        let heap = heap();
        let resident = ProcessFigures::read(&self.settings.roots);
        if resident.is_err() && !self.resident_unreadable {
            self.report(EventKind::Fault(Fault::ResidentUnreadable));
        }
        self.resident_unreadable = resident.is_err();
        let held = Held {
            heap_bytes: heap.live_bytes(),
            resident_bytes: resident.map_or(0, |process| process.anonymous_bytes),
        };
        Reading {
            held,
            heap_high: heap.live_bytes_range().1,
            pressure: Pressure::new(held.heap_bytes, held.resident_bytes, self.limit.bytes),
        }
    }

    fn read_limit(&mut self) {
        self.limit_read = Instant::now();
        match self.limits.read() {
            Ok(limit) => {
                self.limit_unreadable = false;
                if limit != self.limit {
                    let from = std::mem::replace(&mut self.limit, limit);
                    *lock(&self.shared.limit) = limit;
                    self.report(EventKind::Limit { from, to: limit });
                }
            }
            Err(error) => {
                if !self.limit_unreadable {
                    tracing::warn!(%error, "the limit could not be read anew");
                    self.report(EventKind::Fault(Fault::LimitUnreadable));
                }
                self.limit_unreadable = true;
            }
        }
    }

    fn move_level(&mut self, reading: &Reading) {
        let from = self.level;
        let to = self.settings.levels.next(from, reading.pressure.value());
        if to == from {
            return;
        }
        self.level = to;
        self.shared.level.store(to as u8, Ordering::Relaxed);
        if to > from {
            lock(&self.shared.summary).levels_entered[to as usize] += 1;
            self.repeat_after = FIRST_REPEAT;
            self.repeat_at = Some(Instant::now());
        }
        if to == Level::Normal {
            self.repeat_at = None;
            self.withheld = None;
        }
        self.report(EventKind::Level {
            from,
            to,
            pressure: reading.pressure,
        });
    }

    /// Does what the level asks for as long as it lasts.
    fn keep_level(&mut self, reading: &Reading) {
        if !self.settings.act || self.level == Level::Normal {
            return;
        }
        let mut reading = *reading;
        if self.repeat_at.is_some_and(|due| Instant::now() >= due) {
            let rows = self.optimise();
            let after = self.read();
            self.back_off(&reading, &rows);
            reading = after;
        }
        // Judged after optimising: what a purge can cure is no reason to restart.
        let line = self.settings.levels.restart.enter;
        if self.level >= Level::Restart && reading.pressure.value() >= line {
            self.restart_if_allowed(&reading);
        }
    }

    fn back_off(&mut self, before: &Reading, rows: &[Option<LedgerRow>]) {
        let leave = self
            .settings
            .levels
            .threshold(self.level)
            .map_or(1.0, |line| line.leave);
        let most = before.held.heap_bytes.max(before.held.resident_bytes) as f64;
        let excess = most - leave * self.limit.bytes as f64;
        let given_back: u64 = rows.iter().flatten().map(|row| row.given_back_bytes).sum();
        if (given_back as f64) < WORTHWHILE * excess {
            self.repeat_after = (self.repeat_after * 2).min(LAST_REPEAT);
        } else {
            self.repeat_after = FIRST_REPEAT;
        }
        self.repeat_at = Some(Instant::now() + self.repeat_after);
    }

    /// Caches first: what they free is what the purge then gives back.
    fn optimise(&mut self) -> [Option<LedgerRow>; 2] {
        if !self.settings.act {
            return [None; 2];
        }
        let level = self.level.max(Level::Optimise);
        let mut panicked = false;
        let shrink = self.act(ActionKind::ShrinkCaches, |watch| {
            let asked = watch.shared.caches.shrink(level);
            panicked = asked.panicked;
            asked.caches > 0
        });
        if panicked {
            self.report(EventKind::Fault(Fault::CachePanicked));
        }
        let purge = self.act(ActionKind::PurgeArenas, |_| purge_arenas());
        let nanos = u64::try_from(purge.duration.as_nanos()).unwrap_or(u64::MAX);
        let _ = self.purge.record(nanos);
        lock(&self.shared.summary).purge = times(&self.purge);
        [Some(shrink), Some(purge)]
    }

    /// Carries out one action and enters it into the ledger.
    fn act(&mut self, action: ActionKind, run: impl FnOnce(&Watch) -> bool) -> LedgerRow {
        let before = self.read().held;
        let at = self.uptime();
        let start = Instant::now();
        let done = run(self);
        let duration = start.elapsed();
        let after = self.read().held;
        let given_back_bytes = match action {
            ActionKind::ShrinkCaches => before.heap_bytes.saturating_sub(after.heap_bytes),
            ActionKind::PurgeArenas => before.resident_bytes.saturating_sub(after.resident_bytes),
        };
        let row = LedgerRow {
            action,
            level: self.level,
            at,
            before,
            after,
            settled: None,
            given_back_bytes,
            duration,
            failed: !done,
        };
        lock(&self.shared.ledger).push(row);
        if done {
            let mut summary = lock(&self.shared.summary);
            summary.actions += 1;
            summary.given_back_bytes += given_back_bytes;
        }
        self.report(EventKind::Action(row));
        row
    }

    fn restart_if_allowed(&mut self, reading: &Reading) {
        if self.settings.policy.how.is_none() {
            return;
        }
        let withheld = judge(&self.settings.policy, self.state.rows(), unix_seconds())
            .and_then(|()| self.too_young());
        match withheld {
            Ok(()) => {
                self.restart(reading);
            }
            Err(why) => {
                let news = self
                    .withheld
                    .is_none_or(|last| discriminant(&last) != discriminant(&why));
                self.withheld = Some(why);
                if news {
                    lock(&self.shared.summary).restarts_withheld += 1;
                    self.report(EventKind::RestartWithheld(why));
                }
            }
        }
    }

    /// Where nothing remembers the last restart, this start may have been one.
    fn too_young(&self) -> Result<(), Withheld> {
        let uptime = self.uptime();
        if self.state.is_kept() || uptime >= self.settings.policy.cooldown {
            return Ok(());
        }
        Err(Withheld::Cooldown {
            remaining: self.settings.policy.cooldown - uptime,
        })
    }

    /// Restarts, or answers why that was not possible.
    fn restart(&mut self, reading: &Reading) -> RestartError {
        let Some(how) = self.settings.policy.how else {
            return RestartError::NotConfigured;
        };
        let summary = *lock(&self.shared.summary);
        let record = RestartRecord {
            at_unix_seconds: unix_seconds(),
            process_id: std::process::id(),
            how,
            level: self.level,
            signal: reading.pressure.deciding,
            heap_bytes: reading.held.heap_bytes,
            resident_bytes: reading.held.resident_bytes,
            limit_bytes: self.limit.bytes,
            uptime_seconds: self.uptime().as_secs(),
            actions: summary.actions,
            given_back_bytes: summary.given_back_bytes,
        };
        // Remembered before it is tried: a try that fails, or a process that dies in it, counts.
        if self.state.record(record).is_err() {
            self.report(EventKind::Fault(Fault::StateUnwritable));
            return RestartError::Failed;
        }
        self.report(EventKind::Restarting(record));
        let code = self.image.restart(how);
        lock(&self.shared.restarts).push(record);
        self.report(EventKind::Fault(Fault::ExecFailed(code)));
        RestartError::Failed
    }

    /// Has the next level's line noticed by the thread that crosses it, and answers for how long
    /// to sleep otherwise.
    fn arm_and_interval(&mut self, reading: &Reading) -> Duration {
        match self.settings.levels.next_line(self.level) {
            Some(line) => {
                let line = (line * self.limit.bytes as f64) as u64;
                total::arm(line.saturating_sub(reading.heap_high));
            }
            None => total::disarm(),
        }
        let near = NEAR * self.settings.levels.optimise.enter;
        let calm = self.level == Level::Normal && reading.pressure.value() < near;
        if calm && !lock(&self.shared.ledger).is_settling() {
            self.settings.interval
        } else {
            self.settings.interval.min(NEAR_INTERVAL)
        }
    }

    fn uptime(&self) -> Duration {
        self.settings.started.elapsed()
    }

    /// Says what happened: to the callbacks, the channel and the log.
    fn report(&mut self, kind: EventKind) {
        let event = self.events.send(self.uptime(), kind);
        log(&event);
        let mut panicked = false;
        for callback in &self.settings.callbacks {
            panicked |= catch_unwind(AssertUnwindSafe(|| callback(&event))).is_err();
        }
        // Not through here again: it might panic at that too.
        if panicked {
            let fault = EventKind::Fault(Fault::CallbackPanicked);
            log(&self.events.send(self.uptime(), fault));
        }
    }
}

/// Whether the thread goes on.
enum Next {
    GoOn,
    Stop,
}

impl Next {
    fn is_stop(&self) -> bool {
        matches!(self, Next::Stop)
    }
}

fn times(histogram: &Histogram<u64>) -> Times {
    Times {
        count: histogram.len(),
        p50: Duration::from_nanos(histogram.value_at_quantile(0.5)),
        p99: Duration::from_nanos(histogram.value_at_quantile(0.99)),
        max: Duration::from_nanos(histogram.max()),
    }
}

fn log(event: &Event) {
    match event.kind {
        EventKind::Started { limit } => {
            tracing::info!(limit_bytes = limit.bytes, source = %limit.source, "monitor started");
        }
        EventKind::Level { from, to, pressure } => {
            let (heap, resident) = (pressure.heap, pressure.resident);
            let deciding = pressure.deciding.as_str();
            if to > from {
                tracing::warn!(%from, %to, deciding, heap, resident, "memory level rises");
            } else {
                tracing::info!(%from, %to, deciding, heap, resident, "memory level falls");
            }
        }
        EventKind::Limit { from, to } => {
            tracing::info!(from = from.bytes, to = to.bytes, source = %to.source, "limit changed");
        }
        EventKind::Action(row) => tracing::info!(
            action = row.action.as_str(),
            level = %row.level,
            given_back_bytes = row.given_back_bytes,
            duration_us = row.duration.as_micros() as u64,
            failed = row.failed,
            "memory action"
        ),
        EventKind::RestartWithheld(why) => {
            tracing::warn!(%why, "a restart is due and withheld");
        }
        EventKind::Restarting(record) => tracing::warn!(
            level = %record.level,
            signal = %record.signal,
            heap_bytes = record.heap_bytes,
            resident_bytes = record.resident_bytes,
            limit_bytes = record.limit_bytes,
            "restarting"
        ),
        EventKind::Fault(fault) => tracing::error!(%fault, "memory monitor"),
    }
}
