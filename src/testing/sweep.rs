//! Every allocation of a piece of work fails in turn.
//!
//! Most of std aborts the process when an allocation fails, so the work runs in a child process: this
//! very program, started again for this one test. The child sweeps on and writes what it finds into a
//! file; when it aborts, the file's last lines tell at which allocation, and another child goes on
//! behind it. So a sweep without an abort takes one child, and each abort one more.

use super::fail::{Failing, Refusing, Rule};
use super::leak::{Remains, remains};
use super::report::{self, Line, Place};
use super::text::number;
use super::trace::Trace;
use super::{Unseen, global, unseen};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// What a sweep has found.
///
/// ```no_run
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::testing::{Outcome, try_sweep_failures};
///
/// # fn main() {
/// if let Err(swept) = try_sweep_failures(|| drop(std::hint::black_box(Box::new(1)))) {
///     for found in &swept.findings {
///         if let Outcome::Aborted(last_words) = &found.outcome {
///             println!("{}: {last_words}", found.site);
///         }
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Sweep {
    /// How often the work ran with a failure: twice for each of its allocations.
    pub runs: u64,
    /// Where it did not survive.
    pub findings: Vec<Finding>,
}

/// A failure that the work did not survive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// Which allocation failed, counted from 0.
    pub allocation: u64,
    /// Whether all that came after it failed as well.
    pub and_all_after: bool,
    /// How many bytes it was to get; 0 where the work ended by itself before any allocation was refused.
    pub bytes: usize,
    /// Where it was asked for, as `src/list.rs:12 in list::push`, with the feature `testing`; without it no line is
    /// known, which it says.
    pub site: String,
    /// What became of the work.
    pub outcome: Outcome,
}

/// What became of a piece of work whose allocation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It panicked: where, and with which message.
    Panicked(String),
    /// The process ended, as by `handle_alloc_error`: its status and last words.
    Aborted(String),
    /// It went on, and left memory behind: how much, and from where.
    Leaked(String),
    /// It asked again and again for what it does not get.
    Endless,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fails = if self.and_all_after {
            "and all after it fail"
        } else {
            "fails"
        };
        match self.bytes {
            // None is asked for.
            0 => f.write_str("nothing failed: ")?,
            bytes => write!(
                f,
                "allocation {} {fails}, of {} bytes at {}: ",
                self.allocation,
                number(bytes as i128),
                self.site
            )?,
        }
        match &self.outcome {
            Outcome::Panicked(message) => f.write_str(message),
            Outcome::Aborted(last) => write!(f, "the process ended: {last}"),
            Outcome::Leaked(what) => write!(f, "leaked {what}"),
            Outcome::Endless => f.write_str("asked without end"),
        }
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, found) = (number(self.runs.into()), self.findings.len());
        writeln!(
            f,
            "of {runs} runs with a failing allocation, {found} were not survived"
        )?;
        for finding in self.findings.iter().take(10) {
            writeln!(f, "{finding}")?;
        }
        if found > 10 {
            writeln!(f, "and {} more", found - 10)?;
        }
        Ok(())
    }
}

/// Runs `work` again and again, each time with another of its allocations failing, and panics unless it
/// survived them all: without a panic, without an abort, and without leaving memory behind.
///
/// Each allocation fails twice: once alone, and once with all that come after it. The sweep is over
/// when a run has no allocation left to fail.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// # fn main() {
/// // In a test of yours: `#[test] fn a_copy_survives_every_failure() { …`
/// let swept = plimsoll::testing::sweep_failures(|| {
///     let mut copy = Vec::new();
///     if copy.try_reserve(100).is_ok() {
///         copy.extend_from_slice(&[0u8; 100]);
///     }
/// });
/// assert_eq!(swept.runs, 2);
/// # }
/// ```
///
/// # How it runs
///
/// In a child process: the test is started again, alone, by the name of its thread, and runs up to
/// this call. What stands before it is run there too, and nothing after; an earlier sweep answers there
/// what it answered here, without its findings. A program without the test harness is started with
/// the arguments that it has, if `main` itself makes the call, on the main thread. When an infallible
/// allocation of std aborts the child, that is a finding with its
/// line, and another child goes on behind it.
///
/// `work` runs once without failures first, for what is made once and kept. It must do the same each
/// time, and check by itself what must hold after a failure. A leak is reported when the same failure
/// leaves something behind twice. Only this thread's allocations fail. See
/// [`fail_after`](super::fail_after) for what counts as one.
///
/// # Panics
///
/// With the findings, at the caller's line. When [`Plimsoll`](crate::Plimsoll) is not the program's
/// allocator; when `work` panics, or ends its process, though nothing fails; when the child cannot be
/// started or does not come to this call, and what it wrote then; and when files in the system's
/// temporary folder cannot be written.
///
/// # Cost
///
/// A start of the program for the sweep and for each abort; some microseconds for each allocation of
/// each run.
#[track_caller]
pub fn sweep_failures(work: impl FnMut()) -> Sweep {
    match try_sweep_failures(work) {
        Ok(swept) => swept,
        Err(found) => panic!("sweep_failures: {found}"),
    }
}

/// [`sweep_failures`] that answers its findings instead of panicking with them.
///
/// # Errors
///
/// With the same [`Sweep`], when there is a finding.
///
/// # Panics
///
/// When the sweep cannot be made: see [`sweep_failures`].
#[track_caller]
pub fn try_sweep_failures<F: FnMut()>(mut work: F) -> Result<Sweep, Sweep> {
    global::require("sweep_failures");
    let place = Unseen::new(|| Place::of(Location::caller()));
    match report::Child::of_this_process() {
        // Started for a sweep: for this one, or for another that is still to come.
        Some(child) if child.place == *place => child_sweep(&child, &mut work),
        Some(_) => {
            let (runs, survived) = report::answered(&place).unwrap_or((0, true));
            let swept = Sweep {
                runs,
                findings: Vec::new(),
            };
            if survived { Ok(swept) } else { Err(swept) }
        }
        None => {
            let swept = Unseen::new(|| parent_sweep(&place, std::any::type_name::<F>()));
            match &*swept {
                Ok(swept) if swept.findings.is_empty() => Ok(swept.clone()),
                Ok(swept) => Err(swept.clone()),
                Err(trouble) => panic!("{trouble}"),
            }
        }
    }
}

/// A run by its number: allocation and mode.
fn rule(run: u64) -> Rule {
    if run.is_multiple_of(2) {
        Rule::Only(run / 2)
    } else {
        Rule::From(run / 2)
    }
}

/// Refusals in one run at which the work is taken to ask without end.
const ENDLESS: u64 = 1_000_000;

fn child_sweep(child: &report::Child, work: &mut impl FnMut()) -> ! {
    let messages = keep_messages();
    child.write(Line::Begun);
    // The first time, what is made once and kept is made.
    if catch_unwind(AssertUnwindSafe(&mut *work)).is_err() {
        child.write(Line::Broken(take(&messages)));
        std::process::exit(0);
    }
    let mut run = child.from;
    loop {
        child.write(Line::Run(run));
        let (refused, outcome) = one_run(child, run, work);
        if refused == 0 && outcome.is_ok() {
            break;
        }
        match outcome {
            Err(()) => {
                child.write(Line::Panicked(take(&messages)));
                // It failed by itself, and before it did not: there is no end to look for.
                if refused == 0 {
                    break;
                }
            }
            Ok(first) if first.is_nothing() => {}
            // Perhaps what a failure makes once and keeps.
            Ok(_) => match one_run(child, run, work).1 {
                Ok(second) if second.is_nothing() => {}
                Ok(second) => child.write(Line::Leaked(second.text())),
                Err(()) => child.write(Line::Panicked(take(&messages))),
            },
        }
        run += 1;
    }
    child.write(Line::End(run));
    std::process::exit(0)
}

/// How many allocations were refused, and what remains, or that it panicked.
fn one_run(
    child: &report::Child,
    run: u64,
    work: &mut impl FnMut(),
) -> (u64, Result<Unseen<Remains>, ()>) {
    let refusing = Unseen::new(|| {
        let (first, endless) = (child.file(), child.file());
        let refusing = Refusing::new(rule(run))
            .on_first(move |size, trace| first.write(Line::refused(size, trace)))
            .endless_at(ENDLESS, move || {
                endless.write(Line::Endless);
                std::process::abort()
            });
        Rc::new(refusing)
    });
    let (survived, remains) = remains(|| {
        let failing = Failing::with(&refusing);
        let survived = catch_unwind(AssertUnwindSafe(&mut *work));
        drop(failing);
        survived.map_err(drop)
    });
    (refusing.refused(), survived.map(|()| remains))
}

type Messages = Arc<Mutex<String>>;

/// From now on a panic's message is kept and not printed: the child is all ours.
fn keep_messages() -> Messages {
    let messages = Messages::default();
    let kept = Arc::clone(&messages);
    std::panic::set_hook(Box::new(move |panic| {
        unseen(|| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
        });
    }));
    messages
}

fn take(messages: &Messages) -> String {
    std::mem::take(&mut *messages.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What was found, or why nothing could be.
fn parent_sweep(place: &Place, type_name: &str) -> Result<Sweep, String> {
    let mut swept = Sweep::default();
    let mut from = 0;
    loop {
        let ended = report::run(place, type_name, from)
            .map_err(|trouble| format!("sweep_failures cannot be run: {trouble}"))?;
        let mut last = None;
        let mut has_begun = false;
        let mut refused = None;
        let mut finding = |run: u64, refused: &Option<(usize, Trace)>, outcome| {
            let (bytes, trace) = refused.clone().unwrap_or_default();
            swept.findings.push(Finding {
                allocation: run / 2,
                and_all_after: run % 2 == 1,
                bytes,
                site: trace.site(),
                outcome,
            });
        };
        let mut is_over = false;
        let mut is_endless = false;
        for line in ended.lines {
            match (line, last) {
                (Line::Begun, _) => has_begun = true,
                (Line::Broken(message), _) => {
                    return Err(format!(
                        "sweep_failures: the work fails even when every allocation succeeds: {message}"
                    ));
                }
                (Line::Run(run), _) => {
                    last = Some(run);
                    refused = None;
                }
                (Line::Refused { bytes, trace }, _) => refused = Some((bytes, trace)),
                (Line::Panicked(message), Some(run)) => {
                    finding(run, &refused, Outcome::Panicked(message));
                }
                (Line::Leaked(what), Some(run)) => finding(run, &refused, Outcome::Leaked(what)),
                (Line::Endless, _) => is_endless = true,
                (Line::End(runs), _) => {
                    swept.runs = runs;
                    is_over = true;
                }
                (Line::Panicked(_) | Line::Leaked(_), None) => {}
            }
        }
        if is_over {
            break;
        }
        let Some(run) = last else {
            if has_begun {
                return Err(format!(
                    "sweep_failures: the work ends its process even when every allocation succeeds: {}",
                    ended.last_words
                ));
            }
            return Err(format!(
                "sweep_failures: the child process, started with `{}`, never came to {place}: {}",
                ended.arguments.join(" "),
                ended.last_words
            ));
        };
        let outcome = if is_endless {
            Outcome::Endless
        } else {
            Outcome::Aborted(ended.last_words)
        };
        finding(run, &refused, outcome);
        // It ended by itself, and before it did not: there is no end to look for.
        if refused.is_none() {
            swept.runs = run;
            break;
        }
        from = run + 1;
    }
    report::done(place, swept.runs, swept.findings.is_empty());
    Ok(swept)
}
