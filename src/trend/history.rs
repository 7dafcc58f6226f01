//! What was seen, in fixed memory: fine for the last minutes, coarse for the last weeks.
//!
//! Eight rings of 240 bins each. The first holds samples as they came; a bin of each further ring
//! covers four times as long as one of the ring before. At one sample a second they reach back 4
//! minutes, 16 minutes, an hour, and so on to 45 days. A bin keeps the mean, the least and the most,
//! because the low watermark tells of a leak what a mean under a sawtooth does not.
//!
//! A clock that goes back is taken for one that was set, and so is one that stands still: time goes
//! on one interval after the last sample. A gap (a suspended machine) leaves bins out; every reader goes by the bins' own times.

use super::MOST;
use std::fmt;

/// Rings.
pub(super) const RINGS: usize = 8;

/// How many bins of a ring one of the next covers.
const FACTOR: u32 = 4;

/// A clock that has gone on by less, in seconds, has stood still: intervals are a thousand times as
/// long, and slopes over far less would be beyond all numbers.
const INSTANT: f64 = 1e-6;

/// Stretches of time are numbered by `i64`.
const FURTHEST: f64 = i64::MAX as f64;

/// One sample of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Time in seconds, from any origin.
    pub seconds: f64,
    /// What was held, in bytes (or in any other unit, which slopes then have).
    pub bytes: f64,
    /// The number of live blocks, where it is known.
    pub blocks: Option<f64>,
}

/// What one stretch of time held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    /// The mean of its samples' times.
    pub(super) seconds: f64,
    pub(super) mean: f64,
    pub(super) low: f32,
    pub(super) high: f32,
    /// Negative where unknown.
    pub(super) blocks: f32,
    count: u32,
}

impl Bin {
    fn of(sample: Sample) -> Bin {
        Bin {
            seconds: sample.seconds,
            mean: sample.bytes,
            low: sample.bytes as f32,
            high: sample.bytes as f32,
            blocks: known(sample.blocks),
            count: 1,
        }
    }

    fn take_in(&mut self, sample: Sample) {
        self.count = self.count.saturating_add(1);
        let share = 1.0 / f64::from(self.count);
        self.seconds += (sample.seconds - self.seconds) * share;
        self.mean += (sample.bytes - self.mean) * share;
        self.low = self.low.min(sample.bytes as f32);
        self.high = self.high.max(sample.bytes as f32);
        let blocks = known(sample.blocks);
        if self.blocks >= 0.0 && blocks >= 0.0 {
            self.blocks += (blocks - self.blocks) * share as f32;
        } else {
            self.blocks = -1.0;
        }
    }
}

/// As a bin keeps them: what it cannot hold is not known.
fn known(blocks: Option<f64>) -> f32 {
    let blocks = blocks.map_or(-1.0, |blocks| blocks as f32);
    if blocks.is_finite() && blocks >= 0.0 {
        blocks
    } else {
        -1.0
    }
}

/// The last [`MOST`] bins of one width, and one that is being filled.
#[derive(Clone)]
struct Ring {
    bins: [Bin; MOST],
    /// Closed bins.
    length: usize,
    /// Where the next closed bin goes.
    next: usize,
    open: Bin,
    /// Which stretch of time the open bin covers.
    stretch: i64,
    width: f64,
}

impl Ring {
    fn new(width: f64) -> Ring {
        Ring {
            bins: [Bin::default(); MOST],
            length: 0,
            next: 0,
            open: Bin::default(),
            stretch: 0,
            width,
        }
    }

    /// Takes a sample in, and answers whether that closed a bin.
    fn push(&mut self, sample: Sample, stretch: i64) -> bool {
        if self.open.count > 0 && stretch == self.stretch {
            self.open.take_in(sample);
            return false;
        }
        let closes = self.open.count > 0;
        if closes {
            self.bins[self.next] = self.open;
            self.next = (self.next + 1) % MOST;
            self.length = (self.length + 1).min(MOST);
        }
        (self.open, self.stretch) = (Bin::of(sample), stretch);
        closes
    }

    /// From the oldest, the open one last.
    fn bins(&self) -> impl Iterator<Item = &Bin> {
        let first = if self.length < MOST { 0 } else { self.next };
        (0..self.length)
            .map(move |place| &self.bins[(first + place) % MOST])
            .chain((self.open.count > 0).then_some(&self.open))
    }
}

/// What was seen of a series, in fixed memory: the last 240 samples as they came, and coarser bins
/// over what was before them, some four million times the interval back.
#[derive(Clone)]
pub struct History {
    rings: Box<[Ring; RINGS]>,
    /// All samples are this much later than they said, for clocks that were set back.
    shift: f64,
    first: Option<f64>,
    last: Option<Sample>,
    interval: f64,
    samples: u64,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("interval", &self.interval)
            .field("samples", &self.samples)
            .field("first", &self.first)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl History {
    /// For samples that come about this many seconds apart: at least 0.001; what is not finite counts
    /// as 1.
    ///
    /// Reserves its memory, 61 KiB, here and for good.
    #[must_use]
    pub fn new(interval: f64) -> History {
        let interval = if interval.is_finite() {
            interval.max(1e-3)
        } else {
            1.0
        };
        let width = |ring: usize| interval * f64::from(FACTOR.pow(ring as u32));
        History {
            rings: Box::new(std::array::from_fn(|ring| Ring::new(width(ring)))),
            shift: 0.0,
            first: None,
            last: None,
            interval,
            samples: 0,
        }
    }

    /// Takes a sample in, and answers how many rings, from the finest, have closed a bin.
    ///
    /// One whose time is not later than the last one's is put an interval after that, and those that follow are
    /// moved by as much.
    ///
    /// A sample that is not finite is left out, and so is one that no bin can hold: of more bytes than
    /// an `f32` counts, or at a time that an `i64` does not. Allocates nothing.
    pub fn push(&mut self, sample: Sample) -> usize {
        let mut seconds = sample.seconds + self.shift;
        if let Some(last) = self.last
            && seconds - last.seconds < INSTANT
        {
            // Where an interval is too little to make a difference, the least that does.
            seconds = (last.seconds + self.interval).max(last.seconds.next_up());
        }
        let is_in_reach = sample.seconds.abs().max(seconds.abs()) < FURTHEST;
        if !is_in_reach || !(sample.bytes as f32).is_finite() {
            return 0;
        }
        if seconds != sample.seconds + self.shift {
            self.shift = seconds - sample.seconds;
        }
        let sample = Sample { seconds, ..sample };
        self.first.get_or_insert(sample.seconds);
        self.last = Some(sample);
        self.samples += 1;
        let mut closed = 0;
        for (place, ring) in self.rings.iter_mut().enumerate() {
            // The finest ring has a bin for every sample, however they come.
            let stretch = match place {
                0 => self.samples as i64,
                _ => (sample.seconds / ring.width).floor() as i64,
            };
            closed += usize::from(ring.push(sample, stretch));
        }
        closed
    }

    /// The last sample, with its time as the history has it.
    #[must_use]
    pub fn last(&self) -> Option<Sample> {
        self.last
    }

    /// From the first sample to the last, in seconds.
    #[must_use]
    pub fn span(&self) -> f64 {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.seconds - first,
            _ => 0.0,
        }
    }

    /// About how far samples are apart, in seconds.
    pub(super) fn interval(&self) -> f64 {
        self.interval
    }

    /// When the first sample was taken, in the series' own seconds.
    #[must_use]
    pub fn first(&self) -> Option<f64> {
        self.first
    }

    /// Samples taken in.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The bins of a ring, from the oldest, the one that is being filled last.
    pub(super) fn bins(&self, ring: usize) -> impl Iterator<Item = &Bin> {
        self.rings[ring].bins()
    }

    /// The coarsest ring worth looking at: the finest one that still holds everything.
    pub(super) fn whole(&self) -> usize {
        let holds_all = |ring: &Ring| ring.length < MOST;
        self.rings.iter().position(holds_all).unwrap_or(RINGS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(seconds: f64, bytes: f64) -> Sample {
        Sample {
            seconds,
            bytes,
            blocks: None,
        }
    }

    /// Bins of every ring in time order, with no time twice.
    fn assert_in_order(history: &History) {
        for ring in 0..RINGS {
            let times: Vec<f64> = history.bins(ring).map(|bin| bin.seconds).collect();
            assert!(
                times.windows(2).all(|pair| pair[0] < pair[1]),
                "ring {ring}: {times:?}"
            );
        }
    }

    /// Every ring's bins are the last samples, each in exactly one, in order.
    fn assert_partitions(history: &History, samples: &[Sample]) {
        for ring in 0..RINGS {
            let held: usize = history.bins(ring).map(|bin| bin.count as usize).sum();
            let mut rest = &samples[samples.len() - held..];
            if history.bins(ring).count() <= MOST {
                assert_eq!(held, samples.len(), "ring {ring} forgot while it had room");
            }
            for bin in history.bins(ring) {
                let (own, later) = rest.split_at(bin.count as usize);
                rest = later;
                let mean =
                    |of: fn(&Sample) -> f64| own.iter().map(of).sum::<f64>() / own.len() as f64;
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
                assert!(near(bin.mean, mean(|sample| sample.bytes)), "ring {ring}");
                assert!(
                    near(bin.seconds, mean(|sample| sample.seconds)),
                    "ring {ring}"
                );
                let bytes = || own.iter().map(|sample| sample.bytes);
                assert_eq!(f64::from(bin.low), bytes().fold(f64::INFINITY, f64::min));
                assert_eq!(
                    f64::from(bin.high),
                    bytes().fold(f64::NEG_INFINITY, f64::max)
                );
            }
        }
    }

    #[test]
    fn memory_is_fixed_and_within_64_kib() {
        let rings = size_of::<[Ring; RINGS]>();
        eprintln!("{rings} bytes of rings, {} beside", size_of::<History>());
        assert!(rings + size_of::<History>() <= 64 * 1024);
        // Nothing in a ring points to memory elsewhere: it would be more than its bins.
        let bins = RINGS * (MOST + 1) * size_of::<Bin>();
        assert!(rings <= bins + RINGS * 4 * size_of::<u64>());
    }

    proptest! {
        #[test]
        fn bins_partition_the_samples(
            steps in prop::collection::vec((0.01f64..300.0, 0u32..1 << 24), 1..1200),
        ) {
            let mut history = History::new(1.0);
            let mut samples = Vec::new();
            let mut now = -40.0;
            for (step, bytes) in steps {
                now += step;
                samples.push(sample(now, f64::from(bytes)));
                history.push(samples[samples.len() - 1]);
            }
            assert_partitions(&history, &samples);
            assert_in_order(&history);
            prop_assert_eq!(history.samples(), samples.len() as u64);
            prop_assert_eq!(history.last(), samples.last().copied());
        }

        #[test]
        fn time_only_goes_on(
            times in prop::collection::vec(
                prop_oneof![
                    4 => 0.0f64..100.0,
                    2 => -1e9f64..1e10,
                    1 => prop::num::f64::NORMAL,
                    1 => Just(50.0),
                ],
                1..400,
            ),
            interval in prop_oneof![Just(1e-3), Just(1.0), Just(1e6)],
        ) {
            let mut history = History::new(interval);
            let mut before = f64::NEG_INFINITY;
            for seconds in times {
                let samples = history.samples();
                history.push(sample(seconds, 1.0));
                let Some(last) = history.last() else { continue };
                if history.samples() > samples {
                    prop_assert!(last.seconds > before, "{} after {}", last.seconds, before);
                }
                prop_assert!(last.seconds.is_finite());
                before = last.seconds;
            }
            prop_assert!(history.span() >= 0.0 && history.span().is_finite());
            assert_in_order(&history);
        }
    }

    #[test]
    fn the_last_240_samples_are_kept_as_they_came() {
        let mut history = History::new(30.0);
        let of = |i: u32| sample(f64::from(i) * 30.7, f64::from(i * 7_919 % 1_000));
        for i in 0..10_000 {
            history.push(of(i));
        }
        let kept: Vec<_> = history
            .bins(0)
            .map(|bin| (bin.seconds, bin.mean, bin.count))
            .collect();
        assert!(kept.len() >= 240);
        let came = (0..10_000)
            .map(of)
            .map(|last| (last.seconds, last.bytes, 1));
        let came: Vec<_> = came.skip(10_000 - kept.len()).collect();
        assert_eq!(kept, came);
    }

    #[test]
    fn thirty_days_at_a_sample_a_second_are_kept() {
        const DAYS: f64 = 30.0 * 86_400.0;
        let mut history = History::new(1.0);
        for i in 0..DAYS as u32 {
            history.push(sample(f64::from(i), f64::from(i)));
        }
        let whole = history.whole();
        let oldest = history.bins(whole).next().unwrap();
        assert_eq!(oldest.low, 0.0, "the first sample is gone");
        let held: u64 = history.bins(whole).map(|bin| u64::from(bin.count)).sum();
        assert_eq!(held, history.samples());
        assert_in_order(&history);
        // And more finely, the shorter ago.
        for ring in 0..RINGS {
            let reach =
                history.last().unwrap().seconds - history.bins(ring).next().unwrap().seconds;
            let full = MOST as f64 * f64::from(FACTOR.pow(ring as u32));
            assert!(reach > 0.98 * full.min(DAYS) - 2.0, "ring {ring}: {reach}");
        }
    }

    #[test]
    fn a_gap_leaves_bins_out() {
        let mut history = History::new(1.0);
        let (gap, end) = (100.0, 100.0 + 3.0 * 86_400.0);
        for i in 0..100 {
            history.push(sample(f64::from(i), 5.0));
        }
        for i in 0..100 {
            history.push(sample(end + f64::from(i), 7.0));
        }
        for ring in 0..RINGS {
            for bin in history.bins(ring) {
                assert!(
                    bin.seconds < gap || bin.seconds >= end,
                    "ring {ring}: {bin:?}"
                );
                assert!(bin.mean == 5.0 || bin.mean == 7.0, "ring {ring}: {bin:?}");
            }
        }
        assert_eq!(history.bins(RINGS - 1).count(), 2);
        assert_eq!(history.span(), end + 99.0);
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_from_where_it_was() {
        let mut history = History::new(10.0);
        let mut push = |seconds| {
            history.push(sample(seconds, 1.0));
            history.last().unwrap().seconds
        };
        assert_eq!([push(100.0), push(110.0)], [100.0, 110.0]);
        // Back by 90: one interval on, and from there as far as the clock says.
        assert_eq!([push(20.0), push(30.0), push(55.0)], [120.0, 130.0, 155.0]);
        // Standing still, or as good as that.
        assert_eq!([push(55.0), push(65.0)], [165.0, 175.0]);
        assert_eq!([push(65.0), push(65.0 + 1e-9)], [185.0, 195.0]);
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let mut history = History::new(1.0);
        history.push(sample(1.0, 1.0));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(history.push(sample(2.0, bad)), 0);
            assert_eq!(history.push(sample(bad, 2.0)), 0);
        }
        assert_eq!(history.samples(), 1);
        assert_eq!(history.last(), Some(sample(1.0, 1.0)));
        assert!((0..RINGS).all(|ring| history.bins(ring).count() == 1));
    }

    #[test]
    fn blocks_are_known_where_every_sample_knew_them() {
        let mut history = History::new(1.0);
        let known = |i: u32| (!(8..12).contains(&i)).then_some(f64::from(i));
        for i in 0..16 {
            history.push(Sample {
                blocks: known(i),
                ..sample(f64::from(i), 0.0)
            });
        }
        let blocks: Vec<f32> = history.bins(1).map(|bin| bin.blocks).collect();
        assert_eq!(blocks, [1.5, 5.5, -1.0, 13.5]);
        // A number that no bin can hold is not known.
        for absurd in [f64::NAN, f64::INFINITY, 1e300, -5.0] {
            let mut history = History::new(1.0);
            history.push(Sample {
                blocks: Some(absurd),
                ..sample(0.0, 0.0)
            });
            let bin = history.bins(0).next().unwrap();
            assert_eq!(bin.blocks, -1.0, "{absurd}");
        }
    }
}
