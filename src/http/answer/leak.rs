//! The verdict on whether the program leaks, in the names of `plimsoll analyze --json`.

use super::{Clock, finite};
use crate::trend::{Judgement, Pattern, Question, Severity, Subject, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the program leaks, how fast, how surely, and how long there is left.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct LeakAnalysis {
    verdict: Judgement,
    pattern: Pattern,
    slope_bytes_per_hour: f64,
    /// The lower end of the slope's 90 % interval.
    slope_low: f64,
    /// The upper end of the slope's 90 % interval.
    slope_high: f64,
    /// How likely the verdict is right; 0 while it is too early to say.
    confidence: f64,
    /// When the limit is reached; null when never.
    #[schema(required)]
    seconds_to_limit: Option<f64>,
    severity: Severity,
    recommendations: Vec<String>,

    #[schema(required)]
    seconds_to_limit_soonest: Option<f64>,
    #[schema(required)]
    seconds_to_limit_latest: Option<f64>,
    /// When the growth of a leak began, as far as it is remembered.
    #[schema(required)]
    since_unix_seconds: Option<f64>,
    subject: Subject,
    /// In megabytes of 2^20 bytes.
    mb_per_hour: f64,
    /// What speaks most against a leak.
    #[schema(required)]
    doubt: Option<Question>,
}

impl LeakAnalysis {
    pub(crate) fn of(verdict: &Verdict, clock: Clock) -> LeakAnalysis {
        let forecast = verdict.time_to_limit;
        LeakAnalysis {
            verdict: verdict.judgement,
            pattern: verdict.pattern,
            slope_bytes_per_hour: finite(verdict.slope_bytes_per_hour),
            slope_low: finite(verdict.slope_low),
            slope_high: finite(verdict.slope_high),
            confidence: finite(verdict.confidence),
            seconds_to_limit: forecast.map(|forecast| finite(forecast.seconds)),
            severity: verdict.severity,
            recommendations: verdict.advice.iter().map(ToString::to_string).collect(),
            seconds_to_limit_soonest: forecast.map(|forecast| finite(forecast.soonest)),
            seconds_to_limit_latest: forecast.and_then(|forecast| forecast.latest).map(finite),
            since_unix_seconds: verdict.since.map(|since| clock.at_seconds(finite(since))),
            subject: verdict.subject,
            mb_per_hour: finite(verdict.mb_per_hour()),
            doubt: verdict.doubt,
        }
    }
}
