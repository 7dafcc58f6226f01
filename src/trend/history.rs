//! What was seen, in fixed memory: fine for the last minutes, coarse for the last weeks.
//!
//! Eight rings of 240 bins each. The first holds samples as they came; a bin of each further ring
//! covers four times as long as one of the ring before. At one sample a second they reach back 4
//! minutes, 16 minutes, an hour, and so on to 45 days. A bin keeps the mean, the least and the most,
//! because the low watermark tells of a leak what a mean under a sawtooth does not.
//!
//! A clock that goes back is taken for one that was set: time goes on one interval after the last
//! sample. A gap (a suspended machine) leaves bins out; every reader goes by the bins' own times.

use super::MOST;

/// Rings.
pub(super) const RINGS: usize = 8;

/// How many bins of a ring one of the next covers.
const FACTOR: u32 = 4;

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
            blocks: sample.blocks.map_or(-1.0, |blocks| blocks as f32),
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
        let blocks = sample.blocks.map_or(-1.0, |blocks| blocks as f32);
        if self.blocks >= 0.0 && blocks >= 0.0 {
            self.blocks += (blocks - self.blocks) * share as f32;
        } else {
            self.blocks = -1.0;
        }
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

/// What was seen of a series, in fixed memory: fine for the last minutes, coarse for the last weeks.
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

impl History {
    /// For samples that come about this many seconds apart.
    ///
    /// Reserves its memory, 62 KiB, here and for good.
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
    /// A sample that is not finite is left out. Allocates nothing.
    pub fn push(&mut self, sample: Sample) -> usize {
        if !sample.seconds.is_finite() || !sample.bytes.is_finite() {
            return 0;
        }
        let mut sample = Sample {
            seconds: sample.seconds + self.shift,
            ..sample
        };
        if let Some(last) = self.last
            && sample.seconds <= last.seconds
        {
            let forward = last.seconds + self.interval - sample.seconds;
            self.shift += forward;
            sample.seconds += forward;
        }
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

    /// When the first sample was taken.
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
