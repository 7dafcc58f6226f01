//! Whether one sample tends to be above another, whatever their distributions.

/// As many values of the shorter side are enough for the normal approximation.
const ENOUGH: usize = 8;
/// With so many values in all, each number of orders is exact in an `f64`.
const COUNTED: usize = 40;

/// The two-sided p of the Mann-Whitney U test (Mann and Whitney 1947): how likely samples at least this far apart
/// are when both come from one distribution. Where one side has fewer than eight values, and none are equal,
/// by counting all orders; else by the normal approximation with ties and continuity corrected (Lehmann,
/// "Nonparametrics", 1975, section 1.4), which holds from some eight a side on.
///
/// 1 where all values are equal, or a side is empty.
pub(super) fn mann_whitney(left: &[f64], right: &[f64]) -> f64 {
    let (m, n) = (left.len() as f64, right.len() as f64);
    let mut all: Vec<(f64, bool)> = left.iter().map(|&value| (value, true)).collect();
    all.extend(right.iter().map(|&value| (value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));

    let (mut rank_sum, mut ties, mut at) = (0.0, 0.0, 0);
    while let Some(&(value, _)) = all.get(at) {
        let equal = all[at..].iter().take_while(|one| one.0 == value).count();
        // Equal values share the mean of their ranks.
        let rank = at as f64 + (equal as f64 + 1.0) / 2.0;
        let ours = all[at..at + equal].iter().filter(|one| one.1).count();
        rank_sum += rank * ours as f64;
        let tied = equal as f64;
        ties += tied * tied * tied - tied;
        at += equal;
    }
    let u = rank_sum - m * (m + 1.0) / 2.0;
    let is_few = left.len().min(right.len()) < ENOUGH && all.len() <= COUNTED;
    if is_few && ties == 0.0 {
        let orders = orders(left.len(), right.len());
        // Without ties it is whole.
        let as_far = u.min(m * n - u) as usize;
        let tail: f64 = orders.iter().take(as_far + 1).sum();
        return (2.0 * tail / orders.iter().sum::<f64>()).min(1.0);
    }
    let total = m + n;
    let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    // Not a number where a side is empty.
    if variance.is_nan() || variance <= 0.0 {
        return 1.0;
    }
    let distance = ((u - m * n / 2.0).abs() - 0.5).max(0.0);
    erfc(distance / variance.sqrt() / std::f64::consts::SQRT_2).clamp(0.0, 1.0)
}

/// In how many orders of `m` and `n` values U is 0, 1, and so on: the coefficients of the Gaussian binomial, the
/// product of (1 - q^(n + i)) / (1 - q^i) for i from 1 to `m`.
fn orders(m: usize, n: usize) -> Vec<f64> {
    let mut orders = vec![0.0; m * n + 1];
    orders[0] = 1.0;
    for i in 1..=m {
        for u in (n + i..orders.len()).rev() {
            orders[u] -= orders[u - n - i];
        }
        for u in i..orders.len() {
            orders[u] += orders[u - i];
        }
    }
    orders
}

/// The complementary error function of what is not negative, to 1.5e-7 (Abramowitz and Stegun,
/// "Handbook of Mathematical Functions", 7.1.26).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    series.iter().fold(0.0, |sum, term| (sum + term) * t) * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::{erfc, mann_whitney, orders};

    #[test]
    fn the_error_function_is_as_in_the_tables() {
        for (x, expected) in [
            (0.0, 1.0),
            (0.5, 0.479_500_1),
            (1.0, 0.157_299_2),
            (2.0, 0.004_677_7),
        ] {
            assert!((erfc(x) - expected).abs() < 2e-7, "{x}: {}", erfc(x));
        }
    }

    /// By hand: U = 2 of 64, mean 32, variance 8 · 8 · 17 / 12, so z = 29.5 / 9.522 = 3.098.
    #[test]
    fn the_p_is_as_by_hand() {
        let left: Vec<f64> = (1..=8).map(f64::from).collect();
        let right: Vec<f64> = [7.5, 7.6]
            .into_iter()
            .chain((9..=14).map(f64::from))
            .collect();
        let p = mann_whitney(&left, &right);
        assert!((p - 0.001_948).abs() < 2e-5, "{p}");
        assert!((p - mann_whitney(&right, &left)).abs() < 1e-9);
    }

    /// Of the 252 orders of five and five, one is as far apart on either side; of those with U at most 2, there are
    /// four (Mann and Whitney 1947, table I: 0.004 and 0.016 on one side).
    #[test]
    fn few_values_are_counted() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0];
        let p = mann_whitney(&left, &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((p - 2.0 / 252.0).abs() < 1e-12, "{p}");
        let p = mann_whitney(&left, &[4.5, 4.7, 8.0, 9.0, 10.0]);
        assert!((p - 8.0 / 252.0).abs() < 1e-12, "{p}");
        let p = mann_whitney(&[1.0], &[2.0]);
        assert!((p - 1.0).abs() < 1e-12, "{p}");
        assert_eq!(mann_whitney(&[1.0, 4.0], &[2.0, 3.0]), 1.0);
    }

    #[test]
    fn orders_are_as_by_trying_all() {
        for (m, n) in [(1, 1), (2, 3), (5, 5), (7, 4)] {
            let mut counted = vec![0.0; m * n + 1];
            for places in 0u32..1 << (m + n) {
                if places.count_ones() as usize == m {
                    // For each of ours, those of the others that come before it.
                    let ours = (0..m + n).filter(|place| places >> place & 1 == 1);
                    let u: usize = ours
                        .map(|place| place - (places & ((1 << place) - 1)).count_ones() as usize)
                        .sum();
                    counted[u] += 1.0;
                }
            }
            assert_eq!(orders(m, n), counted);
        }
        // As many as there are ways to choose, the most that are counted.
        assert_eq!(orders(7, 33).iter().sum::<f64>(), 18_643_560.0);
    }

    #[test]
    fn equal_samples_do_not_differ() {
        assert_eq!(mann_whitney(&[3.0; 20], &[3.0; 20]), 1.0);
        assert_eq!(mann_whitney(&[], &[1.0]), 1.0);
        assert_eq!(mann_whitney(&[], &[]), 1.0);
        let mixed = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert!(mann_whitney(&mixed, &mixed) > 0.9);
    }
}
