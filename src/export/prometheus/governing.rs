//! Levels, the verdict, actions and restarts.

use super::family::{Families, In};
use crate::governor::{ActionKind, Level, Mode, Monitor, Summary, Times};
use crate::trend::{Judgement, Severity, Verdict};
use std::fmt;
use std::time::SystemTime;

pub(super) fn encode(families: &mut Families<'_>, monitor: &Monitor) -> fmt::Result {
    let mode = match monitor.mode() {
        Mode::Act => "act",
        Mode::DryRun => "dry_run",
        Mode::Observe => "observe",
    };
    families.info(
        "plimsoll",
        "The version of plimsoll, and whether its monitor acts.",
        [("version", env!("CARGO_PKG_VERSION")), ("mode", mode)],
    )?;
    let started = monitor.started_at().duration_since(SystemTime::UNIX_EPOCH);
    families.gauge(
        "plimsoll_start_time",
        "When this image of the program started: a restart in place changes it, and not the process.",
        In::Seconds,
        started.map_or(0.0, |since| since.as_secs_f64()),
    )?;
    let summary = monitor.summary();
    levels(families, monitor, &summary)?;
    leak(families, &monitor.leak_verdict())?;
    actions(families, &summary)?;
    restarts(families, monitor, &summary)
}

fn levels(families: &mut Families<'_>, monitor: &Monitor, summary: &Summary) -> fmt::Result {
    families.gauge(
        "plimsoll_level",
        "0 normal, 1 optimise, 2 restart, 3 critical.",
        In::Number,
        monitor.level() as u64,
    )?;
    let levels = monitor.levels();
    let lines = Level::ALL.iter().filter_map(|&level| {
        let line = levels.threshold(level)?;
        Some(([("level", level.as_str())], line.enter))
    });
    families.gauges(
        "plimsoll_level_enter",
        "The share of the limit at which a level begins.",
        In::Ratio,
        lines,
    )?;
    let entered = Level::ALL.iter().skip(1);
    families.counters(
        "plimsoll_levels_entered",
        "How often a level was entered from below.",
        In::Number,
        entered.map(|&level| {
            let count = summary.entered(level);
            ([("level", level.as_str())], count)
        }),
    )?;
    families.gauge(
        "plimsoll_shedding",
        "1 while new work is refused.",
        In::Number,
        u64::from(monitor.is_shedding()),
    )?;
    families.gauge(
        "plimsoll_draining",
        "1 while a restart waits for what is under way.",
        In::Number,
        u64::from(monitor.is_draining()),
    )?;
    families.counter(
        "plimsoll_early_wakes",
        "Times at which the kernel or the service manager said that memory is short.",
        In::Number,
        summary.early_wakes,
    )?;
    times(
        families,
        "plimsoll_reaction",
        "From the crossing of a line to the monitor looking at it, by percentile.",
        &summary.reaction,
    )
}

fn leak(families: &mut Families<'_>, verdict: &Verdict) -> fmt::Result {
    let judgements = [Judgement::Leak, Judgement::NoLeak, Judgement::Insufficient];
    families.gauges(
        "plimsoll_leak_verdict",
        "1 for the verdict on whether the program leaks, 0 for the others.",
        In::Number,
        judgements.map(|judgement| {
            let is_it = u64::from(judgement == verdict.judgement);
            ([("verdict", judgement.as_str())], is_it)
        }),
    )?;
    families.gauge(
        "plimsoll_leak_confidence",
        "How likely the verdict is right.",
        In::Ratio,
        verdict.confidence,
    )?;
    let severity = match verdict.severity {
        Severity::None => 0u64,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    };
    families.gauge(
        "plimsoll_leak_severity",
        "0 none, 1 low, 2 medium, 3 high (the limit is reached within a day), 4 critical (within an \
         hour).",
        In::Number,
        severity,
    )?;
    // Until there is a verdict neither is known: no time at all would say "never".
    let is_known = verdict.judgement != Judgement::Insufficient;
    families.gauge_if_known(
        "plimsoll_leak_slope_bytes_per_second",
        "How fast memory grows, on average; nothing while it is too early to say.",
        In::Number,
        is_known.then_some(verdict.slope_bytes_per_hour / 3_600.0),
    )?;
    families.gauge_if_known(
        "plimsoll_time_to_limit",
        "When the limit is reached at the present rate: +Inf when never, nothing while it is too early \
         to say.",
        In::Seconds,
        is_known.then_some(verdict.seconds_to_limit().unwrap_or(f64::INFINITY)),
    )
}

fn actions(families: &mut Families<'_>, summary: &Summary) -> fmt::Result {
    families.counters(
        "plimsoll_actions",
        "Actions that were carried out.",
        In::Number,
        ActionKind::ALL
            .iter()
            .map(|&action| ([("action", action.as_str())], summary.of(action).count)),
    )?;
    families.counters(
        "plimsoll_given_back",
        "Bytes that actions gave back.",
        In::Bytes,
        ActionKind::ALL.iter().map(|&action| {
            (
                [("action", action.as_str())],
                summary.of(action).given_back_bytes,
            )
        }),
    )?;
    times(
        families,
        "plimsoll_purge",
        "How long purges took, by percentile.",
        &summary.purge,
    )
}

fn restarts(families: &mut Families<'_>, monitor: &Monitor, summary: &Summary) -> fmt::Result {
    let outlook = monitor.restart_outlook();
    families.gauge(
        "plimsoll_restarts_in_last_hour",
        "Restarts in the last hour, as far as they are remembered.",
        In::Number,
        u64::from(outlook.used_in_last_hour),
    )?;
    families.gauge(
        "plimsoll_restart_budget",
        "Restarts that are allowed in any hour; 0 when the program never restarts.",
        In::Number,
        match outlook.policy.how {
            Some(_) => u64::from(outlook.policy.budget_per_hour),
            None => 0,
        },
    )?;
    families.gauge(
        "plimsoll_restart_cooldown",
        "What is left of the time between two restarts.",
        In::Seconds,
        outlook.cooldown_remaining.as_secs_f64(),
    )?;
    families.counter(
        "plimsoll_restarts_withheld",
        "Times at which a restart was due and did not happen.",
        In::Number,
        summary.restarts_withheld,
    )
}

/// Nothing before the first.
fn times(families: &mut Families<'_>, name: &str, help: &str, times: &Times) -> fmt::Result {
    if times.count == 0 {
        return Ok(());
    }
    families.gauges(
        name,
        help,
        In::Seconds,
        [("50", times.p50), ("99", times.p99), ("100", times.max)]
            .map(|(percentile, time)| ([("percentile", percentile)], time.as_secs_f64())),
    )
}

#[cfg(test)]
mod tests {
    use super::super::family::written;
    use super::*;
    use crate::trend::Forecast;
    use std::time::Duration;

    fn said(verdict: Verdict) -> String {
        written(move |families| leak(families, &verdict))
    }

    #[test]
    fn while_it_is_too_early_to_say_neither_slope_nor_time_is_told() {
        let early = said(Verdict::default());
        assert!(early.contains("\nplimsoll_leak_verdict{verdict=\"insufficient\"} 1\n"));
        assert!(early.contains("\nplimsoll_leak_confidence_ratio 0.0\n"));
        assert!(!early.contains("\nplimsoll_leak_slope"), "{early}");
        assert!(!early.contains("\nplimsoll_time_to_limit"), "{early}");
    }

    #[test]
    fn how_long_something_takes_is_told_once_it_was_done() {
        let told = |count| {
            let [p50, p99, max] = [1, 2, 3].map(Duration::from_secs);
            let purge = Times {
                count,
                p50,
                p99,
                max,
            };
            written(move |families| times(families, "plimsoll_purge", "So long.", &purge))
        };
        assert!(!told(0).contains("plimsoll_purge"));
        for (percentile, seconds) in [("50", "1.0"), ("99", "2.0"), ("100", "3.0")] {
            let line =
                format!("\nplimsoll_purge_seconds{{percentile=\"{percentile}\"}} {seconds}\n");
            assert!(told(4).contains(&line), "{}", told(4));
        }
    }

    #[test]
    fn a_limit_that_is_never_reached_is_infinitely_far_away() {
        let never = said(Verdict {
            judgement: Judgement::NoLeak,
            ..Verdict::default()
        });
        assert!(never.contains("\nplimsoll_time_to_limit_seconds inf\n"));
        let leak = said(Verdict {
            judgement: Judgement::Leak,
            slope_bytes_per_hour: 7_200.0,
            severity: Severity::Critical,
            time_to_limit: Some(Forecast::exact(1_800.0)),
            ..Verdict::default()
        });
        assert!(leak.contains("\nplimsoll_time_to_limit_seconds 1800.0\n"));
        assert!(leak.contains("\nplimsoll_leak_slope_bytes_per_second 2.0\n"));
        assert!(leak.contains("\nplimsoll_leak_severity 4\n"));
        assert!(leak.contains("\nplimsoll_leak_verdict{verdict=\"leak\"} 1\n"));
        assert!(leak.contains("\nplimsoll_leak_verdict{verdict=\"no_leak\"} 0\n"));
    }
}
