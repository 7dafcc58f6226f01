//! What resident memory was made of, from seconds to weeks back, in fixed memory: for a chart.
//!
//! Rings of bins, each a mean over its stretch of time. The finest tells the last five minutes second
//! by second, the coarsest a month hour by hour. Trends have a [history](crate::trend::History) of
//! their own, with what they need.

use super::diagnosis::Parts;
use std::collections::VecDeque;
use std::time::Duration;

/// Width of a bin in seconds, and how many: 5 minutes, an hour, 6 hours, 2 days, 30 days.
const RINGS: [(u64, usize); 5] = [(1, 300), (10, 360), (60, 360), (300, 576), (3_600, 720)];

/// What memory was made of over a stretch of time, in bytes: the mean of what was seen in it.
///
/// ```no_run
/// # fn chart(monitor: &plimsoll::Monitor) {
/// for stretch in monitor.timeline() {
///     for moment in &stretch.moments {
///         println!("{} s: {} bytes", moment.seconds, moment.parts.live_heap_bytes);
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Moment {
    /// Seconds since the monitor started: the mean of the looks that it is made from.
    pub seconds: f64,
    /// What it was made of.
    pub parts: Parts,
}

/// One resolution of a [`Monitor::timeline`](crate::Monitor::timeline).
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stretch {
    /// The width of a bin, in seconds. Where the monitor looks less often than that, a bin is a look.
    pub interval_seconds: u64,
    /// From the oldest, the one that is being filled last.
    pub moments: Vec<Moment>,
}

/// The memory that all of it takes, 200 KiB, is reserved when the monitor starts.
pub(super) struct Timeline {
    rings: [Ring; RINGS.len()],
    last: Option<Parts>,
}

struct Ring {
    width: u64,
    capacity: usize,
    /// The last one is being filled.
    bins: VecDeque<Bin>,
}

/// Sums, so that a bin is filled without rounding.
#[derive(Clone, Copy, Default)]
struct Bin {
    /// Which stretch of the ring's width it covers.
    number: u64,
    seconds: f64,
    sums: Parts,
    looks: u32,
}

impl Bin {
    fn moment(&self) -> Moment {
        let looks = u64::from(self.looks.max(1));
        Moment {
            seconds: self.seconds / looks as f64,
            parts: self.sums.map(|sum| sum / looks),
        }
    }
}

impl Timeline {
    pub(super) fn new() -> Timeline {
        Timeline {
            rings: RINGS.map(|(width, capacity)| Ring {
                width,
                capacity,
                bins: VecDeque::with_capacity(capacity),
            }),
            last: None,
        }
    }

    /// Whether a look at this time would begin a bin.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        let last = self.rings[0].bins.back();
        last.is_none_or(|bin| at.as_secs() / RINGS[0].0 > bin.number)
    }

    /// Takes a look in. Times do not go back. Allocates nothing.
    pub(super) fn see(&mut self, at: Duration, parts: Parts) {
        self.last = Some(parts);
        for ring in &mut self.rings {
            let number = at.as_secs() / ring.width;
            if ring.bins.back().is_none_or(|bin| bin.number != number) {
                if ring.bins.len() == ring.capacity {
                    ring.bins.pop_front();
                }
                ring.bins.push_back(Bin {
                    number,
                    ..Bin::default()
                });
            }
            let Some(bin) = ring.bins.back_mut() else {
                continue;
            };
            bin.looks += 1;
            bin.seconds += at.as_secs_f64();
            bin.sums = bin.sums.plus(&parts);
        }
    }

    /// What was seen last.
    pub(super) fn last(&self) -> Option<Parts> {
        self.last
    }

    /// Into memory that the caller brings.
    pub(super) fn copy_into(&self, out: &mut [Stretch]) {
        for (ring, stretch) in self.rings.iter().zip(out) {
            stretch.moments.extend(ring.bins.iter().map(Bin::moment));
        }
    }

    /// With room for all there can be.
    pub(super) fn stretches() -> Vec<Stretch> {
        let empty = |(interval_seconds, capacity)| Stretch {
            interval_seconds,
            moments: Vec::with_capacity(capacity),
        };
        RINGS.into_iter().map(empty).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(live_heap_bytes: u64) -> Parts {
        Parts {
            live_heap_bytes,
            ..Parts::default()
        }
    }

    fn stretches(timeline: &Timeline) -> Vec<Stretch> {
        let mut out = Timeline::stretches();
        timeline.copy_into(&mut out);
        out
    }

    #[test]
    fn a_bin_is_the_mean_of_its_looks() {
        let mut timeline = Timeline::new();
        for (milliseconds, bytes) in [(0, 10), (500, 30), (1_000, 70)] {
            timeline.see(Duration::from_millis(milliseconds), parts(bytes));
        }
        let found = stretches(&timeline);
        let of = |ring: usize| -> Vec<(f64, u64)> {
            let moments = found[ring].moments.iter();
            moments
                .map(|moment| (moment.seconds, moment.parts.live_heap_bytes))
                .collect()
        };
        assert_eq!(of(0), [(0.25, 20), (1.0, 70)]);
        assert_eq!(of(1), [(0.5, 36)]);
    }

    #[test]
    fn a_month_of_looks_is_kept_in_the_memory_of_the_start() {
        let mut timeline = Timeline::new();
        let seconds = 31 * 86_400;
        for second in 0..seconds {
            let at = Duration::from_secs(second);
            assert!(timeline.is_due(at));
            timeline.see(at, parts(second));
            assert!(!timeline.is_due(at + Duration::from_millis(900)));
        }
        let found = stretches(&timeline);
        for (ring, stretch) in found.iter().enumerate() {
            assert_eq!(stretch.moments.len(), RINGS[ring].1);
            assert_eq!(timeline.rings[ring].bins.capacity(), RINGS[ring].1);
        }
        let oldest = found[4].moments[0].seconds;
        assert!((seconds as f64 - oldest) / 86_400.0 > 29.9, "{oldest}");
        let newest = found[0].moments.last().unwrap();
        assert_eq!(newest.parts.live_heap_bytes, seconds - 1);
    }
}
