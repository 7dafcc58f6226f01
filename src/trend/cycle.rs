//! The length of a cycle, found where a series agrees with itself.

use super::MOST;
use super::points::Points;

/// A cycle is believed from this autocorrelation on.
const AGREES: f64 = 0.35;

/// And from this one, when all that is slower has been taken away.
const RECURS: f64 = 0.5;

/// Of what rises in a cycle, this share falls at least.
const FALLS: f64 = 0.25;

/// In a window, a cycle has to be seen this often to count as one.
const TIMES: f64 = 2.0;

/// Shorter than this many points nothing can be told.
const SHORTEST: usize = 4;

/// The cycle of a series around its trend, in points: the lag of the first high peak of its
/// autocorrelation after it has gone below nothing.
pub(super) fn cycle(points: &Points) -> Option<f64> {
    let n = points.n;
    if n < 3 * SHORTEST {
        return None;
    }
    let mut rest = [0.0; MOST];
    detrend(points, &mut rest);
    let rest = &rest[..n];
    let own: f64 = rest.iter().map(|r| r * r).sum();
    if own <= 0.0 {
        return None;
    }
    let most = ((n as f64 / TIMES) as usize).min(n - 1);
    let mut agreement = [0.0; MOST];
    for lag in 1..=most {
        let both: f64 = rest[lag..].iter().zip(rest).map(|(a, b)| a * b).sum();
        // Fewer pairs at longer lags.
        agreement[lag] = both / own * (n as f64 / (n - lag) as f64);
    }
    let below = (1..=most).find(|&lag| agreement[lag] < 0.0)?;
    let (best, height) = (below..=most)
        .map(|lag| (lag, agreement[lag]))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    if height < AGREES || best < SHORTEST {
        return None;
    }
    // A multiple of the cycle agrees as well as the cycle itself: the first peak as good counts.
    let first = (below.max(SHORTEST)..=best)
        .find(|&lag| {
            agreement[lag] >= 0.85 * height
                && agreement[lag] >= agreement[lag - 1]
                && (lag == most || agreement[lag] >= agreement[lag + 1])
        })
        .unwrap_or(best);
    // What still rises at the longest lag is no peak.
    if first == most || !recurs(points, first) || !falls(points, first) {
        return None;
    }
    // Each further peak tells the length more finely.
    let mut cycle =
        first as f64 + vertex(agreement[first - 1], agreement[first], agreement[first + 1]);
    for times in 2.. {
        let near = (cycle * f64::from(times)).round() as usize;
        let slack = (first / 6).max(1);
        if near + slack >= most {
            break;
        }
        let peak = (near - slack..=near + slack)
            .max_by(|&a, &b| agreement[a].total_cmp(&agreement[b]))
            .unwrap_or(near);
        if agreement[peak] < 0.5 * AGREES || peak == near - slack || peak == near + slack {
            break;
        }
        let place = peak as f64 + vertex(agreement[peak - 1], agreement[peak], agreement[peak + 1]);
        cycle = place / f64::from(times);
    }
    Some(cycle)
}

/// Whether a series, freed of all that is slower than one cycle, agrees with itself a cycle later.
///
/// A bend in the trend makes a linearly detrended series go below and come back as a cycle does; it
/// does not survive this.
fn recurs(points: &Points, cycle: usize) -> bool {
    let n = points.n;
    let half = cycle / 2;
    if n < 2 * half + cycle + SHORTEST {
        return false;
    }
    let y = points.y();
    let mut rest = [0.0; MOST];
    let mut sum: f64 = y[..=2 * half].iter().sum();
    let count = n - 2 * half;
    for i in 0..count {
        rest[i] = y[i + half] - sum / (2 * half + 1) as f64;
        if i + 1 < count {
            sum += y[i + 2 * half + 1] - y[i];
        }
    }
    let rest = &rest[..count];
    let both: f64 = rest[cycle..].iter().zip(rest).map(|(a, b)| a * b).sum();
    let own = |part: &[f64]| part.iter().map(|r| r * r).sum::<f64>();
    let scale = (own(&rest[cycle..]) * own(&rest[..count - cycle])).sqrt();
    scale > 0.0 && both / scale >= RECURS
}

/// Where, around the middle of three points, their parabola is highest.
fn vertex(before: f64, at: f64, after: f64) -> f64 {
    let bend = before - 2.0 * at + after;
    if bend >= 0.0 {
        0.0
    } else {
        (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
    }
}

/// Takes the straight line of least squares away.
fn detrend(points: &Points, rest: &mut [f64; MOST]) {
    let n = points.n as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = points.y().iter().sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for (i, y) in points.y().iter().enumerate() {
        let x = i as f64 - middle;
        above += x * (y - mean);
        below += x * x;
    }
    let slope = above / below;
    for (i, y) in points.y().iter().enumerate() {
        rest[i] = y - mean - slope * (i as f64 - middle);
    }
}

/// Whether what rises within a cycle falls again: stairs agree with themselves too, and are none.
fn falls(points: &Points, cycle: usize) -> bool {
    let each = (cycle / 4).max(1);
    let (mut up, mut down) = (0.0, 0.0);
    let mut last = None;
    for part in points.y().chunks_exact(each) {
        let mean = part.iter().sum::<f64>() / each as f64;
        if let Some(last) = last {
            let step: f64 = mean - last;
            up += step.max(0.0);
            down += (-step).max(0.0);
        }
        last = Some(mean);
    }
    down >= FALLS * up
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::StandardNormal;
    use rand_pcg::Pcg64;
    use std::f64::consts::TAU;

    fn points(n: usize, of: impl FnMut(f64) -> f64) -> Points {
        let mut points = Points::new();
        for (i, y) in (0..n).map(|i| i as f64).map(of).enumerate() {
            points.push(i as f64 * 30.0, y);
        }
        points
    }

    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut draw = Pcg64::seed_from_u64(seed);
        move || draw.sample(StandardNormal)
    }

    fn assert_found(points: &Points, period: f64, what: &str) {
        assert_within(0.03, points, period, what);
    }

    fn assert_within(share: f64, points: &Points, period: f64, what: &str) {
        let found = cycle(points);
        assert!(
            found.is_some_and(|found| (found / period - 1.0).abs() < share),
            "{what} of {period}: {found:?}"
        );
    }

    #[test]
    fn a_sine_is_found_on_a_slope_too() {
        for period in [12.0, 17.3, 40.0, 61.8, 90.0] {
            for slope in [0.0, 0.02, -0.05] {
                let sine = points(240, |i| slope * i + (TAU * i / period).sin());
                assert_found(&sine, period, "sine");
            }
        }
    }

    #[test]
    fn a_sawtooth_is_found() {
        for period in [9.0, 24.0, 37.5, 80.0] {
            assert_found(&points(240, |i| i % period), period, "sawtooth");
        }
    }

    #[test]
    fn a_sine_under_noise_is_found() {
        // Of one that is seen three times there is but one peak to go by.
        for (period, share) in [(16.0, 0.03), (28.0, 0.03), (40.0, 0.03), (75.0, 0.08)] {
            for seed in 0..20 {
                let mut noise = noise(seed);
                let noisy = points(240, |i| (TAU * i / period).sin() + 0.3 * noise());
                assert_within(share, &noisy, period, "noisy sine");
            }
        }
    }

    #[test]
    fn what_does_not_come_back_is_no_cycle() {
        let mut faint = noise(7);
        for (what, points) in [
            ("line", points(240, |i| 3.0 * i)),
            ("noisy line", points(240, |i| 0.1 * i + faint())),
            ("level", points(240, |_| 5.0)),
            ("stairs", points(240, |i| (i / 40.0).floor())),
            ("hinge", points(240, |i| (i - 120.0).max(0.0))),
            ("warm-up", points(240, |i| 1.0 - (-i / 40.0).exp())),
            ("step", points(240, |i| f64::from(u8::from(i > 100.0)))),
        ] {
            assert_eq!(cycle(&points), None, "{what}");
        }
    }

    #[test]
    fn white_noise_is_no_cycle() {
        for seed in 0..50 {
            let mut noise = noise(seed);
            assert_eq!(cycle(&points(240, |_| noise())), None, "seed {seed}");
        }
    }

    #[test]
    fn few_points_have_no_cycle() {
        for n in 0..12 {
            assert_eq!(cycle(&points(n, |i| (TAU * i / 4.0).sin())), None);
        }
    }
}
