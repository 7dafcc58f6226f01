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
