//! Feeds a series to the engine, sample by sample, as the monitor would.

use plimsoll::recorded::{Series, Unit};
use plimsoll::trend::{Detector, Sample, Subject, Verdict};
use std::io;

/// Times above this are Unix times: 2001, or 31 years after the start.
const UNIX: f64 = 1e9;

pub struct Analysis {
    pub series: Series,
    pub limit: Option<f64>,
    detector: Detector,
    /// Samples that the detector has taken in.
    taken: usize,
}

impl Analysis {
    /// Percents are of 100 unless a limit is given. One of at most 100 is a percentage itself; one
    /// above is what they are percent of, and makes bytes of them.
    pub fn new(mut series: Series, limit: Option<f64>) -> Analysis {
        let limit = match (series.unit, limit) {
            (Unit::Bytes, limit) => limit,
            (Unit::Percent, None) => Some(100.0),
            (Unit::Percent, Some(limit)) => {
                if limit > 100.0 {
                    for sample in &mut series.samples {
                        sample.bytes *= limit / 100.0;
                    }
                    series.unit = Unit::Bytes;
                }
                Some(limit)
            }
        };
        Analysis {
            detector: Detector::new(series.interval(), Subject::Recorded),
            series,
            limit,
            taken: 0,
        }
    }

    /// To the end.
    pub fn run(&mut self) {
        while self.step().is_some() {}
    }

    /// To the end, telling of every change of verdict; the first is one.
    pub fn replay(
        &mut self,
        mut tell: impl FnMut(f64, &Verdict) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut told = None;
        while let Some(sample) = self.step() {
            let verdict = self.verdict();
            if told.replace(verdict.judgement) != Some(verdict.judgement) {
                tell(sample.seconds, &verdict)?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Option<Sample> {
        let sample = *self.series.samples.get(self.taken)?;
        self.taken += 1;
        // From the first on, so that Unix times keep their precision.
        let seconds = sample.seconds - self.first();
        self.detector.push(Sample { seconds, ..sample }, self.limit);
        Some(sample)
    }

    pub fn verdict(&self) -> Verdict {
        self.detector.verdict()
    }

    /// The first time, in the file's own seconds.
    pub fn first(&self) -> f64 {
        self.series
            .samples
            .first()
            .map_or(0.0, |sample| sample.seconds)
    }

    /// The last time, in the file's own seconds.
    pub fn last(&self) -> f64 {
        self.first() + self.series.span()
    }

    pub fn is_unix(&self) -> bool {
        self.first() > UNIX
    }
}
