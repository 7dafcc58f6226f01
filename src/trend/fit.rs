//! A straight line through noise that remembers: least squares after the noise's own memory has been
//! taken out.
//!
//! Samples of memory are not independent: what was high a moment ago is still high. Plain least
//! squares then believes in far more evidence than there is. So the residuals are taken for a first
//! order autoregression and the fit is repeated on quasi-differences (Prais and Winsten, *Trend
//! estimators and serial correlation*, Cowles Commission 1954). Gaps raise the autocorrelation to
//! the power of their length. Residuals beyond three standard deviations count as three (Huber's
//! winsorising, *Robust Statistics*, 1981, section 7.7), so that spikes do not bend the line.

use super::MOST;
use super::points::{Points, spread};

/// Columns of a design: level, slope, and six that a caller may add.
pub(super) const COLUMNS: usize = 8;

/// Residuals count up to this many robust standard deviations.
const CLIP: f64 = 3.0;

/// The autocorrelation is not believed beyond this: nearer to 1 a line cannot be told from a walk.
const MOST_RHO: f64 = 0.97;

/// The sums of a least squares problem.
#[derive(Clone)]
pub(super) struct Normal {
    columns: usize,
    a: [[f64; COLUMNS]; COLUMNS],
    b: [f64; COLUMNS],
    yy: f64,
}

/// What solves it.
pub(super) struct Solution {
    pub(super) beta: [f64; COLUMNS],
    /// The diagonal of the inverse: variances of `beta` for noise of variance 1.
    pub(super) variance: [f64; COLUMNS],
    /// The sum of squares that is left.
    pub(super) sse: f64,
}

impl Normal {
    pub(super) fn new(columns: usize) -> Normal {
        Normal {
            columns,
            a: [[0.0; COLUMNS]; COLUMNS],
            b: [0.0; COLUMNS],
            yy: 0.0,
        }
    }

    pub(super) fn add(&mut self, row: &[f64; COLUMNS], y: f64) {
        for i in 0..self.columns {
            for j in 0..=i {
                self.a[i][j] += row[i] * row[j];
            }
            self.b[i] += row[i] * y;
        }
        self.yy += y * y;
    }

    /// By Cholesky's decomposition; `None` when the columns depend on each other.
    pub(super) fn solve(&self) -> Option<Solution> {
        let n = self.columns;
        let mut l = [[0.0; COLUMNS]; COLUMNS];
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
                let rest = self.a[i][j] - dot;
                if i == j {
                    if rest <= 1e-12 * self.a[i][i] || rest.is_nan() {
                        return None;
                    }
                    l[i][i] = rest.sqrt();
                } else {
                    l[i][j] = rest / l[j][j];
                }
            }
        }
        // The inverse of the triangle gives both the solution and the variances.
        let mut inverse = [[0.0; COLUMNS]; COLUMNS];
        for j in 0..n {
            inverse[j][j] = 1.0 / l[j][j];
            for i in j + 1..n {
                let dot: f64 = (j..i).map(|k| l[i][k] * inverse[k][j]).sum();
                inverse[i][j] = -dot / l[i][i];
            }
        }
        let mut beta = [0.0; COLUMNS];
        let mut variance = [0.0; COLUMNS];
        let mut explained = 0.0;
        for (i, row) in inverse[..n].iter().enumerate() {
            let z: f64 = row[..=i].iter().zip(&self.b).map(|(a, b)| a * b).sum();
            explained += z * z;
            for (k, value) in row[..=i].iter().enumerate() {
                beta[k] += value * z;
                variance[k] += value * value;
            }
        }
        Some(Solution {
            beta,
            variance,
            sse: (self.yy - explained).max(0.0),
        })
    }
}

/// A line and how far it is to be believed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// A second.
    pub(super) slope: f64,
    /// Its standard error.
    pub(super) error: f64,
    /// Degrees of freedom of the error.
    pub(super) freedom: f64,
    /// The noise's standard deviation.
    pub(super) sigma: f64,
    /// The line at the last point.
    pub(super) end: f64,
}

impl Line {
    /// The slope over its error; 0 where there is neither.
    pub(super) fn z(&self) -> f64 {
        if self.error > 0.0 {
            self.slope / self.error
        } else if self.slope == 0.0 {
            0.0
        } else {
            99.0 * self.slope.signum()
        }
    }
}

/// What the line is fitted beside.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside {
    /// The length of a cycle, in seconds: its first three harmonics are fitted as well.
    pub(super) cycle: Option<f64>,
    /// The place of a jump: the level before it and from it on are fitted apart.
    pub(super) jump: Option<usize>,
}

impl Beside {
    fn columns(&self) -> usize {
        2 + if self.cycle.is_some() {
            COLUMNS - 2
        } else {
            usize::from(self.jump.is_some())
        }
    }

    /// The place of the slope is 1; time runs from -1 to 1.
    fn row(&self, index: usize, x: f64, t: f64) -> [f64; COLUMNS] {
        let mut row = [0.0; COLUMNS];
        (row[0], row[1]) = (1.0, x);
        if let Some(cycle) = self.cycle {
            let turn = std::f64::consts::TAU * t / cycle;
            let (sine, cosine) = turn.sin_cos();
            // Of twice and three times the angle, by the addition theorems.
            let (sine2, cosine2) = (2.0 * sine * cosine, cosine * cosine - sine * sine);
            (row[2], row[3], row[4], row[5]) = (sine, cosine, sine2, cosine2);
            (row[6], row[7]) = (
                sine2 * cosine + cosine2 * sine,
                cosine2 * cosine - sine2 * sine,
            );
        } else if self.jump.is_some_and(|jump| index >= jump) {
            row[2] = 1.0;
        }
        row
    }
}

/// Fits a line; `None` with too few points for it.
pub(super) fn line(points: &Points, beside: Beside) -> Option<Line> {
    let columns = beside.columns();
    let n = points.n;
    let span = points.span();
    if n < columns + 2 || span <= 0.0 {
        return None;
    }
    let step = points.step();
    let middle = points.t[0] + span / 2.0;
    let mut rows = [[0.0; COLUMNS]; MOST];
    for (i, row) in rows[..n].iter_mut().enumerate() {
        *row = beside.row(
            i,
            2.0 * (points.t[i] - middle) / span,
            points.t[i] - points.t[0],
        );
    }
    let rows = &rows[..n];
    let predicted = |beta: &[f64; COLUMNS], i: usize| -> f64 {
        let products = rows[i].iter().zip(beta).map(|(a, b)| a * b);
        products.take(columns).sum()
    };
    // Relative to the first value: squares of gigabytes would lose the digits that count.
    let origin = points.y[0];
    let mut y = [0.0; MOST];
    for (clean, value) in y.iter_mut().zip(points.y()) {
        *clean = value - origin;
    }
    let mut residual = [0.0; MOST];
    let mut rho = 0.0;
    let mut found = solve(columns, rows, &y, points, step, 0.0)?;
    for round in 0..4 {
        for (i, rest) in residual[..n].iter_mut().enumerate() {
            *rest = points.y[i] - origin - predicted(&found.beta, i);
        }
        let sigma = spread(&residual[..n]);
        if sigma > 0.0 {
            for (i, rest) in residual[..n].iter_mut().enumerate() {
                let kept = rest.clamp(-CLIP * sigma, CLIP * sigma);
                y[i] = points.y[i] - origin - *rest + kept;
                *rest = kept;
            }
        }
        if round > 0 {
            rho = autocorrelation(&residual[..n], columns);
        }
        found = solve(columns, rows, &y, points, step, rho)?;
    }
    let free = n as f64 - columns as f64;
    let variance = found.sse / free;
    // As many independent points as the memory of the noise leaves.
    let independent = n as f64 * (1.0 - rho) / (1.0 + rho);
    let scale = 2.0 / span;
    Some(Line {
        slope: found.beta[1] * scale,
        error: (variance * found.variance[1]).sqrt() * scale,
        freedom: (independent - 2.0).clamp(2.0, free),
        sigma: (variance / (1.0 - rho * rho)).sqrt(),
        end: origin
            + found.beta[0]
            + found.beta[1]
            + if beside.jump.is_some() && beside.cycle.is_none() {
                found.beta[2]
            } else {
                0.0
            },
    })
}

fn solve(
    columns: usize,
    rows: &[[f64; COLUMNS]],
    y: &[f64; MOST],
    points: &Points,
    step: f64,
    rho: f64,
) -> Option<Solution> {
    let mut normal = Normal::new(columns);
    // The first point has no one before it to be compared with: it counts by itself, scaled so that
    // its noise is as large as that of the differences.
    let first = (1.0 - rho * rho).sqrt();
    normal.add(&rows[0].map(|value| value * first), y[0] * first);
    for i in 1..rows.len() {
        let (last, this) = (&rows[i - 1], &rows[i]);
        let apart = (points.t[i] - points.t[i - 1]) / step;
        let (memory, weight) = memory(rho, apart);
        let mut differences = [0.0; COLUMNS];
        for k in 0..columns {
            differences[k] = (this[k] - memory * last[k]) * weight;
        }
        normal.add(&differences, (y[i] - memory * y[i - 1]) * weight);
    }
    normal.solve()
}

/// What is left of the noise after so many steps, and the weight that makes the news of that time
/// count like the news of one step.
pub(super) fn memory(rho: f64, apart: f64) -> (f64, f64) {
    if (apart - 1.0).abs() < 0.05 {
        return (rho, 1.0);
    }
    let left = if rho == 0.0 { 0.0 } else { rho.powf(apart) };
    (left, ((1.0 - rho * rho) / (1.0 - left * left)).sqrt())
}

/// From each residual to the next, with the bias that fitted columns bring taken out: to first
/// order it is `-(columns + 2 rho) / n` (Marriott and Pope, *Biometrika* 41, 1954, for a fitted
/// mean; each further column adds about as much).
pub(super) fn autocorrelation(residual: &[f64], columns: usize) -> f64 {
    let own: f64 = residual.iter().map(|r| r * r).sum();
    if own <= 0.0 {
        return 0.0;
    }
    let next: f64 = residual.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let raw = next / own;
    let bias = (columns as f64 + 2.0 * raw.max(0.0)) / residual.len() as f64;
    (raw + bias).clamp(0.0, MOST_RHO)
}

/// The value that Student's distribution stays below with the probability that a standard normal
/// one stays below `normal` (Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.5).
pub(super) fn student(normal: f64, freedom: f64) -> f64 {
    let z = normal;
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * freedom)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * freedom.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * freedom.powi(3))
}

/// The normal value with 5 % above it: a 90 % interval's.
pub(super) const NINETY: f64 = 1.644_853_626_951_472_2;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;
    use rand_pcg::Pcg64;

    const SERIES: &str = include_str!("../../tests/vectors/series.csv");
    const EXPECTED: &str = include_str!("../../tests/vectors/expected.csv");
    const STUDENT: &str = include_str!("../../tests/vectors/student.csv");

    /// The fields of a table's lines, without its heading.
    fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
        table.lines().skip(1).map(|line| line.split(',').collect())
    }

    fn series(name: &str) -> Points {
        let mut points = Points::new();
        for row in rows(SERIES).filter(|row| row[0] == name) {
            points.push(row[1].parse().unwrap(), row[2].parse().unwrap());
        }
        assert!(points.n > 2, "{name}");
        points
    }

    /// scipy's slope and standard error.
    fn linregress(name: &str) -> (f64, f64) {
        let row = rows(EXPECTED).find(|row| row[0] == name).unwrap();
        (row[9].parse().unwrap(), row[10].parse().unwrap())
    }

    fn relative(ours: f64, theirs: f64) -> f64 {
        (ours / theirs - 1.0).abs()
    }

    #[test]
    fn without_memory_and_outliers_a_line_is_that_of_least_squares() {
        let line = line(&series("alternating"), Beside::default()).unwrap();
        let (slope, error) = linregress("alternating");
        assert!(relative(line.slope, slope) < 1e-9, "{line:?}");
        assert!(relative(line.error, error) < 1e-9, "{line:?}");
        assert_eq!(line.freedom, 62.0);
    }

    #[test]
    fn among_gigabytes_a_slope_keeps_its_digits() {
        let line = line(&series("fine"), Beside::default()).unwrap();
        let (slope, error) = linregress("fine");
        assert!(relative(line.slope, slope) < 1e-6, "{line:?}");
        assert!((0.5..2.0).contains(&(line.error / error)), "{line:?}");
    }

    #[test]
    fn at_uneven_times_a_line_is_near_that_of_least_squares() {
        let line = line(&series("irregular"), Beside::default()).unwrap();
        let (slope, error) = linregress("irregular");
        assert!((line.slope - slope).abs() < error, "{line:?}, {slope}");
        assert!((0.7..2.0).contains(&(line.error / error)), "{line:?}");
    }

    #[test]
    fn spikes_do_not_bend_a_line() {
        // 0.1 a step, under four spikes of fifty times the noise.
        let line = line(&series("outliers"), Beside::default()).unwrap();
        let (bent, _) = linregress("outliers");
        assert!(relative(line.slope, 0.1) < 0.1, "{line:?}");
        assert!(relative(bent, 0.1) > 0.5, "{bent}");
    }

    #[test]
    fn a_straight_line_has_no_error() {
        let line = line(&series("straight"), Beside::default()).unwrap();
        assert!(relative(line.slope, 2.0) < 1e-12, "{line:?}");
        assert!(line.error < 1e-9 && line.sigma < 1e-9, "{line:?}");
        assert!((line.end - 81.0).abs() < 1e-9, "{line:?}");
    }

    #[test]
    fn a_jump_beside_the_line_is_no_part_of_its_slope() {
        let mut points = Points::new();
        for i in 0..60 {
            let jump = if i < 25 { 0.0 } else { 100.0 };
            points.push(f64::from(i), 0.5 * f64::from(i) + jump);
        }
        let beside = Beside {
            cycle: None,
            jump: Some(25),
        };
        let apart = line(&points, beside).unwrap();
        assert!(relative(apart.slope, 0.5) < 1e-6, "{apart:?}");
        assert!((apart.end - 129.5).abs() < 1e-6, "{apart:?}");
        assert!(line(&points, Beside::default()).unwrap().slope > 1.5);
    }

    #[test]
    fn a_cycle_beside_the_line_is_no_part_of_its_slope() {
        let mut points = Points::new();
        for i in 0..150 {
            let t = f64::from(i) * 10.0;
            points.push(
                t,
                0.02 * t + 40.0 * (t * std::f64::consts::TAU / 600.0).sin(),
            );
        }
        let beside = Beside {
            cycle: Some(600.0),
            jump: None,
        };
        let apart = line(&points, beside).unwrap();
        assert!(relative(apart.slope, 0.02) < 1e-6, "{apart:?}");
        let plain = line(&points, Beside::default()).unwrap();
        assert!(relative(plain.slope, 0.02) > 0.05, "{plain:?}");
    }

    /// A ramp under noise of which this share stays from one point to the next.
    fn remembering(rho: f64, seed: u64) -> Points {
        let mut draw = Pcg64::seed_from_u64(seed);
        let mut news = || -> f64 { draw.sample(StandardNormal) };
        let mut noise = news() / (1.0 - rho * rho).sqrt();
        let mut points = Points::new();
        for i in 0..200 {
            points.push(f64::from(i) * 30.0, 1e-3 * f64::from(i) * 30.0 + noise);
            noise = rho * noise + news();
        }
        points
    }

    #[test]
    fn the_interval_holds_the_slope_nine_times_in_ten_whatever_the_noise_remembers() {
        for rho in [0.0, 0.5, 0.8, 0.9] {
            let held = |seed: &u64| {
                let line = line(&remembering(rho, *seed), Beside::default()).unwrap();
                (line.slope - 1e-3).abs() <= line.error * student(NINETY, line.freedom)
            };
            let share = (0..400).filter(held).count() as f64 / 400.0;
            eprintln!("autocorrelation {rho}: {share} of the intervals hold the slope");
            assert!((0.82..=0.97).contains(&share), "at {rho}: {share}");
        }
    }

    #[test]
    fn the_autocorrelation_of_what_a_line_leaves_is_not_much_too_small() {
        for rho in [0.0, 0.5, 0.8, 0.9] {
            let of = |seed| {
                let points = remembering(rho, seed);
                let mut rest = [0.0; MOST];
                let (slope, _) = super::super::points::least_squares(&points, 0, points.n);
                let mean = points.y().iter().sum::<f64>() / points.n as f64;
                for (i, rest) in rest[..points.n].iter_mut().enumerate() {
                    *rest = points.y[i] - mean - slope * (points.t[i] - points.span() / 2.0);
                }
                autocorrelation(&rest[..points.n], 2)
            };
            let mean = (0..200).map(of).sum::<f64>() / 200.0;
            // At 0 the estimates below it are cut off, which lifts the mean.
            let allowed = if rho == 0.0 { 0.05 } else { 0.03 };
            assert!((mean - rho).abs() < allowed, "at {rho}: {mean}");
        }
    }

    #[test]
    fn nothing_and_alternation_have_no_memory() {
        assert_eq!(autocorrelation(&[], 2), 0.0);
        assert_eq!(autocorrelation(&[0.0; 9], 2), 0.0);
        assert_eq!(autocorrelation(&[1.0, -1.0, 1.0, -1.0, 1.0, -1.0], 2), 0.0);
    }

    #[test]
    fn a_gap_forgets_as_much_as_the_steps_that_it_is_long() {
        let (left, weight) = memory(0.5, 3.0);
        assert!((left - 0.125).abs() < 1e-12);
        // News of three steps: 1 + 1/4 + 1/16 times that of one.
        assert!((weight.powi(-2) - 1.3125).abs() < 1e-12);
        assert_eq!(memory(0.5, 1.0), (0.5, 1.0));
        assert_eq!(memory(0.0, 7.0), (0.0, 1.0));
    }

    #[test]
    fn student_s_quantile_is_within_a_percent_from_three_degrees_of_freedom() {
        let mut worst = [0.0f64; 2];
        for row in rows(STUDENT) {
            let freedom: f64 = row[0].parse().unwrap();
            let off = relative(student(NINETY, freedom), row[1].parse().unwrap());
            let allowed = match freedom {
                2.0 => 0.015,
                3.0 => 0.005,
                _ if freedom < 10.0 => 0.002,
                _ => 1e-4,
            };
            assert!(off < allowed, "{off} at {freedom}");
            let place = usize::from(freedom > 2.0);
            worst[place] = worst[place].max(off);
        }
        eprintln!("off by {worst:?} at 2 degrees of freedom and above");
    }
}
