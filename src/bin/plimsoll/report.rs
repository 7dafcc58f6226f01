//! The verdict for people.

use crate::analysis::Analysis;
use crate::units::{self, amount, rate, span};
use crate::{chart, words};
use plimsoll::trend::{Forecast, Judgement};
use std::io::{self, Write};

/// So that lines stay readable in a narrow terminal.
const WIDTH: usize = 76;

pub fn write(out: &mut impl Write, name: &str, analysis: &Analysis) -> io::Result<()> {
    let verdict = analysis.verdict();
    let unit = analysis.series.unit;
    writeln!(out, "{name}: {}\n", what_was_read(analysis))?;
    for line in chart::draw(analysis) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\n{}\n", words::headline(&verdict))?;

    // Figures of what has hardly begun would only mislead.
    let is_early = verdict.judgement == Judgement::Insufficient;
    let mut row = |label: &str, text: &str| writeln!(out, "  {label:<15} {text}");
    if !is_early {
        let slope = verdict.slope_bytes_per_hour;
        row("pattern", &verdict.pattern.as_str().replace('_', "-"))?;
        row(
            "slope",
            &rate(unit, slope, verdict.slope_low, verdict.slope_high),
        )?;
    }
    if let Some(since) = verdict.since {
        row("since", &beginning(analysis, since))?;
    }
    if verdict.is_leak() {
        match (verdict.time_to_limit, analysis.limit) {
            (Some(forecast), _) => {
                row("limit reached", &reached(&forecast))?;
                if let Some(dates) = reached_at(analysis, &forecast) {
                    row("", &dates)?;
                }
            }
            (None, None) => row("limit reached", "not known: no --limit was given")?,
            (None, Some(_)) => row("limit reached", "never, at this rate")?,
        }
        row("severity", verdict.severity.as_str())?;
    }
    if let (Judgement::NoLeak, Some(question)) = (verdict.judgement, verdict.doubt) {
        row("against a leak", words::doubt(question))?;
    }

    if !is_early {
        writeln!(out)?;
    }
    writeln!(out, "What to do")?;
    for recommendation in words::recommendations(&verdict, unit) {
        for (place, line) in wrapped(&recommendation, WIDTH - 4).iter().enumerate() {
            writeln!(out, "  {} {line}", if place == 0 { '•' } else { ' ' })?;
        }
    }
    Ok(())
}

/// `240 samples in 2 h, one every 30 s, under a limit of 256.0 MiB`.
fn what_was_read(analysis: &Analysis) -> String {
    let limit = match analysis.limit {
        Some(limit) => format!("under a limit of {}", amount(analysis.series.unit, limit)),
        None => "no limit given".to_owned(),
    };
    format!(
        "{} samples in {}, one every {}, {limit}",
        units::count(analysis.series.samples.len()),
        span(analysis.series.span()),
        span(analysis.series.interval()),
    )
}

/// When a leak began, by the series' own clock.
fn beginning(analysis: &Analysis, since: f64) -> String {
    let long = span(analysis.series.span() - since);
    match units::date(analysis.first() + since) {
        Some(date) if analysis.is_unix() => format!("{date} UTC, for {long} (▲)"),
        _ => format!("{} after the first sample, for {long} (▲)", span(since)),
    }
}

fn reached(forecast: &Forecast) -> String {
    let soonest = span(forecast.soonest);
    let interval = match forecast.latest {
        Some(latest) => format!("90 % interval: {soonest} to {}", span(latest)),
        None => format!("at the soonest in {soonest}"),
    };
    format!("in {} ({interval})", span(forecast.seconds))
}

/// The same as dates, where the series' times are some.
fn reached_at(analysis: &Analysis, forecast: &Forecast) -> Option<String> {
    if !analysis.is_unix() {
        return None;
    }
    let date = |seconds: f64| units::date(analysis.last() + seconds);
    let at = date(forecast.seconds)?;
    let interval = match forecast.latest.map(date) {
        Some(Some(latest)) => format!("{} to {latest}", date(forecast.soonest)?),
        _ => format!("not before {}", date(forecast.soonest)?),
    };
    Some(format!("{at} UTC ({interval})"))
}

/// Lines of at most so many characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
