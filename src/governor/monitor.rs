//! The program's handle on its monitor: its start, its end, and what it is asked to do.

mod reading;

use super::actions::{Caches, Shrink, weak};
use super::announce::Announcer;
use super::claim::{self, Claim};
use super::command::{Command, CommandError, Pending, PolicyError, RestartError, Rows};
use super::config::MonitorBuilder;
use super::control::{Mode, NEAR_INTERVAL, Plan};
use super::drill::Drill;
use super::error::StartError;
use super::event::{Bus, EarlyWake, Fault};
use super::history::History;
use super::ledger::{Ledger, LedgerRow};
use super::level::Level;
use super::lock::lock;
use super::options::{self, EffectiveOption};
use super::policy::Policy;
use super::restart::{Image, Listeners, Notifier, State};
use super::shared::{self, Shared, join};
use super::status::Summary;
use super::timeline::Timeline;
use super::wake::Wake;
use super::watch::{Line, Settings, Watch};
use super::worker::Worker;
use crate::allocator::{alarm, local, total};
use crate::figures::{LimitReader, ProcessFigures, Roots};
use crate::trend::Verdict;
use crossbeam_channel::{RecvTimeoutError, Sender, TrySendError};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime};

/// A running monitor: background threads that watch heap, resident memory and limit, and act.
///
/// ```no_run
/// use plimsoll::{Level, Monitor};
///
/// # fn main() -> Result<(), plimsoll::StartError> {
/// let monitor = Monitor::builder().start()?;
/// // … in the program, at any time, from any thread:
/// let status = monitor.status();
/// println!("{} of {} bytes", status.heap.live_bytes, status.limit.bytes);
/// if monitor.level() >= Level::Optimise {
///     for row in monitor.ledger() {
///         println!("{}: {} bytes given back", row.action.as_str(), row.given_back_bytes);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// There is one at most in a process, because there is one line. Dropping the handle stops it, and so does
/// [`stop`](Self::stop) while others have it too.
/// In the child of a fork there is none: the child's copy of the handle refuses commands, and does not
/// keep a new one from being started. What was last seen must not be asked of it there: a thread of
/// the parent may have held the lock when it forked.
///
/// To be shared behind an [`Arc`]. A method that says nothing of its cost takes a lock for as long as a
/// copy lasts.
pub struct Monitor {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    threads: Mutex<Threads>,
    roots: Roots,
    mode: Mode,
    /// Whether restarts before this image are known.
    is_kept: bool,
    options: Vec<EffectiveOption>,
    /// [`local::forks`] when it started.
    home: u64,
}

/// For so long the rows of a round are waited for: a purge of hundreds of GiB.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// The monitor's threads, as far as they have been started and not been stopped.
#[derive(Default)]
struct Threads {
    watch: Option<JoinHandle<()>>,
    worker: Option<JoinHandle<()>>,
    announcer: Option<JoinHandle<()>>,
    wake: Option<Wake>,
    is_rung: bool,
}

/// Whom a command may have to wait for.
#[derive(Clone, Copy)]
enum Whom {
    Watch,
    Worker,
    Announcer,
}

impl Threads {
    fn of(&self, whom: Whom) -> Option<&Thread> {
        let handle = match whom {
            Whom::Watch => &self.watch,
            Whom::Worker => &self.worker,
            Whom::Announcer => &self.announcer,
        };
        handle.as_ref().map(JoinHandle::thread)
    }
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
        let state_file = builder.state_path();
        let budget = builder.policy.budget_per_hour;
        let (mut state, set_aside) =
            State::open(state_file.clone(), budget).map_err(StartError::State)?;
        let wrong_state = set_aside.map(|error| {
            if state.is_writable() {
                tracing::warn!(%error, "the state file cannot be believed and is set aside");
                Fault::StateSetAside
            } else {
                tracing::warn!(%error, "the state file's place is taken: no restart without it");
                Fault::StateUnwritable(0)
            }
        });
        state.employ_scribe().map_err(StartError::Thread)?;
        let is_kept = state.is_kept();
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
            started_at: SystemTime::now(),
            level: AtomicU8::new(Level::Normal as u8),
            pressure: AtomicU32::new(0),
            drilled: AtomicU32::new(0),
            bus: Bus::new(started),
            limit: Mutex::new(limit),
            policy: Mutex::new(builder.policy),
            withheld: Mutex::default(),
            caches: Caches::default(),
            ledger: Mutex::new(Ledger::new()),
            summary: Mutex::new(Summary::default()),
            history: Mutex::new(History::new(builder.history, builder.interval)),
            timeline: Mutex::new(Timeline::new()),
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
            stopped: AtomicBool::new(false),
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
            state_file,
        };
        let watch = Watch::new(
            Arc::clone(&shared),
            inbox,
            Line {
                jobs,
                outcomes: results,
            },
            limits,
            state,
            image,
            Settings {
                plan: Plan {
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
            threads: Mutex::default(),
            roots: builder.roots.clone(),
            mode: builder.mode,
            is_kept,
            options,
            home,
        };
        let threads = monitor.threads.get_mut();
        let threads = threads.unwrap_or_else(PoisonError::into_inner);
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

    /// Says that the program has started: what it holds now is what a restart would bring it back
    /// to. Told to the service manager as `READY=1`, if there is one. Without it the start is over
    /// when the figure has been flat for 5 seconds, or after a minute.
    pub fn ready(&self) {
        if !self.is_running() {
            return;
        }
        self.shared.is_ready.store(true, Ordering::Release);
        lock(&self.shared.notifier).ready();
        if let Some(watch) = lock(&self.threads).of(Whom::Watch) {
            watch.unpark();
        }
    }

    /// Has a restart by [`Restart::Exec`](crate::Restart::Exec) hand this socket to the new image,
    /// by the `LISTEN_FDS` protocol: the crate `listenfd` finds it there, and clients that connect
    /// meanwhile wait in its queue. Up to 64, which the new image finds in the order in which they were
    /// named first; of the same name the last counts.
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // Once and first of all: it takes the variables out of the environment, which no thread may
    /// // read meanwhile.
    /// let mut inherited = listenfd::ListenFd::from_env();
    /// let mut listen = |number, address| match inherited.take_tcp_listener(number)? {
    ///     // From the image before this one.
    ///     Some(listener) => Ok(listener),
    ///     None => TcpListener::bind(address),
    /// };
    /// let (service, admin) = (listen(0, "127.0.0.1:8080")?, listen(1, "127.0.0.1:9090")?);
    ///
    /// let monitor = plimsoll::Monitor::builder().restart(plimsoll::Restart::Exec).start()?;
    /// monitor.hand_over("service", &service)?;
    /// monitor.hand_over("admin", &admin)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a name that is empty, longer than 255 bytes, or not
    /// visible ASCII without `:`, and for a 65th socket; else why the socket cannot be copied. A program that
    /// [ends](Self::ending), or has [stopped](Self::stop) its monitor, hands nothing over: what was kept is closed,
    /// and nothing is kept.
    #[cfg(unix)]
    pub fn hand_over(
        &self,
        name: &str,
        socket: &impl std::os::fd::AsFd,
    ) -> Result<(), std::io::Error> {
        let mut listeners = lock(&self.shared.listeners);
        // Looked at under the lock, under which they are let go.
        if self.shared.is_ending() {
            return Ok(());
        }
        listeners.add(name, socket.as_fd())
    }

    /// Begins a drill, in place of one that lasts. Comes back at once; [`Drill`] has an example.
    ///
    /// # Errors
    ///
    /// When the monitor does not run here, or sixteen commands wait already.
    pub fn drill(&self, drill: Drill) -> Result<(), CommandError> {
        self.command(Command::Drill(drill))
    }

    /// Registers a cache, weakly: it is asked to shrink from now on, for as long as it lives. While
    /// a level lasts it is told so here and now, on the calling thread, to which a panic in it goes; not in a
    /// dry run, nor by a monitor that only observes.
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

    /// Changes the policy from now on, until the program's next start: an image that is restarted
    /// begins with what its builder says. Waits until it is in force.
    ///
    /// ```no_run
    /// # fn later(monitor: &plimsoll::Monitor) -> Result<(), plimsoll::PolicyError> {
    /// let mut policy = monitor.policy();
    /// policy.levels.restart.enter = 0.85;
    /// policy.cooldown = std::time::Duration::from_secs(15 * 60);
    /// monitor.set_policy(policy)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Every setting that makes no sense; or when the monitor does not run here or only observes, when sixteen
    /// commands wait already, and from inside [`Shrink::shrink`].
    pub fn set_policy(&self, policy: Policy) -> Result<(), PolicyError> {
        let pending = self.begin_policy(policy)?;
        let answer = pending.0.recv();
        answer.map_err(|_| PolicyError::Command(CommandError::NotRunning))
    }

    /// [`set_policy`](Self::set_policy) without waiting for it to be in force.
    pub(crate) fn begin_policy(&self, policy: Policy) -> Result<Pending<()>, PolicyError> {
        let faults = policy.faults();
        if !faults.is_empty() {
            return Err(PolicyError::Faults(faults));
        }
        if self.mode == Mode::Observe {
            return Err(PolicyError::Command(CommandError::ObserveOnly));
        }
        self.ask(|reply| Command::Policy(policy, reply))
            .map_err(PolicyError::Command)
    }

    /// Carries out the optimising actions now, whatever the level and the diagnosis, and answers
    /// their rows. In a dry run the rows say that they were skipped.
    ///
    /// # Errors
    ///
    /// When the monitor does not run here or only observes, when sixteen commands wait already, when it takes
    /// longer than a minute (it goes on all the same), and from inside [`Shrink::shrink`].
    ///
    /// # Cost
    ///
    /// Waits until all are done: a purge takes some 70 to 110 ms for each GiB that it gives back, and four times
    /// that in an arena with more than 256 MiB of it, which is emptied in slices; sleeping threads are waited for
    /// up to 150 ms, to flush what they have cached.
    pub fn optimise(&self) -> Result<Vec<LedgerRow>, CommandError> {
        let pending = self.begin_optimise()?;
        let deadline = Instant::now() + LONGEST_ROUND;
        let rows = loop {
            match pending.0.recv_timeout(NEAR_INTERVAL) {
                Ok(rows) => break rows,
                Err(_) if !self.is_running() => return Err(CommandError::NotRunning),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => return Err(CommandError::Busy),
            }
        };
        Ok(rows.into_iter().flatten().collect())
    }

    /// [`optimise`](Self::optimise) without waiting for the rows.
    pub(crate) fn begin_optimise(&self) -> Result<Pending<Rows>, CommandError> {
        if self.mode == Mode::Observe {
            return Err(CommandError::ObserveOnly);
        }
        self.ask(Command::Optimise)
    }

    /// Restarts now, through the same drain, whatever the level, the cooldown and the budget. Comes
    /// back only when it cannot, and answers why: as for [`optimise`](Self::optimise), in a dry run,
    /// and from inside a callback; or as [`RestartError`] tells.
    #[must_use = "it comes back only when the restart did not happen"]
    pub fn restart(&self) -> RestartError {
        let not_running = RestartError::Command(CommandError::NotRunning);
        match self.begin_restart() {
            Ok(pending) => pending.0.recv().unwrap_or(not_running),
            Err(error) => error,
        }
    }

    /// [`restart`](Self::restart) without waiting for why it did not happen.
    pub(crate) fn begin_restart(&self) -> Result<Pending<RestartError>, RestartError> {
        if self.mode != Mode::Act {
            return Err(RestartError::Command(CommandError::ObserveOnly));
        }
        self.may_wait_for(&[Whom::Announcer])
            .and_then(|()| self.ask(Command::Restart))
            .map_err(RestartError::Command)
    }

    /// Why a restart that was asked for now would not even be tried.
    #[cfg(feature = "http")]
    pub(crate) fn why_no_restart(&self) -> Option<RestartError> {
        if self.mode != Mode::Act {
            return Some(RestartError::Command(CommandError::ObserveOnly));
        }
        if !self.is_running() {
            return Some(RestartError::Command(CommandError::NotRunning));
        }
        if lock(&self.shared.policy).how.is_none() {
            return Some(RestartError::NotConfigured);
        }
        self.shared.is_ending().then_some(RestartError::Ending)
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

    /// Stops the monitor and waits for its threads to end, whoever else has the handle: commands are
    /// refused from then on, figures are what was last seen, and another monitor may be started. A
    /// restart that waits for what is under way is called off. Of one that is stopped already, or is just
    /// being stopped, it does nothing, and so in the child of a fork. Dropping the last handle does the same.
    ///
    /// # Cost
    ///
    /// Some milliseconds. A thread that hangs in a callback, in a cache or in a drain hook is waited for up to five
    /// seconds, and left behind; the one that it is called on is not waited for.
    pub fn stop(&self) {
        if !self.is_home() || self.shared.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        self.shared.call_off_restarts();
        let threads = std::mem::take(&mut *lock(&self.threads));
        if let Some(watch) = threads.of(Whom::Watch) {
            watch.unpark();
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
        // What it last saw is not so any more: nobody is to wait for it to change.
        self.shared
            .level
            .store(Level::Normal as u8, Ordering::Relaxed);
        self.shared.pressure.store(0, Ordering::Relaxed);
        self.shared.shed(false);
        // After the last round, which arms the line.
        total::disarm();
        claim::give_up();
    }

    /// Whether it runs in this process and has not been told to stop.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_home() && !self.shared.is_stopped()
    }

    fn is_home(&self) -> bool {
        self.home == local::forks()
    }

    fn may_wait_for(&self, threads: &[Whom]) -> Result<(), CommandError> {
        if !self.is_home() {
            return Err(CommandError::NotRunning);
        }
        let own = std::thread::current().id();
        let running = lock(&self.threads);
        let is_own = |&whom: &Whom| running.of(whom).is_some_and(|thread| thread.id() == own);
        if threads.iter().any(is_own) {
            return Err(CommandError::OnItsOwnThread);
        }
        Ok(())
    }

    /// Sends a command that is answered, and that neither the watch nor the worker can wait for.
    fn ask<T>(
        &self,
        command: impl FnOnce(Sender<T>) -> Command,
    ) -> Result<Pending<T>, CommandError> {
        self.may_wait_for(&[Whom::Watch, Whom::Worker])?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.command(command(reply))?;
        Ok(Pending(answer))
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        // First: another thread of the parent may have held the lock when it forked.
        if !self.is_home() {
            return Err(CommandError::NotRunning);
        }
        let watch = lock(&self.threads).of(Whom::Watch).cloned();
        let watch = watch.ok_or(CommandError::NotRunning)?;
        // Never waits: one that comes on an asynchronous worker would hold it up.
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => CommandError::Busy,
                TrySendError::Disconnected(_) => CommandError::NotRunning,
            })?;
        watch.unpark();
        Ok(())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.is_home() {
            self.stop();
            return;
        }
        // The threads are the parent's: there is nothing to join here.
        let threads = self.threads.get_mut();
        let threads = threads.unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(std::mem::take(threads));
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    shared::spawn(name, || (), run).map_err(StartError::Thread)
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("level", &self.level())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
