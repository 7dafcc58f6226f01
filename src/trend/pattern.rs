//! The name of a course.

use super::points::{Points, median, quantile};
use super::segments::{COARSE, Piece, divide, noise};
use super::shape::{Course, least_squares_left};
use super::window::Finding;
use std::fmt;

/// The course that a series takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Pattern {
    /// It stays where it is.
    #[default]
    Stable,
    /// It rises by as much in every hour.
    Linear,
    /// It rises ever faster.
    Exponential,
    /// It rises, or rose, by jumps.
    Step,
    /// It fills and is emptied, over and over.
    Sawtooth,
    /// It swings.
    Periodic,
    /// It rises ever more slowly, and levels off.
    WarmUp,
}

impl Pattern {
    /// As in JSON: `warm_up`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Pattern::Stable => "stable",
            Pattern::Linear => "linear",
            Pattern::Exponential => "exponential",
            Pattern::Step => "step",
            Pattern::Sawtooth => "sawtooth",
            Pattern::Periodic => "periodic",
            Pattern::WarmUp => "warm_up",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a leak grows, but for stairs.
pub(super) fn of_growth(finding: &Finding) -> Pattern {
    match finding.shape.course() {
        Course::Accelerates => Pattern::Exponential,
        Course::Line | Course::Slows => Pattern::Linear,
    }
}

/// What a healthy process does, by the finding that begins where its window does.
pub(super) fn of_rest(finding: &Finding, mean: &Points) -> Pattern {
    if is_sawtooth(mean) {
        return Pattern::Sawtooth;
    }
    if finding.cycle.is_some() {
        return Pattern::Periodic;
    }
    let rises = finding.line.z() > 3.0 || finding.shape.z > 6.0;
    if finding.growth > 0.0 && (finding.jump > 0.55 || finding.jumps > 0.85) {
        Pattern::Step
    } else if !rises || finding.growth <= 0.0 {
        Pattern::Stable
    } else {
        match finding.shape.course() {
            Course::Slows => Pattern::WarmUp,
            Course::Accelerates => Pattern::Exponential,
            Course::Line => Pattern::Linear,
        }
    }
}

/// Whether levels with jumps between them describe it better than any curve: a fair comparison, by the
/// Bayesian information criterion with two numbers for each level.
pub(super) fn is_stairs(points: &Points, slope: f64) -> bool {
    let points = super::points::thinned(points, points.n.div_ceil(COARSE).max(1));
    let n = points.n;
    let sigma = noise(&points).max(1e-6 * (slope * points.span()).abs());
    if n < 12 || sigma <= 0.0 {
        return false;
    }
    let penalty = 8.0 * (n as f64).ln() * sigma * sigma;
    let division = divide(&points, Piece::Level, 2, penalty);
    let starts = division.starts();
    if starts.len() < 3 || starts.len() > n / 4 {
        return false;
    }
    let curve = least_squares_left(&points);
    let criterion = |sse: f64, numbers: usize| {
        n as f64 * (sse / n as f64 + 1e-12 * sigma * sigma).ln() + numbers as f64 * (n as f64).ln()
    };
    if criterion(division.sse, 2 * starts.len()) >= criterion(curve, 3) {
        return false;
    }
    // Noise that remembers climbs too, but not at one stroke, and not only up.
    let (mut sharp, mut jumps, mut up) = (0.0, 0.0, 0.0);
    let level =
        |from: usize, to: usize| points.y[from..to].iter().sum::<f64>() / (to - from) as f64;
    for (place, &from) in starts.iter().enumerate().skip(1) {
        let to = starts.get(place + 1).copied().unwrap_or(n);
        let jump = level(from, to) - level(starts[place - 1], from);
        jumps += jump.abs();
        up += jump.max(0.0);
        sharp += ((points.y[from] - points.y[from - 1]) * jump.signum()).clamp(0.0, jump.abs());
    }
    if sharp < 0.45 * jumps || up < 0.8 * jumps {
        return false;
    }
    // A ramp is cut into levels too, but it rises within them.
    let (mut above, mut below) = (0.0, 0.0);
    for (place, &from) in starts.iter().enumerate() {
        let to = starts.get(place + 1).copied().unwrap_or(n);
        let (within, length) = super::points::least_squares(&points, from, to);
        above += within * length.powi(3);
        below += length.powi(3);
    }
    below > 0.0 && (above / below).abs() < 0.3 * slope.abs()
}

/// Whether it rises by small moves and falls by few large ones.
fn is_sawtooth(points: &Points) -> bool {
    let y = points.y();
    let mut sorted = points.y;
    let range = quantile(&mut sorted[..points.n], 0.95) - quantile(&mut sorted[..points.n], 0.05);
    let (mut rises, mut falls, mut large) = (0, 0, 0);
    let (mut fallen, mut fallen_far) = (0.0, 0.0);
    let mut steps = [0.0; super::MOST];
    let mut count = 0;
    for pair in y.windows(2) {
        let step = pair[1] - pair[0];
        if step > 0.0 {
            rises += 1;
            steps[count] = step;
            count += 1;
        } else if step < 0.0 {
            falls += 1;
            fallen -= step;
            if -step > 0.35 * range {
                large += 1;
                fallen_far -= step;
            }
        }
    }
    large >= 3
        && fallen_far >= 0.6 * fallen
        && rises as f64 >= 1.5 * f64::from(falls)
        && median(&mut steps[..count]) < 0.35 * range
}
