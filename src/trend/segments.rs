//! Where a series changes its course: the best division into straight pieces.
//!
//! Optimal partitioning (Jackson et al., *An algorithm for optimal partitioning of data on an
//! interval*, IEEE Signal Processing Letters 12, 2005) with a penalty for each piece, as the Bayesian
//! information criterion has it. The cost of any piece comes from running sums in constant time, so
//! all of it is quadratic in the number of points, which is at most 120.

use super::points::{Points, spread};

/// Points are thinned to this many for the search.
pub(super) const COARSE: usize = 120;

/// Pieces that are kept, from the end.
pub(super) const PIECES: usize = 24;

/// What a piece is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A level.
    Level,
    /// A straight line, at any slope.
    Line,
}

/// The starts of the pieces, from the first, which starts at 0.
#[derive(Clone, Copy)]
pub(super) struct Division {
    starts: [usize; PIECES],
    count: usize,
    /// The sum of squares that is left.
    pub(super) sse: f64,
}

impl Division {
    /// One piece.
    pub(super) fn whole() -> Division {
        Division {
            starts: [0; PIECES],
            count: 1,
            sse: 0.0,
        }
    }

    pub(super) fn starts(&self) -> &[usize] {
        &self.starts[..self.count]
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
    yy: f64,
}

/// The noise's standard deviation, from how neighbours differ.
pub(super) fn noise(points: &Points) -> f64 {
    let mut differences = [0.0; super::MOST];
    let n = points.n.saturating_sub(1);
    for (difference, pair) in differences.iter_mut().zip(points.y().windows(2)) {
        *difference = pair[1] - pair[0];
    }
    spread(&differences[..n]) / std::f64::consts::SQRT_2
}

/// Divides at most [`COARSE`] points into pieces of at least `least` points, each of which has to be
/// worth `penalty` in squares.
pub(super) fn divide(points: &Points, piece: Piece, least: usize, penalty: f64) -> Division {
    debug_assert!(points.n <= COARSE, "{} points", points.n);
    let n = points.n.min(COARSE);
    let mut sums = [Sums::default(); COARSE + 1];
    let (t0, y0) = (points.t[0], points.y[0]);
    for i in 0..n {
        let (x, y) = (points.t[i] - t0, points.y[i] - y0);
        let last = sums[i];
        sums[i + 1] = Sums {
            x: last.x + x,
            xx: last.xx + x * x,
            y: last.y + y,
            xy: last.xy + x * y,
            yy: last.yy + y * y,
        };
    }
    let cost = |from: usize, to: usize| -> f64 {
        let (a, b) = (&sums[from], &sums[to]);
        let count = (to - from) as f64;
        let (y, yy) = (b.y - a.y, b.yy - a.yy);
        let around = yy - y * y / count;
        if piece == Piece::Level {
            return around.max(0.0);
        }
        let x = b.x - a.x;
        let xx = b.xx - a.xx - x * x / count;
        let xy = b.xy - a.xy - x * y / count;
        if xx <= 0.0 {
            around.max(0.0)
        } else {
            (around - xy * xy / xx).max(0.0)
        }
    };
    let mut best = [f64::INFINITY; COARSE + 1];
    let mut from = [0usize; COARSE + 1];
    best[0] = -penalty;
    for to in least.min(n)..=n {
        for start in 0..=to.saturating_sub(least) {
            if best[start].is_finite() {
                let total = best[start] + cost(start, to) + penalty;
                if total < best[to] {
                    (best[to], from[to]) = (total, start);
                }
            }
        }
    }
    // Backwards: the last pieces are the ones that matter.
    let mut starts = [0usize; PIECES];
    let (mut count, mut to) = (0, n);
    while to > 0 && count < PIECES {
        to = from[to];
        starts[count] = to;
        count += 1;
    }
    starts[..count].reverse();
    let mut sse = 0.0;
    for (place, &start) in starts[..count].iter().enumerate() {
        let end = if place + 1 < count {
            starts[place + 1]
        } else {
            n
        };
        sse += cost(start, end);
    }
    Division { starts, count, sse }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;
    use rand_pcg::Pcg64;

    /// A course under noise of standard deviation 1.
    fn points(seed: u64, of: impl Fn(f64) -> f64) -> Points {
        let mut draw = Pcg64::seed_from_u64(seed);
        let mut points = Points::new();
        for i in 0..COARSE {
            let noise: f64 = draw.sample(StandardNormal);
            points.push(i as f64 * 60.0, of(i as f64) + noise);
        }
        points
    }

    fn divided(points: &Points, piece: Piece) -> Division {
        let sigma = noise(points);
        let penalty = 12.0 * (points.n as f64).ln() * sigma * sigma;
        divide(points, piece, 4, penalty)
    }

    /// The starts are these, each give or take so many points.
    fn assert_starts(division: &Division, expected: &[usize], slack: usize, what: &str) {
        let starts = division.starts();
        let near = |(a, b): (&usize, &usize)| a.abs_diff(*b) <= slack;
        assert!(
            starts.len() == expected.len() && starts.iter().zip(expected).all(near),
            "{what}: {starts:?}, not {expected:?}"
        );
    }

    #[test]
    fn a_step_is_not_taken_for_noise() {
        for height in [0.0, 500.0] {
            let of = |seed| noise(&points(seed, |i| if i < 60.0 { 0.0 } else { height }));
            let mean = (0..20).map(of).sum::<f64>() / 20.0;
            assert!((0.9..1.1).contains(&mean), "at {height}: {mean}");
        }
    }

    #[test]
    fn a_hinge_is_found_where_it_is() {
        for seed in 0..20 {
            let hinge = points(seed, |i| (i - 60.0).max(0.0));
            assert_starts(&divided(&hinge, Piece::Line), &[0, 60], 5, "hinge");
        }
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        for seed in 0..20 {
            let step = points(seed, |i| if i < 40.0 { 0.0 } else { 20.0 });
            assert_starts(&divided(&step, Piece::Level), &[0, 40], 0, "step of levels");
            assert_starts(&divided(&step, Piece::Line), &[0, 40], 0, "step of lines");
        }
    }

    #[test]
    fn three_pieces_are_found_where_they_are() {
        for seed in 0..20 {
            let course = |i: f64| (i.min(40.0)) + 2.0 * (i - 85.0).max(0.0);
            let three = points(seed, course);
            assert_starts(&divided(&three, Piece::Line), &[0, 40, 85], 5, "three");
        }
    }

    #[test]
    fn one_line_is_one_piece() {
        for seed in 0..20 {
            let line = points(seed, |i| 0.3 * i);
            let division = divided(&line, Piece::Line);
            assert_starts(&division, &[0], 0, "line");
            assert!((80.0..160.0).contains(&division.sse), "{}", division.sse);
        }
    }

    #[test]
    fn no_piece_is_shorter_than_asked_for() {
        let wild = points(3, |i| if i % 5.0 == 0.0 { 100.0 } else { 0.0 });
        for least in [2, 4, 10] {
            let division = divide(&wild, Piece::Line, least, 0.0);
            let starts = division.starts();
            let ends = starts.iter().skip(1).chain([&COARSE]);
            assert!(starts.iter().zip(ends).all(|(from, to)| to - from >= least));
        }
    }
}
