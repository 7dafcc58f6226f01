//! The same routines timed by a bare loop, by `plimsoll::bench` and by criterion, in turns: whether
//! reading the counters changes the time.

use criterion::Criterion;
use plimsoll::bench::{Report, main_with};
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
/// Of the bare loop; as `--quick` has them.
const SAMPLES: u32 = 10;
const SAMPLE: Duration = Duration::from_millis(10);

const ROUTINES: [(&str, fn()); 4] = [
    ("empty", || {
        black_box(black_box(1u64).wrapping_mul(3));
    }),
    ("box", || drop(black_box(Box::new(black_box(7u64))))),
    ("grown", || {
        let mut numbers: Vec<u64> = Vec::new();
        (0..64).for_each(|number| numbers.push(black_box(number)));
        black_box(numbers);
    }),
    ("sorted", || {
        let mut numbers: Vec<u32> = (0..black_box(1000u32))
            .map(|number| number.wrapping_mul(2_654_435_761))
            .collect();
        numbers.sort_unstable();
        black_box(numbers);
    }),
];

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Nanoseconds of an iteration, by nothing but the clock around a loop.
fn bare(routine: fn()) -> f64 {
    let mut iterations = 1u32;
    let repeat = |iterations: u32| {
        let start = Instant::now();
        (0..iterations).for_each(|_| routine());
        start.elapsed()
    };
    while repeat(iterations) < SAMPLE {
        iterations *= 2;
    }
    let sample = |_| repeat(iterations).as_nanos() as f64 / f64::from(iterations);
    median((0..SAMPLES).map(sample).collect())
}

fn ours(name: &str, routine: fn(), folder: &Path) -> f64 {
    let file = folder.join("report.json");
    let arguments = ["--bench", "--quick", "--json"].map(Into::into);
    let arguments = arguments.into_iter().chain([file.clone().into_os_string()]);
    let code = main_with(arguments, |harness| {
        harness.bench(name, |bencher| bencher.iter(routine));
    });
    assert_eq!(code, ExitCode::SUCCESS);
    let report = Report::parse(&std::fs::read(file).unwrap()).unwrap();
    report.benchmarks[0].time.median_ns
}

fn criterions(name: &str, routine: fn(), folder: &Path) -> f64 {
    Criterion::default()
        .output_directory(folder)
        .without_plots()
        .sample_size(SAMPLES as usize)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(SAMPLE * SAMPLES)
        .bench_function(name, |bencher| bencher.iter(routine));
    let file = folder.join(name).join("new/estimates.json");
    let estimates: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    estimates["median"]["point_estimate"].as_f64().unwrap()
}

pub fn run() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = ROUTINES.map(|_| [const { Vec::new() }; 3]);
    for _ in 0..ROUNDS {
        for (&(name, routine), [loops, own, other]) in ROUTINES.iter().zip(&mut found) {
            loops.push(bare(routine));
            own.push(ours(name, routine, folder.path()));
            other.push(criterions(name, routine, folder.path()));
        }
    }
    println!(
        "\nnanoseconds, medians of {ROUNDS} rounds in turns; in brackets the ratio to the loop"
    );
    println!(
        "{:<8} {:>12} {:>22} {:>22}",
        "", "bare loop", "plimsoll::bench", "criterion"
    );
    for ((name, _), [loops, own, other]) in ROUTINES.iter().zip(found) {
        let ratio = |times: &[f64]| {
            let ratios = times.iter().zip(&loops).map(|(time, bare)| time / bare);
            median(ratios.collect())
        };
        let (by_own, by_other) = (ratio(&own), ratio(&other));
        println!(
            "{name:<8} {:>12.2} {:>14.2} ({by_own:.3}) {:>14.2} ({by_other:.3})",
            median(loops),
            median(own),
            median(other),
        );
    }
}
