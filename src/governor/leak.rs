//! Whether the program leaks: the series of what it holds, and the verdict on it.
//!
//! One sample at the monitor's interval, of the live heap where our allocator counts, of anonymous
//! resident memory where it does not. The verdict is made anew with every sample; the news of it is
//! an event when it changes.

use super::ledger::Held;
use crate::trend::{Detector, Judgement, Pattern, Sample, Severity, Subject, Verdict};
use crate::units::Bytes;
use std::fmt;
use std::time::Duration;

/// A leak has become less urgent when it would still be so in this share of the time.
const CLEARLY: f64 = 0.8;

/// What an [`EventKind::Leak`](crate::EventKind::Leak) tells of a verdict that has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeakNews {
    /// Whether it leaks.
    pub judgement: Judgement,
    /// What was looked at.
    pub subject: Subject,
    /// The course that it takes.
    pub pattern: Pattern,
    /// How fast it grows, in bytes an hour.
    pub slope_bytes_per_hour: f64,
    /// How likely the judgement is right, from 0 to 1.
    pub confidence: f64,
    /// Seconds until the limit is reached; `None` when never.
    pub seconds_to_limit: Option<f64>,
    /// How soon somebody has to do something: [`Severity::Critical`] is an alarm.
    pub severity: Severity,
}

impl LeakNews {
    fn of(verdict: &Verdict) -> LeakNews {
        LeakNews {
            judgement: verdict.judgement,
            subject: verdict.subject,
            pattern: verdict.pattern,
            slope_bytes_per_hour: verdict.slope_bytes_per_hour,
            confidence: verdict.confidence,
            seconds_to_limit: verdict.seconds_to_limit(),
            severity: verdict.severity,
        }
    }

    /// TotHub's figure: megabytes (of 2^20 bytes) an hour.
    #[must_use]
    pub fn mb_per_hour(&self) -> f64 {
        self.slope_bytes_per_hour / 1_048_576.0
    }
}

impl fmt::Display for LeakNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.confidence;
        match self.judgement {
            Judgement::Leak => {
                write!(
                    f,
                    "{} leaks {}/h ({}, {percent:.0} % sure)",
                    self.subject,
                    Bytes(self.slope_bytes_per_hour),
                    self.pattern
                )?;
                match self.seconds_to_limit {
                    Some(seconds) => write!(f, ", limit in {:.1} h", seconds / 3_600.0),
                    None => Ok(()),
                }
            }
            Judgement::NoLeak => write!(
                f,
                "{} does not leak ({}, {percent:.0} % sure)",
                self.subject, self.pattern
            ),
            Judgement::Insufficient => write!(f, "too early to say whether {} leaks", self.subject),
        }
    }
}

/// The series, in memory that is reserved at the start.
pub(super) struct LeakWatch {
    detector: Detector,
    subject: Subject,
    interval: Duration,
    last: Option<Duration>,
    news: Option<(Judgement, Severity)>,
}

impl LeakWatch {
    pub(super) fn new(interval: Duration, subject: Subject) -> LeakWatch {
        LeakWatch {
            detector: Detector::new(interval.as_secs_f64(), subject),
            subject,
            interval,
            last: None,
            news: None,
        }
    }

    /// Whether it is resident memory that is looked at.
    pub(super) fn is_of_resident(&self) -> bool {
        self.subject == Subject::Resident
    }

    /// Takes a look in, if the interval since the last is over, and answers the verdict on all. The
    /// blocks are the live heap's.
    pub(super) fn see(
        &mut self,
        at: Duration,
        held: Held,
        blocks: u64,
        limit: u64,
    ) -> Option<Verdict> {
        if self.last.is_some_and(|last| at < last + self.interval) {
            return None;
        }
        self.last = Some(at);
        let (bytes, blocks) = match self.subject {
            Subject::Heap => (held.heap_bytes, Some(blocks as f64)),
            _ => (held.resident_bytes, None),
        };
        let sample = Sample {
            seconds: at.as_secs_f64(),
            bytes: bytes as f64,
            blocks,
        };
        self.detector.push(sample, Some(limit as f64));
        Some(self.detector.verdict())
    }

    /// What is to be told: a judgement that has changed, or a leak that has become more or less
    /// urgent. That it is too early is no news at the start.
    pub(super) fn news(&mut self, verdict: &Verdict) -> Option<LeakNews> {
        let now = (verdict.judgement, verdict.severity);
        let is_news = match self.news {
            None => verdict.judgement != Judgement::Insufficient,
            // Less urgent only when it is clearly so: a time around a boundary is not told each time
            // that it crosses it.
            Some((Judgement::Leak, told)) if verdict.is_leak() && verdict.severity < told => {
                let sooner = verdict.seconds_to_limit().map(|seconds| seconds * CLEARLY);
                Severity::of_leak(sooner) < told
            }
            Some(told) => told != now,
        };
        if !is_news {
            return None;
        }
        self.news = Some(now);
        Some(LeakNews::of(verdict))
    }

    /// When a leak reaches so many bytes.
    pub(super) fn reaches(verdict: &Verdict, held: Held, bytes: f64) -> Option<Duration> {
        if !verdict.is_leak() || verdict.current_bytes_per_hour <= 0.0 {
            return None;
        }
        let most = held.heap_bytes.max(held.resident_bytes) as f64;
        let hours = (bytes - most).max(0.0) / verdict.current_bytes_per_hour;
        Duration::try_from_secs_f64(3_600.0 * hours).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trend::Forecast;

    const MIB: u64 = 1 << 20;

    /// Up to 100 KiB, in no order.
    fn noise(look: u64) -> u64 {
        let mut mixed = (look + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % 100 * 1024
    }

    fn watch(bytes: impl Fn(u64) -> u64, looks: u64) -> (Verdict, Vec<LeakNews>) {
        let mut watch = LeakWatch::new(Duration::from_secs(1), Subject::Heap);
        let (mut verdict, mut news) = (Verdict::default(), Vec::new());
        for look in 0..looks {
            // Between two intervals nothing is taken in.
            for part in [0, 400] {
                let at = Duration::from_millis(look * 1000 + part);
                let heap_bytes = bytes(look);
                let held = Held {
                    heap_bytes,
                    resident_bytes: heap_bytes,
                };
                let seen = watch.see(at, held, heap_bytes / 64, 256 * MIB);
                assert_eq!(seen.is_some(), part == 0);
                if let Some(seen) = seen {
                    verdict = seen;
                    news.extend(watch.news(&seen));
                }
            }
        }
        (verdict, news)
    }

    #[test]
    fn a_leak_is_news_once_for_each_severity_and_names_its_subject() {
        let (verdict, news) = watch(|look| 20 * MIB + look * MIB / 4 + noise(look), 180);
        assert!(verdict.is_leak(), "{verdict:?}");
        assert_eq!(verdict.subject, Subject::Heap);
        assert_eq!(verdict.severity, Severity::Critical);
        assert!(
            (0.9..1.1).contains(&(verdict.mb_per_hour() / 900.0)),
            "{verdict:?}"
        );
        let leaks: Vec<_> = news
            .iter()
            .filter(|news| news.judgement == Judgement::Leak)
            .collect();
        assert_eq!(leaks.len(), 1, "{news:?}");
        assert!(
            leaks[0].to_string().starts_with("live heap leaks"),
            "{}",
            leaks[0]
        );
    }

    #[test]
    fn an_urgency_at_a_boundary_is_told_once() {
        let mut watch = LeakWatch::new(Duration::from_secs(1), Subject::Heap);
        let mut told = Vec::new();
        // The limit is about an hour away, a little more and a little less.
        for step in 0..20 {
            let seconds = if step % 2 == 0 { 3_500.0 } else { 3_700.0 };
            told.extend(watch.news(&leak_with(seconds)).map(|news| news.severity));
        }
        told.extend(watch.news(&leak_with(5_000.0)).map(|news| news.severity));
        assert_eq!(told, [Severity::Critical, Severity::High]);
    }

    fn leak_with(seconds: f64) -> Verdict {
        Verdict {
            judgement: Judgement::Leak,
            severity: Severity::of_leak(Some(seconds)),
            time_to_limit: Some(Forecast::exact(seconds)),
            ..Verdict::default()
        }
    }

    #[test]
    fn what_stays_is_no_news() {
        let (verdict, news) = watch(|look| 20 * MIB + noise(look), 180);
        assert!(!verdict.is_leak());
        assert!(news.is_empty(), "{news:?}");
    }
}
