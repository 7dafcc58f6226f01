//! A stretch of a series in fixed memory, and what is made of it: low watermarks, means over a cycle,
//! jumps.

use super::MOST;

/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

/// What the points are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// The bins' means.
    Mean,
    /// The bins' means, with a cycle fitted beside the line.
    Seasonal,
    /// The low watermarks.
    Floor,
}

/// Points in time order, in fixed memory.
#[derive(Clone)]
pub(super) struct Points {
    pub(super) n: usize,
    pub(super) t: [f64; MOST],
    pub(super) y: [f64; MOST],
}

impl Points {
    pub(super) fn new() -> Points {
        Points {
            n: 0,
            t: [0.0; MOST],
            y: [0.0; MOST],
        }
    }

    /// Adds a point; beyond [`MOST`] it is left out, which no caller reaches.
    pub(super) fn push(&mut self, t: f64, y: f64) {
        if self.n < MOST {
            (self.t[self.n], self.y[self.n]) = (t, y);
            self.n += 1;
        }
    }

    pub(super) fn t(&self) -> &[f64] {
        &self.t[..self.n]
    }

    pub(super) fn y(&self) -> &[f64] {
        &self.y[..self.n]
    }

    /// From the first point to the last.
    pub(super) fn span(&self) -> f64 {
        if self.n == 0 {
            0.0
        } else {
            self.t[self.n - 1] - self.t[0]
        }
    }

    /// The usual distance of two points: the median of all.
    pub(super) fn step(&self) -> f64 {
        let mut steps = [0.0; MOST];
        let n = self.n.saturating_sub(1);
        for (step, pair) in steps.iter_mut().zip(self.t().windows(2)) {
            *step = pair[1] - pair[0];
        }
        median(&mut steps[..n]).max(f64::MIN_POSITIVE)
    }
}

/// The median; of an even number, the upper of the two in the middle; 0 of nothing.
pub(super) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value with this share of the others below it; 0 of nothing.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let place = (share * values.len() as f64) as usize;
    let place = place.min(values.len() - 1);
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

/// The robust standard deviation of values around 0.
pub(super) fn spread(values: &[f64]) -> f64 {
    let mut sizes = [0.0; MOST];
    for (size, value) in sizes.iter_mut().zip(values) {
        *size = value.abs();
    }
    MAD_TO_SIGMA * median(&mut sizes[..values.len().min(MOST)])
}

/// The points from one on.
pub(super) fn tail(points: &Points, from: usize) -> Points {
    let mut rest = Points::new();
    for i in from..points.n {
        rest.push(points.t[i], points.y[i]);
    }
    rest
}

/// Means of so many neighbours each.
pub(super) fn thinned(points: &Points, each: usize) -> Points {
    let mut thin = Points::new();
    let mut i = 0;
    while i < points.n {
        let end = (i + each).min(points.n);
        let count = (end - i) as f64;
        thin.push(
            points.t[i..end].iter().sum::<f64>() / count,
            points.y[i..end].iter().sum::<f64>() / count,
        );
        i = end;
    }
    thin
}

/// The low watermarks of equal parts, each at least a cycle long.
pub(super) fn floors(low: &Points, cycle: Option<f64>) -> Points {
    let span = low.span();
    let parts = match cycle {
        Some(cycle) => ((span / cycle) as usize).clamp(2, 16),
        None => 16,
    };
    let width = span / parts as f64 * (1.0 + 1e-9);
    let mut floors = Points::new();
    let mut part = 0;
    let mut least: Option<(f64, f64)> = None;
    for i in 0..low.n {
        let of = ((low.t[i] - low.t[0]) / width) as usize;
        if of != part {
            if let Some((t, y)) = least.take() {
                floors.push(t, y);
            }
            part = of;
        }
        if least.is_none_or(|(_, y)| low.y[i] < y) {
            least = Some((low.t[i], low.y[i]));
        }
    }
    if let Some((t, y)) = least {
        floors.push(t, y);
    }
    floors
}

/// Means over one cycle: what is left of a series without it.
pub(super) fn smoothed(points: &Points, cycle: f64) -> Points {
    let mut smooth = Points::new();
    let each = ((cycle / points.step()).round() as usize).clamp(1, points.n);
    let hop = (each / 4).min((points.n - each) / 30).max(1);
    let mut i = 0;
    while i + each <= points.n {
        smooth.push(
            points.t[i..i + each].iter().sum::<f64>() / each as f64,
            points.y[i..i + each].iter().sum::<f64>() / each as f64,
        );
        i += hop;
    }
    smooth
}

/// The largest rises that stayed, at most two: from what was nearly the most before it to what is
/// nearly the least after it, each over an eighth of the points. Neither a ramp nor the teeth of a
/// saw make one.
pub(super) fn largest_jumps(points: &Points) -> [(usize, f64); 2] {
    let n = points.n;
    let around = n / 8;
    let mut best = [(0, 0.0); 2];
    if around < 2 {
        return best;
    }
    let y = points.y();
    for i in around / 2..n - around / 2 {
        if i == 0 || y[i] <= y[i - 1] {
            continue;
        }
        let mut before = [0.0; MOST];
        let mut after = [0.0; MOST];
        let first = i.saturating_sub(around);
        let last = (i + around).min(n);
        before[..i - first].copy_from_slice(&y[first..i]);
        after[..last - i].copy_from_slice(&y[i..last]);
        let height =
            quantile(&mut after[..last - i], 0.15) - quantile(&mut before[..i - first], 0.85);
        // Of one jump, its highest place counts.
        let same = best
            .iter()
            .position(|(at, most)| *most > 0.0 && i.abs_diff(*at) <= around);
        let place = same.unwrap_or(1);
        if height > best[place].1 {
            best[place] = (i, height);
        }
        if best[1].1 > best[0].1 {
            best.swap(0, 1);
        }
    }
    best
}

/// The slope of some points, and how long they last.
pub(super) fn least_squares(points: &Points, from: usize, to: usize) -> (f64, f64) {
    let (t, y) = (&points.t[from..to], &points.y[from..to]);
    let n = (to - from) as f64;
    let (mean_t, mean_y) = (t.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut above, mut below) = (0.0, 0.0);
    for (t, y) in t.iter().zip(y) {
        above += (t - mean_t) * (y - mean_y);
        below += (t - mean_t) * (t - mean_t);
    }
    let slope = if below > 0.0 { above / below } else { 0.0 };
    (slope, points.t[to - 1] - points.t[from])
}
