//! What one benchmark found, as it is told and kept.

use super::bencher::{Found, Throughput};
use super::clock::Stretch;
use crate::testing::Measurement;
use serde::{Deserialize, Serialize};

/// One benchmark of a [`Report`](super::Report).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// With its group's before it: `sort/100`.
    pub name: String,
    /// Iterations in each sample.
    pub iterations: u64,
    /// What an iteration took in each sample, in nanoseconds, in the order of the samples.
    pub samples_ns: Vec<f64>,
    /// What these say together.
    pub time: Time,
    /// How much work an iteration does, if that was told.
    pub throughput: Option<Throughput>,
    /// What an iteration allocates.
    pub figures: Figures,
}

/// The time of one iteration, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Time {
    /// The median of the samples.
    pub median_ns: f64,
    /// The fastest sample.
    pub least_ns: f64,
    /// The slowest sample.
    pub most_ns: f64,
    /// The samples' median absolute deviation from their median, times 1.4826: of normal samples, the
    /// standard deviation. Half of the samples may be anything before it goes wrong (Rousseeuw and
    /// Croux, "Alternatives to the median absolute deviation", 1993).
    pub spread_ns: f64,
}

/// What one iteration allocates.
///
/// All but the peak are of the timed samples, unless
/// [`Bencher::threads`](super::Bencher::threads) was called: then they are of the untimed iterations
/// from which the peak comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figures {
    /// Successful calls of `alloc` and `alloc_zeroed`.
    pub allocations: Figure,
    /// Successful calls of `realloc`.
    pub reallocations: Figure,
    /// Calls of `dealloc`.
    pub deallocations: Figure,
    /// Requested bytes; a `realloc` adds its new size.
    pub allocated_bytes: Figure,
    /// The most that an iteration had above what there was at its start.
    pub peak_bytes: Figure,
    /// Allocated minus freed.
    pub net_bytes: Figure,
}

/// One figure of one iteration. When all iterations do the same, the three are equal and whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figure {
    /// Over all samples.
    pub mean: f64,
    /// Of the sample with the least.
    pub least: f64,
    /// Of the sample with the most.
    pub most: f64,
}

impl Figure {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Figure {
        let least = values.clone().reduce(f64::min).unwrap_or_default();
        let most = values.clone().reduce(f64::max).unwrap_or_default();
        let (sum, count) =
            values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        // A mean of equal values may miss them by its last bit.
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        Figure {
            mean: mean.clamp(least, most),
            least,
            most,
        }
    }

    /// Whether every sample had the same.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.least == self.most
    }
}

impl Figures {
    /// Each with its name, in the order of the table.
    pub(super) fn named(&self) -> [(&'static str, Figure); 6] {
        [
            ("allocations", self.allocations),
            ("reallocations", self.reallocations),
            ("deallocations", self.deallocations),
            ("allocated_bytes", self.allocated_bytes),
            ("peak_bytes", self.peak_bytes),
            ("net_bytes", self.net_bytes),
        ]
    }
}

impl Time {
    pub(super) fn of(samples: &[f64]) -> Time {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median_ns = median(&sorted);
        let mut deviations: Vec<f64> = sorted.iter().map(|one| (one - median_ns).abs()).collect();
        deviations.sort_by(f64::total_cmp);
        Time {
            median_ns,
            least_ns: sorted.first().copied().unwrap_or_default(),
            most_ns: sorted.last().copied().unwrap_or_default(),
            spread_ns: median(&deviations) * 1.4826,
        }
    }
}

/// Of what is sorted; of nothing, zero.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => sorted[middle - 1] + (sorted[middle] - sorted[middle - 1]) / 2.0,
    }
}

impl Record {
    pub(super) fn new(name: &str, throughput: Option<Throughput>, found: &Found) -> Record {
        let iterations = found.iterations.max(1);
        let samples_ns: Vec<f64> = found
            .samples
            .iter()
            .map(|sample| sample.time.as_nanos() as f64 / iterations as f64)
            .collect();
        Record {
            name: name.to_owned(),
            iterations,
            time: Time::of(&samples_ns),
            samples_ns,
            throughput,
            figures: figures(found, iterations),
        }
    }
}

fn figures(found: &Found, iterations: u64) -> Figures {
    let measured = |figure: fn(&Measurement) -> f64| Figure::of(found.peaks.iter().map(figure));
    let peak_bytes = measured(|of| of.peak_bytes as f64);
    if found.threads {
        return Figures {
            allocations: measured(|of| of.allocations as f64),
            reallocations: measured(|of| of.reallocations as f64),
            deallocations: measured(|of| of.deallocations as f64),
            allocated_bytes: measured(|of| of.allocated_bytes as f64),
            net_bytes: measured(|of| of.net_bytes as f64),
            peak_bytes,
        };
    }
    let counted = |figure: fn(&Stretch) -> f64| {
        let each = move |sample: &Stretch| figure(sample) / iterations as f64;
        Figure::of(found.samples.iter().map(each))
    };
    Figures {
        allocations: counted(|of| of.counted.allocations as f64),
        reallocations: counted(|of| of.counted.reallocations as f64),
        deallocations: counted(|of| of.counted.deallocations as f64),
        allocated_bytes: counted(|of| of.counted.allocated as f64),
        net_bytes: counted(|of| of.counted.net() as f64),
        peak_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, Found, Record, Time};
    use crate::bench::clock::Stretch;
    use std::time::Duration;

    #[test]
    fn times_are_of_one_iteration() {
        let sample = |nanoseconds| Stretch {
            time: Duration::from_nanos(nanoseconds),
            ..Stretch::default()
        };
        let found = Found {
            iterations: 10,
            samples: vec![sample(1_000), sample(2_000), sample(4_000)],
            peaks: vec![Default::default()],
            threads: false,
        };
        let record = Record::new("a", None, &found);
        assert_eq!(record.samples_ns, [100.0, 200.0, 400.0]);
        assert_eq!(record.time.median_ns, 200.0);
        assert_eq!(record.iterations, 10);
    }

    #[test]
    fn one_slow_sample_moves_neither_median_nor_spread() {
        let time = Time::of(&[10.0, 11.0, 12.0, 13.0, 9_000.0]);
        assert_eq!(time.median_ns, 12.0);
        assert_eq!(time.spread_ns, 1.4826);
        assert_eq!((time.least_ns, time.most_ns), (10.0, 9_000.0));
        assert_eq!(Time::of(&[1.0, 2.0]).median_ns, 1.5);
    }

    #[test]
    fn a_figure_that_never_differs_is_exact() {
        let third = Figure::of([1.0 / 3.0; 7].into_iter());
        assert!(third.is_exact());
        assert_eq!(third.mean, 1.0 / 3.0);
        let two = Figure::of([1.0, 3.0].into_iter());
        assert_eq!((two.mean, two.least, two.most), (2.0, 1.0, 3.0));
        assert!(!two.is_exact());
    }
}
