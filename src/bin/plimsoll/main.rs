//! `plimsoll analyze`: whether a recorded series is a leak. `plimsoll bench-compare`: what became of
//! benchmarks.
//!
//! ```text
//! arguments ──► recorded::read ──► analysis ──► report + chart, json, or replay
//!           └─► bench::Report::parse, twice ──► bench::compare ──► its table
//! ```

mod analysis;
mod arguments;
mod benchmarks;
mod chart;
mod json;
mod report;
mod units;
mod words;

use analysis::Analysis;
use arguments::{Analyze, Arguments, Command};
use clap::Parser;
use plimsoll::recorded;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

/// Of a leak, when asked to fail on one, and of a benchmark that is worse.
const FOUND: u8 = 1;
/// Also clap's, for arguments that it does not know.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let told = match Arguments::parse().command {
        Command::Analyze(arguments) => {
            analyze(&arguments).map(|is_leak| is_leak && arguments.fail_on_leak)
        }
        Command::BenchCompare(arguments) => benchmarks::compare(&arguments),
    };
    match told {
        Ok(true) => ExitCode::from(FOUND),
        Ok(false) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell of a standard error that is closed.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Answers whether it is a leak.
fn analyze(arguments: &Analyze) -> Result<bool, String> {
    let name = arguments.name();
    let bytes = load(arguments).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let series = recorded::read(&bytes).map_err(|error| format!("{name}: {error}"))?;
    drop(bytes);

    let mut out = BufWriter::new(io::stdout().lock());
    let mut analysis = Analysis::new(series, arguments.limit);
    let written = if arguments.replay {
        analysis.replay(|seconds, verdict| json::change(&mut out, seconds, verdict))
    } else {
        analysis.run();
        if arguments.json {
            json::verdict(&mut out, &analysis)
        } else {
            report::write(&mut out, &name, &analysis)
        }
    };
    match written.and_then(|()| out.flush()) {
        // Who closed the pipe has read enough; the exit code still says what was found.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => analysis.run(),
        Err(error) => return Err(format!("standard output cannot be written: {error}")),
        Ok(()) => {}
    }
    Ok(analysis.verdict().is_leak())
}

fn load(arguments: &Analyze) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if arguments.is_standard_input() {
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(bytes)
    } else {
        std::fs::read(&arguments.file)
    }
}
