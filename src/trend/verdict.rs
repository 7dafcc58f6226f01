//! What is said about a series.

use super::advice::{Advice, Subject};
use super::evidence::Question;
use super::pattern::Pattern;
use std::fmt;

/// Whether it is a leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Judgement {
    /// Memory grows, has grown for long enough, and nothing healthy explains it.
    Leak,
    /// Nothing grows, or something healthy explains it.
    NoLeak,
    /// Too early to say.
    #[default]
    Insufficient,
}

impl Judgement {
    /// As in JSON: `no_leak`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Judgement::Leak => "leak",
            Judgement::NoLeak => "no_leak",
            Judgement::Insufficient => "insufficient",
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How soon somebody has to do something about a leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Severity {
    /// There is no leak.
    #[default]
    None,
    /// The limit is more than a week away, or there is none.
    Low,
    /// It is reached within a week.
    Medium,
    /// Within a day: before the next working day ends.
    High,
    /// Within an hour.
    Critical,
}

impl Severity {
    /// Of a leak that reaches the limit after so many seconds.
    pub(crate) fn of_leak(seconds_to_limit: Option<f64>) -> Severity {
        match seconds_to_limit {
            Some(seconds) if seconds < 3_600.0 => Severity::Critical,
            Some(seconds) if seconds < 86_400.0 => Severity::High,
            Some(seconds) if seconds < 7.0 * 86_400.0 => Severity::Medium,
            _ => Severity::Low,
        }
    }

    /// As in JSON: `critical`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::None => "none",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A time with an interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Forecast {
    /// The likeliest, in seconds from the last sample.
    pub seconds: f64,
    /// The soonest, in seconds: at the upper end of the slope's 90 % interval.
    pub soonest: f64,
    /// The latest, in seconds; `None` when the slope's interval reaches down to nothing.
    pub latest: Option<f64>,
}

impl Forecast {
    /// Without doubt.
    #[cfg(test)]
    pub(crate) fn exact(seconds: f64) -> Forecast {
        Forecast {
            seconds,
            soonest: seconds,
            latest: Some(seconds),
        }
    }
}

/// What is said about a series: whether it is a leak, how fast, how sure, and how long there is left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verdict {
    /// Whether it is a leak.
    pub judgement: Judgement,
    /// What was looked at.
    pub subject: Subject,
    /// The course that it takes.
    pub pattern: Pattern,
    /// How fast it grows on average, in bytes an hour: of a leak since it began, else over all that is
    /// remembered.
    pub slope_bytes_per_hour: f64,
    /// The lower end of the slope's 90 % interval, in bytes an hour.
    pub slope_low: f64,
    /// The upper end of the slope's 90 % interval, in bytes an hour.
    pub slope_high: f64,
    /// How fast it grows at the last sample: faster than on average where it grows exponentially.
    pub current_bytes_per_hour: f64,
    /// How likely the judgement is right, from 0 to 1: of judgements at 0.9, nine in ten are. 0 while
    /// it is too early to say.
    pub confidence: f64,
    /// When a leak reaches the limit; `None` when never, or when no limit is known.
    pub time_to_limit: Option<Forecast>,
    /// How soon somebody has to do something.
    pub severity: Severity,
    /// When the growth of a leak began, in the series' own seconds, as far as it is remembered: of a
    /// [monitor's](crate::Monitor::leak_verdict), seconds since its start.
    pub since: Option<f64>,
    /// What speaks most against a leak; `None` of a leak.
    pub doubt: Option<Question>,
    /// What to do next.
    pub advice: Advice,
}

impl Verdict {
    /// Whether it is a leak.
    #[must_use]
    pub fn is_leak(&self) -> bool {
        self.judgement == Judgement::Leak
    }

    /// TotHub's figure: the slope in megabytes (of 2^20 bytes) an hour.
    #[must_use]
    pub fn mb_per_hour(&self) -> f64 {
        self.slope_bytes_per_hour / 1_048_576.0
    }

    /// Seconds to the limit; `None` when never.
    #[must_use]
    pub fn seconds_to_limit(&self) -> Option<f64> {
        self.time_to_limit.map(|forecast| forecast.seconds)
    }
}
