//! The program's handle on its monitor.

use super::actions::{Caches, Shrink, weak};
use super::announce::Announcer;
use super::claim::{self, Claim};
use super::command::{Command, CommandError, RestartError};
use super::config::MonitorBuilder;
use super::control::{Mode, Plan};
use super::diagnosis::Diagnosis;
use super::drill::Drill;
use super::error::StartError;
use super::event::{Bus, EarlyWake, EventReader, Fault};
use super::history::{History, Sample};
use super::ledger::{Ledger, LedgerRow};
use super::level::{Level, Levels};
use super::lock::lock;
use super::options::{self, EffectiveOption};
use super::restart::{Image, Listeners, Notifier, RestartRecord, State};
use super::shared::{Shared, join};
use super::status::{ProcessStatus, Status, Summary};
use super::wake::Wake;
use super::watch::{Line, Settings, Watch};
use super::worker::Worker;
use crate::allocator::{alarm, local, total};
use crate::figures::{self, Limit, LimitReader, Pressure, ProcessFigures, Roots};
use crate::trend::Verdict;
use crossbeam_channel::Sender;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running monitor: background threads that watch heap, resident memory and limit, and act.
///
/// There is one at most in a process, because there is one line. Dropping the handle stops it.
/// In the child of a fork there is none: the child's copy of the handle answers figures, refuses
/// commands, and does not keep a new one from being started.
pub struct Monitor {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    threads: Threads,
    roots: Roots,
    levels: Levels,
    mode: Mode,
    options: Vec<EffectiveOption>,
    /// [`local::forks`] when it started.
    home: u64,
}

/// The monitor's threads, as far as they have been started.
#[derive(Default)]
struct Threads {
    watch: Option<JoinHandle<()>>,
    worker: Option<JoinHandle<()>>,
    announcer: Option<JoinHandle<()>>,
    wake: Option<Wake>,
    is_rung: bool,
}

impl Monitor {
    /// Settings as TotHub's memory overhaul had them for its childcare service: a look every 30 s, a
    /// restart judged every minute, lines at 75, 80 and 90 %, a restart at the line whether or not
    /// anything grows, five minutes of cooldown, 100 samples of history. The crossing of a line is
    /// noticed at once all the same. How to restart is left to be said.
    pub fn tothub() -> MonitorBuilder {
        MonitorBuilder::default()
            .interval(Duration::from_secs(30))
            .restart_check_interval(Duration::from_secs(60))
            .restart_horizon(Duration::MAX)
            .cooldown(Duration::from_secs(5 * 60))
            .history(100)
    }

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
        let budget = builder.policy.budget_per_hour;
        let (state, set_aside) =
            State::open(builder.state_file, budget).map_err(StartError::State)?;
        let wrong_state = set_aside.map(|error| {
            if state.is_writable() {
                tracing::warn!(%error, "the state file cannot be believed and is set aside");
                Fault::StateSetAside
            } else {
                tracing::warn!(%error, "the state file's place is taken: no restart without it");
                Fault::StateUnwritable
            }
        });
        let image = Image::prepare().map_err(StartError::Image)?;
        let sources = if builder.early_wakes {
            super::wake::sources(&builder.roots)?
        } else {
            Vec::new()
        };
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            tracing::warn!(error, "the service manager cannot be told");
            Notifier::silent()
        });
        let options = options::apply(&builder.jemalloc);

        let mut restarts = Vec::with_capacity(state.restarts().len() + 1);
        restarts.extend_from_slice(state.restarts());
        let started = Instant::now();
        let shared = Arc::new(Shared {
            started,
            level: AtomicU8::new(Level::Normal as u8),
            bus: Bus::new(started),
            limit: Mutex::new(limit),
            caches: Caches::default(),
            ledger: Mutex::new(Ledger::new()),
            summary: Mutex::new(Summary::default()),
            history: Mutex::new(History::new(builder.history, builder.interval)),
            leak: Mutex::new(Verdict::default()),
            diagnosis: Mutex::new(None),
            restarts: Mutex::new(restarts),
            listeners: Mutex::new(Listeners::new()),
            notifier: Mutex::new(notifier),
            draining: Arc::default(),
            early_wake: EarlyWake::default(),
            is_ready: AtomicBool::new(false),
            draining_now: AtomicBool::new(false),
            shedding: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        });
        for cache in builder.caches {
            shared.caches.add(cache);
        }
        let (commands, inbox) = crossbeam_channel::bounded(16);
        let (jobs, queue) = crossbeam_channel::bounded(16);
        let (outcomes, results) = crossbeam_channel::bounded(16);
        let announcer = Announcer {
            shared: Arc::clone(&shared),
            events: shared.bus.subscribe(),
            callbacks: builder.callbacks,
            drain: builder.drain,
        };
        let watch = Watch::new(
            Arc::clone(&shared),
            inbox,
            Line {
                jobs: jobs.clone(),
                outcomes: results,
            },
            limits,
            state,
            image,
            Settings {
                plan: Plan {
                    levels: builder.levels,
                    interval: builder.interval,
                    policy: builder.policy,
                    // As random as a hasher's keys.
                    seed: std::hash::RandomState::new().hash_one(std::process::id()),
                },
                mode: builder.mode,
                drains: announcer.drain.is_some(),
                roots: builder.roots.clone(),
                wrong_state,
            },
        );
        let dry = builder.mode == Mode::DryRun;
        // From here on its end is what gives the claim up, and stops what has been started.
        claim.keep();
        let mut monitor = Monitor {
            shared: Arc::clone(&shared),
            commands,
            threads: Threads::default(),
            roots: builder.roots.clone(),
            levels: builder.levels,
            mode: builder.mode,
            options,
            home,
        };
        let threads = &mut monitor.threads;
        threads.announcer = Some(spawn("plimsoll-call", move || announcer.run())?);
        let watch = spawn("plimsoll", move || watch.run())?;
        let handle = watch.thread().clone();
        threads.watch = Some(watch);
        let worker = Worker::new(
            Arc::clone(&shared),
            queue,
            outcomes,
            handle.clone(),
            builder.roots,
            dry,
        );
        threads.worker = Some(spawn("plimsoll-act", move || worker.run())?);
        if !sources.is_empty() {
            let wake = Wake::start(sources, shared, handle.clone());
            threads.wake = Some(wake.map_err(StartError::Thread)?);
        }
        alarm::install(handle.clone()).map_err(|_| StartError::AlreadyRunning)?;
        threads.is_rung = true;
        // The thread may have armed the line and looked away before it could be woken by it.
        handle.unpark();
        Ok(monitor)
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
            uptime_seconds: self.shared.uptime().as_secs_f64(),
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

    /// A reader of the last events, up to 256, and of all to come. Every reader gets every event.
    pub fn events(&self) -> EventReader {
        self.shared.bus.subscribe()
    }

    /// Whether new work is better refused: memory is critical, or a restart is due and the budget
    /// is spent. One load: cheap enough for every request.
    pub fn is_shedding(&self) -> bool {
        self.shared.shedding.load(Ordering::Acquire)
    }

    /// Whether a restart has begun and waits for what is under way. One load.
    pub fn is_draining(&self) -> bool {
        self.shared.draining_now.load(Ordering::Acquire)
    }

    /// Where the memory was at the last look: at the entry into a level, and before each round of
    /// actions. `None` until then.
    pub fn last_diagnosis(&self) -> Option<Diagnosis> {
        *lock(&self.shared.diagnosis)
    }

    /// Where the memory is now, and what can help; `None` when resident memory cannot be read.
    /// Renews jemalloc's statistics: some tens of microseconds.
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        let process = ProcessFigures::read(&self.roots).ok()?;
        Some(Diagnosis::new(&process, self.shared.caches.bytes()))
    }

    /// The last samples at the monitor's interval, from the oldest.
    pub fn history(&self) -> Vec<Sample> {
        let capacity = lock(&self.shared.history).capacity();
        // Memory before the lock: the monitor does not wait for it.
        let mut samples = Vec::with_capacity(capacity);
        samples.extend(lock(&self.shared.history).samples());
        samples
    }

    /// Whether the program leaks, how fast, how surely, and how long there is left: of the live heap
    /// where it is counted, of anonymous resident memory where not. Made with the last sample.
    pub fn leak_verdict(&self) -> Verdict {
        *lock(&self.shared.leak)
    }

    /// Says that the program has started: what it holds now is what a restart would bring it back
    /// to. Told to the service manager as `READY=1`, if there is one. Without it the start is over
    /// when the figure has been flat for 5 seconds, or after a minute.
    pub fn ready(&self) {
        self.shared.is_ready.store(true, Ordering::Release);
        lock(&self.shared.notifier).ready();
        if let Some(watch) = self.threads.watch.as_ref().filter(|_| self.is_home()) {
            watch.thread().unpark();
        }
    }

    /// Has a restart by [`Restart::Exec`](crate::Restart::Exec) hand this socket to the new image,
    /// by the `LISTEN_FDS` protocol: the crate `listenfd` finds it there, and clients that connect
    /// meanwhile wait in its queue. Of the same name, the last counts; up to 64.
    ///
    /// # Errors
    ///
    /// A name that is empty or not visible ASCII without `:`, or a socket that cannot be copied.
    #[cfg(unix)]
    pub fn hand_over(
        &self,
        name: &str,
        socket: &impl std::os::fd::AsFd,
    ) -> Result<(), std::io::Error> {
        lock(&self.shared.listeners).add(name, socket.as_fd())
    }

    /// Begins a drill.
    ///
    /// # Errors
    ///
    /// When the monitor does not run here.
    pub fn drill(&self, drill: Drill) -> Result<(), CommandError> {
        self.command(Command::Drill(drill))
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

    /// Registers a cache, weakly: it is asked to shrink from now on, for as long as it lives. While
    /// a level lasts it is told so here and now.
    pub fn register<C: Shrink + 'static>(&self, cache: &Arc<C>) {
        self.shared.caches.add(weak(cache));
        if self.mode != Mode::Act {
            return;
        }
        // After it was added: a level that is entered from here on asks all caches. What is told here
        // may come after what such a level tells, so it is told until that is the level.
        let mut told = Level::Normal;
        loop {
            let level = self.level();
            if level == told {
                return;
            }
            cache.shrink(level);
            told = level;
        }
    }

    /// Carries out the optimising actions now, whatever the level and the diagnosis, and answers
    /// their rows.
    ///
    /// # Errors
    ///
    /// When the monitor does not run here or only observes, and from inside
    /// [`Shrink::shrink`].
    pub fn optimise(&self) -> Result<Vec<LedgerRow>, CommandError> {
        if self.mode == Mode::Observe {
            return Err(CommandError::ObserveOnly);
        }
        self.may_wait_for([&self.threads.worker, &self.threads.watch])?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command(Command::Optimise(reply))?;
        answer.recv().map_err(|_| CommandError::Busy)
    }

    /// Restarts now, through the same drain, whatever the level, the cooldown and the budget. Comes
    /// back only when it cannot.
    pub fn restart(&self) -> RestartError {
        if self.mode != Mode::Act {
            return RestartError::Command(CommandError::ObserveOnly);
        }
        let waiting = self
            .may_wait_for([&self.threads.worker, &self.threads.watch])
            .and_then(|()| self.may_wait_for([&self.threads.announcer, &None]));
        let (reply, answer) = crossbeam_channel::bounded(1);
        match waiting.and_then(|()| self.command(Command::Restart(reply))) {
            Ok(()) => answer
                .recv()
                .unwrap_or(RestartError::Command(CommandError::NotRunning)),
            Err(error) => RestartError::Command(error),
        }
    }

    /// Says that the program is about to end, as when it was told to by a signal: it is not restarted
    /// any more, and a restart that has begun and waits for what is under way is called off. Told to
    /// the service manager as `STOPPING=1`, if there is one. Everything else goes on.
    ///
    /// To be called before anything is taken down: what the [drain hook](crate::MonitorBuilder::drain)
    /// waits with may be dropped by that, and a restart follows when it is. [`stop`](Self::stop) calls
    /// restarts off as well.
    pub fn ending(&self) {
        if self.is_home() {
            self.shared.call_off_restarts();
            lock(&self.shared.notifier).ending();
        }
    }

    /// Stops the monitor and waits for its threads to end. A restart that waits for what is under way
    /// is called off.
    pub fn stop(self) {
        drop(self);
    }

    fn is_home(&self) -> bool {
        self.home == local::forks()
    }

    fn may_wait_for(&self, threads: [&Option<JoinHandle<()>>; 2]) -> Result<(), CommandError> {
        let own = std::thread::current().id();
        let is_own = |thread: &JoinHandle<()>| thread.thread().id() == own;
        if threads.into_iter().flatten().any(is_own) {
            return Err(CommandError::OnItsOwnThread);
        }
        Ok(())
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        let watch = self.threads.watch.as_ref().filter(|_| self.is_home());
        let watch = watch.ok_or(CommandError::NotRunning)?;
        self.commands
            .send(command)
            .map_err(|_| CommandError::NotRunning)?;
        watch.thread().unpark();
        Ok(())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let home = self.is_home();
        if home {
            self.shared.call_off_restarts();
            let _ = self.command(Command::Stop);
        }
        let threads = std::mem::take(&mut self.threads);
        if !home {
            // The threads are the parent's: there is nothing to join here.
            std::mem::forget(threads);
            return;
        }
        if threads.is_rung {
            alarm::uninstall();
        }
        // Each ends when what came before it has: the watch drops the line to the worker.
        join(threads.watch);
        join(threads.worker);
        drop(threads.wake);
        self.shared.bus.close();
        join(threads.announcer);
        // After the last round, which arms the line.
        total::disarm();
        claim::give_up();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(StartError::Thread)
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("level", &self.level())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
