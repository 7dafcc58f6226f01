//! Whether a restart may happen now.

use super::{Restart, RestartRecord};
use std::fmt;
use std::time::Duration;

/// What the program allows.
#[derive(Clone, Copy, Debug)]
pub(in crate::governor) struct Policy {
    /// How; `None` never restarts.
    pub(in crate::governor) how: Option<Restart>,
    /// The least time between two restarts.
    pub(in crate::governor) cooldown: Duration,
    /// Restarts in any hour, at the most.
    pub(in crate::governor) budget_per_hour: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            how: None,
            // Five minutes and three an hour: a leak that comes back at once gets three tries, and
            // then somebody has to look.
            cooldown: Duration::from_secs(5 * 60),
            budget_per_hour: 3,
        }
    }
}

/// Why a restart that was due did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withheld {
    /// The last one was too short a time ago.
    Cooldown {
        /// When the next may be.
        remaining: Duration,
    },
    /// As many as are allowed happened in the last hour.
    BudgetSpent {
        /// That many.
        restarts: u32,
    },
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
        }
    }
}

/// Judges by the restarts that are remembered; `now` in seconds since 1970.
///
/// A restart in the future, by a clock that was set back, counts as one that happened now.
pub(in crate::governor) fn judge(
    policy: &Policy,
    last: &[RestartRecord],
    now: u64,
) -> Result<(), Withheld> {
    let age =
        |record: &RestartRecord| Duration::from_secs(now.saturating_sub(record.at_unix_seconds));
    let in_last_hour = last
        .iter()
        .filter(|record| age(record) < Duration::from_secs(3600))
        .count() as u32;
    if in_last_hour >= policy.budget_per_hour {
        return Err(Withheld::BudgetSpent {
            restarts: in_last_hour,
        });
    }
    match last.iter().map(age).min() {
        Some(age) if age < policy.cooldown => Err(Withheld::Cooldown {
            remaining: policy.cooldown - age,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> RestartRecord {
        RestartRecord {
            at_unix_seconds: seconds,
            ..RestartRecord::EMPTY
        }
    }

    #[test]
    fn the_cooldown_counts_from_the_last_restart() {
        let policy = Policy::default();
        assert_eq!(judge(&policy, &[], 1000), Ok(()));
        assert_eq!(
            judge(&policy, &[at(10), at(900)], 1000),
            Err(Withheld::Cooldown {
                remaining: Duration::from_secs(200)
            })
        );
        assert_eq!(judge(&policy, &[at(10), at(700)], 1000), Ok(()));
    }

    #[test]
    fn a_spent_budget_comes_back_after_an_hour() {
        let policy = Policy::default();
        let last = [at(10_000), at(10_400), at(10_800)];
        assert_eq!(
            judge(&policy, &last, 11_200),
            Err(Withheld::BudgetSpent { restarts: 3 })
        );
        assert_eq!(judge(&policy, &last, 13_601), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_open_the_way() {
        let policy = Policy::default();
        assert!(judge(&policy, &[at(5000)], 1000).is_err());
    }
}
