//! The program's handle on its monitor.

use super::actions::{Caches, Shrink, weak};
use super::config::{MonitorBuilder, StartError};
use super::event::Event;
use super::ledger::{Ledger, LedgerRow};
use super::level::{Level, Levels};
use super::options::{self, EffectiveOption};
use super::restart::{Image, RestartRecord, State};
use super::status::{ProcessStatus, Status, Summary};
use super::watch::Watch;
use crate::allocator::{alarm, local, total};
use crate::figures::{self, Limit, LimitReader, Pressure, ProcessFigures, Roots};
use crossbeam_channel::{Receiver, Sender};
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A running monitor: one background thread that watches heap, resident memory and limit, and acts.
///
/// There is one at most in a process, because there is one line. Dropping the handle stops it.
/// In the child of a fork there is none: the child's copy of the handle answers figures, refuses
/// commands, and does not keep a new one from being started.
pub struct Monitor {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
    roots: Roots,
    levels: Levels,
    options: Vec<EffectiveOption>,
    started: Instant,
    /// [`local::forks`] when it started.
    home: u64,
}

/// What the thread and the handles both reach.
pub(super) struct Shared {
    pub(super) level: AtomicU8,
    /// Behind a lock that is held for a copy of two words.
    pub(super) limit: Mutex<Limit>,
    pub(super) caches: Caches,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) summary: Mutex<Summary>,
    pub(super) restarts: Mutex<Vec<RestartRecord>>,
}

/// A lock whose holder panicked still holds whole values: they are replaced, never half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a handle asks of the thread.
pub(super) enum Command {
    Optimise(Sender<Vec<LedgerRow>>),
    Restart(Sender<RestartError>),
    Stop,
}

/// Which process of a line of forks has a monitor: [`local::forks`] plus one, or 0.
static RUNNING_IN: AtomicU64 = AtomicU64::new(0);

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The monitor has stopped, or belongs to the process that this one was forked from.
    NotRunning,
    /// It was started to observe only.
    ObserveOnly,
    /// A callback asked, on the monitor's own thread, which cannot wait for itself.
    OnItsOwnThread,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NotRunning => "the monitor does not run in this process",
            CommandError::ObserveOnly => "the monitor was started to observe only",
            CommandError::OnItsOwnThread => {
                "a callback cannot wait for the monitor: expected another thread"
            }
        })
    }
}

impl std::error::Error for CommandError {}

/// Why a restart that was asked for did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartError {
    /// The monitor does not take the command.
    Command(CommandError),
    /// No way to restart was set.
    NotConfigured,
    /// It was tried, and the fault that stopped it was reported as an event.
    Failed,
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestartError::Command(error) => error.fmt(f),
            RestartError::NotConfigured => {
                f.write_str("no way to restart is set: expected `restart(…)` on the builder")
            }
            RestartError::Failed => f.write_str("the restart was tried and failed"),
        }
    }
}

impl std::error::Error for RestartError {}

impl Monitor {
    /// Settings for a monitor, at their defaults.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    pub(super) fn start(builder: MonitorBuilder) -> Result<Monitor, StartError> {
        let faults = builder.faults();
        if !faults.is_empty() {
            return Err(StartError::Config(faults));
        }
        let home = local::forks();
        let claim = Claim::take(home)?;

        let mut limits =
            LimitReader::new(builder.roots.clone(), builder.limit).map_err(StartError::Figures)?;
        let limit = limits.read().map_err(StartError::Figures)?;
        ProcessFigures::read(&builder.roots).map_err(StartError::Figures)?;
        let (state, set_aside) = State::open(builder.state_file).map_err(StartError::State)?;
        if let Some(error) = &set_aside {
            tracing::warn!(%error, "the state file was damaged and is set aside");
        }
        let image = Image::prepare().map_err(StartError::Image)?;
        let options = options::apply(&builder.jemalloc);

        let mut restarts = Vec::with_capacity(state.rows().len());
        restarts.extend_from_slice(state.rows());
        let shared = Arc::new(Shared {
            level: AtomicU8::new(Level::Normal as u8),
            limit: Mutex::new(limit),
            caches: Caches::default(),
            ledger: Mutex::new(Ledger::new()),
            summary: Mutex::new(Summary::default()),
            restarts: Mutex::new(restarts),
        });
        for cache in builder.caches {
            shared.caches.add(cache);
        }
        let (commands, inbox) = crossbeam_channel::bounded(16);
        let started = Instant::now();
        let watch = Watch::new(
            Arc::clone(&shared),
            inbox,
            limits,
            state,
            image,
            super::watch::Settings {
                levels: builder.levels,
                interval: builder.interval,
                act: builder.act,
                policy: builder.policy,
                callbacks: builder.callbacks,
                roots: builder.roots.clone(),
                started,
                set_aside: set_aside.is_some(),
            },
        );
        let events = watch.events();
        let thread = std::thread::Builder::new()
            .name("plimsoll".to_owned())
            .spawn(move || watch.run())
            .map_err(StartError::Thread)?;
        if alarm::install(thread.thread().clone()).is_err() {
            let _ = commands.send(Command::Stop);
            thread.thread().unpark();
            let _ = thread.join();
            return Err(StartError::AlreadyRunning);
        }
        // The thread may have armed the line and looked away before it could be woken by it.
        thread.thread().unpark();
        claim.keep();
        Ok(Monitor {
            shared,
            commands,
            events,
            thread: Some(thread),
            roots: builder.roots,
            levels: builder.levels,
            options,
            started,
            home,
        })
    }

    /// The state of the program now. Reads jemalloc's statistics and a file of `/proc`: some tens
    /// of microseconds.
    pub fn status(&self) -> Status {
        let heap = figures::heap();
        let process = ProcessFigures::read(&self.roots).ok();
        let limit = *lock(&self.shared.limit);
        let resident = process
            .as_ref()
            .map_or(0, |process| process.anonymous_bytes);
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
            utilization: Pressure::new(heap.live_bytes(), resident, limit.bytes),
            level: self.level(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    /// The level that the monitor is at. One load: cheap enough for every request.
    pub fn level(&self) -> Level {
        Level::from_u8(self.shared.level.load(Ordering::Relaxed))
    }

    /// The lines.
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// The limit, as last read.
    pub fn limit(&self) -> Limit {
        *lock(&self.shared.limit)
    }

    /// The events. All receivers share one queue: an event goes to one of them.
    pub fn events(&self) -> Receiver<Event> {
        self.events.clone()
    }

    /// What was seen and done since the start.
    pub fn summary(&self) -> Summary {
        *lock(&self.shared.summary)
    }

    /// The last actions, from the oldest.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        // Memory before the lock: the monitor does not wait for it.
        let mut rows = Vec::with_capacity(Ledger::CAPACITY);
        lock(&self.shared.ledger).copy_into(&mut rows);
        rows
    }

    /// The restarts that are remembered, from the oldest.
    pub fn restarts(&self) -> Vec<RestartRecord> {
        lock(&self.shared.restarts).clone()
    }

    /// jemalloc's options as wanted and as they were after the start.
    pub fn jemalloc_options(&self) -> &[EffectiveOption] {
        &self.options
    }

    /// Registers a cache, weakly: it is asked to shrink from now on, for as long as it lives.
    pub fn register<C: Shrink + 'static>(&self, cache: &Arc<C>) {
        self.shared.caches.add(weak(cache));
    }

    /// Carries out the optimising actions now, whatever the level, and answers their rows.
    ///
    /// # Errors
    ///
    /// When the monitor does not run here or only observes.
    pub fn optimise(&self) -> Result<Vec<LedgerRow>, CommandError> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command_and_wait(Command::Optimise(reply))?;
        match answer.recv() {
            Ok(rows) if rows.is_empty() => Err(CommandError::ObserveOnly),
            Ok(rows) => Ok(rows),
            Err(_) => Err(CommandError::NotRunning),
        }
    }

    /// Restarts now, whatever the level, the cooldown and the budget. Comes back only when it
    /// cannot.
    pub fn restart(&self) -> RestartError {
        let (reply, answer) = crossbeam_channel::bounded(1);
        if let Err(error) = self.command_and_wait(Command::Restart(reply)) {
            return RestartError::Command(error);
        }
        answer
            .recv()
            .unwrap_or(RestartError::Command(CommandError::NotRunning))
    }

    /// Stops the monitor and waits for its thread to end.
    pub fn stop(self) {
        drop(self);
    }

    fn is_home(&self) -> bool {
        self.home == local::forks()
    }

    /// A command whose answer the caller waits for.
    fn command_and_wait(&self, command: Command) -> Result<(), CommandError> {
        let own = std::thread::current().id();
        if self
            .thread
            .as_ref()
            .is_some_and(|thread| thread.thread().id() == own)
        {
            return Err(CommandError::OnItsOwnThread);
        }
        self.command(command)
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        let thread = self.thread.as_ref().filter(|_| self.is_home());
        let thread = thread.ok_or(CommandError::NotRunning)?;
        self.commands
            .send(command)
            .map_err(|_| CommandError::NotRunning)?;
        thread.thread().unpark();
        Ok(())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let stopped = self.command(Command::Stop).is_ok();
        let Some(thread) = self.thread.take() else {
            return;
        };
        if !self.is_home() {
            // The thread is the parent's: there is nothing to join here.
            std::mem::forget(thread);
            return;
        }
        alarm::uninstall();
        // A callback may drop the handle: the thread cannot wait for itself.
        if stopped && thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
        // After its last round, which arms the line.
        total::disarm();
        RUNNING_IN.store(0, Ordering::Release);
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("level", &self.level())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}

/// The right to be this process's monitor, given up unless kept.
struct Claim {
    kept: bool,
}

impl Claim {
    fn take(home: u64) -> Result<Claim, StartError> {
        let mut running = RUNNING_IN.load(Ordering::Acquire);
        loop {
            if running == home + 1 {
                return Err(StartError::AlreadyRunning);
            }
            // Free, or claimed by a process that this one was forked from.
            match RUNNING_IN.compare_exchange(
                running,
                home + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(Claim { kept: false }),
                Err(now) => running = now,
            }
        }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            RUNNING_IN.store(0, Ordering::Release);
        }
    }
}
