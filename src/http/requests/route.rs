//! What is kept of one route: counts, and two histograms. 32 KiB, from its first request on.

use super::figures::{BOUNDS, RouteFigures, bucket};
use super::tally::Tally;
use crate::governor::lock;
use hdrhistogram::Histogram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What came of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) duration: Duration,
    pub(super) tally: Tally,
    pub(super) end: End,
    pub(super) is_slow: bool,
    pub(super) is_very_slow: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    /// With a status of 500 or above, with none since it panicked or its service failed, or with a
    /// body that broke off.
    Failed,
    /// The client went away before the head of a response.
    Cancelled,
}

impl End {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            End::Answered => "answered",
            End::Failed => "failed",
            End::Cancelled => "cancelled",
        }
    }
}

pub(super) struct Route {
    pub(super) in_flight: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Held for a few dozen nanoseconds at the end of a request.
    noted: Mutex<Noted>,
}

struct Noted {
    count: u64,
    errors: u64,
    cancelled: u64,
    slow: u64,
    very_slow: u64,
    duration: Duration,
    longest: Duration,
    tally: Tally,
    most_bytes: u64,
    buckets: [u64; BOUNDS.len() + 1],
    /// In microseconds, up to an hour.
    microseconds: Histogram<u32>,
    /// Up to a TiB.
    bytes: Histogram<u32>,
}

impl Route {
    pub(super) fn new() -> Route {
        Route {
            in_flight: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            noted: Mutex::new(Noted {
                count: 0,
                errors: 0,
                cancelled: 0,
                slow: 0,
                very_slow: 0,
                duration: Duration::ZERO,
                longest: Duration::ZERO,
                tally: Tally::default(),
                most_bytes: 0,
                buckets: [0; BOUNDS.len() + 1],
                microseconds: histogram(3_600_000_000),
                bytes: histogram(1 << 40),
            }),
        }
    }

    pub(super) fn note(&self, outcome: &Outcome) {
        let mut noted = lock(&self.noted);
        noted.slow += u64::from(outcome.is_slow);
        noted.very_slow += u64::from(outcome.is_very_slow);
        noted.tally.add(outcome.tally);
        noted.most_bytes = noted.most_bytes.max(outcome.tally.bytes);
        noted.bytes.saturating_record(outcome.tally.bytes);
        if outcome.end == End::Cancelled {
            // How long it would have taken nobody knows.
            noted.cancelled += 1;
            return;
        }
        noted.count += 1;
        noted.errors += u64::from(outcome.end == End::Failed);
        noted.duration = noted.duration.saturating_add(outcome.duration);
        noted.longest = noted.longest.max(outcome.duration);
        noted.buckets[bucket(outcome.duration)] += 1;
        let microseconds = outcome.duration.as_micros() as u64;
        noted.microseconds.saturating_record(microseconds);
    }

    pub(super) fn figures(&self, method: &'static str, route: &str) -> RouteFigures {
        let noted = lock(&self.noted);
        let longest = noted.longest.as_secs_f64();
        // A histogram's value stands for its whole step, whose end may lie above the largest.
        let quantile = |share| {
            let microseconds = noted.microseconds.value_at_quantile(share);
            (microseconds as f64 * 1e-6).min(longest)
        };
        let bytes = |share| noted.bytes.value_at_quantile(share).min(noted.most_bytes);
        RouteFigures {
            method,
            route: route.to_owned(),
            count: noted.count,
            errors: noted.errors,
            cancelled: noted.cancelled,
            refused: self.refused.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            mean: noted.duration.as_secs_f64() / noted.count.max(1) as f64,
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            max: longest,
            slow: noted.slow,
            very_slow: noted.very_slow,
            allocated_bytes: noted.tally.bytes,
            allocations: noted.tally.allocations,
            allocated_p50: bytes(0.5),
            allocated_p99: bytes(0.99),
            allocated_max: noted.most_bytes,
            seconds: noted.duration.as_secs_f64(),
            buckets: noted.buckets,
        }
    }
}

/// Two digits, without growing.
fn histogram(highest: u64) -> Histogram<u32> {
    Histogram::new_with_max(highest, 2)
        .unwrap_or_else(|_| unreachable!("a constant bound within the crate's own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_requests() {
        let route = Route::new();
        for millisecond in 1..=100 {
            route.note(&Outcome {
                duration: Duration::from_millis(millisecond),
                tally: Tally {
                    bytes: 1000 * millisecond,
                    allocations: 3,
                },
                end: match millisecond {
                    7 => End::Failed,
                    _ => End::Answered,
                },
                is_slow: millisecond > 90,
                is_very_slow: millisecond > 99,
            });
        }
        let found = route.figures("GET", "/x");
        assert_eq!((found.count, found.errors), (100, 1));
        assert_eq!((found.slow, found.very_slow), (10, 1));
        assert_eq!((found.allocations, found.allocated_bytes), (300, 5_050_000));
        assert_eq!((found.max, found.allocated_max), (0.1, 100_000));
        assert!((found.mean - 0.0505).abs() < 1e-9, "{}", found.mean);
        for (quantile, expected) in [(found.p50, 0.05), (found.p95, 0.095), (found.p99, 0.099)] {
            assert!((quantile / expected - 1.0).abs() < 0.01, "{quantile}");
        }
        assert_eq!(found.buckets[..7], [5, 5, 15, 25, 25, 25, 0]);
    }

    #[test]
    fn what_no_histogram_holds_is_kept_in_the_sums() {
        let route = Route::new();
        route.note(&Outcome {
            duration: Duration::from_secs(86_400),
            tally: Tally {
                bytes: 1 << 50,
                allocations: 1,
            },
            end: End::Answered,
            is_slow: true,
            is_very_slow: true,
        });
        let found = route.figures("GET", "/x");
        assert_eq!((found.max, found.allocated_max), (86_400.0, 1 << 50));
        assert!(found.p99 <= found.max);
    }
}
