//! How far leak verdicts are to be believed: generated series whose truth is known, today's rules on
//! the same input, and recorded series of real machines.
//!
//! ```text
//! cargo bench --bench leak_corpus -- [--cases N] [--traces FOLDER]
//! ```
//!
//! With `PLIMSOLL_ALARMS` set, every change of verdict on a recorded series is told with its time.
//!
//! Thresholds are tuned on one part, and reported on another seed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program, not a library"
)]

mod generator;
mod peers;
mod score;
mod traces;

use generator::{Case, Generator, HEALTHY, Kind, LEAKS, SLOPES};
use plimsoll::trend::{Detector, Sample, Subject};
use score::Outcome;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Seeds of the two parts; nothing was ever chosen by a look at the second.
const TUNED: u64 = 1;
const REPORTED: u64 = 20_261_124;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leak_corpus: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let mut each = 30;
    let mut folder: Option<PathBuf> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("`{argument}` is without a value"))
        };
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--cases" => {
                let value = value()?;
                let number = value
                    .parse()
                    .ok()
                    .filter(|number| (1..=10_000).contains(number));
                each = number.ok_or(format!("`--cases` is `{value}`: expected 1 to 10000"))?;
            }
            "--traces" => folder = Some(value()?.into()),
            _ => {
                return Err(format!(
                    "`{argument}`: expected `--cases N` or `--traces FOLDER`"
                ));
            }
        }
    }
    cost();
    for (part, seed) in [("tuned on", TUNED), ("reported on", REPORTED)] {
        let cases = corpus(seed, each);
        let begun = Instant::now();
        let outcomes = replays(&cases);
        let samples: usize = cases.iter().map(|case| case.series.len()).sum();
        println!(
            "\nThe part {part} (seed {seed}): {} series, {samples} samples, {:.3} ms of two threads a sample",
            cases.len(),
            2.0 * begun.elapsed().as_secs_f64() * 1e3 / samples as f64
        );
        score::report(&cases, &outcomes);
    }
    if let Some(folder) = folder {
        println!("\nRecorded series in {}", folder.display());
        traces::report(&folder)?;
    }
    Ok(())
}

/// The time of one verdict over 2,016 samples, when all windows have to be looked at anew: the 2,017th
/// sample completes a bin of each.
fn cost() {
    const SAMPLES: usize = 2_016;
    let mut generator = Generator::new(TUNED);
    let mut text = String::new();
    for kind in [Kind::Flat, Kind::WarmUp, Kind::Sawtooth, Kind::Cycle] {
        let case = generator.healthy(kind);
        let mut detector = Detector::new(30.0, Subject::Recorded);
        let sample = |step: usize| Sample {
            seconds: step as f64 * 30.0,
            bytes: case.series[step * case.series.len() / (SAMPLES + 1)].1,
            blocks: None,
        };
        (0..SAMPLES).for_each(|step| detector.push(sample(step), Some(case.limit)));
        let mut times: Vec<f64> = (0..101)
            .map(|_| {
                let mut detector = detector.clone();
                let begun = Instant::now();
                detector.push(sample(SAMPLES), Some(case.limit));
                begun.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        text += &format!("  {kind:?} {:.2} ms", score::quantile(&mut times, 0.5));
    }
    println!("A verdict over {SAMPLES} samples, all windows looked at anew (median of 101):{text}");
}

fn corpus(seed: u64, each: usize) -> Vec<Case> {
    let mut generator = Generator::new(seed);
    let mut cases = Vec::new();
    for _ in 0..each {
        cases.extend(HEALTHY.map(|kind| generator.healthy(kind)));
    }
    // As many leaks, over all slopes.
    let leaks = each * HEALTHY.len() / LEAKS.len();
    for place in 0..leaks {
        let slope = SLOPES[place % SLOPES.len()];
        cases.extend(LEAKS.map(|kind| generator.leak(kind, slope)));
    }
    cases
}

fn replays(cases: &[Case]) -> Vec<Outcome> {
    // Every other one to each of two threads.
    let of = |start: usize| -> Vec<Outcome> {
        cases
            .iter()
            .skip(start)
            .step_by(2)
            .map(score::replay)
            .collect()
    };
    let (even, odd) = std::thread::scope(|scope| {
        let other = scope.spawn(|| of(1));
        let own = of(0);
        (own, other.join().unwrap_or_default())
    });
    let mut odd = odd.into_iter();
    even.into_iter()
        .flat_map(|own| std::iter::once(own).chain(odd.next()))
        .collect()
}
