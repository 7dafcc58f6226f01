//! Whether a restart may happen now.

use crate::governor::control::Past;
use crate::governor::policy::Policy;
use crate::units::Bytes;
use std::fmt;
use std::time::Duration;

/// Why a restart that was due did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Withheld {
    /// The last one was too short a time ago.
    Cooldown {
        /// When the next may be.
        #[cfg_attr(
            feature = "serde",
            serde(rename = "remaining_seconds", serialize_with = "crate::units::seconds")
        )]
        remaining: Duration,
    },
    /// As many as are allowed happened in the last hour.
    BudgetSpent {
        /// That many.
        restarts: u32,
    },
    /// The figure is on its way down already.
    Falling,
    /// The threshold is too low for this program: it holds nearly as much after its start, so a
    /// restart would not help.
    ThresholdTooLow {
        /// What it holds after its start.
        baseline_bytes: u64,
        /// Where the restart level begins.
        line_bytes: u64,
    },
    /// At the present rate the limit is far away, and no leak that has lasted brings it nearer.
    TimeRemains {
        /// That far; `None` when nothing grows.
        seconds: Option<u64>,
    },
    /// What it holds falls by itself each time that it has risen, as the verdict on leaks surely has it,
    /// and the limit is not near.
    Tidal,
    /// The last try failed, and the next waits, longer after each.
    Failed {
        /// When the next may be.
        #[cfg_attr(
            feature = "serde",
            serde(rename = "remaining_seconds", serialize_with = "crate::units::seconds")
        )]
        remaining: Duration,
    },
    /// The program is about to end: see [`Monitor::ending`](crate::Monitor::ending). A restart that
    /// had begun is called off.
    Ending,
    /// The policy was changed while it drained, and restarts in another way or not at all: it was called
    /// off.
    PolicyChanged,
    /// It is only a drill.
    Drill,
    /// It is only a dry run.
    DryRun,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Withheld::Cooldown { remaining } => {
                write!(f, "cooling down for another {} s", remaining.as_secs())
            }
            Withheld::BudgetSpent { restarts } => {
                write!(
                    f,
                    "{restarts} restarts in the last hour are all that is allowed"
                )
            }
            Withheld::Falling => f.write_str("the figure is falling already"),
            Withheld::ThresholdTooLow {
                baseline_bytes,
                line_bytes,
            } => write!(
                f,
                "threshold too low for this program: it holds {} after its start, and the line is at {}",
                Bytes::from(*baseline_bytes),
                Bytes::from(*line_bytes)
            ),
            Withheld::TimeRemains { seconds: None } => f.write_str("nothing grows"),
            Withheld::TimeRemains {
                seconds: Some(seconds),
            } => write!(
                f,
                "at the present rate the limit is {:.1} hours away",
                *seconds as f64 / 3600.0
            ),
            Withheld::Failed { remaining } => {
                write!(
                    f,
                    "the last try failed; the next is in {} s",
                    remaining.as_secs()
                )
            }
            Withheld::Ending => f.write_str("the program is about to end"),
            Withheld::Tidal => f.write_str("it falls by itself each time that it has risen"),
            Withheld::PolicyChanged => f.write_str("the policy was changed meanwhile"),
            Withheld::Drill => f.write_str("only a drill"),
            Withheld::DryRun => f.write_str("only a dry run"),
        }
    }
}

/// How long ago each restart was that is remembered.
///
/// None is younger than this image: it ended an earlier one, whatever a clock that was set back says, or
/// it did not happen and could not be struck out.
fn ages(past: &Past<'_>) -> impl Iterator<Item = Duration> {
    let (now, uptime) = (past.unix_seconds, past.uptime);
    let restarts = past.restarts.iter();
    restarts.map(move |record| {
        let seconds = now.saturating_sub(record.at_unix_seconds);
        Duration::from_secs(seconds).max(uptime)
    })
}

/// The restarts of the last hour.
pub(in crate::governor) fn in_last_hour(past: &Past<'_>) -> u32 {
    let hour = Duration::from_secs(3600);
    ages(past).filter(|&age| age < hour).count() as u32
}

/// The restarts of the last hour, when they are all that the budget allows.
pub(in crate::governor) fn spent(policy: &Policy, past: &Past<'_>) -> Option<u32> {
    Some(in_last_hour(past)).filter(|&restarts| restarts >= policy.budget_per_hour)
}

/// What is left of the cooldown; zero when it is over. Where nothing remembers the last restart, the
/// start of the monitor may have been one.
pub(in crate::governor) fn cooldown_left(policy: &Policy, past: &Past<'_>) -> Duration {
    let forgotten = (!past.is_kept).then_some(past.uptime);
    let last = ages(past).chain(forgotten).min();
    last.map_or(Duration::ZERO, |age| policy.cooldown.saturating_sub(age))
}

/// Judges by the restarts that are remembered.
pub(in crate::governor) fn judge(policy: &Policy, past: &Past<'_>) -> Result<(), Withheld> {
    if let Some(restarts) = spent(policy, past) {
        return Err(Withheld::BudgetSpent { restarts });
    }
    match cooldown_left(policy, past) {
        Duration::ZERO => Ok(()),
        remaining => Err(Withheld::Cooldown { remaining }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::RestartRecord;

    fn judged(seconds: &[u64], now: u64) -> Result<(), Withheld> {
        judged_after(Duration::from_secs(1), seconds, now)
    }

    fn judged_after(uptime: Duration, seconds: &[u64], now: u64) -> Result<(), Withheld> {
        let restarts: Vec<_> = seconds
            .iter()
            .map(|&at_unix_seconds| RestartRecord {
                at_unix_seconds,
                ..RestartRecord::EMPTY
            })
            .collect();
        let past = Past {
            restarts: &restarts,
            is_kept: true,
            unix_seconds: now,
            uptime,
            ..Past::default()
        };
        judge(&Policy::default(), &past)
    }

    #[test]
    fn the_cooldown_counts_from_the_last_restart() {
        assert_eq!(judged(&[], 1000), Ok(()));
        assert_eq!(
            judged(&[10, 900], 1000),
            Err(Withheld::Cooldown {
                remaining: Duration::from_secs(200)
            })
        );
        assert_eq!(judged(&[10, 700], 1000), Ok(()));
    }

    #[test]
    fn a_spent_budget_comes_back_after_an_hour() {
        let last = [10_000, 10_400, 10_800];
        assert_eq!(
            judged(&last, 11_200),
            Err(Withheld::BudgetSpent { restarts: 3 })
        );
        assert_eq!(judged(&last, 13_601), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_neither_opens_the_way_nor_closes_it_for_good() {
        let remaining = Duration::from_secs(299);
        assert_eq!(judged(&[5000], 1000), Err(Withheld::Cooldown { remaining }));
        let five_minutes = Duration::from_secs(300);
        assert_eq!(judged_after(five_minutes, &[5000], 1000), Ok(()));
        // The budget of an hour likewise.
        let spent = Err(Withheld::BudgetSpent { restarts: 3 });
        assert_eq!(judged_after(five_minutes, &[5000; 3], 1000), spent);
        let hour = Duration::from_secs(3600);
        assert_eq!(judged_after(hour, &[5000; 3], 1000), Ok(()));
        // And not anew when it comes to where it was.
        assert_eq!(judged_after(hour, &[1000; 3], 1001), Ok(()));
    }

    #[test]
    fn where_nothing_remembers_the_start_counts_as_a_restart() {
        let policy = Policy::default();
        let after = |seconds| {
            let past = Past {
                uptime: Duration::from_secs(seconds),
                ..Past::default()
            };
            judge(&policy, &past)
        };
        assert!(after(299).is_err());
        assert_eq!(after(300), Ok(()));
    }
}
