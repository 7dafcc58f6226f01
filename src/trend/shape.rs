//! Which course a growth takes: the fair comparison of curves.
//!
//! Each curve is a level plus a multiple of one fixed function, so that all have as many free
//! parameters, and the one that leaves the least noise wins. All are compared on the same
//! quasi-differences, with the memory of the best curve's noise, so that a wrong curve's misfit
//! does not pass for noise. A curve's weight is its likelihood with the noise's variance profiled
//! out, `sse^(-n/2)`; with equal priors that is the Bayesian information criterion
//! (Schwarz, *Annals of Statistics* 6, 1978).

use super::MOST;
use super::fit::{autocorrelation, memory};
use super::points::Points;

/// A course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Line,
    /// Rises ever more slowly, towards a level or like a logarithm.
    Slows,
    /// Rises ever faster.
    Accelerates,
}

/// The functions, over time from 0 to 1.
#[derive(Clone, Copy)]
enum Basis {
    Line,
    /// `1 - exp(-u / tau)`: fills up.
    Fills(f64),
    /// `ln(1 + u / tau)`: a cache whose hits become commoner.
    Logarithm(f64),
    /// `exp(u / tau)`.
    Exponential(f64),
    /// A ramp that ends at this time, and a level from there on.
    Ends(f64),
    /// A level until this time, and a ramp from there on.
    Begins(f64),
    /// A level, a ramp between these times, and a level.
    Between(f64, f64),
}

/// A likelihood counts by this power: the memory of the noise is estimated, so there is less evidence
/// than there seems.
const BELIEF: f64 = 0.6;

const BASES: [Basis; 27] = [
    Basis::Line,
    Basis::Fills(0.08),
    Basis::Fills(0.15),
    Basis::Fills(0.25),
    Basis::Fills(0.4),
    Basis::Fills(0.7),
    Basis::Logarithm(0.01),
    Basis::Logarithm(0.06),
    Basis::Logarithm(0.25),
    Basis::Exponential(1.0),
    Basis::Exponential(0.6),
    Basis::Exponential(0.35),
    Basis::Exponential(0.18),
    Basis::Ends(0.1),
    Basis::Ends(0.25),
    Basis::Ends(0.4),
    Basis::Ends(0.55),
    Basis::Ends(0.7),
    Basis::Ends(0.85),
    Basis::Begins(0.15),
    Basis::Begins(0.35),
    Basis::Begins(0.55),
    Basis::Begins(0.75),
    Basis::Between(0.1, 0.3),
    Basis::Between(0.25, 0.45),
    Basis::Between(0.4, 0.6),
    Basis::Between(0.55, 0.75),
];

impl Basis {
    fn at(self, u: f64) -> f64 {
        match self {
            Basis::Line => u,
            Basis::Fills(tau) => 1.0 - (-u / tau).exp(),
            Basis::Logarithm(tau) => (1.0 + u / tau).ln(),
            Basis::Exponential(tau) => ((u - 1.0) / tau).exp(),
            Basis::Ends(end) => (u / end).min(1.0),
            Basis::Begins(begin) => (u - begin).max(0.0) / (1.0 - begin),
            Basis::Between(begin, end) => ((u - begin) / (end - begin)).clamp(0.0, 1.0),
        }
    }

    fn slope(self, u: f64) -> f64 {
        match self {
            Basis::Line => 1.0,
            Basis::Fills(tau) => (-u / tau).exp() / tau,
            Basis::Logarithm(tau) => 1.0 / (tau + u),
            Basis::Exponential(tau) => ((u - 1.0) / tau).exp() / tau,
            Basis::Ends(_) | Basis::Between(..) => 0.0,
            Basis::Begins(begin) => 1.0 / (1.0 - begin),
        }
    }
}

/// What the comparison found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Each course's share of the belief.
    pub(super) line: f64,
    pub(super) slows: f64,
    pub(super) accelerates: f64,
    /// The slope at the end over the mean slope, over all curves by their share: 1 for a line, near
    /// 0 for what has levelled off.
    pub(super) held: f64,
    /// Of the best exponential: the slope at the end over the mean slope, and the time, in seconds,
    /// in which the growth multiplies by e.
    pub(super) e_fold: f64,
    pub(super) end_slope: f64,
    best: usize,
    /// The mean slope of the best curve, from its first point to its last, a second.
    pub(super) mean_slope: f64,
    pub(super) mean_error: f64,
    /// The best curve's multiple over its standard error.
    pub(super) z: f64,
    pub(super) freedom: f64,
    /// Of a level and then a ramp, the share of the time that the best one begins at, if that beats a
    /// line by much.
    pub(super) begins: Option<f64>,
    /// The share of the belief in a ramp that begins later.
    pub(super) later: f64,
}

impl Shape {
    /// Of what does not move at all.
    const LEVEL: Shape = Shape {
        line: 1.0,
        slows: 0.0,
        accelerates: 0.0,
        held: 1.0,
        e_fold: f64::INFINITY,
        end_slope: 1.0,
        best: 0,
        mean_slope: 0.0,
        mean_error: 0.0,
        z: 0.0,
        freedom: 2.0,
        begins: None,
        later: 0.0,
    };

    /// The best curve's mean slope from this share of its time on, over its mean slope.
    pub(super) fn share_from(&self, u: f64) -> f64 {
        let basis = BASES[self.best];
        (basis.at(1.0) - basis.at(u)) / (1.0 - u) / (basis.at(1.0) - basis.at(0.0))
    }

    pub(super) fn course(&self) -> Course {
        // A ramp that begins later resembles an exponential: it does not count against one.
        let straight = self.line - self.later;
        if self.accelerates > straight.max(self.slows) && self.accelerates > 0.4 * self.later {
            Course::Accelerates
        } else if self.line >= self.slows {
            Course::Line
        } else {
            Course::Slows
        }
    }
}

/// The least squares that any of the curves leaves, taken by themselves.
pub(super) fn least_squares_left(points: &Points) -> f64 {
    let span = points.span().max(f64::MIN_POSITIVE);
    let mut least = f64::INFINITY;
    for basis in BASES {
        let mut values = [0.0; MOST];
        for (value, t) in values.iter_mut().zip(points.t()) {
            *value = basis.at((t - points.t[0]) / span);
        }
        let (_, sse, _) = regress(points, &values, points.y[0], points.step(), 0.0);
        least = least.min(sse);
    }
    least
}

/// Compares the curves on points in time order.
pub(super) fn compare(points: &Points) -> Option<Shape> {
    let n = points.n;
    let span = points.span();
    if n < 8 || span <= 0.0 {
        return None;
    }
    let step = points.step();
    let mut fits = [(0.0, f64::INFINITY, 0.0); BASES.len()];
    let mut values = [[0.0; MOST]; BASES.len()];
    let t0 = points.t[0];
    for (basis, values) in BASES.iter().zip(&mut values) {
        for (value, t) in values.iter_mut().zip(points.t()) {
            *value = basis.at((t - t0) / span);
        }
    }
    let y0 = points.y[0];
    // A curve of no noise at all would leave nothing to compare by.
    let floor = 1e-12 * points.y().iter().map(|y| (y - y0) * (y - y0)).sum::<f64>();
    if floor == 0.0 {
        return Some(Shape::LEVEL);
    }
    let mut rho = 0.0;
    for _ in 0..3 {
        for (fit, values) in fits.iter_mut().zip(&values) {
            *fit = regress(points, values, y0, step, rho);
        }
        let best = best(&fits);
        let mut residual = [0.0; MOST];
        let (slope, _, _) = fits[best];
        let mean = |of: &dyn Fn(usize) -> f64| (0..n).map(of).sum::<f64>() / n as f64;
        let level = mean(&|i| points.y[i] - y0 - slope * values[best][i]);
        for i in 0..n {
            residual[i] = points.y[i] - y0 - level - slope * values[best][i];
        }
        rho = autocorrelation(&residual[..n], 2);
    }
    let least = fits[best(&fits)].1;
    let free = n as f64 - 3.0;
    let mut shares = [0.0; BASES.len()];
    for (share, &(_, sse, _)) in shares.iter_mut().zip(&fits) {
        *share = (-0.5 * BELIEF * free * ((sse + floor) / (least + floor)).ln()).exp();
    }
    // One prior for each course, divided over its curves; a line is as likely as both others.
    for (share, basis) in shares.iter_mut().zip(&BASES) {
        *share *= match basis {
            Basis::Line => 0.45,
            Basis::Fills(_) | Basis::Logarithm(_) | Basis::Ends(_) | Basis::Between(..) => {
                0.25 / 18.0
            }
            Basis::Exponential(_) => 0.20 / 4.0,
            Basis::Begins(_) => 0.10 / 4.0,
        };
    }
    let total: f64 = shares.iter().sum();
    let (multiple, least, variance) = fits[best(&fits)];
    let error = (least / free * variance).sqrt();
    let z = if error > 0.0 {
        multiple / error
    } else if multiple > 0.0 {
        99.0
    } else {
        0.0
    };
    let rise = (BASES[best(&fits)].at(1.0) - BASES[best(&fits)].at(0.0)) / span;
    let begins = BASES
        .iter()
        .zip(&shares)
        .filter_map(|(basis, share)| match basis {
            Basis::Begins(at) => Some((*at, *share)),
            _ => None,
        });
    let begins = begins.max_by(|a, b| a.1.total_cmp(&b.1));
    let begins = begins.and_then(|(at, share)| (share > 0.3 * total).then_some(at));
    let mut shape = Shape {
        line: 0.0,
        slows: 0.0,
        accelerates: 0.0,
        held: 0.0,
        e_fold: f64::INFINITY,
        end_slope: 1.0,
        best: best(&fits),
        mean_slope: multiple * rise,
        mean_error: error * rise,
        z,
        freedom: (n as f64 * (1.0 - rho) / (1.0 + rho) - 3.0).max(2.0),
        begins,
        later: 0.0,
    };
    let mut best_exponential = 0.0;
    for (&share, basis) in shares.iter().zip(&BASES) {
        let share = share / total;
        let held = basis.slope(1.0) / (basis.at(1.0) - basis.at(0.0));
        shape.held += share * held;
        match basis {
            Basis::Line => shape.line += share,
            Basis::Begins(_) => {
                shape.line += share;
                shape.later += share;
            }
            Basis::Fills(_) | Basis::Logarithm(_) | Basis::Ends(_) | Basis::Between(..) => {
                shape.slows += share
            }
            Basis::Exponential(tau) => {
                shape.accelerates += share;
                if share > best_exponential {
                    best_exponential = share;
                    (shape.e_fold, shape.end_slope) = (tau * span, held);
                }
            }
        }
    }
    Some(shape)
}

fn best(fits: &[(f64, f64, f64)]) -> usize {
    let least = |a: &usize, b: &usize| fits[*a].1.total_cmp(&fits[*b].1);
    (0..fits.len()).min_by(least).unwrap_or(0)
}

/// The multiple of a curve, and the squares that it leaves of the quasi-differences.
fn regress(points: &Points, values: &[f64; MOST], y0: f64, step: f64, rho: f64) -> (f64, f64, f64) {
    // Columns: level and curve. The first point counts as much as the noise's memory allows.
    let first = (1.0 - rho * rho).sqrt();
    let (mut ll, mut lx, mut xx) = (
        first * first,
        first * first * values[0],
        first * first * values[0] * values[0],
    );
    let (mut ly, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for i in 1..points.n {
        let (left, weight) = memory(rho, (points.t[i] - points.t[i - 1]) / step);
        let l = (1.0 - left) * weight;
        let x = (values[i] - left * values[i - 1]) * weight;
        let y = (points.y[i] - y0 - left * (points.y[i - 1] - y0)) * weight;
        ll += l * l;
        lx += l * x;
        xx += x * x;
        ly += l * y;
        xy += x * y;
        yy += y * y;
    }
    let determinant = ll * xx - lx * lx;
    if determinant <= 0.0 {
        return (0.0, f64::INFINITY, 0.0);
    }
    let slope = (ll * xy - lx * ly) / determinant;
    let level = (ly * xx - xy * lx) / determinant;
    let sse = yy - level * ly - slope * xy;
    (slope, sse.max(0.0), ll / determinant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;
    use rand_pcg::Pcg64;

    /// A course over time from 0 to 1, of height about 1, under noise of so much.
    fn points(seed: u64, noise: f64, of: impl Fn(f64) -> f64) -> Points {
        let mut draw = Pcg64::seed_from_u64(seed);
        let mut points = Points::new();
        for i in 0..120 {
            let news: f64 = draw.sample(StandardNormal);
            points.push(f64::from(i) * 32.0, of(f64::from(i) / 119.0) + noise * news);
        }
        points
    }

    fn line(u: f64) -> f64 {
        u
    }

    fn saturation(u: f64) -> f64 {
        1.0 - (-u / 0.3).exp()
    }

    fn exponential(u: f64) -> f64 {
        ((u - 1.0) / 0.3).exp()
    }

    type Curve = fn(f64) -> f64;

    const COURSES: [(Curve, Course); 3] = [
        (line, Course::Line),
        (saturation, Course::Slows),
        (exponential, Course::Accelerates),
    ];

    #[test]
    fn a_line_a_saturation_and_an_exponential_are_told_apart() {
        for (course, name) in COURSES {
            for seed in 0..30 {
                let shape = compare(&points(seed, 0.02, course)).unwrap();
                assert_eq!(shape.course(), name, "seed {seed}: {shape:?}");
                let total = shape.line + shape.slows + shape.accelerates;
                assert!((total - 1.0).abs() < 1e-9, "{shape:?}");
            }
        }
    }

    #[test]
    fn a_slope_that_holds_is_1_and_one_that_levels_off_is_near_0() {
        for seed in 0..30 {
            let held = |of: Curve| compare(&points(seed, 0.02, of)).unwrap().held;
            assert!((0.85..1.25).contains(&held(line)), "{}", held(line));
            assert!(held(saturation) < 0.4, "{}", held(saturation));
            assert!(held(exponential) > 2.0, "{}", held(exponential));
        }
    }

    #[test]
    fn the_time_in_which_an_exponential_grows_by_e_is_found() {
        let points = points(1, 0.005, |u| ((u - 1.0) / 0.35).exp());
        let shape = compare(&points).unwrap();
        assert!(
            (shape.e_fold / (0.35 * points.span()) - 1.0).abs() < 1e-9,
            "{shape:?}"
        );
    }

    #[test]
    fn a_ramp_after_a_level_says_when_it_began() {
        for seed in 0..20 {
            let shape = compare(&points(seed, 0.02, |u| (u - 0.55).max(0.0) / 0.45)).unwrap();
            assert_eq!(shape.begins, Some(0.55), "{shape:?}");
            assert_eq!(compare(&points(seed, 0.02, line)).unwrap().begins, None);
        }
    }

    #[test]
    fn scale_and_origin_of_values_and_times_change_nothing() {
        for (course, _) in COURSES {
            let one = points(5, 0.05, course);
            let plain = compare(&one).unwrap();
            for (y_scale, y_shift, t_scale, t_shift) in [
                (2.0f64.powi(31), 0.0, 1.0, 0.0),
                (1.0, 1024.0, 1.0, 0.0),
                (1.0, -3.0, 1.0, 0.0),
                (1.0, 0.0, 2.0f64.powi(-7), 0.0),
                (1.0, 0.0, 1.0, 1.7e9),
                (3.7e9, 2e10, 0.3, -5e5),
            ] {
                let mut other = Points::new();
                for (t, y) in one.t().iter().zip(one.y()) {
                    other.push(t * t_scale + t_shift, y * y_scale + y_shift);
                }
                let shape = compare(&other).unwrap();
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
                assert!(
                    near(shape.line, plain.line)
                        && near(shape.slows, plain.slows)
                        && near(shape.accelerates, plain.accelerates)
                        && near(shape.held, plain.held)
                        && near(shape.z, plain.z),
                    "{y_scale} {y_shift} {t_scale} {t_shift}: {shape:?}, not {plain:?}"
                );
                let mean = shape.mean_slope * t_scale / y_scale;
                assert!((mean / plain.mean_slope - 1.0).abs() < 1e-5, "{mean}");
            }
        }
    }

    #[test]
    fn what_is_level_has_no_slope_and_what_is_short_no_course() {
        let level = compare(&points(0, 0.0, |_| 7.0)).unwrap();
        assert_eq!((level.z, level.mean_slope), (0.0, 0.0));
        let mut few = Points::new();
        for i in 0..7 {
            few.push(f64::from(i), f64::from(i));
        }
        assert!(compare(&few).is_none());
    }
}
