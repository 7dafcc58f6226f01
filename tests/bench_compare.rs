//! What became of benchmarks: by the function, and by `plimsoll bench-compare` with its exit codes.

use plimsoll::bench::{Report, ReportError, Row, Thresholds, Verdict, compare};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn same(value: f64) -> Value {
    json!({"mean": value, "least": value, "most": value})
}

/// A benchmark of 20 samples around a median of `ns`, 1 % to either side.
fn benchmark(name: &str, ns: f64, allocations: f64, bytes: f64) -> Value {
    let sample = |at: i32| ns * (1.0 + f64::from(at - 10) / 1000.0);
    json!({
        "name": name,
        "iterations": 1000,
        "samples_ns": (0..=20).map(sample).collect::<Vec<_>>(),
        "time": {
            "median_ns": ns, "least_ns": sample(0), "most_ns": sample(20), "spread_ns": ns * 0.0074
        },
        "throughput": null,
        "figures": {
            "allocations": same(allocations),
            "reallocations": same(0.0),
            "deallocations": same(allocations),
            "allocated_bytes": same(bytes),
            "peak_bytes": same(bytes),
            "net_bytes": same(0.0),
        },
    })
}

fn report(benchmarks: &[Value]) -> Value {
    json!({
        "schema": "plimsoll-bench",
        "version": 1,
        "crate_version": "0.1.0",
        "machine": {
            "processor": "P", "cores": 2, "os": "linux", "os_release": "6", "architecture": "x86_64",
            "debug_assertions": false
        },
        "benchmarks": benchmarks,
    })
}

fn parse(value: &Value) -> Result<Report, ReportError> {
    Report::parse(value.to_string().as_bytes())
}

fn compared(old: &[Value], new: &[Value], thresholds: Thresholds) -> Vec<Row> {
    let [old, new] = [old, new].map(|all| parse(&report(all)).unwrap());
    compare(&old, &new, &thresholds).rows
}

fn verdict(old: Value, new: Value, thresholds: Thresholds) -> Verdict {
    compared(&[old], &[new], thresholds)[0].verdict
}

#[test]
fn time_is_judged_by_ranks_and_by_its_effect() {
    let by = |ns| {
        verdict(
            benchmark("a", 100.0, 1.0, 8.0),
            benchmark("a", ns, 1.0, 8.0),
            Thresholds::default(),
        )
    };
    assert_eq!(by(100.0), Verdict::Same);
    // Told apart by the test, and not worth telling.
    assert_eq!(by(104.0), Verdict::Same);
    assert_eq!(by(106.0), Verdict::Worse);
    assert_eq!(by(94.0), Verdict::Better);
    let strict = Thresholds::default().time(0.01);
    let (old, new) = (
        benchmark("a", 100.0, 1.0, 8.0),
        benchmark("a", 104.0, 1.0, 8.0),
    );
    assert_eq!(verdict(old, new, strict), Verdict::Worse);
}

#[test]
fn a_median_that_the_samples_do_not_bear_out_is_the_same() {
    let mut wide = [
        benchmark("a", 100.0, 1.0, 8.0),
        benchmark("a", 110.0, 1.0, 8.0),
    ];
    for (one, shift) in wide.iter_mut().zip([0.0, 10.0]) {
        // From 50 to 150: ten to one side is nothing among them.
        let samples: Vec<f64> = (0..=20)
            .map(|at| 50.0 + 5.0 * f64::from(at) + shift)
            .collect();
        one["samples_ns"] = json!(samples);
    }
    let [old, new] = wide;
    assert_eq!(verdict(old, new, Thresholds::default()), Verdict::Same);
}

#[test]
fn one_byte_or_one_allocation_more_is_worse() {
    let old = || benchmark("a", 100.0, 3.0, 1000.0);
    let by = |allocations, bytes, thresholds| {
        verdict(old(), benchmark("a", 100.0, allocations, bytes), thresholds)
    };
    let exact = Thresholds::default();
    assert_eq!(by(3.0, 1000.0, exact), Verdict::Same);
    assert_eq!(by(4.0, 1000.0, exact), Verdict::Worse);
    assert_eq!(by(3.0, 1001.0, exact), Verdict::Worse);
    assert_eq!(by(3.0, 999.0, exact), Verdict::Better);
    // One is worse and the other better: worse.
    assert_eq!(by(4.0, 999.0, exact), Verdict::Worse);
    assert_eq!(by(3.0, 1010.0, exact.figures(0.01)), Verdict::Same);
    assert_eq!(by(3.0, 1011.0, exact.figures(0.01)), Verdict::Worse);
}

/// Of each figure by itself; frees follow from the others, and are told and not judged.
#[test]
fn every_figure_is_judged_but_the_frees() {
    for name in [
        "allocations",
        "reallocations",
        "deallocations",
        "allocated_bytes",
        "peak_bytes",
        "net_bytes",
    ] {
        let old = benchmark("a", 100.0, 3.0, 1000.0);
        let mut new = old.clone();
        let before = old["figures"][name]["mean"].as_f64().unwrap();
        new["figures"][name] = same(before + 1.0);
        let expected = match name {
            "deallocations" => Verdict::Same,
            _ => Verdict::Worse,
        };
        assert_eq!(verdict(old, new, Thresholds::default()), expected, "{name}");
    }
}

#[test]
fn growth_from_nothing_is_worse_whatever_the_threshold() {
    let (old, new) = (
        benchmark("a", 100.0, 0.0, 0.0),
        benchmark("a", 100.0, 1.0, 8.0),
    );
    assert_eq!(
        verdict(old, new, Thresholds::default().figures(10.0)),
        Verdict::Worse
    );
}

#[test]
fn a_figure_that_differs_between_samples_is_worse_only_beyond_them() {
    let mut old = benchmark("a", 100.0, 1.0, 1000.0);
    old["figures"]["peak_bytes"] = json!({"mean": 1000.0, "least": 900.0, "most": 1100.0});
    let with = |least: f64, most: f64| {
        let mut new = benchmark("a", 100.0, 1.0, 1000.0);
        new["figures"]["peak_bytes"] =
            json!({"mean": (least + most) / 2.0, "least": least, "most": most});
        verdict(old.clone(), new, Thresholds::default())
    };
    assert_eq!(with(1050.0, 1200.0), Verdict::Same);
    assert_eq!(with(1101.0, 1200.0), Verdict::Worse);
    assert_eq!(with(800.0, 899.0), Verdict::Better);
}

#[test]
fn new_and_gone_are_told_and_are_not_worse() {
    let (kept, gone) = (
        benchmark("kept", 1.0, 1.0, 1.0),
        benchmark("gone", 1.0, 1.0, 1.0),
    );
    let new = benchmark("new", 1.0, 1.0, 1.0);
    let rows = compared(&[gone, kept.clone()], &[new, kept], Thresholds::default());
    let verdicts: Vec<_> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("new", Verdict::New),
            ("kept", Verdict::Same),
            ("gone", Verdict::Gone)
        ]
    );
}

#[test]
fn a_report_survives_being_written_and_read() {
    let first = parse(&report(&[benchmark("a", 0.1 + 0.2, 1.0 / 3.0, 1e15)])).unwrap();
    let again = Report::parse(first.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(first, again);
}

/// Each fault with a part of what is said of it.
fn faults() -> Vec<(String, &'static str)> {
    let good = report(&[benchmark("a", 100.0, 1.0, 8.0)]);
    let with = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        bad.to_string()
    };
    let mut nameless = good.clone();
    nameless["benchmarks"][0]
        .as_object_mut()
        .unwrap()
        .remove("name");
    let twice = report(&[benchmark("a", 1.0, 1.0, 1.0), benchmark("a", 1.0, 1.0, 1.0)]);
    vec![
        (String::new(), "EOF"),
        ("[]".into(), "no text under `schema`"),
        ("\u{1}".into(), "expected value"),
        (good.to_string()[..200].into(), "EOF"),
        (
            with("/schema", json!("criterion")),
            "its schema is `criterion`",
        ),
        (
            with("/version", json!(2)),
            "version 2 of the schema: expected 1",
        ),
        (nameless.to_string(), "missing field `name`"),
        (with("/benchmarks/0/name", json!(" ")), "name is empty"),
        (twice.to_string(), "is there twice"),
        // As NaN is written, where anybody writes it.
        (
            with("/benchmarks/0/samples_ns/3", Value::Null),
            "invalid type: null",
        ),
        (
            good.to_string()
                .replace("\"median_ns\":100.0", "\"median_ns\":NaN"),
            "expected value",
        ),
        (
            good.to_string()
                .replace("\"median_ns\":100.0", "\"median_ns\":1e999"),
            "out of range",
        ),
        (
            with("/benchmarks/0/samples_ns", json!([])),
            "`samples_ns` is empty",
        ),
        (
            with("/benchmarks/0/samples_ns/0", json!(-1.0)),
            "a time of -1 ns",
        ),
        (
            with("/benchmarks/0/time/least_ns", json!(1e9)),
            "expected them in this order",
        ),
        (
            with("/benchmarks/0/figures/peak_bytes/least", json!(9)),
            "`peak_bytes` has least 9",
        ),
        (
            with("/benchmarks/0/throughput", json!({"hours": 1})),
            "unknown variant `hours`",
        ),
    ]
}

#[test]
fn what_is_no_report_is_refused_with_a_reason() {
    for (text, wanted) in faults() {
        let error = Report::parse(text.as_bytes()).expect_err(&text).to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert!(error.contains("expected"), "{error}");
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .arg("bench-compare")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn the_command_answers_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |name: &str, text: &str| std::fs::write(at.join(name), text).unwrap();
    write(
        "old.json",
        &report(&[benchmark("sort", 100.0, 1.0, 1000.0)]).to_string(),
    );
    write(
        "more.json",
        &report(&[benchmark("sort", 100.0, 1.0, 1001.0)]).to_string(),
    );
    write("bad.json", "{}");

    let same = command(at, &["old.json", "old.json"]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    let worse = command(at, &["old.json", "more.json"]);
    assert_eq!(worse.status.code(), Some(1), "{worse:?}");
    write(
        "slower.json",
        &report(&[benchmark("sort", 106.0, 1.0, 1000.0)]).to_string(),
    );
    for (threshold, code) in [(&[][..], 1), (&["--time-threshold", "10"], 0)] {
        let said = command(at, &[&["old.json", "slower.json"], threshold].concat());
        assert_eq!(said.status.code(), Some(code), "{said:?}");
    }
    for (threshold, code) in [("0.05", 1), ("0.2", 0)] {
        let arguments = ["old.json", "more.json", "--figure-threshold", threshold];
        let said = command(at, &arguments);
        assert_eq!(said.status.code(), Some(code), "{said:?}");
    }
    let text = String::from_utf8(worse.stdout).unwrap();
    for part in [
        "sort",
        "worse",
        "allocated bytes",
        "peak bytes",
        "+0.1 %",
        "1 benchmark is worse",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let allowed = command(at, &["--figure-threshold", "1", "old.json", "more.json"]);
    assert_eq!(allowed.status.code(), Some(0), "{allowed:?}");

    for (arguments, wanted) in [
        (
            &["old.json", "bad.json"][..],
            "bad.json: has no text under `schema`",
        ),
        (&["none.json", "old.json"], "none.json: cannot be read"),
        (&["old.json"], "<NEW>"),
        (
            &["--time-threshold", "nan", "old.json", "old.json"],
            "percent from 0 to 1000",
        ),
    ] {
        let output = command(at, arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn another_machine_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let good = report(&[benchmark("sort", 100.0, 1.0, 1000.0)]);
    let mut other = good.clone();
    other["machine"]["processor"] = json!("Q");
    std::fs::write(folder.path().join("a.json"), good.to_string()).unwrap();
    std::fs::write(folder.path().join("b.json"), other.to_string()).unwrap();
    let output = command(folder.path(), &["a.json", "b.json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("different machines"), "{text}");
}
