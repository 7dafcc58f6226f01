//! Whether one sample tends to be above another, whatever their distributions.

/// As many values of the shorter side are enough for the normal approximation.
const ENOUGH: usize = 8;
/// With so many values in all, each number of choices is exact in an `f64`, and they are soon counted.
const COUNTED: usize = 60;

/// The two-sided p of the Mann-Whitney U test (Mann and Whitney 1947): how likely samples at least this far apart
/// are when both come from one distribution. Where one side has fewer than eight values, and both have 60 at the
/// most, by counting all choices of as many of their ranks; else by the normal approximation with ties and continuity
/// corrected, which holds from some eight a side on (both Lehmann, "Nonparametrics", 1975, sections 1.2 to 1.4).
/// Equal values share the mean of their ranks.
///
/// 1 where all values are equal, or a side is empty.
pub(super) fn mann_whitney(left: &[f64], right: &[f64]) -> f64 {
    let (few, many) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    let mut all: Vec<(f64, bool)> = few.iter().map(|&value| (value, true)).collect();
    all.extend(many.iter().map(|&value| (value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));

    // Of all values twice their ranks, which are whole, and of the few their sum.
    let mut ranks = Vec::with_capacity(all.len());
    let (mut sum, mut ties) = (0, 0.0);
    while let Some(&(value, _)) = all.get(ranks.len()) {
        let rest = &all[ranks.len()..];
        let equal = rest.iter().take_while(|one| one.0 == value).count();
        let rank = 2 * ranks.len() + equal + 1;
        sum += rank * rest[..equal].iter().filter(|one| one.1).count();
        let tied = equal as f64;
        ties += tied * tied * tied - tied;
        ranks.resize(ranks.len() + equal, rank);
    }
    let mean = few.len() * (all.len() + 1);
    let distance = sum.abs_diff(mean);
    if few.len() < ENOUGH && all.len() <= COUNTED {
        let sums = sums(&ranks, few.len());
        let as_far = (0..)
            .zip(&sums)
            .filter(|&(sum, _)| mean.abs_diff(sum) >= distance);
        return as_far.map(|(_, ways)| ways).sum::<f64>() / sums.iter().sum::<f64>();
    }
    let (m, n) = (few.len() as f64, many.len() as f64);
    let total = m + n;
    let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    // Not a number where a side is empty.
    if variance.is_nan() || variance <= 0.0 {
        return 1.0;
    }
    let distance = (distance as f64 / 2.0 - 0.5).max(0.0);
    erfc(distance / variance.sqrt() / std::f64::consts::SQRT_2).clamp(0.0, 1.0)
}

/// In how many ways `m` of these ranks have the sum 0, 1, and so on.
fn sums(ranks: &[usize], m: usize) -> Vec<f64> {
    let mut ways = vec![vec![0.0; ranks.iter().sum::<usize>() + 1]; m + 1];
    ways[0][0] = 1.0;
    for &rank in ranks {
        for chosen in (1..=m).rev() {
            let (fewer, more) = ways.split_at_mut(chosen);
            for (sum, before) in fewer[chosen - 1].iter().enumerate() {
                if *before > 0.0 {
                    more[0][sum + rank] += before;
                }
            }
        }
    }
    ways.swap_remove(m)
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
    use super::{COUNTED, ENOUGH, erfc, mann_whitney, sums};

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

    /// By hand: of the 252 choices, those of {1, 2, 3, 4} with one of the two of rank 5.5, and the same at the
    /// other end.
    #[test]
    fn equal_values_among_few_are_counted_too() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0];
        let p = mann_whitney(&left, &[5.0, 6.0, 7.0, 8.0, 9.0]);
        assert!((p - 4.0 / 252.0).abs() < 1e-12, "{p}");
        // Ties on one side alone change nothing.
        let p = mann_whitney(&[1.0, 1.0, 1.0, 4.0, 4.0], &[5.0, 6.0, 6.0, 8.0, 9.0]);
        assert!((p - 2.0 / 252.0).abs() < 1e-12, "{p}");
    }

    #[test]
    fn sums_are_as_by_trying_all() {
        for (ranks, m) in [
            (&[2, 4, 6][..], 1),
            (&[2, 4, 6, 8, 10], 3),
            (&[3, 3, 6, 9, 9, 12], 2),
            (&[4, 4, 4, 8, 11, 11, 14], 4),
        ] {
            let mut counted = vec![0.0; ranks.iter().sum::<usize>() + 1];
            for chosen in 0u32..1 << ranks.len() {
                if chosen.count_ones() as usize == m {
                    let ours = (0..ranks.len()).filter(|place| chosen >> place & 1 == 1);
                    counted[ours.map(|place| ranks[place]).sum::<usize>()] += 1.0;
                }
            }
            assert_eq!(sums(ranks, m), counted);
        }
        // As many as there are ways to choose, the most that are counted.
        let ranks: Vec<usize> = (1..=COUNTED).map(|rank| 2 * rank).collect();
        let all: f64 = sums(&ranks, ENOUGH - 1).iter().sum();
        assert_eq!(all, 386_206_920.0);
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
