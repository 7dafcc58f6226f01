//! The verdict for programs.

use crate::analysis::Analysis;
use crate::words;
use plimsoll::recorded::Unit;
use plimsoll::trend::{Judgement, Pattern, Question, Severity, Verdict};
use serde::Serialize;
use std::io::{self, Write};

/// The contract's fields, and after them what else is known.
#[derive(Serialize)]
struct Answer {
    verdict: Judgement,
    pattern: Pattern,
    slope_bytes_per_hour: f64,
    slope_low: f64,
    slope_high: f64,
    confidence: f64,
    seconds_to_limit: Option<f64>,
    severity: Severity,
    recommendations: Vec<String>,

    seconds_to_limit_soonest: Option<f64>,
    seconds_to_limit_latest: Option<f64>,
    /// In the file's own seconds.
    since_seconds: Option<f64>,
    doubt: Option<Question>,
    samples: usize,
    span_seconds: f64,
    limit_bytes: Option<f64>,
    /// Of all that is said to be in bytes: `bytes`, or `percent`.
    unit: &'static str,
}

#[derive(Serialize)]
struct Change {
    t: f64,
    verdict: Judgement,
    confidence: f64,
}

pub fn verdict(out: &mut impl Write, analysis: &Analysis) -> io::Result<()> {
    let verdict = analysis.verdict();
    let forecast = verdict.time_to_limit;
    let answer = Answer {
        verdict: verdict.judgement,
        pattern: verdict.pattern,
        slope_bytes_per_hour: finite(verdict.slope_bytes_per_hour),
        slope_low: finite(verdict.slope_low),
        slope_high: finite(verdict.slope_high),
        confidence: finite(verdict.confidence),
        seconds_to_limit: forecast.map(|forecast| finite(forecast.seconds)),
        severity: verdict.severity,
        recommendations: words::recommendations(&verdict, analysis.series.unit),
        seconds_to_limit_soonest: forecast.map(|forecast| finite(forecast.soonest)),
        seconds_to_limit_latest: forecast.and_then(|forecast| forecast.latest).map(finite),
        since_seconds: verdict.since.map(|since| finite(analysis.first() + since)),
        doubt: verdict.doubt,
        samples: analysis.series.samples.len(),
        span_seconds: analysis.series.span(),
        limit_bytes: analysis.limit,
        unit: match analysis.series.unit {
            Unit::Bytes => "bytes",
            Unit::Percent => "percent",
        },
    };
    line(out, &answer)
}

pub fn change(out: &mut impl Write, seconds: f64, verdict: &Verdict) -> io::Result<()> {
    let change = Change {
        t: seconds,
        verdict: verdict.judgement,
        confidence: finite(verdict.confidence),
    };
    line(out, &change)
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// JSON knows no other numbers: what is none becomes nothing, what has no end the largest.
fn finite(number: f64) -> f64 {
    if number.is_nan() {
        return 0.0;
    }
    number.clamp(f64::MIN, f64::MAX)
}
