//! What to do, as a function of what was seen: no clock, no thread, no system call.
//!
//! The monitor's thread hands in what it sees with the time at which it saw it, and carries out the
//! orders that come back. Ten minutes at a level are ten minutes of calls in a test.
//!
//! | file | its one idea |
//! |---|---|
//! | `growth` | how fast the figure rises, and how long is left |
//! | `backoff` | what gives nothing back is tried less and less often |
//! | `start` | when the program has started, and what it held then |
//! | `judgement` | whether a restart would help, and whether now |

mod backoff;
mod growth;
mod judgement;
mod start;

#[cfg(test)]
mod tests;

use self::backoff::BackOff;
use self::growth::Growth;
pub(super) use self::growth::NEAR_INTERVAL;
use self::judgement::Judgement;
use self::start::StartPhase;
use super::ledger::{ActionKind, Held};
use super::level::Level;
use super::policy::Policy;
use super::restart::{RestartRecord, Withheld, spent};
use crate::figures::{Pressure, Signal};
use std::time::Duration;

/// From this share of the lowest line on, the line is near.
const NEAR: f64 = 0.9;

/// Growth alone carries the figure over a line from no further below it: a burst of a GB/s that ends
/// at half the limit is not critical.
const MOST_GROWTH: f64 = 0.05;

/// A leak that reaches the lowest line within this time, or within two looks, has what is free given
/// back beforehand.
const AHEAD: Duration = Duration::from_secs(60);

/// Critical for this long, decay times are tightened: it costs speed, so a short peak is let pass.
const TIGHTEN_AFTER: Duration = Duration::from_secs(5);

/// What is fixed at the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) interval: Duration,
    pub(super) policy: Policy,
    /// Any number: spreads the restarts of many like processes.
    pub(super) seed: u64,
}

/// Whether a monitor acts on what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Mode {
    /// Actions and restarts are carried out.
    Act,
    /// They are entered into the ledger as skipped.
    DryRun,
    /// Levels are reported, and that is all.
    Observe,
}

/// What is remembered of earlier images, and of restarts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past<'a> {
    pub(super) restarts: &'a [RestartRecord],
    /// What the last image held after its start.
    pub(super) baseline_bytes: Option<u64>,
    /// Whether something remembers restarts beyond this image.
    pub(super) is_kept: bool,
    /// Seconds since 1970.
    pub(super) unix_seconds: u64,
    /// Since the monitor started.
    pub(super) uptime: Duration,
}

/// What one look finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Since the monitor started; never goes back.
    pub(super) now: Duration,
    /// How much of that the program ran.
    pub(super) ran: Duration,
    pub(super) held: Held,
    pub(super) limit: u64,
    /// A pressure that a drill makes up.
    pub(super) drill: Option<Drilled>,
    /// The worker has been at one round since then.
    pub(super) busy_since: Option<Duration>,
    /// When a leak reaches the lowest line, as its verdict has it.
    pub(super) line_ahead: Option<Duration>,
    /// And when the limit.
    pub(super) limit_ahead: Option<Duration>,
    /// It is surely no leak, but falls by itself each time that it has risen.
    pub(super) is_tidal: bool,
}

/// What a drill injects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drilled {
    pub(super) pressure: f64,
    pub(super) restarts: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    pub(super) pressure: Pressure,
    /// The level, when it changed: from, to.
    pub(super) level: Option<(Level, Level)>,
    /// Optimising actions that are due, by their place in [`ActionKind::OPTIMISING`](super::ledger::ActionKind).
    pub(super) actions: [bool; 4],
    /// The bytes that are too much: down to where the level is left.
    pub(super) excess: u64,
    /// Caches are to be told of a lower level.
    pub(super) lift_caps: bool,
    /// Decay times are to be tightened, or put back.
    pub(super) decay: Option<bool>,
    /// New work is to be refused, or taken again.
    pub(super) shedding: Option<bool>,
    pub(super) restart: Verdict,
    /// What the program held when its start was over, once.
    pub(super) started: Option<u64>,
    /// When to look again.
    pub(super) interval: Duration,
}

/// What became of the question whether to restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing calls for it, or it is too early to say.
    NotDue,
    Withheld(Withheld),
    /// Now; at this rate the limit is reached after so long.
    Due {
        left: Option<Duration>,
    },
}

/// The state between two looks.
pub(super) struct Control {
    plan: Plan,
    level: Level,
    /// When it was last entered from below.
    entered: Duration,
    growth: Growth,
    start: StartPhase,
    back_off: [BackOff; 4],
    judgement: Judgement,
    critical_since: Option<Duration>,
    tightened: bool,
    /// At this level a restart was due, and the budget was found spent.
    lacks_restart: bool,
    shedding: bool,
    /// What can be done before a leak reaches the line has been done.
    is_ahead: bool,
    /// When it last was: around the line it is not done over and over.
    ahead_at: Option<Duration>,
}

impl Control {
    pub(super) fn new(plan: Plan) -> Control {
        Control {
            level: Level::Normal,
            entered: Duration::ZERO,
            growth: Growth::new(plan.interval),
            start: StartPhase::new(),
            back_off: [BackOff::new(); 4],
            judgement: Judgement::new(plan.seed),
            critical_since: None,
            tightened: false,
            lacks_restart: false,
            shedding: false,
            is_ahead: false,
            ahead_at: None,
            plan,
        }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// What the program held when its start was over.
    pub(super) fn baseline_bytes(&self) -> Option<u64> {
        self.start.baseline_bytes()
    }

    /// The policy as it is in force.
    pub(super) fn policy(&self) -> &Policy {
        &self.plan.policy
    }

    /// From the next look on. What was judged by the one before does not count.
    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.plan.policy = policy;
        self.judgement.forget();
    }

    /// The program says that its start is over.
    pub(super) fn ready(&mut self) {
        self.start.ready();
    }

    /// A round of actions that began then is over.
    pub(super) fn acted(
        &mut self,
        now: Duration,
        began: Duration,
        excess: u64,
        gave: [Option<u64>; 4],
    ) {
        // What was done for a lower level says nothing of this one, whose actions are due at once.
        if began >= self.entered {
            for (back_off, gave) in self.back_off.iter_mut().zip(gave) {
                if let Some(gave) = gave {
                    back_off.acted(now, gave, excess);
                }
            }
        }
        self.judgement.optimised(began);
    }

    /// Takes in what was seen and answers what is to be done.
    pub(super) fn see(&mut self, sight: &Sight, past: &Past<'_>) -> Orders {
        let now = sight.now;
        let most = sight.held.heap_bytes.max(sight.held.resident_bytes);
        self.growth.see(sight.ran, most);
        let started = self.start.see(now, most, sight.limit);
        let pressure = self.pressure(sight);
        let value = pressure.value();

        let from = self.level;
        self.level = self.plan.policy.levels.next(from, value);
        if self.level > from {
            self.entered = now;
            self.back_off
                .iter_mut()
                .for_each(|back_off| back_off.begin(now));
        }
        if self.level >= Level::Restart && from < Level::Restart {
            self.judgement.entered(now);
        }
        let mut actions = self.ahead(sight);
        if self.level > Level::Normal {
            for (due, back_off) in actions.iter_mut().zip(&self.back_off) {
                *due = back_off.is_due(now);
            }
        }

        self.critical_since = match self.level {
            Level::Critical => self.critical_since.or(Some(now)),
            _ => None,
        };
        let tight = self
            .critical_since
            .is_some_and(|since| now - since >= TIGHTEN_AFTER);
        let tight = tight || (self.tightened && self.level == Level::Critical);

        let restart = self.judgement.judge(judgement::Case {
            sight,
            past,
            level: self.level,
            pressure: value,
            real_pressure: self.real_pressure(sight).value(),
            line: self.plan.policy.levels.restart.enter,
            policy: &self.plan.policy,
            growth: &self.growth,
            start: &self.start,
        });
        // Refused load makes the figure stop growing or fall, which is then the first reason against
        // a restart: it is not to be taken again for that, or it would come and go.
        self.lacks_restart |= matches!(restart, Verdict::Withheld(Withheld::BudgetSpent { .. }));
        self.lacks_restart &=
            self.level >= Level::Restart && spent(&self.plan.policy, past).is_some();
        let shedding = self.level == Level::Critical || self.lacks_restart;

        Orders {
            pressure,
            level: (self.level != from).then_some((from, self.level)),
            actions,
            excess: self.excess(sight),
            lift_caps: self.level < from,
            decay: changed(&mut self.tightened, tight),
            shedding: changed(&mut self.shedding, shedding),
            restart,
            started,
            interval: self.interval(sight, value),
        }
    }

    fn real_pressure(&self, sight: &Sight) -> Pressure {
        let held = sight.held;
        let mut pressure = Pressure::new(held.heap_bytes, held.resident_bytes, sight.limit);
        pressure.growth = (self.growth.soon() / sight.limit.max(1) as f64).min(MOST_GROWTH);
        pressure
    }

    /// The real one, or that of a drill if it is higher.
    fn pressure(&self, sight: &Sight) -> Pressure {
        let mut pressure = self.real_pressure(sight);
        if let Some(drill) = sight.drill
            && drill.pressure > pressure.value()
        {
            pressure.heap = drill.pressure;
            pressure.growth = 0.0;
            pressure.deciding = Signal::Drill;
        }
        pressure
    }

    fn excess(&self, sight: &Sight) -> u64 {
        let leave = self
            .plan
            .policy
            .levels
            .threshold(self.level)
            .map_or(1.0, |line| line.leave);
        let most = sight.held.heap_bytes.max(sight.held.resident_bytes);
        most.saturating_sub((leave * sight.limit as f64) as u64)
    }

    /// What is done once before a leak reaches the lowest line: all that costs the program nothing.
    /// Caches keep what they have until there is need.
    fn ahead(&mut self, sight: &Sight) -> [bool; 4] {
        let within = |time: Duration| sight.line_ahead.is_some_and(|ahead| ahead <= time);
        let near = AHEAD.max(self.plan.interval.saturating_mul(2));
        if self.level > Level::Normal || !within(near.saturating_mul(2)) {
            self.is_ahead = false;
        }
        let rests = self.ahead_at.is_some_and(|at| sight.now < at + AHEAD);
        let is_due = self.level == Level::Normal && within(near) && !self.is_ahead && !rests;
        if is_due {
            (self.is_ahead, self.ahead_at) = (true, Some(sight.now));
        }
        ActionKind::OPTIMISING.map(|action| is_due && action != ActionKind::ShrinkCaches)
    }

    /// Calm, the interval that was set, or less when the next line comes sooner at the present
    /// rate: four looks on the way there. Near a line or above one, the shortest.
    fn interval(&self, sight: &Sight, value: f64) -> Duration {
        let shortest = NEAR_INTERVAL.min(self.plan.interval);
        let lowest = self.plan.policy.levels.optimise.enter;
        if self.level > Level::Normal || value >= NEAR * lowest {
            return shortest;
        }
        let line = (lowest * sight.limit as f64) as u64;
        let left = self
            .growth
            .time_left(line)
            .into_iter()
            .chain(sight.line_ahead);
        match left.min() {
            Some(left) => (left / 4).clamp(shortest, self.plan.interval),
            None => self.plan.interval,
        }
    }
}

/// Sets a state, and answers it when it is news.
fn changed(state: &mut bool, to: bool) -> Option<bool> {
    (std::mem::replace(state, to) != to).then_some(to)
}
