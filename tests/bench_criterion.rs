//! Criterion's benches that measure allocations: run as programs, twice, and their estimates read.

mod roles;

use criterion::measurement::Measurement;
use criterion::{Criterion, SamplingMode};
use plimsoll::bench::criterion::{AllocatedBytes, Allocations, BencherExt, Counted, PeakBytes};
use serde_json::Value;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

fn criterion<M: Measurement + 'static>(measurement: M, folder: &Path) -> Criterion<M> {
    Criterion::default()
        .with_measurement(measurement)
        .output_directory(folder)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(50))
        .sample_size(20)
        .nresamples(2000)
}

/// Two blocks of 3000 and 4000 bytes, one after the other.
fn two() {
    drop(black_box(vec![0u8; 3000]));
    drop(black_box(vec![0u8; 4000]));
}

fn counted<M: Counted + 'static>(measurement: M, folder: &Path) {
    let mut criterion = criterion(measurement, folder);
    for mode in [SamplingMode::Flat, SamplingMode::Linear] {
        let mut group = criterion.benchmark_group(format!("{mode:?}"));
        group.sampling_mode(mode);
        group.bench_function("two", |bencher| bencher.iter_counted(two));
        group.bench_function("none", |bencher| bencher.iter_counted(|| black_box(1)));
        group.bench_function("input", |bencher| {
            bencher.iter_counted_with(|| vec![1u8; 100], |mut bytes| bytes.push(1));
        });
        group.finish();
    }
}

/// With criterion's own methods.
fn plain<M: Measurement + 'static>(measurement: M, folder: &Path) {
    let mut criterion = criterion(measurement, folder);
    criterion.bench_function("plain two", |bencher| bencher.iter(two));
    criterion.bench_function("plain none", |bencher| bencher.iter(|| black_box(1)));
    criterion.bench_function("plain input", |bencher| {
        bencher.iter_batched(
            || vec![0u8; 100],
            |bytes| (bytes, vec![1u8; 500]),
            criterion::BatchSize::SmallInput,
        );
    });
}

#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    match role.as_str() {
        "allocations" => counted(Allocations, &folder),
        "bytes" => counted(AllocatedBytes, &folder),
        "peak" => counted(PeakBytes, &folder),
        "plain allocations" => plain(Allocations, &folder),
        "plain bytes" => plain(AllocatedBytes, &folder),
        "plain peak" => plain(PeakBytes, &folder),
        other => panic!("no role {other}"),
    }
}

/// Runs it twice in one folder, so that the second run compares itself with the first, and answers what
/// the second printed.
fn twice(role: &str, folder: &Path) -> String {
    let mut said = String::new();
    for _ in 0..2 {
        let output = roles::command(role, folder).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{role}: {said}\n{error}");
        for fault in ["zero time", "NaN", "panicked"] {
            assert!(
                !said.contains(fault) && !error.contains(fault),
                "{role}: {said}\n{error}"
            );
        }
    }
    said
}

fn json(file: &Path) -> Value {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap()
}

/// All that criterion estimated of the figure, and how it changed.
fn estimated(folder: &Path, name: &str, expected: f64) {
    let estimates = json(&folder.join(name).join("new/estimates.json"));
    for which in ["mean", "median"] {
        for value in [
            &estimates[which]["point_estimate"],
            &estimates[which]["confidence_interval"]["lower_bound"],
            &estimates[which]["confidence_interval"]["upper_bound"],
        ] {
            let value = value
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {estimates}"));
            assert!(
                (value - expected).abs() < 1e-4,
                "{name}: {value}, not {expected}"
            );
        }
    }
    let slope = estimates["slope"]["point_estimate"].as_f64();
    assert!(
        slope.is_none_or(|slope| (slope - expected).abs() < 1e-4),
        "{name}: {slope:?}"
    );
}

fn unchanged(folder: &Path, name: &str) {
    let change = json(&folder.join(name).join("change/estimates.json"));
    let mean = change["mean"]["point_estimate"].as_f64().unwrap();
    assert!(mean.abs() < 1e-6, "{name}: {mean}");
}

#[test]
fn what_never_varies_is_measured_and_compared() {
    for (role, two, input, printed) in [
        ("allocations", 2.0, 0.0, "2.0000 allocs"),
        ("bytes", 7000.0, 200.0, "6.8359 KiB"),
        ("peak", 4000.0, 100.0, "3.9062 KiB"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let said = twice(role, folder.path());
        for mode in ["Flat", "Linear"] {
            for (name, expected) in [("two", two), ("none", 0.0), ("input", input)] {
                let name = format!("{mode}/{name}");
                estimated(folder.path(), &name, expected);
                unchanged(folder.path(), &name);
            }
        }
        assert!(said.contains(printed), "{said}");
        assert!(
            !said.contains("regressed") && !said.contains("improved"),
            "{said}"
        );
    }
}

#[test]
fn criterions_own_methods_work_too() {
    for (role, two, input) in [
        ("plain allocations", 2.0, 1.0),
        ("plain bytes", 7000.0, 500.0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let said = twice(role, folder.path());
        for (name, expected) in [
            ("plain two", two),
            ("plain none", 0.0),
            ("plain input", input),
        ] {
            estimated(folder.path(), name, expected);
        }
        for name in ["plain two", "plain input"] {
            unchanged(folder.path(), name);
        }
        assert!(
            !said.contains("regressed") && !said.contains("improved"),
            "{said}"
        );
    }
}

#[test]
fn a_peak_that_would_be_wrong_is_refused_with_what_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let output = roles::command("plain peak", folder.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("`iter_counted`"),
        "{error}"
    );
}
