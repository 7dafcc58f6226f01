//! The monitor's thread, named `plimsoll`: look, have it judged, pass the orders on, arm, sleep.
//!
//! ```text
//!            sight                orders                   jobs
//! figures ─────────► control ───────────────► watch ─────────────────► worker (acts)
//!    ▲                  ▲                       │  ▲                      │
//!    │                  └────── outcomes ───────│──│──────────────────────┤
//!    └── 50 ms to the interval ◄── arm, sleep ──┘  └ crossing, command,   │ events
//!                                                    early wake           ▼
//!                                               events ─────────────► announcer (log, callbacks, drain)
//! ```
//!
//! This thread neither acts nor calls back nor logs nor writes, so nothing that hangs or takes its time keeps
//! it from seeing. It works on what was made ready before it started: in a round without news it
//! reads two figures and allocates nothing, and neither does the path to a restart.

mod restart;

use self::restart::Failures;
use super::command::{Command, RestartError};
use super::control::{Control, Drilled, Mode, NEAR_INTERVAL, Orders, Past, Plan, Sight, Verdict};
use super::diagnosis::Parts;
use super::drill::Drill;
use super::event::{EventKind, Fault};
use super::latency::{Children, ShortSlices};
use super::leak::LeakWatch;
use super::ledger::Held;
use super::level::Level;
use super::lock::lock;
use super::owed::Owed;
use super::policy::Policy;
use super::restart::{Image, State, Withheld, unix_seconds};
use super::running::Running;
use super::shared::Shared;
use super::status::Times;
use super::worker::{Job, Outcome, Round};
use crate::allocator::{alarm, total};
use crate::figures::{Limit, LimitReader, ProcessFigures, Roots, Signal, heap};
use crate::trend::Subject;
use crossbeam_channel::{Receiver, Sender};
use hdrhistogram::Histogram;
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the limit is read anew: an operator who resizes a container waits this long at the
/// most.
const LIMIT_INTERVAL: Duration = Duration::from_secs(30);

/// So many may wait for one restart.
const MOST_ASKED: usize = 16;

pub(super) struct Settings {
    pub(super) plan: Plan,
    pub(super) mode: Mode,
    pub(super) drains: bool,
    pub(super) roots: Roots,
    /// What was wrong with the state file.
    pub(super) wrong_state: Option<Fault>,
}

/// The channels to the worker.
pub(super) struct Line {
    pub(super) jobs: Sender<Job>,
    pub(super) outcomes: Receiver<Outcome>,
}

pub(super) struct Watch {
    shared: Arc<Shared>,
    inbox: Receiver<Command>,
    worker: Line,
    limits: LimitReader,
    limit: Limit,
    limit_read: Instant,
    state: State,
    image: Image,
    /// Of this thread, once it runs.
    slices: Option<ShortSlices>,
    settings: Settings,
    control: Control,
    /// What the worker is still to be told, should its queue have been full.
    owed: Owed,
    /// Since when the worker is at a round that a level asked for.
    busy_since: Option<Duration>,
    /// Since then a round that is due finds no room in its line.
    full_since: Option<Duration>,
    drill: Option<(Drill, Duration)>,
    running: Running,
    leak: LeakWatch,
    /// When a leak reaches the lowest line.
    line_ahead: Option<Duration>,
    /// And the limit.
    limit_ahead: Option<Duration>,
    /// It rises and falls by itself.
    is_tidal: bool,
    /// Who asked for a restart and waits for what comes of it.
    asked: Vec<Sender<RestartError>>,
    failures: Failures,
    /// The reason for which a restart was last withheld, so that it is said once.
    withheld: Option<Withheld>,
    refused: u64,
    /// Faults that last are said once.
    limit_unreadable: bool,
    resident_unreadable: bool,
    reaction: Histogram<u64>,
}

/// What one look finds.
#[derive(Clone, Copy)]
struct Reading {
    held: Held,
    process: Option<ProcessFigures>,
    blocks: u64,
    /// The highest that the live heap can have been.
    heap_high: u64,
    /// The process total just before the heap was read: what has grown since is beyond that figure.
    total_before: i64,
    /// The inner allocator has refused memory since the look before.
    starved: bool,
}

impl Watch {
    pub(super) fn new(
        shared: Arc<Shared>,
        inbox: Receiver<Command>,
        worker: Line,
        limits: LimitReader,
        state: State,
        image: Image,
        settings: Settings,
    ) -> Watch {
        let limit = *lock(&shared.limit);
        let subject = match heap().allocations() {
            0 => Subject::Resident,
            _ => Subject::Heap,
        };
        let leak = LeakWatch::new(settings.plan.interval, subject);
        Watch {
            shared,
            inbox,
            worker,
            limits,
            limit,
            limit_read: Instant::now(),
            state,
            image,
            slices: None,
            running: Running::new(settings.plan.interval),
            control: Control::new(settings.plan),
            settings,
            owed: Owed::default(),
            busy_since: None,
            full_since: None,
            drill: None,
            leak,
            line_ahead: None,
            limit_ahead: None,
            is_tidal: false,
            asked: Vec::with_capacity(MOST_ASKED),
            failures: Failures::default(),
            withheld: None,
            refused: heap().failed_allocations(),
            limit_unreadable: false,
            resident_unreadable: false,
            reaction: Times::histogram(),
        }
    }

    pub(super) fn run(mut self) {
        self.slices = Some(ShortSlices::ask(Children::Inherit));
        self.report(EventKind::Started { limit: self.limit });
        if heap().allocations() == 0 {
            self.report(EventKind::Fault(Fault::NotInstalled));
        }
        if let Some(fault) = self.settings.wrong_state {
            self.report(EventKind::Fault(fault));
        }
        loop {
            if self.take_commands().is_stop() {
                return;
            }
            if !self.asked.is_empty() {
                self.restart_as_asked();
            }
            self.take_outcomes();
            if let Err(error) = self.state.settle() {
                self.report(EventKind::Fault(Fault::unwritable(&error)));
            }
            self.take_early_wake();
            let reading = self.look();
            let orders = self.judge(&reading);
            self.carry_out(&reading, &orders);
            self.judge_leak(&reading);
            self.note_parts(&reading);
            std::thread::park_timeout(self.arm(&reading, orders.interval));
        }
    }

    fn take_commands(&mut self) -> Next {
        if self.shared.is_ready.load(Ordering::Acquire) {
            self.control.ready();
        }
        while !self.shared.is_stopped()
            && let Ok(command) = self.inbox.try_recv()
        {
            match command {
                Command::Optimise(reply) => {
                    let round = Round {
                        level: self.control.level().max(Level::Optimise),
                        signal: Signal::Command,
                        actions: [true; 4],
                        excess: 0,
                        forced: true,
                        reply: Some(reply),
                    };
                    // When the worker hangs and the queue is full the reply is dropped, which the
                    // caller hears.
                    let _ = self.worker.jobs.try_send(Job::Optimise(round));
                }
                // Likewise.
                Command::Restart(reply) if self.asked.len() < MOST_ASKED => self.asked.push(reply),
                Command::Restart(_) => {}
                Command::Policy(policy, reply) => {
                    self.take_policy(policy);
                    let _ = reply.try_send(());
                }
                Command::Drill(drill) => {
                    self.drill = Some((drill, self.shared.uptime() + drill.duration()));
                    self.set_withheld(None);
                    self.report(EventKind::Drill(drill));
                }
            }
        }
        if self.shared.is_stopped() {
            Next::Stop
        } else {
            Next::GoOn
        }
    }

    fn take_policy(&mut self, policy: Policy) {
        self.state.keep_for(policy.budget_per_hour);
        self.control.set_policy(policy);
        self.set_withheld(None);
        *lock(&self.shared.policy) = policy;
        self.report(EventKind::Policy(policy));
    }

    fn take_outcomes(&mut self) {
        while let Ok(outcome) = self.worker.outcomes.try_recv() {
            let now = self.shared.uptime();
            if !outcome.forced {
                self.busy_since = None;
            }
            self.control
                .acted(now, outcome.began, outcome.excess, outcome.gave);
        }
    }

    fn take_early_wake(&mut self) {
        if let Some(source) = self.shared.early_wake.take() {
            lock(&self.shared.summary).early_wakes += 1;
            self.report(EventKind::EarlyWake(source));
        }
    }

    /// Reads what has to be read this time, and notes what came of earlier actions.
    fn look(&mut self) -> Reading {
        if let Some(nanos) = alarm::take_crossing() {
            let _ = self.reaction.record(nanos);
            lock(&self.shared.summary).reaction = Times::of(&self.reaction);
        }
        if self.limit_read.elapsed() >= LIMIT_INTERVAL {
            self.read_limit();
        }
        let reading = self.read();
        let uptime = self.shared.uptime();
        lock(&self.shared.ledger).settle(uptime, reading.held);
        lock(&self.shared.history).see(uptime, reading.held);
        reading
    }

    fn read(&mut self) -> Reading {
        self.running.see(self.shared.uptime());
        let total_before = total::now();
        let heap = heap();
        let process = ProcessFigures::read(&self.settings.roots).ok();
        if process.is_none() && !self.resident_unreadable {
            self.report(EventKind::Fault(Fault::ResidentUnreadable));
        }
        self.resident_unreadable = process.is_none();
        let refused = heap.failed_allocations();
        Reading {
            held: Held {
                heap_bytes: heap.live_bytes(),
                resident_bytes: process.map_or(0, |process| process.anonymous_bytes),
            },
            process,
            blocks: heap.live_blocks(),
            heap_high: heap.live_bytes_range().1,
            total_before,
            starved: std::mem::replace(&mut self.refused, refused) != refused,
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
            Err(_) => {
                if !self.limit_unreadable {
                    self.report(EventKind::Fault(Fault::LimitUnreadable));
                }
                self.limit_unreadable = true;
            }
        }
    }

    fn judge(&mut self, reading: &Reading) -> Orders {
        let now = self.shared.uptime();
        self.drill = self.drill.filter(|&(_, until)| now < until);
        let sight = Sight {
            now,
            ran: self.running.now(),
            held: reading.held,
            limit: self.limit.bytes,
            drill: self.drill.map(|(drill, _)| Drilled {
                pressure: drill.pressure(),
                restarts: drill.restarts(),
            }),
            busy_since: self.busy_since.or(self.full_since),
            line_ahead: self.line_ahead,
            limit_ahead: self.limit_ahead,
            is_tidal: self.is_tidal,
        };
        let past = Past {
            restarts: self.state.restarts(),
            baseline_bytes: self.state.baseline_bytes(),
            is_kept: self.state.is_kept(),
            unix_seconds: unix_seconds(),
            uptime: now,
        };
        let orders = self.control.see(&sight, &past);
        // A cast clamps.
        let thousandths = (1000.0 * orders.pressure.value()) as u32;
        self.shared.pressure.store(thousandths, Ordering::Relaxed);
        let is_drilled = orders.pressure.deciding == Signal::Drill;
        let drilled = if is_drilled { thousandths } else { 0 };
        self.shared.drilled.store(drilled, Ordering::Relaxed);
        orders
    }

    /// After what is urgent: it takes up to a millisecond.
    fn judge_leak(&mut self, reading: &Reading) {
        if self.resident_unreadable && self.leak.is_of_resident() {
            return;
        }
        let limit = self.limit.bytes;
        let seen = self
            .leak
            .see(&self.running, reading.held, reading.blocks, limit);
        let Some(verdict) = seen else {
            return;
        };
        let line = self.control.policy().levels.optimise.enter * limit as f64;
        self.line_ahead = LeakWatch::reaches(&verdict, reading.held, line);
        self.limit_ahead = self.leak.reaches_limit(&verdict);
        self.is_tidal = LeakWatch::is_tidal(&verdict);
        *lock(&self.shared.leak) = verdict;
        if let Some(news) = self.leak.news(&verdict) {
            self.report(EventKind::Leak(news));
        }
    }

    /// Once a second at the most: it renews jemalloc's statistics.
    fn note_parts(&self, reading: &Reading) {
        let now = self.shared.uptime();
        let Some(process) = &reading.process else {
            return;
        };
        if lock(&self.shared.timeline).is_due(now) {
            let parts = Parts::of(process);
            lock(&self.shared.timeline).see(now, parts);
        }
    }

    fn carry_out(&mut self, reading: &Reading, orders: &Orders) {
        if let Some((from, to)) = orders.level {
            self.enter(from, to, orders);
        }
        if let Some(bytes) = orders.started
            && self.control.policy().how.is_some()
            && let Err(error) = self.state.started(bytes)
        {
            self.report(EventKind::Fault(Fault::unwritable(&error)));
        }
        if self.settings.mode == Mode::Observe {
            return;
        }
        if let Some(tight) = orders.decay {
            self.owed.decay(tight);
        }
        if let Some(on) = orders.shedding {
            // At once, whatever the worker is at; its row follows.
            if self.settings.mode == Mode::Act {
                self.shared.shed(on);
            }
            self.report(EventKind::Shedding(on));
            self.owed.shedding(on);
        }
        self.owed.hand_to(&self.worker.jobs);
        if orders.actions.contains(&true) && self.busy_since.is_none() {
            let round = Round {
                level: self.control.level(),
                signal: orders.pressure.deciding,
                actions: orders.actions,
                excess: orders.excess,
                forced: false,
                reply: None,
            };
            let now = self.shared.uptime();
            if self.worker.jobs.try_send(Job::Optimise(round)).is_ok() {
                (self.busy_since, self.full_since) = (Some(now), None);
            } else {
                self.full_since.get_or_insert(now);
            }
        } else {
            self.full_since = None;
        }
        self.decide_restart(reading, orders);
    }

    fn enter(&mut self, from: Level, to: Level, orders: &Orders) {
        self.shared.level.store(to as u8, Ordering::Relaxed);
        if to > from {
            lock(&self.shared.summary).levels_entered[to as usize] += 1;
        }
        if to == Level::Normal {
            self.set_withheld(None);
        }
        self.report(EventKind::Level {
            from,
            to,
            pressure: orders.pressure,
        });
        // Otherwise the round of actions that follows begins with one.
        if self.settings.mode == Mode::Observe && to > from {
            let _ = self.worker.jobs.try_send(Job::Diagnose);
        }
        self.owed.caps(orders.lift_caps.then_some(to));
    }

    fn decide_restart(&mut self, reading: &Reading, orders: &Orders) {
        match orders.restart {
            Verdict::NotDue => {
                // Below the line there is nothing to withhold.
                let line = self.control.policy().levels.restart.enter;
                if orders.pressure.value() < line {
                    self.set_withheld(None);
                }
            }
            Verdict::Due { .. } if self.settings.mode == Mode::DryRun => {
                self.withhold(Withheld::DryRun);
            }
            Verdict::Due { left } => {
                if self.shared.is_ending() {
                    self.withhold(Withheld::Ending);
                } else if let Some(remaining) = self.failures.remaining(self.shared.uptime()) {
                    self.withhold(Withheld::Failed { remaining });
                } else {
                    self.restart(reading, orders.pressure, left);
                }
            }
            Verdict::Withheld(why) => self.withhold(why),
        }
    }

    fn withhold(&mut self, why: Withheld) {
        let news = self
            .withheld
            .is_none_or(|last| discriminant(&last) != discriminant(&why));
        self.set_withheld(Some(why));
        if news {
            self.tell_withheld(why);
        }
    }

    fn tell_withheld(&self, why: Withheld) {
        lock(&self.shared.summary).restarts_withheld += 1;
        self.report(EventKind::RestartWithheld(why));
    }

    fn set_withheld(&mut self, why: Option<Withheld>) {
        if std::mem::replace(&mut self.withheld, why) != why {
            *lock(&self.shared.withheld) = why;
        }
    }

    /// Has the next level's line noticed by the thread that crosses it, and answers for how long
    /// to sleep otherwise.
    fn arm(&mut self, reading: &Reading, interval: Duration) -> Duration {
        match self.control.policy().levels.next_line(self.control.level()) {
            Some(line) => {
                let line = (line * self.limit.bytes as f64) as u64;
                total::arm(reading.total_before, line.saturating_sub(reading.heap_high));
            }
            None => total::disarm(),
        }
        if lock(&self.shared.ledger).is_settling() || self.drill.is_some() {
            interval.min(NEAR_INTERVAL)
        } else {
            interval
        }
    }

    fn report(&self, kind: EventKind) {
        self.shared.bus.send(kind);
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
