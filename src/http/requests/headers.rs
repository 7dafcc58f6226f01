//! Header values that stand ready, so that a response's headers cost no allocation.

use crate::governor::Level;
use axum::http::{HeaderName, HeaderValue};
use bytes::Bytes;
use std::fmt::Display;
use std::time::Duration;

/// The level and the share of the limit that is used, as an item of RFC 9651: `normal;percent=42`.
pub(super) const MEMORY_USAGE: HeaderName = HeaderName::from_static("x-memory-usage");

/// W3C Server Timing: `app;dur=12`, in milliseconds.
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Above this no difference is made.
const MOST_PERCENT: usize = 200;

/// The shortest and the longest decade of durations, in powers of ten of a millisecond: from a
/// microsecond to a thousand seconds.
const DECADES: std::ops::Range<i32> = -3..6;

/// Two digits make ninety values a decade.
const A_DECADE: usize = 90;

pub(super) struct Headers {
    /// By level and percent.
    usage: Vec<HeaderValue>,
    /// By decade and two digits; durations below and above take the ends.
    timing: Vec<HeaderValue>,
}

impl Headers {
    /// 1,600 values, some 200 KiB.
    pub(super) fn new() -> Headers {
        let usage = Level::ALL.iter().flat_map(|level| {
            (0..=MOST_PERCENT).map(move |percent| value(format_args!("{level};percent={percent}")))
        });
        let timing = DECADES.flat_map(|decade| {
            (10..100u32).map(move |digits| {
                let places = (1 - decade).max(0) as usize;
                let milliseconds = f64::from(digits) * 10f64.powi(decade - 1);
                value(format_args!("app;dur={milliseconds:.places$}"))
            })
        });
        Headers {
            usage: usage.collect(),
            timing: timing.collect(),
        }
    }

    pub(super) fn usage(&self, level: Level, share: f64) -> HeaderValue {
        // A cast clamps: what is below 0, or no number, is 0.
        let percent = ((share * 100.0).round() as usize).min(MOST_PERCENT);
        self.usage[level as usize * (MOST_PERCENT + 1) + percent].clone()
    }

    /// To two digits.
    pub(super) fn timing(&self, duration: Duration) -> HeaderValue {
        let microseconds = duration.as_micros().clamp(1, 999_000_000) as u64;
        let mut decade = microseconds.ilog10() as usize;
        let unit = 10f64.powi(decade as i32 - 1);
        let mut digits = (microseconds as f64 / unit).round() as usize;
        if digits == 100 {
            (decade, digits) = (decade + 1, 10);
        }
        let place = (decade * A_DECADE + digits - 10).min(self.timing.len() - 1);
        self.timing[place].clone()
    }
}

/// Shared from the start: the first clone of a fresh value would allocate.
fn value(text: impl Display) -> HeaderValue {
    let bytes = Bytes::from(text.to_string());
    let _shared = bytes.clone();
    HeaderValue::from_maybe_shared(bytes)
        .unwrap_or_else(|_| unreachable!("letters, digits and punctuation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_milliseconds_to_two_digits() {
        let headers = Headers::new();
        for (microseconds, expected) in [
            (0, "app;dur=0.0010"),
            (1, "app;dur=0.0010"),
            (12, "app;dur=0.0120"),
            (99, "app;dur=0.099"),
            (100, "app;dur=0.100"),
            (1_234, "app;dur=1.2"),
            (9_960, "app;dur=10"),
            (12_345, "app;dur=12"),
            (999_999, "app;dur=1000"),
            (3_450_000, "app;dur=3500"),
            (10_000_000_000, "app;dur=990000"),
        ] {
            let duration = Duration::from_micros(microseconds);
            let found = headers.timing(duration);
            let found = found.to_str().unwrap();
            let number = |text: &str| -> f64 { text.split_once('=').unwrap().1.parse().unwrap() };
            assert_eq!(
                number(found),
                number(expected),
                "{microseconds} µs: {found}"
            );
        }
    }

    #[test]
    fn every_share_has_a_value() {
        let headers = Headers::new();
        for (share, percent) in [
            (0.0, 0),
            (0.424, 42),
            (0.426, 43),
            (1.2, 120),
            (7.0, 200),
            (-1.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 200),
        ] {
            for level in Level::ALL {
                let found = headers.usage(level, share);
                let expected = format!("{level};percent={percent}");
                assert_eq!(found.to_str().unwrap(), expected);
            }
        }
    }
}
