//! A drill: a pressure that is made up, to see the whole chain run.

use std::time::Duration;

/// What to pretend, and for how long. Levels, actions, callbacks and shedding are real; the restart
/// is judged and withheld, unless it is asked for.
///
/// ```no_run
/// # fn drill(monitor: &plimsoll::Monitor) -> Result<(), plimsoll::CommandError> {
/// use std::time::Duration;
/// monitor.drill(plimsoll::Drill::new(0.85).lasting(Duration::from_secs(30)))
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Drill {
    pressure: f64,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "duration_seconds", serialize_with = "crate::units::seconds")
    )]
    lasting: Duration,
    restarts: bool,
}

impl Drill {
    /// Pretends that this share of the limit is used, for 10 seconds: 0 to 2; what is no number
    /// counts as 0. A real pressure above it is not hidden.
    #[must_use]
    pub fn new(pressure: f64) -> Drill {
        Drill {
            pressure: if pressure.is_nan() {
                0.0
            } else {
                pressure.clamp(0.0, 2.0)
            },
            lasting: Duration::from_secs(10),
            restarts: false,
        }
    }

    /// For this long, an hour at the most.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Drill {
        self.lasting = time.min(Duration::from_secs(3600));
        self
    }

    /// The restart happens too, within cooldown and budget.
    #[must_use]
    pub fn with_restart(mut self) -> Drill {
        self.restarts = true;
        self
    }

    /// The share that is pretended.
    #[must_use]
    pub fn pressure(&self) -> f64 {
        self.pressure
    }

    /// For how long.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.lasting
    }

    /// Whether the restart happens too.
    #[must_use]
    pub fn restarts(&self) -> bool {
        self.restarts
    }
}
