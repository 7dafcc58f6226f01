//! Levels: states with an entry and a lower exit, so that a figure that wavers at a line does not
//! ring twice.

use std::fmt;

/// How near its limit the program is: how deep the ship lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[repr(u8)]
pub enum Level {
    /// Below all lines.
    Normal = 0,
    /// Free pages are given back and caches shrink.
    Optimise = 1,
    /// A restart is due if optimising did not help.
    Restart = 2,
    /// The limit is near.
    Critical = 3,
}

impl Level {
    /// From the lowest to the highest. There will be no others.
    pub const ALL: [Level; 4] = [
        Level::Normal,
        Level::Optimise,
        Level::Restart,
        Level::Critical,
    ];

    /// `normal`, `optimise`, `restart` or `critical`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Normal => "normal",
            Level::Optimise => "optimise",
            Level::Restart => "restart",
            Level::Critical => "critical",
        }
    }

    pub(crate) fn from_u8(number: u8) -> Level {
        Level::ALL
            .get(number as usize)
            .copied()
            .unwrap_or(Level::Critical)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A line with the ratio at which its level is entered and the one below which it is left.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Threshold {
    /// Entered at this ratio to the limit or above: above 0, at most 1.
    pub enter: f64,
    /// Left below this ratio: above 0, below `enter`.
    pub leave: f64,
}

/// The three lines. The default is 75 % (left at 70), 80 % (left at 72) and 90 % (left at 85).
///
/// Each is entered above the one before it, and left at no less than that. Others are reported when
/// the monitor starts or takes the policy.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Levels {
    /// Of [`Level::Optimise`].
    pub optimise: Threshold,
    /// Of [`Level::Restart`].
    pub restart: Threshold,
    /// Of [`Level::Critical`].
    pub critical: Threshold,
}

impl Default for Levels {
    fn default() -> Levels {
        let line = |enter, leave| Threshold { enter, leave };
        Levels {
            optimise: line(0.75, 0.70),
            restart: line(0.80, 0.72),
            critical: line(0.90, 0.85),
        }
    }
}

impl Levels {
    /// The line of a level; `None` for [`Level::Normal`], which has none.
    #[must_use]
    pub fn threshold(&self, level: Level) -> Option<Threshold> {
        match level {
            Level::Normal => None,
            Level::Optimise => Some(self.optimise),
            Level::Restart => Some(self.restart),
            Level::Critical => Some(self.critical),
        }
    }

    /// The level at `pressure`, a ratio to the limit, coming from `current`.
    #[must_use]
    pub fn next(&self, current: Level, pressure: f64) -> Level {
        let highest = |holds: &dyn Fn(Level, Threshold) -> bool| {
            Level::ALL
                .into_iter()
                .rev()
                .find(|&level| self.threshold(level).is_none_or(|line| holds(level, line)))
                .unwrap_or(Level::Normal)
        };
        let entered = highest(&|_, line| pressure >= line.enter);
        let held = highest(&|level, line| level <= current && pressure >= line.leave);
        entered.max(held)
    }

    /// Where the next level above `level` begins; `None` at the top.
    pub(crate) fn next_line(&self, level: Level) -> Option<f64> {
        let above = Level::ALL.get(level as usize + 1)?;
        self.threshold(*above).map(|line| line.enter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_level_is_entered_at_its_line_and_left_below_its_exit() {
        let levels = Levels::default();
        let mut level = Level::Normal;
        for (pressure, expected) in [
            (0.74, Level::Normal),
            (0.75, Level::Optimise),
            (0.71, Level::Optimise),
            (0.69, Level::Normal),
            (0.95, Level::Critical),
            (0.86, Level::Critical),
            (0.84, Level::Restart),
            (0.72, Level::Restart),
            (0.71, Level::Optimise),
            (0.10, Level::Normal),
            (1.70, Level::Critical),
            (0.00, Level::Normal),
        ] {
            level = levels.next(level, pressure);
            assert_eq!(level, expected, "at {pressure}");
        }
    }

    proptest! {
        #[test]
        fn wavering_between_exit_and_entry_changes_nothing(
            start in 0..4u8,
            pressures in proptest::collection::vec(0.0..1.2f64, 1..50),
        ) {
            let levels = Levels::default();
            let mut level = Level::from_u8(start);
            for pressure in pressures {
                let next = levels.next(level, pressure);
                if next > level {
                    prop_assert!(pressure >= levels.threshold(next).unwrap().enter);
                }
                if next < level {
                    prop_assert!(pressure < levels.threshold(level).unwrap().leave);
                }
                prop_assert_eq!(levels.next(next, pressure), next, "a fixed point");
                level = next;
            }
        }
    }
}
