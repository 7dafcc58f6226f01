//! What a program asks of its monitor, checked once and as a whole.

use super::actions::{Shrink, weak};
use super::announce::{Callback, DrainHook};
use super::control::Mode;
use super::error::{ConfigFault, StartError};
use super::event::Event;
use super::level::Levels;
use super::monitor::Monitor;
use super::options::JemallocOptions;
use super::policy::Policy;
use super::restart::{Drain, Restart};
use crate::figures::Roots;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The standard library allocates for paths of 384 bytes or more, with `.damaged` and a zero at the
/// end; the state is written where nothing can be allocated.
const LONGEST_PATH: usize = 360;

/// Settings of a [`Monitor`]. The defaults suit a service; only the restart has to be asked for.
///
/// ```no_run
/// use plimsoll::{Monitor, Restart};
///
/// let monitor = Monitor::builder()
///     .restart(Restart::Exec)
///     .state_file("service.state")
///     .on_event(|event| eprintln!("{}", event.kind))
///     .start()?;
/// # Ok::<(), plimsoll::StartError>(())
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct MonitorBuilder {
    pub(super) limit: Option<u64>,
    pub(super) interval: Duration,
    pub(super) mode: Mode,
    pub(super) policy: Policy,
    pub(super) state_file: Option<PathBuf>,
    pub(super) caches: Vec<Weak<dyn Shrink>>,
    pub(super) callbacks: Vec<Callback>,
    pub(super) jemalloc: JemallocOptions,
    pub(super) roots: Roots,
    pub(super) drain: Option<DrainHook>,
    pub(super) early_wakes: bool,
    pub(super) history: usize,
}

/// Caches and callbacks as their numbers.
impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorBuilder")
            .field("limit", &self.limit)
            .field("interval", &self.interval)
            .field("mode", &self.mode)
            .field("policy", &self.policy)
            .field("state_file", &self.state_file)
            .field("caches", &self.caches.len())
            .field("callbacks", &self.callbacks.len())
            .field("jemalloc", &self.jemalloc)
            .field("early_wakes", &self.early_wakes)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl Default for MonitorBuilder {
    fn default() -> MonitorBuilder {
        MonitorBuilder {
            limit: None,
            interval: Duration::from_secs(1),
            mode: Mode::Act,
            policy: Policy::default(),
            state_file: None,
            caches: Vec::new(),
            callbacks: Vec::new(),
            jemalloc: JemallocOptions::default(),
            roots: Roots::default(),
            drain: None,
            early_wakes: true,
            history: 100,
        }
    }
}

impl MonitorBuilder {
    /// Holds the program to this many bytes, at least 1, or to what the system allows if that is less. By
    /// default the system's limits alone count: control group, resource limits, physical memory.
    pub fn limit(mut self, bytes: u64) -> MonitorBuilder {
        self.limit = Some(bytes);
        self
    }

    /// All three lines at once. See [`Levels`] for the defaults, and for what makes sense.
    ///
    /// ```
    /// use plimsoll::{Levels, Threshold};
    ///
    /// let levels = Levels {
    ///     optimise: Threshold { enter: 0.60, leave: 0.55 },
    ///     ..Levels::default()
    /// };
    /// # assert_eq!(levels.next(plimsoll::Level::Normal, 0.65), plimsoll::Level::Optimise);
    /// let builder = plimsoll::Monitor::builder().levels(levels);
    /// # drop(builder);
    /// ```
    pub fn levels(mut self, levels: Levels) -> MonitorBuilder {
        self.policy.levels = levels;
        self
    }

    /// How often to look when nothing happens: 10 ms to an hour, by default a second. Near a line
    /// it is 50 ms or this, whichever is less; a line that the heap crosses is noticed at once
    /// whatever this says.
    pub fn interval(mut self, interval: Duration) -> MonitorBuilder {
        self.interval = interval;
        self
    }

    /// Watches and reports, but neither acts nor restarts.
    pub fn observe_only(mut self) -> MonitorBuilder {
        self.mode = Mode::Observe;
        self
    }

    /// Decides everything and does nothing: every action that is due stands in the ledger as
    /// skipped, and a restart that is due is reported as withheld.
    pub fn dry_run(mut self) -> MonitorBuilder {
        self.mode = Mode::DryRun;
        self
    }

    /// Restarts in this way when optimising did not bring the program below the restart line, and a
    /// restart would help. By default it never does.
    ///
    /// One that is not urgent waits some time more, at random: up to a tenth of the program's uptime, the
    /// [cooldown](Self::cooldown), or half of the time that is left to the limit, whichever is least. Programs that
    /// were started together, and grow alike, do not all restart together.
    pub fn restart(mut self, how: Restart) -> MonitorBuilder {
        self.policy.how = Some(how);
        self
    }

    /// How long the figure has to stay above the restart line before a restart, by default 10 s.
    /// When the limit is seconds away it is not waited for, nor when it is within the
    /// [drain](Self::drain)'s deadline at the rate of the last minute, nor at [`Level::Critical`](crate::Level::Critical).
    pub fn sustained(mut self, time: Duration) -> MonitorBuilder {
        self.policy.sustained = time;
        self
    }

    /// A limit that at the present rate is further away than this is left to time: no restart
    /// below the critical line. The rate is that of the last minute, or 72 intervals if that is more; what
    /// did not grow throughout, but at one stroke, has none. Where the [verdict](crate::Monitor::leak_verdict)
    /// is a leak that has lasted for ten minutes, its time to the limit counts if it is shorter; where it surely
    /// is none, but rises and falls by itself, there is no restart either ([`Withheld::Tidal`](crate::Withheld)).
    /// By default an hour; [`Duration::MAX`] restarts at the line whatever grows.
    pub fn restart_horizon(mut self, time: Duration) -> MonitorBuilder {
        self.policy.horizon = time;
        self
    }

    /// How often a restart is judged while the limit is not near. By default at every look.
    pub fn restart_check_interval(mut self, interval: Duration) -> MonitorBuilder {
        self.policy.check_interval = interval;
        self
    }

    /// Calls this before a restart, with a token: the restart follows when the token is dropped, or
    /// after `deadline`, an hour at the most, or when the limit is there.
    ///
    /// It runs on a thread of the monitor's, after the callbacks, and should return soon. A server
    /// stops to accept, has its open requests answered, and drops the token:
    ///
    /// ```no_run
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), plimsoll::StartError> {
    /// let (asked, restart) = mpsc::channel();
    /// let monitor = plimsoll::Monitor::builder()
    ///     .restart(plimsoll::Restart::Exec)
    ///     .drain(Duration::from_secs(10), move |drain| {
    ///         let _ = asked.send(drain);
    ///     })
    ///     .start()?;
    /// // … in the server:
    /// if let Ok(drain) = restart.recv() {
    ///     // Accept no more, answer what is open, then:
    ///     drain.done();
    ///     // The program may still be there afterwards: see `Drain`.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A restart that fails or is called off leaves the program as it is, with an event that says so:
    /// [`Drain`] names them, and the server accepts again.
    pub fn drain(
        mut self,
        deadline: Duration,
        hook: impl FnMut(Drain) + Send + 'static,
    ) -> MonitorBuilder {
        self.policy.drain_deadline = deadline;
        self.drain = Some(Box::new(hook));
        self
    }

    /// Neither asks the kernel for a trigger on memory stalls nor follows `MEMORY_PRESSURE_WATCH`.
    pub fn without_early_wakes(mut self) -> MonitorBuilder {
        self.early_wakes = false;
        self
    }

    /// How many samples [`Monitor::history`] keeps, by default 100, 100,000 at the most.
    pub fn history(mut self, samples: usize) -> MonitorBuilder {
        self.history = samples;
        self
    }

    /// The least time between two restarts, by default 5 minutes. Without a
    /// [`state_file`](Self::state_file) it counts from the start of the monitor.
    pub fn cooldown(mut self, cooldown: Duration) -> MonitorBuilder {
        self.policy.cooldown = cooldown;
        self
    }

    /// Restarts in any hour, at the most: 1 to 1000, by default 3. Only a
    /// [`state_file`](Self::state_file) can remember them over a restart.
    pub fn restart_budget(mut self, per_hour: u32) -> MonitorBuilder {
        self.policy.budget_per_hour = per_hour;
        self
    }

    /// Lines and restarts all at once: as an operator had them before the program's last end, say.
    /// Each setter for one of them after it changes that one.
    ///
    /// ```
    /// # fn kept() -> plimsoll::Policy { plimsoll::Policy::default() }
    /// let builder = plimsoll::Monitor::builder().policy(kept());
    /// ```
    pub fn policy(mut self, policy: Policy) -> MonitorBuilder {
        self.policy = policy;
        self
    }

    /// Where restarts are remembered, so that cooldown and budget survive them. The folder has to
    /// be there; `.lock`, `.new` and `.damaged` files appear beside. One process uses it at a time.
    /// A path of at most 360 bytes from the root on, which needs no memory of the heap to be opened; a
    /// relative one is taken from the folder that the process is in when the monitor starts. Where
    /// writing it takes longer than a second, a restart does not happen, and is tried again.
    pub fn state_file(mut self, path: impl Into<PathBuf>) -> MonitorBuilder {
        self.state_file = Some(path.into());
        self
    }

    /// Registers a cache, weakly: the program keeps it, and one that is gone at the start is a fault.
    /// More can come later, by [`Monitor::register`].
    pub fn cache<C: Shrink + 'static>(mut self, cache: &Arc<C>) -> MonitorBuilder {
        self.caches.push(weak(cache));
        self
    }

    /// Calls this with every event, on a thread of the monitor's own for that; all that are
    /// registered run, in their order. One that takes long holds up the others and the log, and in
    /// the end loses events, but neither the monitor nor its actions. A panic is caught and
    /// reported; where a program is built with `panic = "abort"` it ends the process.
    pub fn on_event(mut self, callback: impl Fn(&Event) + Send + 'static) -> MonitorBuilder {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// What to ask of jemalloc at the start.
    pub fn jemalloc(mut self, options: JemallocOptions) -> MonitorBuilder {
        self.jemalloc = options;
        self
    }

    /// Reads `/proc` and `/sys` from somewhere else: for tests on recorded trees.
    pub fn roots(mut self, roots: Roots) -> MonitorBuilder {
        self.roots = roots;
        self
    }

    /// Checks everything and starts the monitor's threads: `plimsoll` looks, `plimsoll-act` acts,
    /// `plimsoll-call` logs and calls back, `plimsoll-keep` writes the state file if there is one, and
    /// `plimsoll-wake` waits for early wake-ups if there are any to wait for.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`] with every setting that makes no sense, not only the
    /// first. If there is none, what fails first: a second monitor, a limit or figure that cannot be read, the state
    /// file, what a restart in place needs to know of the program, the variables that announce memory pressure,
    /// or a thread.
    ///
    /// ```
    /// use plimsoll::{Monitor, StartError};
    /// use std::time::Duration;
    ///
    /// let builder = Monitor::builder().interval(Duration::ZERO).history(1_000_000);
    /// let Err(StartError::Config(faults)) = builder.start() else {
    ///     panic!("both are refused");
    /// };
    /// let settings: Vec<_> = faults.iter().map(|fault| fault.setting).collect();
    /// assert_eq!(settings, ["interval", "history"]);
    /// ```
    pub fn start(self) -> Result<Monitor, StartError> {
        Monitor::start(self)
    }

    /// What [`start`](Self::start) checks first, without starting.
    #[cfg(fuzzing)]
    pub fn fuzz_faults(&self) -> Vec<ConfigFault> {
        self.faults()
    }

    /// The state file's place from the root on: a program may change its folder later. Where it is in
    /// none, as it was given.
    pub(super) fn state_path(&self) -> Option<PathBuf> {
        let path = self.state_file.as_ref()?;
        Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
    }

    /// Every setting that makes no sense.
    pub(super) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |setting: &'static str, value: String, expected: &'static str| {
            faults.push(ConfigFault {
                setting,
                value,
                expected,
            });
        };
        if self.limit == Some(0) {
            fault("limit", "0".into(), "at least one byte");
        }
        if self.interval < Duration::from_millis(10) || self.interval > Duration::from_secs(3600) {
            fault(
                "interval",
                format!("{:?}", self.interval),
                "10 ms to an hour",
            );
        }
        if self.history > 100_000 {
            fault(
                "history",
                self.history.to_string(),
                "at most 100,000 samples",
            );
        }
        let path = self.state_path();
        if let Some(length) = path.map(|path| path.as_os_str().len())
            && length > LONGEST_PATH
        {
            fault(
                "state_file",
                format!("a path of {length} bytes"),
                "at most 360 bytes",
            );
        }
        for cache in &self.caches {
            if cache.strong_count() == 0 {
                fault("cache", "gone".into(), "one that the program keeps");
            }
        }
        faults.extend(self.policy.faults());
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(levels: Levels) -> String {
        StartError::Config(MonitorBuilder::default().levels(levels).faults()).to_string()
    }

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(MonitorBuilder::default().faults(), []);
    }

    #[test]
    fn every_absurd_threshold_is_named_with_its_value() {
        for value in [0.0, -0.5, 1.01, 80.0, f64::NAN, f64::INFINITY] {
            for level in ["optimise", "restart", "critical"] {
                let mut levels = Levels::default();
                let line = match level {
                    "optimise" => &mut levels.optimise,
                    "restart" => &mut levels.restart,
                    _ => &mut levels.critical,
                };
                line.enter = value;
                let said = faults(levels);
                let named = format!("`levels.{level}` is enter {value}");
                assert!(said.contains(&named), "{said}");
            }
        }
    }

    #[test]
    fn thresholds_out_of_order_are_named() {
        let mut levels = Levels::default();
        levels.restart.enter = 0.95;
        let said = faults(levels);
        assert!(said.contains("`levels.critical` is enter 0.9"), "{said}");

        let mut levels = Levels::default();
        levels.optimise.leave = 0.75;
        let said = faults(levels);
        assert!(said.contains("`levels.optimise` is leave 0.75"), "{said}");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let builder = MonitorBuilder::default()
            .limit(0)
            .interval(Duration::ZERO)
            .restart(Restart::Exit(-1))
            .restart_budget(0);
        let settings: Vec<_> = builder.faults().iter().map(|fault| fault.setting).collect();
        assert_eq!(settings, ["limit", "interval", "restart_budget", "restart"]);
    }

    #[test]
    fn a_path_that_would_be_allocated_for_is_named() {
        let of = |length: usize| {
            let path = format!("/{}", "x".repeat(length - 1));
            MonitorBuilder::default().state_file(path)
        };
        let said = StartError::Config(of(361).faults()).to_string();
        assert_eq!(
            said,
            "`state_file` is a path of 361 bytes: expected at most 360 bytes"
        );
        assert_eq!(of(360).faults(), []);
    }

    #[test]
    fn a_cache_that_nobody_keeps_is_named() {
        struct Empty;
        impl Shrink for Empty {
            fn name(&self) -> &str {
                "empty"
            }
            fn bytes(&self) -> u64 {
                0
            }
            fn shrink(&self, _: crate::Level) -> u64 {
                0
            }
        }
        let kept = Arc::new(Empty);
        let builder = MonitorBuilder::default().cache(&kept);
        assert_eq!(builder.faults(), []);
        let builder = builder.cache(&Arc::new(Empty));
        let said = StartError::Config(builder.faults()).to_string();
        assert_eq!(said, "`cache` is gone: expected one that the program keeps");
    }

    #[test]
    fn a_policy_is_taken_as_a_whole() {
        let policy = Policy {
            budget_per_hour: 7,
            horizon: Duration::MAX,
            ..Policy::default()
        };
        let builder = MonitorBuilder::default().cooldown(Duration::ZERO);
        assert_eq!(builder.policy(policy).policy, policy);
    }

    #[test]
    fn a_budget_that_could_not_be_remembered_is_named() {
        let builder = MonitorBuilder::default().restart(Restart::Exec);
        let said = StartError::Config(builder.restart_budget(1001).faults()).to_string();
        assert_eq!(
            said,
            "`restart_budget` is 1001: expected 1 to 1000; no `restart` at all for none"
        );
        let builder = MonitorBuilder::default().restart(Restart::Exec);
        assert_eq!(builder.restart_budget(1000).faults(), []);
        let never = MonitorBuilder::default().restart_budget(0);
        assert_eq!(never.faults().len(), 1);
    }
}
