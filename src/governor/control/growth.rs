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

/// A minute and a little at one a second.
const MOST_SAMPLES: usize = 72;

/// Fewer say nothing of how it grew throughout.
const FEWEST: usize = 12;

/// The last samples that lie at least `step` apart, from the oldest.
#[derive(Debug)]
struct Series {
    samples: [Sample; MOST_SAMPLES],
    length: usize,
    step: Duration,
}

impl Series {
    fn new(step: Duration) -> Series {
        Series {
            samples: [Sample::default(); MOST_SAMPLES],
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

    /// At a time in which the program ran.
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

    /// Until `bytes` are reached at the rate of the moment; `None` when that never happens. Soon enough to
    /// look again in time: a single large allocation counts as if others followed.
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

    /// The same at a rate that was there in both halves of the moment, or in the last two steps: one large
    /// allocation is none.
    pub(super) fn sure_time_left(&self, bytes: u64) -> Option<Duration> {
        let last = self.last?;
        let first = self.near.get().first().copied();
        let ago = |time| self.near.before(last.at, time).or(first);
        let halves = ago(MOMENT).zip(ago(MOMENT / 2));
        let rate = halves.map_or(0.0, |(then, amid)| slope(then, amid).min(slope(amid, last)));
        until(bytes, last, rate.max(self.rate()))
    }

    /// Until `bytes` are reached at the rate of the last minute or so: least squares over what
    /// there is of it. `None` too when it did not grow throughout: what rose once stays where it is.
    pub(super) fn long_time_left(&self, bytes: u64) -> Option<Duration> {
        let last = self.last?;
        let series = if self.far.length >= FEWEST {
            &self.far
        } else {
            &self.near
        };
        let samples = series.get();
        if !grows_throughout(samples) {
            return None;
        }
        until(bytes, last, least_squares(samples))
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

/// Whether the figure rose from the first third to the middle one, and from there to the last, both times
/// by more than twice the standard error of the difference.
///
/// A single step is in one of the two alone, wherever it is. The thirds are compared by their medians,
/// whose standard error is 1.25 σ / √n; σ is 1.48 times the median distance from the line that the growth
/// would have: both as for the normal distribution, and neither minds a single peak.
fn grows_throughout(samples: &[Sample]) -> bool {
    let count = samples.len() / 3;
    if samples.len() < FEWEST {
        return false;
    }
    let third = |begin: usize| &samples[begin..begin + count];
    let last = samples.len() - count;
    let [first, middle, last] = [0, last / 2, last].map(third);
    let [low, between, high] =
        [first, middle, last].map(|third| median(third, |_, sample| sample.bytes as f64));
    let step = (high - low) / (samples.len() - count) as f64;
    let error = |third: &[Sample]| {
        let beside = |place: usize, sample: &Sample| sample.bytes as f64 - step * place as f64;
        let line = median(third, beside);
        let distance = median(third, |place, sample| (beside(place, sample) - line).abs());
        1.25 * 1.48 * distance / (count as f64).sqrt()
    };
    let [before, amid, after] = [first, middle, last].map(error);
    between - low > 2.0 * before.hypot(amid) && high - between > 2.0 * amid.hypot(after)
}

/// Of a third of a series at most.
fn median(samples: &[Sample], of: impl Fn(usize, &Sample) -> f64) -> f64 {
    let mut values = [0.0; MOST_SAMPLES / 3];
    let values = &mut values[..samples.len()];
    for (place, sample) in samples.iter().enumerate() {
        values[place] = of(place, sample);
    }
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
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
    use crate::governor::running::Running;

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

    /// What is left at these figures, one a second, at each second from the 20th on.
    fn seconds_left(bytes: impl Fn(u64) -> f64) -> Vec<Option<u64>> {
        let mut growth = Growth::new(ms(1000));
        let left = |second: u64| {
            growth.see(ms(second * 1000), bytes(second) as u64);
            growth.long_time_left(1_000_000).map(|left| left.as_secs())
        };
        (0..600).map(left).skip(20).collect()
    }

    /// From -0.5 to 0.5, the same in every run.
    fn noise(second: u64) -> f64 {
        let mixed = (second + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }

    #[test]
    fn a_step_and_noise_are_no_growth_and_a_leak_under_noise_is() {
        let step = |second| if second < 200 { 600_000.0 } else { 820_000.0 };
        assert!(seconds_left(step).iter().all(Option::is_none));
        let noisy = |second| 820_000.0 + 20_000.0 * noise(second);
        assert!(seconds_left(noisy).iter().all(Option::is_none));
        let noisy_step = |second| step(second) + 20_000.0 * noise(second);
        assert!(seconds_left(noisy_step).iter().all(Option::is_none));
        // 500 a second under noise of 20,000.
        let leak = |second| 500_000.0 + 500.0 * second as f64 + 20_000.0 * noise(second);
        let left = &seconds_left(leak)[60..];
        let known: Vec<u64> = left.iter().flatten().copied().collect();
        assert!(
            known.len() > left.len() * 9 / 10,
            "{} of {}",
            known.len(),
            left.len()
        );
        for (second, left) in left.iter().enumerate() {
            let truth = 1_000 - 80 - second as u64;
            assert!(
                left.is_none_or(|left| left.abs_diff(truth) < truth / 2),
                "{left:?} of {truth}"
            );
        }
    }

    #[test]
    fn one_large_allocation_is_not_the_rate_of_the_moment() {
        let mut growth = Growth::new(ms(1000));
        for look in 0..100u64 {
            let jump = if look < 95 { 0 } else { 160_000 };
            growth.see(ms(look * 50), 4_000_000 + look + jump);
            let left = growth.sure_time_left(5_120_000);
            assert!(
                left.is_none_or(|left| left > Duration::from_secs(3_600)),
                "{look}: {left:?}"
            );
        }
    }

    #[test]
    fn a_stop_of_the_program_is_no_pause_of_its_growth() {
        let (mut growth, mut running) = (Growth::new(ms(1000)), Running::new(ms(1000)));
        let mut bytes = 100_000;
        for second in (0..100).chain(3_700..3_800) {
            bytes += 1_000;
            running.see(ms(second * 1000));
            growth.see(running.now(), bytes);
            if second >= 20 {
                let left = growth.long_time_left(bytes + 50_000).unwrap();
                assert!((49..=51).contains(&left.as_secs()), "{second}: {left:?}");
            }
        }
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
