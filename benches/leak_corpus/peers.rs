//! What others do with the same series.

use plimsoll::trend::{Kendall, mann_kendall, mann_kendall_hamed_rao};

/// A rule, and its name.
pub const PEERS: [(&str, Rule); 5] = [
    ("deriv, growth over 1 % of limit", deriv),
    ("predict_linear, limit in 24 h", predict_linear),
    ("Mann-Kendall, p < 0.05", |series, _| {
        kendall(series, mann_kendall)
    }),
    ("Mann-Kendall, Hamed-Rao", |series, _| {
        kendall(series, mann_kendall_hamed_rao)
    }),
    ("Coroot, 10 % in the last hour", coroot),
];

/// Whether a series leaks, under a limit.
type Rule = fn(&[(f64, f64)], f64) -> bool;

/// Significant at 5 % on both sides.
const SIGNIFICANT: f64 = 1.96;

/// As many values as a quadratic test is thinned to.
const THINNED: usize = 400;

/// Prometheus' `deriv` over the series: least squares, and the growth that it makes.
fn deriv(series: &[(f64, f64)], limit: f64) -> bool {
    let (slope, _) = least_squares(series);
    slope * span(series) > 0.01 * limit
}

/// Prometheus' `predict_linear` over the series, a day ahead.
fn predict_linear(series: &[(f64, f64)], limit: f64) -> bool {
    let (slope, end) = least_squares(series);
    end + slope * 86_400.0 >= limit
}

fn kendall(series: &[(f64, f64)], test: fn(&[f64]) -> Option<Kendall>) -> bool {
    let each = series.len().div_ceil(THINNED);
    let values: Vec<f64> = series
        .chunks(each)
        .map(|part| part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64)
        .collect();
    test(&values).is_some_and(|found| found.z > SIGNIFICANT)
}

/// Coroot's check: least squares over the last hour, its growth as a share of its start.
fn coroot(series: &[(f64, f64)], _: f64) -> bool {
    let end = series.last().map_or(0.0, |last| last.0);
    let from = series.partition_point(|point| point.0 < end - 3_600.0);
    let hour = &series[from..];
    if hour.len() < 3 {
        return false;
    }
    let (slope, last) = least_squares(hour);
    let first = last - slope * span(hour);
    slope * 3_600.0 >= 0.10 * first
}

fn span(series: &[(f64, f64)]) -> f64 {
    match (series.first(), series.last()) {
        (Some(first), Some(last)) => last.0 - first.0,
        _ => 0.0,
    }
}

/// The slope, and the line at the last point.
fn least_squares(series: &[(f64, f64)]) -> (f64, f64) {
    let n = series.len() as f64;
    let mean_t = series.iter().map(|point| point.0).sum::<f64>() / n;
    let mean_y = series.iter().map(|point| point.1).sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for (t, y) in series {
        above += (t - mean_t) * (y - mean_y);
        below += (t - mean_t) * (t - mean_t);
    }
    let slope = if below > 0.0 { above / below } else { 0.0 };
    let last = series.last().map_or(0.0, |last| last.0);
    (slope, mean_y + slope * (last - mean_t))
}
