//! The account at the end: what happened, image by image.

use crate::process;
use plimsoll::{Level, Monitor, RestartRecord};
use std::fmt::Write;

/// A process whose first restart tells of a monitor that began later than this, in seconds, has had others.
const BEFORE_THE_MONITOR: u64 = 60;

/// One image of the program, from its start to its restart or to now.
struct Image {
    seconds: u64,
    end: String,
    heap_bytes: u64,
    resident_bytes: u64,
    actions: u64,
    given_back_bytes: u64,
}

impl From<&RestartRecord> for Image {
    fn from(restart: &RestartRecord) -> Image {
        let decided = match restart.signal.as_str() {
            "heap" => restart.heap_bytes,
            _ => restart.resident_bytes,
        };
        let percent = 100.0 * decided as f64 / restart.limit_bytes as f64;
        Image {
            seconds: restart.uptime_seconds,
            end: format!("{}: {} at {percent:.0} %", restart.level, restart.signal),
            heap_bytes: restart.heap_bytes,
            resident_bytes: restart.resident_bytes,
            actions: restart.actions,
            given_back_bytes: restart.given_back_bytes,
        }
    }
}

pub fn account(monitor: &Monitor) -> String {
    let status = monitor.status();
    let summary = monitor.summary();
    // Restarts of this process; the state file may remember others. Ids come again, so the time has
    // to fit too, with a second's grace for the rounding of both clocks.
    let started = process::started_unix_seconds().saturating_sub(1);
    let own = std::process::id();
    let restarts: Vec<RestartRecord> = monitor
        .restarts()
        .into_iter()
        .filter(|restart| restart.process_id == own && restart.at_unix_seconds >= started)
        .collect();
    // So many are remembered, and no more.
    let is_whole = restarts.first().is_none_or(|first| {
        first.at_unix_seconds.saturating_sub(first.uptime_seconds) <= started + BEFORE_THE_MONITOR
    });
    let mut images: Vec<Image> = restarts.iter().map(Image::from).collect();
    images.push(Image {
        seconds: status.uptime_seconds as u64,
        end: format!("still running: {}", status.level),
        heap_bytes: status.heap.live_bytes,
        resident_bytes: status.process.map_or(0, |process| process.anonymous_bytes),
        actions: summary.actions,
        given_back_bytes: summary.given_back_bytes,
    });

    let mut text = format!(
        "\nWhat happened in {} s under a limit of {} ({})\n\n",
        process::age().as_secs(),
        mib(status.limit.bytes),
        status.limit.source
    );
    let _ = writeln!(
        text,
        "  image  ran for  {:<26}  {:>10}  {:>10}  {:>7}  {:>10}",
        "ended by", "heap", "resident", "actions", "given back"
    );
    for (number, image) in images.iter().enumerate() {
        let _ = writeln!(
            text,
            "  {:>5}  {:>5} s  {:<26}  {:>10}  {:>10}  {:>7}  {:>10}",
            number + 1,
            image.seconds,
            image.end,
            mib(image.heap_bytes),
            mib(image.resident_bytes),
            image.actions,
            mib(image.given_back_bytes),
        );
    }
    let entered: Vec<String> = Level::ALL
        .iter()
        .skip(1)
        .map(|&level| format!("{level} {}×", summary.entered(level)))
        .collect();
    let _ = writeln!(
        text,
        "\n  levels entered by the last image: {}",
        entered.join(", ")
    );
    if summary.reaction.count > 0 {
        let _ = writeln!(
            text,
            "  from crossing a line to looking at it: at most {:.3} ms ({} times)",
            summary.reaction.max.as_secs_f64() * 1e3,
            summary.reaction.count
        );
    }
    if summary.restarts_withheld > 0 {
        let _ = writeln!(text, "  restarts withheld: {}", summary.restarts_withheld);
    }
    let _ = writeln!(
        text,
        "  peak of the last image: {}",
        mib(status.heap.peak_bytes)
    );
    let verdict = monitor.leak_verdict();
    let _ = writeln!(
        text,
        "  verdict: {}, {}, {:.1} MiB/h, {:.0} % sure",
        verdict.judgement,
        verdict.pattern,
        verdict.mb_per_hour(),
        100.0 * verdict.confidence
    );
    for recommendation in verdict.advice.iter() {
        let _ = writeln!(text, "    {recommendation}");
    }
    let actions: u64 = images.iter().map(|image| image.actions).sum();
    let given_back: u64 = images.iter().map(|image| image.given_back_bytes).sum();
    let _ = writeln!(
        text,
        "\nalive after {} s: {}, {}, {} given back",
        process::age().as_secs(),
        format_args!(
            "{}{}",
            if is_whole { "" } else { "the last " },
            counted(restarts.len() as u64, "restart")
        ),
        counted(actions, "action"),
        mib(given_back)
    );
    text
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64)
}

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
