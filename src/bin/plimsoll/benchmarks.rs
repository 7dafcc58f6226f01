//! What became of benchmarks from one report to another.

use crate::arguments::BenchCompare;
use plimsoll::bench::{Report, Thresholds, compare as compare_reports};
use std::io::{self, Write};
use std::path::Path;

/// Prints the comparison, and answers whether anything is worse.
pub fn compare(arguments: &BenchCompare) -> Result<bool, String> {
    let (old, new) = (read(&arguments.old)?, read(&arguments.new)?);
    let thresholds = Thresholds::default()
        .time(arguments.time_threshold)
        .figures(arguments.figure_threshold);
    let comparison = compare_reports(&old, &new, &thresholds);
    let mut out = io::stdout().lock();
    match write!(out, "{comparison}").and_then(|()| out.flush()) {
        // Who closed the pipe has read enough; the exit code still says what was found.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output cannot be written: {error}"))
        }
        _ => Ok(comparison.is_worse()),
    }
}

fn read(file: &Path) -> Result<Report, String> {
    let name = file.display();
    let json = std::fs::read(file).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    Report::parse(&json).map_err(|error| format!("{name}: {error}"))
}
