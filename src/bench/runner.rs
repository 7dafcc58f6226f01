//! The program around the benchmarks: arguments, files, what is printed, and the exit code.
//!
//! All that the harness prints it prints here.

use super::arguments::{Arguments, HELP};
use super::comparison::{Comparison, compare};
use super::harness::Harness;
use super::record::Record;
use super::report::Report;
use super::units;
use crate::allocator::local::is_counting;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

const WORSE: u8 = 1;
const BAD_INPUT: u8 = 2;

/// Runs a program of benchmarks: reads the command line, has `benchmarks` name and run them, prints,
/// and answers the exit code. The example is at the [module's](super) head.
///
/// ```text
/// cargo bench --bench NAME -- [OPTIONS] [FILTER]...
/// ```
///
/// A FILTER is a part of a name, with `--exact` the whole. `--list` prints names. `--quick` takes 10
/// samples in 0.1 s instead of 50 in 2 s, `--samples N` another number. `--json FILE` writes the
/// [`Report`]; `--compare FILE` compares with one, as [`compare()`] does, with `--time-threshold` and
/// `--figure-threshold` in percent. `--help` tells all. Under `cargo test --benches`, which gives no
/// `--bench`, and with `--test`, each runs once.
///
/// Exit codes: 0 when all ran and nothing is worse, 1 when something is worse, 2 for arguments or a
/// file that cannot be used, for a benchmark that measured nothing or has another's name, and when
/// [`Plimsoll`](crate::Plimsoll) is not the program's allocator. A panic of a benchmark ends the
/// program as any panic of `main` does.
pub fn main(benchmarks: impl FnOnce(&mut Harness)) -> ExitCode {
    main_with(std::env::args_os().skip(1), benchmarks)
}

/// [`main()`] with arguments of the caller's own instead of the command line's, without the program's
/// name: for a program that does other things too.
pub fn main_with(
    arguments: impl IntoIterator<Item = OsString>,
    benchmarks: impl FnOnce(&mut Harness),
) -> ExitCode {
    match run(arguments, benchmarks) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(WORSE),
        Err(errors) => {
            for error in errors {
                // There is nobody left to tell of a standard error that is closed.
                let _ = writeln!(io::stderr(), "error: {error}");
            }
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Answers whether anything is worse.
fn run(
    arguments: impl IntoIterator<Item = OsString>,
    benchmarks: impl FnOnce(&mut Harness),
) -> Result<bool, Vec<String>> {
    let given = arguments.into_iter().map(|one| {
        one.into_string()
            .map_err(|one| format!("`{}` is not UTF-8: expected text", one.display()))
    });
    let given: Vec<String> = given.collect::<Result<_, _>>().map_err(|one| vec![one])?;
    let arguments = Arguments::parse(given).map_err(|error| vec![error])?;
    if arguments.help {
        print(HELP).map_err(|error| vec![error])?;
        return Ok(false);
    }
    if !is_counting() {
        return Err(vec![
            "nothing is counted: expected `#[global_allocator] static HEAP: plimsoll::Plimsoll = \
             plimsoll::Plimsoll::new();` in the benchmark's file"
                .to_owned(),
        ]);
    }
    // Before the benchmarks, which take minutes: a file that cannot be used is known at once.
    let old = match arguments.compare.as_deref().filter(|_| !arguments.list) {
        Some(file) => Some(read(file).map_err(|error| vec![error])?),
        None => None,
    };
    let kept = arguments.json.as_deref();
    let kept = kept.filter(|_| !arguments.list && !arguments.once);
    kept.map_or(Ok(()), |file| may_write(file).map_err(|error| vec![error]))?;

    let mut harness = Harness::new(arguments, done);
    benchmarks(&mut harness);
    let Harness {
        arguments,
        records,
        faults,
        ..
    } = harness;
    if !faults.is_empty() {
        return Err(faults);
    }
    if arguments.list || arguments.once {
        return Ok(false);
    }
    finish(&arguments, records, old).map_err(|error| vec![error])
}

fn finish(
    arguments: &Arguments,
    records: Vec<Record>,
    old: Option<Report>,
) -> Result<bool, String> {
    let report = Report::new(records);
    let old = old.map(|mut old| {
        // What was not asked for is not gone.
        old.benchmarks.retain(|one| arguments.selects(&one.name));
        old
    });
    if let Some(old) = &old
        && old.benchmarks.is_empty()
        && report.benchmarks.is_empty()
    {
        return Err("no benchmark was selected: nothing is compared".to_owned());
    }
    // Before it is printed, where nobody may listen; and printed though it could not be written.
    let written = arguments.json.as_ref().map_or(Ok(()), |file| {
        let written = report.to_json().and_then(|json| write(file, &json));
        written.map_err(|error| not_written(file, error))
    });
    print(&format!("\n{report}"))?;
    let mut is_worse = false;
    if let Some(old) = old {
        let comparison: Comparison = compare(&old, &report, &arguments.thresholds);
        print(&format!("\n{comparison}"))?;
        is_worse = comparison.is_worse();
    }
    written.map(|()| is_worse)
}

fn read(file: &Path) -> Result<Report, String> {
    let name = file.display();
    let json = std::fs::read(file).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    Report::parse(&json).map_err(|error| format!("{name}: {error}"))
}

fn not_written(file: &Path, error: io::Error) -> String {
    format!("{}: cannot be written: {error}", file.display())
}

/// Whether a report can be kept there, before there is one. Changes nothing.
fn may_write(file: &Path) -> Result<(), String> {
    let opened = match fs::metadata(file) {
        Ok(found) if found.is_file() || found.is_dir() => {
            OpenOptions::new().append(true).open(file).map(drop)
        }
        // A pipe, at which opening would wait for its reader, or a device.
        Ok(_) => Ok(()),
        // A link to what is not there yet.
        Err(_) if file.is_symlink() => Ok(()),
        Err(_) => File::create_new(file).and_then(|_| fs::remove_file(file)),
    };
    opened.map_err(|error| not_written(file, error))
}

/// Writes all of it, or leaves what was there: that may be what the next run is compared with.
fn write(file: &Path, json: &str) -> io::Result<()> {
    let found = fs::metadata(file).ok();
    let real = match &found {
        Some(found) if found.is_file() => fs::canonicalize(file).ok(),
        // A pipe or a device stays what it is, and what a link names is made there.
        Some(_) => None,
        None => Some(file.to_owned()).filter(|file| !file.is_symlink()),
    };
    let Some(real) = real else {
        return fs::write(file, json);
    };
    let mut beside = real.clone().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    let whole = fs::write(&beside, json)
        .and_then(|()| found.map_or(Ok(()), |it| fs::set_permissions(&beside, it.permissions())))
        .and_then(|()| fs::rename(&beside, &real));
    let Err(error) = whole else { return Ok(()) };
    let _ = fs::remove_file(&beside);
    match error.kind() {
        // Nothing may be made beside it, or it is mounted there itself.
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy => {
            fs::write(file, json)
        }
        _ => Err(error),
    }
}

/// A line for each benchmark as it is done; the table follows when all are.
fn done(arguments: &Arguments, name: &str, record: Option<&Record>) {
    let line = match record {
        Some(record) => format!("{name}: {}\n", units::time(record.time.median_ns)),
        // As the test harness of Rust prints it: who lists tests reads this.
        None if arguments.list => format!("{name}: benchmark\n"),
        None => format!("{name}: ok\n"),
    };
    // A reader that went away is told of at the end.
    let _ = print(&line);
}

fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who closed the pipe has read enough; the exit code still says what was found.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| format!("standard output cannot be written: {error}")),
    }
}
