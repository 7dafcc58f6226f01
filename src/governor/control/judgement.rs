//! Whether a restart would help, and whether now.
//!
//! It is the last resort, so everything else has its turn first, and it has to be worth it: the
//! figure is there to stay, the program starts far below the line, and without it the limit would
//! be reached soon. Only when the limit is seconds away, the waiting is cut short; the cooldown and
//! the budget never are.

use super::growth::Growth;
use super::start::StartPhase;
use super::{Drilled, Past, Sight, Verdict};
use crate::governor::Level;
use crate::governor::policy::Policy;
use crate::governor::restart::{Withheld, judge};
use std::time::Duration;

/// A start above this share of the line leaves a restart nothing to win.
const START_BELOW: f64 = 0.8;

/// With less than this left a restart cannot wait for the actions to end.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// An action that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(5);

/// The rate of the last moment says nothing of a time that is further away than this.
const SIGHT: Duration = Duration::from_secs(15);

/// From here on, and rising, no other reason counts.
const EDGE: f64 = 0.97;

pub(super) struct Judgement {
    seed: u64,
    /// Since when the level is that high, and the figure above the line.
    entered: Duration,
    above_since: Option<Duration>,
    /// It is so only by a drill.
    is_drill: bool,
    optimised: Option<Duration>,
    /// When it was last judged below critical, and what came of it.
    judged: Option<(Duration, Verdict)>,
    /// When it is to happen, once it is found due without being urgent.
    planned: Option<Duration>,
}

pub(super) struct Case<'a> {
    pub(super) sight: &'a Sight,
    pub(super) past: &'a Past<'a>,
    pub(super) level: Level,
    pub(super) pressure: f64,
    /// Without a drill.
    pub(super) real_pressure: f64,
    pub(super) line: f64,
    pub(super) policy: &'a Policy,
    pub(super) growth: &'a Growth,
    pub(super) start: &'a StartPhase,
}

impl Case<'_> {
    /// The drill that alone carries the figure over the line.
    fn drill(&self) -> Option<Drilled> {
        self.sight.drill.filter(|_| self.real_pressure < self.line)
    }

    /// By the level; where a drill makes up more than there is, but not the restart, by the figure alone.
    fn is_critical(&self) -> bool {
        if self.pressure > self.real_pressure && self.drill().is_none() {
            self.real_pressure >= self.policy.levels.critical.enter
        } else {
            self.level == Level::Critical
        }
    }
}

impl Judgement {
    pub(super) fn new(seed: u64) -> Judgement {
        Judgement {
            seed,
            entered: Duration::ZERO,
            above_since: None,
            is_drill: false,
            optimised: None,
            judged: None,
            planned: None,
        }
    }

    /// The level that asks for a restart begins.
    pub(super) fn entered(&mut self, now: Duration) {
        self.entered = now;
        self.forget();
    }

    /// What was judged or planned up to now does not count.
    pub(super) fn forget(&mut self) {
        self.judged = None;
        self.planned = None;
    }

    /// A round of actions that began then is over.
    pub(super) fn optimised(&mut self, began: Duration) {
        self.optimised = Some(began);
    }

    pub(super) fn judge(&mut self, case: Case<'_>) -> Verdict {
        let now = case.sight.now;
        if case.policy.how.is_none() || case.level < Level::Restart || case.pressure < case.line {
            self.above_since = None;
            self.planned = None;
            return Verdict::NotDue;
        }
        if std::mem::replace(&mut self.is_drill, case.drill().is_some()) && !self.is_drill {
            // What was pretended up to now does not count for what is real.
            self.above_since = None;
            self.judged = None;
        }
        let above_since = *self.above_since.get_or_insert(now);
        let patience = case.policy.drain_deadline + LAST_MOMENT;
        let within = |left: Option<Duration>, time| left.filter(|&left| left <= time);
        // At the rate of this moment, which tells of the next seconds, or of the last minute.
        let next = case.growth.sure_time_left(case.sight.limit);
        let soon = within(next, patience.clamp(Duration::from_secs(5), SIGHT));
        let in_time =
            soon.or_else(|| within(case.growth.long_time_left(case.sight.limit), patience));
        let is_urgent = case.growth.is_rising() && in_time.is_some();
        let left = in_time.or(next);
        let is_critical = case.is_critical();

        let at_edge = case.growth.is_rising() && case.real_pressure >= EDGE;
        let has_optimised = self.optimised.is_some_and(|began| began >= self.entered);
        let hangs = case
            .sight
            .busy_since
            .is_some_and(|since| now >= since + HANGS);
        let cannot_wait = at_edge || (is_urgent && left.is_some_and(|left| left < LAST_MOMENT));
        if !(has_optimised || hangs || cannot_wait) {
            return Verdict::NotDue;
        }
        if !is_urgent && !is_critical {
            if now < above_since.saturating_add(case.policy.sustained) {
                return Verdict::NotDue;
            }
            if let Some((judged, verdict)) = self.judged
                && now < judged.saturating_add(case.policy.check_interval)
                && self.planned.is_none()
            {
                return verdict;
            }
        }
        let verdict = match self.reasons_against(&case, is_urgent, is_critical, at_edge) {
            Ok(()) => self.plan(&case, is_urgent, left),
            Err(why) => {
                self.planned = None;
                why.map_or(Verdict::NotDue, Verdict::Withheld)
            }
        };
        self.judged = Some((now, verdict));
        verdict
    }

    /// `Err(None)` while there is nothing to say yet.
    fn reasons_against(
        &self,
        case: &Case<'_>,
        is_urgent: bool,
        is_critical: bool,
        at_edge: bool,
    ) -> Result<(), Option<Withheld>> {
        let Case {
            sight,
            past,
            policy,
            growth,
            start,
            ..
        } = case;
        if let Some(drill) = case.drill() {
            judge(policy, past)?;
            return if drill.restarts {
                Ok(())
            } else {
                Err(Some(Withheld::Drill))
            };
        }
        if growth.is_falling(sight.limit) {
            return Err(Some(Withheld::Falling));
        }
        let line_bytes = (case.line * sight.limit as f64) as u64;
        let too_low = |baseline_bytes| {
            Err(Some(Withheld::ThresholdTooLow {
                baseline_bytes,
                line_bytes,
            }))
        };
        match start.baseline_bytes().or(past.baseline_bytes) {
            Some(baseline) if baseline as f64 > START_BELOW * line_bytes as f64 => {
                return too_low(baseline);
            }
            _ => {}
        }
        if !start.is_over() && !at_edge {
            // A start that passes the line on its way is not a leak.
            if !(is_critical && growth.is_rising()) {
                return Err(None);
            }
            if past.restarts.last().is_some_and(|last| last.during_start) {
                return too_low(sight.held.heap_bytes.max(sight.held.resident_bytes));
            }
        }
        if !is_urgent && !is_critical {
            if sight.is_tidal && policy.horizon < Duration::MAX {
                return Err(Some(Withheld::Tidal));
            }
            // The rate of the last minute, or what is known of all the time before.
            let times = [growth.long_time_left(sight.limit), sight.limit_ahead];
            let left = times.into_iter().flatten().min();
            if left.is_none_or(|left| left > policy.horizon) && policy.horizon < Duration::MAX {
                return Err(Some(Withheld::TimeRemains {
                    seconds: left.map(|left| left.as_secs()),
                }));
            }
        }
        judge(policy, past)?;
        Ok(())
    }

    /// Spreads restarts that are not urgent, so that processes that started together, and leak
    /// alike, do not all restart together.
    fn plan(&mut self, case: &Case<'_>, is_urgent: bool, left: Option<Duration>) -> Verdict {
        let now = case.sight.now;
        if !is_urgent && case.drill().is_none() {
            let most = (now / 10)
                .min(case.policy.cooldown)
                .min(left.unwrap_or(Duration::MAX) / 2);
            let share = (self.seed >> 11) as f64 / (1u64 << 53) as f64;
            let planned = *self.planned.get_or_insert(now + most.mul_f64(share));
            if now < planned {
                return Verdict::NotDue;
            }
        }
        Verdict::Due { left }
    }
}
