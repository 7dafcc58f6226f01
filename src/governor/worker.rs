//! The thread that acts, named `plimsoll-act`: so that the monitor goes on seeing while a purge
//! takes its time or a cache hangs.

use super::actions::{
    Decay, at_park, flush_thread_caches, purge_arenas, system_heap_free, trim_system_heap,
};
use super::command::Rows;
use super::diagnosis::Diagnosis;
use super::event::{EventKind, Fault};
use super::ledger::{ActionKind, Held, LedgerRow, Skipped};
use super::level::Level;
use super::lock::lock;
use super::shared::Shared;
use super::status::Times;
use crate::figures::{ProcessFigures, Roots, Signal, heap};
use crossbeam_channel::{Receiver, Sender};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What can give back less than this is not worth a system call.
const LEAST: u64 = 256 * 1024;

/// What the monitor's thread asks for.
pub(super) enum Job {
    Optimise(Round),
    /// Caches may hold what this level allows.
    Caps(Level),
    TightenDecay(bool),
    Shed(bool),
    Diagnose,
}

/// One round of optimising.
pub(super) struct Round {
    pub(super) level: Level,
    pub(super) signal: Signal,
    /// By their places in [`ActionKind::OPTIMISING`].
    pub(super) actions: [bool; 4],
    /// Down to here is enough.
    pub(super) excess: u64,
    /// Whatever the figures say.
    pub(super) forced: bool,
    pub(super) reply: Option<Sender<Rows>>,
}

/// What came of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) began: Duration,
    pub(super) excess: u64,
    /// What each action gave back, if it was due.
    pub(super) gave: [Option<u64>; 4],
    /// Asked for by a handle, and not by the level.
    pub(super) forced: bool,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    outcomes: Sender<Outcome>,
    monitor: Thread,
    roots: Roots,
    dry: bool,
    decay: Decay,
    level: Level,
    signal: Signal,
    /// The longest slice of the action at hand, if it has any.
    slice: Option<Duration>,
    purge: Histogram<u64>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        jobs: Receiver<Job>,
        outcomes: Sender<Outcome>,
        monitor: Thread,
        roots: Roots,
        dry: bool,
    ) -> Worker {
        Worker {
            shared,
            jobs,
            outcomes,
            monitor,
            roots,
            dry,
            decay: Decay::new(),
            level: Level::Normal,
            signal: Signal::Heap,
            slice: None,
            purge: Times::histogram(),
        }
    }

    pub(super) fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            match job {
                Job::Optimise(round) => self.optimise(round),
                Job::Caps(level) => self.lift(level),
                Job::TightenDecay(true) => {
                    self.act(ActionKind::TightenDecay, |worker| worker.decay.tighten());
                }
                Job::TightenDecay(false) => {
                    self.act(ActionKind::RestoreDecay, |worker| worker.decay.restore());
                }
                // The monitor has set the flag already, whatever this thread was at.
                Job::Shed(true) => {
                    self.act(ActionKind::ShedLoad, |_| true);
                }
                Job::Shed(false) => {
                    self.act(ActionKind::TakeLoad, |_| true);
                }
                Job::Diagnose => self.say(self.diagnose()),
            }
        }
        // As it was found.
        self.decay.restore();
        at_park(false);
        if self.level > Level::Normal && !self.dry {
            self.shared.caches.shrink(Level::Normal);
        }
    }

    fn optimise(&mut self, round: Round) {
        let began = self.shared.uptime();
        self.level = round.level;
        self.signal = round.signal;
        at_park(!self.dry && round.level > Level::Normal);
        let found = self.diagnose();
        self.say(found);
        let mut rows = [None; 4];
        for (place, &action) in ActionKind::OPTIMISING.iter().enumerate() {
            if round.actions[place] {
                rows[place] = Some(self.optimise_by(action, &round, found.as_ref()));
            }
        }
        let outcome = Outcome {
            began,
            excess: round.excess,
            gave: rows.map(|row: Option<LedgerRow>| row.map(|row| row.given_back_bytes)),
            forced: round.forced,
        };
        if round.forced {
            // What was freed is free, but no level asks for the caps to stay.
            self.lift(Level::from_u8(self.shared.level.load(Ordering::Relaxed)));
        }
        // The monitor takes outcomes at every look, and one round is asked for at a time.
        let _ = self.outcomes.try_send(outcome);
        self.monitor.unpark();
        if let Some(reply) = round.reply {
            let _ = reply.try_send(rows);
        }
    }

    fn optimise_by(
        &mut self,
        action: ActionKind,
        round: &Round,
        found: Option<&Diagnosis>,
    ) -> LedgerRow {
        // Earlier actions free what later ones give back, so these are looked at again.
        let promises = match (action, found) {
            (ActionKind::FlushThreadCaches, Some(found)) => found.thread_cache_bytes,
            (ActionKind::TrimSystemHeap, Some(_)) => system_heap_free(),
            (ActionKind::PurgeArenas, Some(_)) => self.diagnose().map_or(0, |now| now.dirty_bytes),
            _ => u64::MAX,
        };
        if promises < LEAST && !round.forced {
            return self.skip(action, Skipped::NothingToGain);
        }
        match action {
            ActionKind::ShrinkCaches => self.shrink(round.level),
            ActionKind::FlushThreadCaches => self.act(action, |_| flush_thread_caches()),
            ActionKind::TrimSystemHeap => self.act(action, |_| trim_system_heap()),
            _ => self.purge(round),
        }
    }

    fn shrink(&mut self, level: Level) -> LedgerRow {
        let mut panicked = false;
        let row = self.act(ActionKind::ShrinkCaches, |worker| {
            let asked = worker.shared.caches.shrink(level.max(Level::Optimise));
            panicked = asked.panicked;
            asked.caches > 0
        });
        if panicked {
            self.shared.bus.send(EventKind::Fault(Fault::CachePanicked));
        }
        row
    }

    /// Caches may grow again up to what this level allows.
    fn lift(&mut self, level: Level) {
        self.level = level;
        if level == Level::Normal {
            at_park(false);
        }
        if !self.dry && self.shared.caches.shrink(level).panicked {
            self.shared.bus.send(EventKind::Fault(Fault::CachePanicked));
        }
    }

    fn purge(&mut self, round: &Round) -> LedgerRow {
        let before = self.held().resident_bytes;
        let enough = before.saturating_sub(round.excess);
        let forced = round.forced || round.excess == 0;
        let row = self.act(ActionKind::PurgeArenas, |worker| {
            worker.slice = purge_arenas(|| !forced && worker.held().resident_bytes <= enough);
            worker.slice.is_some()
        });
        if row.skipped.is_none() {
            let nanos = u64::try_from(row.duration.as_nanos()).unwrap_or(u64::MAX);
            let _ = self.purge.record(nanos);
            lock(&self.shared.summary).purge = Times::of(&self.purge);
        }
        row
    }

    /// Carries out one action, unless this is a dry run, and enters it into the ledger.
    fn act(&mut self, action: ActionKind, run: impl FnOnce(&mut Worker) -> bool) -> LedgerRow {
        if self.dry {
            return self.skip(action, Skipped::DryRun);
        }
        let caches_before = self.thread_caches(action);
        let before = self.held();
        let at = self.shared.uptime();
        let start = Instant::now();
        self.slice = None;
        let done = run(self);
        let duration = start.elapsed();
        let after = self.held();
        let given_back_bytes = match action {
            ActionKind::ShrinkCaches => before.heap_bytes.saturating_sub(after.heap_bytes),
            ActionKind::FlushThreadCaches => {
                caches_before.saturating_sub(self.thread_caches(action))
            }
            _ => before.resident_bytes.saturating_sub(after.resident_bytes),
        };
        let row = LedgerRow {
            at,
            before,
            after,
            given_back_bytes,
            duration,
            longest_slice: self.slice.unwrap_or(duration),
            skipped: (!done).then_some(Skipped::NotPossible),
            ..self.row(action)
        };
        self.enter(row);
        if done {
            let mut summary = lock(&self.shared.summary);
            summary.actions += 1;
            summary.given_back_bytes += given_back_bytes;
            let own = &mut summary.by_action[action as usize];
            own.count += 1;
            own.given_back_bytes += given_back_bytes;
        }
        row
    }

    fn skip(&self, action: ActionKind, why: Skipped) -> LedgerRow {
        let row = LedgerRow {
            skipped: Some(why),
            ..self.row(action)
        };
        self.enter(row);
        row
    }

    fn row(&self, action: ActionKind) -> LedgerRow {
        let held = self.held();
        LedgerRow {
            action,
            level: self.level,
            signal: self.signal,
            at: self.shared.uptime(),
            before: held,
            after: held,
            settled: None,
            given_back_bytes: 0,
            duration: Duration::ZERO,
            longest_slice: Duration::ZERO,
            skipped: None,
        }
    }

    fn enter(&self, row: LedgerRow) {
        lock(&self.shared.ledger).push(row);
        self.shared.bus.send(EventKind::Action(row));
    }

    fn held(&self) -> Held {
        let resident = ProcessFigures::read(&self.roots);
        Held {
            heap_bytes: heap().live_bytes(),
            resident_bytes: resident.map_or(0, |process| process.anonymous_bytes),
        }
    }

    fn thread_caches(&self, action: ActionKind) -> u64 {
        if action != ActionKind::FlushThreadCaches {
            return 0;
        }
        self.diagnose().map_or(0, |found| found.thread_cache_bytes)
    }

    fn diagnose(&self) -> Option<Diagnosis> {
        let process = ProcessFigures::read(&self.roots).ok()?;
        Some(Diagnosis::new(&process, self.shared.caches.bytes()))
    }

    fn say(&self, found: Option<Diagnosis>) {
        if let Some(found) = found {
            *lock(&self.shared.diagnosis) = Some(found);
            self.shared.bus.send(EventKind::Diagnosis(found));
        }
    }
}
