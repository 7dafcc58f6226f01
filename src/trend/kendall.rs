//! The field's own tests of trend, to compare with: Mann and Kendall's, with Hamed and Rao's
//! correction for autocorrelation, and the slope of Theil and Sen.
//!
//! The verdict does not rest on them: a healthy process has a trend too.
//!
//! Sources: H. B. Mann, *Econometrica* 13 (1945); M. G. Kendall, *Rank Correlation Methods* (1975);
//! K. H. Hamed and A. R. Rao, *Journal of Hydrology* 204 (1998); H. Theil, *Proc. Kon. Ned. Akad.
//! Wetensch.* 53 (1950); P. K. Sen, *Journal of the American Statistical Association* 63 (1968).

/// The most values that the tests take: ranks are kept in fixed memory.
const MOST: usize = 2_048;

/// A normal value with 2.5 % above it: what pyMannKendall takes autocorrelations to be significant
/// by.
const SIGNIFICANT: f64 = 1.959_963_984_540_054;

/// The outcome of a Mann-Kendall test.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Kendall {
    /// Kendall's S: rising pairs less falling ones.
    pub s: f64,
    /// Its variance without a trend.
    pub variance: f64,
    /// Its distance from 0 in standard deviations, corrected for continuity: above 1.96 the trend is
    /// significant at 5 % on both sides.
    pub z: f64,
}

impl Kendall {
    fn new(s: f64, variance: f64) -> Kendall {
        let z = if s == 0.0 || variance <= 0.0 {
            0.0
        } else {
            (s - s.signum()) / variance.sqrt()
        };
        Kendall { s, variance, z }
    }
}

/// The slope of Theil and Sen, in units of the values by units of the times.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sen {
    /// The median of the slopes between all pairs.
    pub slope: f64,
    /// The lower end of the 90 % interval; holds for independent noise only.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Tests evenly spaced values for a monotone trend (Mann 1945, Kendall 1975). `None` of fewer than 3
/// values or more than 2,048, or where one is not finite.
///
/// ```
/// use plimsoll::trend::mann_kendall;
///
/// let rising = mann_kendall(&[10.0, 12.0, 11.0, 14.0, 15.0, 15.0, 18.0, 19.0]).unwrap();
/// assert_eq!(rising.s, 25.0);
/// assert!(rising.z > 1.96);
/// ```
///
/// Quadratic in their number: 240,000 comparisons for 400, two thirds of which look for ties.
#[must_use]
pub fn mann_kendall(values: &[f64]) -> Option<Kendall> {
    testable(values)?;
    let mut s = 0.0;
    for (place, first) in values.iter().enumerate() {
        for second in &values[place + 1..] {
            s += sign(second - first);
        }
    }
    Some(Kendall::new(s, variance(values)))
}

/// [`mann_kendall`] with its variance widened for autocorrelation of the ranks, as Hamed and Rao do
/// (1998). Where that leaves nothing of the variance, `z` is 0.
///
/// It counts slopes as [`theil_sen`] does, for one of its three: some 64 quadratic passes, or twice that.
#[must_use]
pub fn mann_kendall_hamed_rao(values: &[f64]) -> Option<Kendall> {
    let plain = mann_kendall(values)?;
    let n = values.len();
    let slope = slope_of_rank(n, &|i| i as f64, values, Rank::Median);
    let mut rest = [0.0; MOST];
    for (place, (rest, value)) in rest.iter_mut().zip(values).enumerate() {
        *rest = value - (place + 1) as f64 * slope;
    }
    let mut ranks = [0.0; MOST];
    for (rank, value) in ranks.iter_mut().zip(&rest[..n]) {
        // Of equal values the mean rank, less the mean of all.
        let below = rest[..n].iter().filter(|other| *other < value).count() as f64;
        let equal = rest[..n].iter().filter(|other| *other == value).count() as f64;
        *rank = below + (equal + 1.0) / 2.0 - (n as f64 + 1.0) / 2.0;
    }
    let ranks = &ranks[..n];
    let own: f64 = ranks.iter().map(|rank| rank * rank).sum();
    let bound = SIGNIFICANT / (n as f64).sqrt();
    let mut widening = 0.0;
    for lag in 1..n {
        let both: f64 = ranks[lag..].iter().zip(ranks).map(|(a, b)| a * b).sum();
        let agreement = if own > 0.0 { both / own } else { 0.0 };
        if agreement.abs() > bound {
            let left = (n - lag) as f64;
            widening += left * (left - 1.0) * (left - 2.0) * agreement;
        }
    }
    let n = n as f64;
    let factor = 1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * widening;
    Some(Kendall::new(plain.s, plain.variance * factor))
}

/// The slope of Theil and Sen over times that rise, with Sen's 90 % interval. `None` of fewer than 3
/// points or more than 2,048, of as many times as values not, or where one is not finite.
///
/// ```
/// use plimsoll::trend::theil_sen;
///
/// // One value that is far off moves it little.
/// let found = theil_sen(&[0.0, 1.0, 2.0, 3.0, 4.0], &[0.0, 2.0, 90.0, 6.0, 8.0]).unwrap();
/// assert!((found.slope - 2.0).abs() < 1e-6);
/// ```
///
/// Keeps no slopes: it counts them, 64 times for each of the three, and once more where their number is even. Each
/// time is quadratic in the number of points.
#[must_use]
pub fn theil_sen(times: &[f64], values: &[f64]) -> Option<Sen> {
    testable(values)?;
    if times.len() != values.len()
        || times.iter().any(|time| !time.is_finite())
        || times
            .windows(2)
            .any(|pair| pair[0].partial_cmp(&pair[1]) != Some(std::cmp::Ordering::Less))
    {
        return None;
    }
    let n = times.len();
    let pairs = (n * (n - 1) / 2) as f64;
    let reach = super::fit::NINETY * variance(values).sqrt();
    let low = (((pairs - reach) / 2.0).round_ties_even() - 1.0).max(0.0) as usize;
    let high = (((pairs + reach) / 2.0).round_ties_even()).min(pairs - 1.0) as usize;
    let time = |i: usize| times[i];
    Some(Sen {
        slope: slope_of_rank(n, &time, values, Rank::Median),
        low: slope_of_rank(n, &time, values, Rank::At(low)),
        high: slope_of_rank(n, &time, values, Rank::At(high)),
    })
}

fn testable(values: &[f64]) -> Option<()> {
    ((3..=MOST).contains(&values.len()) && values.iter().all(|value| value.is_finite()))
        .then_some(())
}

fn sign(difference: f64) -> f64 {
    if difference == 0.0 {
        0.0
    } else {
        difference.signum()
    }
}

/// Without a trend, with ties taken out.
fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let of = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    // Each value of a tie of so many contributes its share.
    let ties: f64 = values
        .iter()
        .map(|value| {
            let count = values.iter().filter(|other| *other == value).count() as f64;
            of(count) / count
        })
        .sum();
    (of(n) - ties) / 18.0
}

#[derive(Clone, Copy)]
enum Rank {
    Median,
    At(usize),
}

/// The slope of a rank among those of all pairs, found by halving the range of floating point
/// numbers: exact, and without memory.
fn slope_of_rank(n: usize, time: &impl Fn(usize) -> f64, values: &[f64], rank: Rank) -> f64 {
    let pairs = n * (n - 1) / 2;
    let at = |wanted: usize| {
        let up_to = |limit: f64| {
            let mut count = 0;
            for i in 0..n {
                for j in i + 1..n {
                    count += usize::from((values[j] - values[i]) / (time(j) - time(i)) <= limit);
                }
            }
            count
        };
        let (mut low, mut high) = (ordered(f64::MIN), ordered(f64::MAX));
        while low < high {
            let middle = low + (high - low) / 2;
            if up_to(unordered(middle)) > wanted {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        // The least number that is as much as nothing is -0.
        unordered(low) + 0.0
    };
    match rank {
        Rank::At(place) => at(place),
        Rank::Median if pairs % 2 == 1 => at(pairs / 2),
        Rank::Median => f64::midpoint(at(pairs / 2 - 1), at(pairs / 2)),
    }
}

/// Numbers in the order of the floating point numbers that they stand for.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 {
        bits | 1 << 63
    } else {
        !bits
    }
}

fn unordered(number: u64) -> f64 {
    f64::from_bits(if number >> 63 == 1 {
        number & !(1 << 63)
    } else {
        !number
    })
}
