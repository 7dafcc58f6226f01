//! The child process of a sweep, and the file in which it says what it finds.

use super::trace::Trace;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::panic::Location;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which sweep a child is for, from which run on, and its file.
const PLACE: &str = "PLIMSOLL_SWEEP";
const FROM: &str = "PLIMSOLL_SWEEP_FROM";
const FILE: &str = "PLIMSOLL_SWEEP_FILE";
/// The sweeps before it on the thread: a child answers what they answered.
const PAST: &str = "PLIMSOLL_SWEEP_PAST";

/// A call of the sweep in a program: its line, and the how manieth it is there on its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn of(location: &Location<'_>) -> Place {
        thread_local! {
            static CALLS: RefCell<HashMap<String, u64>> = RefCell::default();
        }
        let location = location.to_string();
        let number = CALLS.with_borrow_mut(|calls| {
            let number = calls.entry(location.clone()).or_default();
            *number += 1;
            *number
        });
        Place(format!("{location} call {number}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

thread_local! {
    /// The sweeps of this thread: their runs, and whether all were survived.
    static DONE: RefCell<Vec<(Place, u64, bool)>> = const { RefCell::new(Vec::new()) };
}

/// Notes what a sweep answered.
pub(super) fn done(place: &Place, runs: u64, survived: bool) {
    DONE.with_borrow_mut(|done| done.push((place.clone(), runs, survived)));
}

/// For a child's environment: lines of runs, outcome and place.
fn past() -> String {
    DONE.with_borrow(|done| {
        let lines = done
            .iter()
            .map(|(place, runs, survived)| format!("{runs} {survived} {place}\n"));
        lines.collect()
    })
}

/// In a child: the runs of a sweep that came before, and whether all were survived.
pub(super) fn answered(place: &Place) -> Option<(u64, bool)> {
    let past = std::env::var(PAST).ok()?;
    past.lines().find_map(|line| {
        let mut words = line.splitn(3, ' ');
        let answer = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (words.next()? == place.0).then_some(answer)
    })
}

/// What a child says. One line of the file each.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// The work is about to run without a failure.
    Begun,
    /// The work panics by itself.
    Broken(String),
    /// This run begins.
    Run(u64),
    /// The run's first refused allocation.
    Refused {
        bytes: usize,
        trace: Trace,
    },
    Panicked(String),
    Leaked(String),
    Endless,
    /// The sweep is over, after so many runs.
    End(u64),
}

/// Stands for a line break inside a message.
const BREAK: &str = "\u{1f}";

impl Line {
    pub(super) fn refused(bytes: usize, trace: &Trace) -> Line {
        Line::Refused {
            bytes,
            trace: trace.clone(),
        }
    }

    fn text(&self) -> String {
        let message = |kind: &str, text: &str| format!("{kind} {}\n", text.replace('\n', BREAK));
        match self {
            Line::Begun => "begun\n".into(),
            Line::Broken(text) => message("broken", text),
            Line::Run(run) => format!("run {run}\n"),
            Line::Refused { bytes, trace } => {
                let mut text = format!("refused {bytes}");
                for offset in trace.relative() {
                    text.push_str(&format!(" {offset:x}"));
                }
                text + "\n"
            }
            Line::Panicked(text) => message("panicked", text),
            Line::Leaked(text) => message("leaked", text),
            Line::Endless => "endless\n".into(),
            Line::End(runs) => format!("end {runs}\n"),
        }
    }

    /// `None` for one that was cut short by an abort.
    fn parse(line: &str) -> Option<Line> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = || rest.replace(BREAK, "\n");
        Some(match kind {
            "begun" => Line::Begun,
            "broken" => Line::Broken(text()),
            "run" => Line::Run(rest.parse().ok()?),
            "refused" => {
                let mut words = rest.split(' ');
                let bytes = words.next()?.parse().ok()?;
                let offsets: Option<Vec<_>> = words
                    .map(|word| usize::from_str_radix(word, 16).ok())
                    .collect();
                let trace = Trace::from_relative(offsets?.into_iter());
                Line::Refused { bytes, trace }
            }
            "panicked" => Line::Panicked(text()),
            "leaked" => Line::Leaked(text()),
            "endless" => Line::Endless,
            "end" => Line::End(rest.parse().ok()?),
            _ => return None,
        })
    }
}

/// Where a child writes.
#[derive(Clone)]
pub(super) struct Report(Rc<File>);

impl Report {
    pub(super) fn write(&self, line: Line) {
        // One write a line: an abort leaves whole lines. Without the file there is no report, which
        // the parent says.
        let _ = (&*self.0).write_all(line.text().as_bytes());
    }
}

/// This process as the child of a sweep.
pub(super) struct Child {
    pub(super) place: Place,
    pub(super) from: u64,
    report: Report,
}

impl Child {
    /// `None` in any other process.
    pub(super) fn of_this_process() -> Option<Child> {
        let place = Place(std::env::var(PLACE).ok()?);
        let from = std::env::var(FROM).ok()?.parse().ok()?;
        let file = OpenOptions::new()
            .append(true)
            .open(std::env::var_os(FILE)?)
            .ok()?;
        Some(Child {
            place,
            from,
            report: Report(Rc::new(file)),
        })
    }

    pub(super) fn file(&self) -> Report {
        self.report.clone()
    }

    pub(super) fn write(&self, line: Line) {
        self.report.write(line);
    }
}

/// What a child has left when it is over.
pub(super) struct Ended {
    /// What it was started with.
    pub(super) arguments: Vec<String>,
    pub(super) lines: Vec<Line>,
    /// Its status, and the end of what it wrote.
    pub(super) last_words: String,
}

/// Runs a child for the sweep at `place` from a run on. `type_name` is that of the sweep's closure,
/// which tells the function around it.
pub(super) fn run(place: &Place, type_name: &str, from: u64) -> io::Result<Ended> {
    let file = new_file()?;
    let arguments = arguments(type_name);
    let output = Command::new(std::env::current_exe()?)
        .args(&arguments)
        .env(PLACE, &place.0)
        .env(FROM, from.to_string())
        .env(FILE, &file.0)
        .env(PAST, past())
        // An abort's last words are the line about the memory and not a stack.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()?;
    let written = std::fs::read_to_string(&file.0)?;
    let lines = written.lines().filter_map(Line::parse).collect();
    let words = String::from_utf8_lossy(&output.stderr);
    let words: Vec<_> = words.lines().filter(|line| !line.is_empty()).collect();
    let last = &words[words.len().saturating_sub(3)..];
    Ok(Ended {
        arguments,
        lines,
        last_words: format!("{} ({})", last.join("; "), output.status),
    })
}

/// An empty file of our own. One of that name may have been left by a process with the same id, or be
/// that of one in another container.
fn new_file() -> io::Result<Removed> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("plimsoll-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match File::create_new(&path) {
            Ok(_) => return Ok(Removed(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file that is gone afterwards.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Has the test harness run the calling test alone; a program that is none is started as it was.
fn arguments(type_name: &str) -> Vec<String> {
    let path = type_name.split("::{{closure}}").next().unwrap_or(type_name);
    let inside = path.split_once("::").map_or(path, |(_, inside)| inside);
    let thread = std::thread::current();
    let test = match thread.name() {
        // The harness names a test's thread by the test.
        Some(name) if name != "main" => name,
        _ if inside == "main" || inside.ends_with("::main") => {
            return std::env::args().skip(1).collect();
        }
        _ => inside,
    };
    [test, "--exact", "--nocapture", "--include-ignored"]
        .map(String::from)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_writes_is_what_its_parent_reads() {
        let trace = Trace::from_relative([1, usize::MAX, 77].into_iter());
        let lines = [
            Line::Broken("two\nlines".into()),
            Line::Run(7),
            Line::refused(24, &trace),
            Line::Panicked("a message: with words".into()),
            Line::Leaked(String::new()),
            Line::Endless,
            Line::End(u64::MAX),
        ];
        for line in lines {
            assert_eq!(Line::parse(line.text().trim_end_matches('\n')), Some(line));
        }
        assert_eq!(Line::parse("refused 24 xyz"), None);
        assert_eq!(Line::parse("ru"), None);
    }

    /// Where a panic aborts, each test has a process and its main thread.
    #[test]
    #[cfg(panic = "unwind")]
    fn a_test_is_found_by_its_thread_or_by_the_function_around_the_closure() {
        assert!(arguments("krate::other::{{closure}}")[0].ends_with("around_the_closure"));
        let on_main = |name: &'static str| {
            let thread = std::thread::Builder::new().name("main".into());
            thread
                .spawn(move || arguments(name))
                .unwrap()
                .join()
                .unwrap()
        };
        assert_eq!(
            on_main("krate::oom::it_lives::{{closure}}")[0],
            "oom::it_lives"
        );
        assert!(!on_main("krate::main::{{closure}}").contains(&"--exact".into()));
    }
}
