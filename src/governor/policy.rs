//! What a program, or whoever operates it, allows: the lines, and when and how to restart.

use super::error::ConfigFault;
use super::level::{Levels, Threshold};
use super::restart::{MOST_ROWS, Restart};
use std::time::Duration;

/// The lines, and when and how to restart. The builder sets it, and
/// [`Monitor::set_policy`](crate::Monitor::set_policy) changes it while the program runs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Policy {
    /// How to restart; `None`, the default, never does.
    pub how: Option<Restart>,
    /// Where the levels begin and end.
    pub levels: Levels,
    /// The least time between two restarts; by default 5 minutes.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "cooldown_seconds", serialize_with = "crate::units::seconds")
    )]
    pub cooldown: Duration,
    /// Restarts in any hour, at the most: 1 to 1000, by default 3.
    pub budget_per_hour: u32,
    /// How long the figure has to stay above the restart line, unless the limit is near; by default
    /// 10 s.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "sustained_seconds", serialize_with = "crate::units::seconds")
    )]
    pub sustained: Duration,
    /// A limit that is further away than this is left to time: by default an hour; [`Duration::MAX`]
    /// restarts at the line whatever grows. See
    /// [`MonitorBuilder::restart_horizon`](crate::MonitorBuilder::restart_horizon).
    #[cfg_attr(
        feature = "serde",
        serde(rename = "horizon_seconds", serialize_with = "crate::units::seconds")
    )]
    pub horizon: Duration,
    /// How often a restart is judged, unless the limit is near; zero, the default, at every look.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "check_interval_seconds",
            serialize_with = "crate::units::seconds"
        )
    )]
    pub check_interval: Duration,
    /// How long requests that are under way are waited for: an hour at the most, by default 10 s.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "drain_deadline_seconds",
            serialize_with = "crate::units::seconds"
        )
    )]
    pub drain_deadline: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            how: None,
            levels: Levels::default(),
            // Five minutes and three an hour: a leak that comes back at once gets three tries, and
            // then somebody has to look.
            cooldown: Duration::from_secs(5 * 60),
            budget_per_hour: 3,
            sustained: Duration::from_secs(10),
            horizon: Duration::from_secs(3600),
            check_interval: Duration::ZERO,
            drain_deadline: Duration::from_secs(10),
        }
    }
}

impl Policy {
    /// Every setting that makes no sense.
    pub(crate) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |setting, value, expected| {
            faults.push(ConfigFault {
                setting,
                value,
                expected,
            });
        };
        if self.drain_deadline > Duration::from_secs(3600) {
            fault(
                "drain",
                format!("{:?}", self.drain_deadline),
                "a deadline of at most an hour",
            );
        }
        let budget = self.budget_per_hour;
        if !(1..=MOST_ROWS as u32).contains(&budget) {
            fault(
                "restart_budget",
                budget.to_string(),
                "1 to 1000; no `restart` at all for none",
            );
        }
        if let Some(Restart::Exit(code)) = self.how
            && !(0..=255).contains(&code)
        {
            fault(
                "restart",
                format!("exit:{code}"),
                "a code from 0 to 255: a parent sees no other",
            );
        }
        let Levels {
            optimise,
            restart,
            critical,
        } = self.levels;
        for (setting, line) in [
            ("levels.optimise", optimise),
            ("levels.restart", restart),
            ("levels.critical", critical),
        ] {
            let Threshold { enter, leave } = line;
            // Written so that NaN is a fault too.
            if !(enter > 0.0 && enter <= 1.0) {
                fault(
                    setting,
                    format!("enter {enter}"),
                    "a ratio above 0 and at most 1",
                );
            }
            if !(leave > 0.0 && leave < enter) {
                fault(
                    setting,
                    format!("leave {leave}"),
                    "a ratio above 0 and below `enter`",
                );
            }
        }
        for (setting, lower, upper) in [
            ("levels.restart", optimise, restart),
            ("levels.critical", restart, critical),
        ] {
            // The lower one may be the culprit, and has been named then.
            if upper.enter <= lower.enter && lower.enter <= 1.0 {
                fault(
                    setting,
                    format!("enter {}", upper.enter),
                    "above where the level below it is entered",
                );
            }
            if upper.leave < lower.leave {
                fault(
                    setting,
                    format!("leave {}", upper.leave),
                    "not below where the level below it is left",
                );
            }
        }
        faults
    }
}
