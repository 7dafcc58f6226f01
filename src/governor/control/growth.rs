//! How fast the figure rises, and how long is left.
//!
//! Three horizons, because three questions are asked: the last two looks (is it rising right now,
//! and what will it be at the next?), the last second (how long until the limit, when every moment
//! counts?), and the last minute or more (how long, when there seems to be time?).

use std::time::Duration;

/// The interval while a level lasts or the lowest line is near. Resident memory that grows behind
/// the allocator's back, by 1 GB/s, comes 50 MB further in that time.
pub(in crate::governor) const NEAR_INTERVAL: Duration = Duration::from_millis(50);

/// Looks that follow each other faster than this say nothing about a rate.
const LEAST_STEP: Duration = Duration::from_millis(5);

/// What the rate of the moment is taken over.
const MOMENT: Duration = Duration::from_millis(800);

/// Falling means lower than this long ago.
const FALL: Duration = Duration::from_secs(3);

/// By this share of the limit at least.
const FALLEN: f64 = 0.01;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: Duration,
    bytes: u64,
}

/// The last samples that lie at least `step` apart, from the oldest.
#[derive(Debug)]
struct Series {
    samples: [Sample; 72],
    length: usize,
    step: Duration,
}

impl Series {
    fn new(step: Duration) -> Series {
        Series {
            samples: [Sample::default(); 72],
            length: 0,
            step,
        }
    }

    fn see(&mut self, sample: Sample) {
        if self
            .get()
            .last()
            .is_some_and(|last| sample.at < last.at + self.step)
        {
            return;
        }
        if self.length == self.samples.len() {
            self.samples.copy_within(1.., 0);
            self.length -= 1;
        }
        self.samples[self.length] = sample;
        self.length += 1;
    }

    fn get(&self) -> &[Sample] {
        &self.samples[..self.length]
    }

    /// The last sample that is at least this old.
    fn before(&self, now: Duration, age: Duration) -> Option<Sample> {
        let older = |sample: &&Sample| now >= sample.at + age;
        self.get().iter().rev().find(older).copied()
    }
}

#[derive(Debug)]
pub(super) struct Growth {
    last: Option<Sample>,
    /// Bytes a second between the last looks, the newest first.
    rates: [f64; 2],
    /// Three seconds and more in steps of the shortest interval.
    near: Series,
    /// A minute and more.
    far: Series,
}

impl Growth {
    pub(super) fn new(interval: Duration) -> Growth {
        Growth {
            last: None,
            rates: [0.0; 2],
            near: Series::new(NEAR_INTERVAL - LEAST_STEP),
            far: Series::new(interval.max(Duration::from_secs(1))),
        }
    }

    pub(super) fn see(&mut self, at: Duration, bytes: u64) {
        let sample = Sample { at, bytes };
        match self.last {
            Some(last) if at < last.at + LEAST_STEP => {}
            Some(last) => {
                self.rates = [slope(last, sample), self.rates[0]];
                self.last = Some(sample);
            }
            None => self.last = Some(sample),
        }
        self.near.see(sample);
        self.far.see(sample);
    }

    /// What comes before the next look, in bytes: 0 unless the last two steps both rose. One step
    /// alone may be a single large allocation, after which nothing comes.
    pub(super) fn soon(&self) -> f64 {
        self.rate() * NEAR_INTERVAL.as_secs_f64()
    }

    pub(super) fn is_rising(&self) -> bool {
        self.rate() > 0.0
    }

    fn rate(&self) -> f64 {
        self.rates[0].min(self.rates[1]).max(0.0)
    }

    /// Until `bytes` are reached at the rate of the moment; `None` when that never happens.
    pub(super) fn time_left(&self, bytes: u64) -> Option<Duration> {
        let last = self.last?;
        let moment = self
            .near
            .before(last.at, MOMENT)
            .or_else(|| self.near.get().first().copied());
        let rate = moment
            .map_or(0.0, |then| slope(then, last))
            .max(self.rate());
        until(bytes, last, rate)
    }

    /// Until `bytes` are reached at the rate of the last minute or so: least squares over what
    /// there is of it.
    pub(super) fn long_time_left(&self, bytes: u64) -> Option<Duration> {
        let last = self.last?;
        let series = if self.far.length >= 5 {
            &self.far
        } else {
            &self.near
        };
        until(bytes, last, least_squares(series.get()))
    }

    pub(super) fn is_falling(&self, limit: u64) -> bool {
        let Some(last) = self.last else {
            return false;
        };
        self.near
            .before(last.at, FALL)
            .is_some_and(|then| last.bytes as f64 + FALLEN * (limit as f64) <= then.bytes as f64)
    }
}

fn slope(from: Sample, to: Sample) -> f64 {
    let seconds = to.at.saturating_sub(from.at).as_secs_f64();
    if seconds == 0.0 {
        return 0.0;
    }
    (to.bytes as f64 - from.bytes as f64) / seconds
}

fn until(bytes: u64, from: Sample, rate: f64) -> Option<Duration> {
    if rate <= 0.0 {
        return None;
    }
    // A rate so small that the time does not fit is none.
    Duration::try_from_secs_f64(bytes.saturating_sub(from.bytes) as f64 / rate).ok()
}

/// The slope that leaves the least squares, in bytes a second.
fn least_squares(samples: &[Sample]) -> f64 {
    let Some(first) = samples.first() else {
        return 0.0;
    };
    let count = samples.len() as f64;
    let point = |sample: &Sample| {
        let bytes = sample.bytes as f64 - first.bytes as f64;
        ((sample.at - first.at).as_secs_f64(), bytes)
    };
    let (mut sum_x, mut sum_y) = (0.0, 0.0);
    for (x, y) in samples.iter().map(point) {
        sum_x += x;
        sum_y += y;
    }
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in samples.iter().map(point) {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    if below == 0.0 { 0.0 } else { above / below }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn one_jump_is_no_growth_and_two_steps_are() {
        let mut growth = Growth::new(ms(1000));
        for (at, bytes) in [(0, 100), (50, 100), (100, 9000)] {
            growth.see(ms(at), bytes);
        }
        assert_eq!(growth.soon(), 0.0);
        growth.see(ms(150), 9000);
        assert!(!growth.is_rising());
        growth.see(ms(200), 9100);
        growth.see(ms(250), 9300);
        assert!((growth.soon() - 100.0).abs() < 1.0);
    }

    #[test]
    fn what_is_left_follows_from_the_rate() {
        let mut growth = Growth::new(ms(1000));
        for step in 0..100 {
            growth.see(ms(step * 50), 1000 + step * 50);
        }
        let left = growth.time_left(1000 + 99 * 50 + 10_000).unwrap();
        assert!((left.as_secs_f64() - 10.0).abs() < 0.1, "{left:?}");
        let left = growth.long_time_left(1000 + 99 * 50 + 10_000).unwrap();
        assert!((left.as_secs_f64() - 10.0).abs() < 0.1, "{left:?}");
        assert!(!growth.is_falling(10_000));
        for step in 100..200 {
            growth.see(ms(step * 50), 5000);
        }
        assert_eq!(growth.time_left(10_000), None);
        growth.see(ms(10_000), 4000);
        assert!(growth.is_falling(10_000));
    }
}
