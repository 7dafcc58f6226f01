//! Whether the program leaks: the series of what it holds, and the verdict on it.
//!
//! One sample at the monitor's interval, of the live heap where our allocator counts, of anonymous
//! resident memory where it does not. The verdict is made anew with every sample; the news of it is
//! an event when it changes.

use super::ledger::Held;
use super::running::Running;
use crate::trend::{Detector, Judgement, Pattern, Sample, Severity, Subject, Verdict};
use crate::units::Bytes;
use std::fmt;
use std::time::Duration;

/// A leak has become less urgent when it would still be so in this share of the time.
const CLEARLY: f64 = 0.8;

/// What has grown for less may be a burst that is over: the last minute tells of it.
const LASTS: Duration = Duration::from_secs(600);

/// From this confidence on a restart is not made against a verdict.
const SURE: f64 = 0.9;

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
    /// When the last sample was taken.
    last: Option<Duration>,
    beside: Beside,
    /// The most that was held, and when, while the program ran.
    high: (u64, f64),
    /// For how long a leak has lasted, and since when it has held no more than before, while the program ran.
    lasted: Option<(Duration, Duration)>,
    news: Option<(Judgement, Severity)>,
}

/// What is resident beside the live heap and stays there: the least of the last looks, because free pages
/// between two waves of requests are the heap's again with the next.
struct Beside {
    looks: [u64; 64],
    next: usize,
}

impl Beside {
    fn new() -> Beside {
        Beside {
            looks: [u64::MAX; 64],
            next: 0,
        }
    }

    fn see(&mut self, bytes: u64) -> u64 {
        self.looks[self.next] = bytes;
        self.next = (self.next + 1) % self.looks.len();
        self.looks.iter().copied().min().unwrap_or(bytes)
    }
}

impl LeakWatch {
    pub(super) fn new(interval: Duration, subject: Subject) -> LeakWatch {
        LeakWatch {
            detector: Detector::new(interval.as_secs_f64(), subject),
            subject,
            interval,
            last: None,
            beside: Beside::new(),
            high: (0, 0.0),
            lasted: None,
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
        running: &Running,
        held: Held,
        blocks: u64,
        limit: u64,
    ) -> Option<Verdict> {
        let at = running.now();
        if self.last.is_some_and(|last| at < last + self.interval) {
            return None;
        }
        self.last = Some(at);
        let (bytes, blocks) = match self.subject {
            Subject::Heap => (held.heap_bytes, Some(blocks as f64)),
            _ => (held.resident_bytes, None),
        };
        let now = at.as_secs_f64();
        let sample = Sample {
            seconds: now,
            bytes: bytes as f64,
            blocks,
        };
        // What is resident beside the heap takes of its room.
        let beside = self.beside.see(held.resident_bytes.saturating_sub(bytes));
        self.detector.set_beside(beside as f64);
        self.detector.push(sample, Some(limit as f64));
        let mut verdict = self.detector.verdict();
        if bytes > self.high.0 {
            self.high = (bytes, now);
        }
        let ago = |then| Duration::try_from_secs_f64(now - then).ok();
        self.lasted = verdict.since.and_then(ago).zip(ago(self.high.1));
        verdict.since = verdict.since.map(|since| running.uptime(since));
        Some(verdict)
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

    /// When the leak of the last look reaches the limit, if it has lasted for so long that the last minute
    /// need not show it, and goes on.
    pub(super) fn reaches_limit(&self, verdict: &Verdict) -> Option<Duration> {
        let (lasted, paused) = self.lasted?;
        // A verdict ends long after the growth has: what is full now is not on its way to the limit.
        if !verdict.is_leak() || lasted < LASTS || paused > lasted / 10 {
            return None;
        }
        Duration::try_from_secs_f64(verdict.seconds_to_limit()?).ok()
    }

    /// Whether it surely is no leak, but falls by itself each time that it has risen.
    pub(super) fn is_tidal(verdict: &Verdict) -> bool {
        verdict.judgement == Judgement::NoLeak
            && verdict.confidence >= SURE
            && matches!(verdict.pattern, Pattern::Sawtooth | Pattern::Periodic)
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

    fn looking(interval: u64) -> (LeakWatch, Running) {
        let interval = Duration::from_secs(interval);
        (
            LeakWatch::new(interval, Subject::Heap),
            Running::new(interval),
        )
    }

    fn watch(bytes: impl Fn(u64) -> u64, looks: u64) -> (Verdict, Vec<LeakNews>) {
        let (mut watch, mut running) = looking(1);
        let (mut verdict, mut news) = (Verdict::default(), Vec::new());
        for look in 0..looks {
            // Between two intervals nothing is taken in.
            for part in [0, 400] {
                running.see(Duration::from_millis(look * 1000 + part));
                let heap_bytes = bytes(look);
                let held = Held {
                    heap_bytes,
                    resident_bytes: heap_bytes,
                };
                let seen = watch.see(&running, held, heap_bytes / 64, 256 * MIB);
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
    fn what_is_resident_beside_the_heap_takes_of_its_room() {
        let (mut watch, mut running) = looking(1);
        let mut left = None;
        for look in 0..=300 {
            let heap_bytes = 20 * MIB + look * MIB / 4 + noise(look);
            let held = Held {
                heap_bytes,
                resident_bytes: heap_bytes + 150 * MIB,
            };
            running.see(Duration::from_secs(look));
            let seen = watch.see(&running, held, heap_bytes / 64, 256 * MIB);
            left = seen.unwrap().seconds_to_limit();
        }
        // 11 MiB.
        let left = left.expect("a leak");
        assert!((38.0..50.0).contains(&left), "{left}");
    }

    /// Grows for two hours, and is full then.
    #[test]
    fn only_a_leak_that_has_lasted_and_goes_on_counts_for_the_restart() {
        let (mut watch, mut running) = looking(30);
        let mut see = |seconds: u64, bytes: u64| {
            let held = Held {
                heap_bytes: bytes,
                resident_bytes: bytes,
            };
            running.see(Duration::from_secs(seconds));
            let verdict = watch
                .see(&running, held, bytes / 64, 1_000_000_000)
                .unwrap();
            (verdict, watch.reaches_limit(&verdict))
        };
        let mut last = None;
        for step in 0..=240 {
            let (verdict, ahead) = see(30 * step, 100_000_000 + 3_000_000 * step);
            assert!(ahead.is_none() || 30 * step >= 600, "{step}: {verdict:?}");
            last = ahead;
        }
        // 180 MB at 100,000 a second.
        let left = last.expect("a leak").as_secs();
        assert!((1_700..1_900).contains(&left), "{left}");
        let mut told = 0;
        for step in 241..400 {
            let (_, ahead) = see(30 * step, 820_000_000);
            told += u64::from(ahead.is_some());
        }
        // No longer than it takes to see that it does not grow.
        assert!(told <= 25, "{told} looks");
    }

    #[test]
    fn a_tide_is_what_surely_does_not_leak_and_swings() {
        let of = |judgement, pattern, confidence| {
            LeakWatch::is_tidal(&Verdict {
                judgement,
                pattern,
                confidence,
                ..Verdict::default()
            })
        };
        assert!(of(Judgement::NoLeak, Pattern::Sawtooth, 0.9));
        assert!(of(Judgement::NoLeak, Pattern::Periodic, 0.95));
        assert!(!of(Judgement::NoLeak, Pattern::Periodic, 0.89));
        assert!(!of(Judgement::NoLeak, Pattern::WarmUp, 0.95));
        assert!(!of(Judgement::Leak, Pattern::Sawtooth, 0.95));
    }

    /// The larger of the two figures counts, and a line that is passed is reached.
    #[test]
    fn a_line_is_reached_at_the_rate_of_a_leak_by_whichever_is_more() {
        let mut leak = leak_with(1_000.0);
        leak.current_bytes_per_hour = 3_600.0 * 1_000.0;
        let reaches = |leak: &Verdict, heap_bytes, resident_bytes| {
            let held = Held {
                heap_bytes,
                resident_bytes,
            };
            LeakWatch::reaches(leak, held, 100_000.0).map(|time| time.as_secs())
        };
        assert_eq!(reaches(&leak, 40_000, 0), Some(60));
        assert_eq!(reaches(&leak, 40_000, 70_000), Some(30));
        assert_eq!(reaches(&leak, 140_000, 0), Some(0));
        leak.current_bytes_per_hour = 0.0;
        assert_eq!(reaches(&leak, 40_000, 0), None);
        leak.current_bytes_per_hour = 1.0;
        leak.judgement = Judgement::NoLeak;
        assert_eq!(reaches(&leak, 40_000, 0), None);
    }

    #[test]
    fn free_pages_between_two_waves_are_the_heaps_again() {
        let mut beside = Beside::new();
        assert_eq!(beside.see(420), 420);
        assert_eq!(beside.see(20), 20);
        for _ in 0..63 {
            assert_eq!(beside.see(420), 20);
        }
        assert_eq!(beside.see(420), 420);
    }

    #[test]
    fn a_program_that_was_stopped_leaks_as_before() {
        let (mut watch, mut running) = looking(30);
        let mut see = |seconds: u64, ran: u64| {
            let heap_bytes = 1_000_000_000 + 10_000 * ran;
            let held = Held {
                heap_bytes,
                resident_bytes: heap_bytes,
            };
            running.see(Duration::from_secs(seconds));
            let seen = watch.see(&running, held, heap_bytes / 64, 4_000_000_000);
            seen.unwrap()
        };
        let before = (0..=240).map(|step| see(30 * step, 30 * step)).last();
        assert!(before.unwrap().is_leak(), "{before:?}");
        // Stopped for an hour.
        for step in 1..=40 {
            let ran = 7_200 + 30 * step;
            let verdict = see(ran + 3_600, ran);
            assert!(verdict.is_leak(), "{step}: {verdict:?}");
            assert!(verdict.since.unwrap() < 3_600.0, "{verdict:?}");
        }
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
