//! The benchmark harness: figures that are known to the byte, what is left out of them, and a program
//! that behaves on its command line.

mod roles;

use plimsoll::bench::{Figure, Harness, Record, Report, Throughput, main_with};
use std::cell::Cell;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicU64, Ordering};

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

const ARGUMENTS: &str = "PLIMSOLL_TEST_ARGUMENTS";

fn benchmarks(harness: &mut Harness) {
    harness.bench("box", |bencher| bencher.iter(|| Box::new(black_box(7u64))));
    harness.bench("nothing", |bencher| bencher.iter(|| black_box(1) + 1));
    // One block is freed before the other is made.
    harness.bench("one after the other", |bencher| {
        bencher.iter(|| {
            drop(black_box(vec![0u8; 3000]));
            drop(black_box(vec![0u8; 4000]));
        });
    });
    let mut group = harness.group("inputs");
    group.bench("taken", |bencher| {
        bencher
            .throughput(Throughput::Bytes(1000))
            .with_inputs(|| vec![1u8; 1000])
            .iter(|bytes| black_box(bytes).len());
    });
    group.bench("returned", |bencher| {
        bencher.with_inputs(|| vec![1u8; 1000]).iter(|bytes| bytes);
    });
    group.bench("borrowed", |bencher| {
        bencher
            .with_inputs(|| Vec::<u8>::with_capacity(16))
            .iter_ref(|bytes| bytes.reserve_exact(100));
    });
    group.bench("large", |bencher| {
        bencher.with_inputs(Large::new).iter(|large| large);
    });
    let grows = Cell::new(0u32);
    harness.bench("varies", |bencher| {
        bencher.iter(|| {
            grows.set(grows.get() + 1);
            vec![0u8; 1000 + grows.get() as usize % 7919]
        });
    });
    harness.bench("threads", |bencher| {
        bencher.samples(5).threads().iter(|| {
            let thread = plimsoll::testing::spawn(|| drop(black_box(vec![0u8; 123_456])));
            thread.join().unwrap();
        });
    });
}

/// Does what its benchmarks are not to.
fn faulty(harness: &mut Harness) {
    harness.bench("twice", |bencher| bencher.iter(|| 1));
    harness.bench("twice", |bencher| bencher.iter(|| 1));
    harness.bench("idle", |_| {});
    harness.bench(" ", |bencher| bencher.iter(|| 1));
}

#[test]
fn role() {
    let Some((role, _)) = roles::own() else {
        return;
    };
    let arguments = std::env::var(ARGUMENTS).unwrap();
    let arguments = arguments.split('\n').filter(|one| !one.is_empty());
    let program = if role == "faulty" { faulty } else { benchmarks };
    let code = main_with(arguments.map(Into::into), program);
    std::fs::write("most", MOST.load(Ordering::Relaxed).to_string()).unwrap();
    let number = (0..=2).find(|&number| ExitCode::from(number) == code);
    std::process::exit(number.unwrap().into());
}

fn program(role: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = roles::command(role, folder);
    command
        .env(ARGUMENTS, arguments.join("\n"))
        .current_dir(folder);
    command.output().unwrap()
}

/// What the program printed, without the lines of the test harness around it.
fn printed(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let own = |line: &&str| !line.is_empty() && !line.starts_with("running 1 test");
    // The test harness names its test on the line that the program goes on with.
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches("test role ... "));
    lines.filter(own).map(str::to_owned).collect()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn measured(arguments: &[&str]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&["--bench", "--quick", "--json", "report.json"], arguments].concat();
    let output = program("benchmarks", folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    Report::parse(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap()
}

#[test]
fn what_the_command_line_says_of_samples_comes_first() {
    // It asks for five of its own.
    for (arguments, samples) in [(&["threads"][..], 5), (&["threads", "--samples", "7"], 7)] {
        let report = measured(arguments);
        assert_eq!(report.benchmarks[0].samples_ns.len(), samples);
    }
}

fn found<'a>(report: &'a Report, name: &str) -> &'a Record {
    let named = |one: &&Record| one.name == name;
    report.benchmarks.iter().find(named).expect(name)
}

fn exactly(figure: Figure) -> f64 {
    assert!(figure.is_exact(), "{figure:?}");
    assert_eq!(figure.mean, figure.least);
    figure.mean
}

#[test]
fn figures_are_exact_and_hold_nothing_of_the_harness() {
    let report = measured(&["--skip", "threads", "--skip", "varies", "--skip", "large"]);
    // Allocations, reallocations, frees, allocated bytes, peak and net of one iteration.
    for (name, expected) in [
        ("box", [1.0, 0.0, 1.0, 8.0, 8.0, 0.0]),
        ("nothing", [0.0; 6]),
        ("one after the other", [2.0, 0.0, 2.0, 7000.0, 4000.0, 0.0]),
        // The input is made outside, and dropped inside where the routine takes it.
        ("inputs/taken", [0.0, 0.0, 1.0, 0.0, 0.0, -1000.0]),
        ("inputs/returned", [0.0; 6]),
        ("inputs/borrowed", [0.0, 1.0, 0.0, 100.0, 84.0, 84.0]),
    ] {
        let of = found(&report, name).figures;
        let figures = [
            of.allocations,
            of.reallocations,
            of.deallocations,
            of.allocated_bytes,
            of.peak_bytes,
            of.net_bytes,
        ];
        assert_eq!(figures.map(exactly), expected, "{name}");
    }
}

#[test]
fn time_comes_with_the_figures() {
    let report = measured(&["--samples", "12", "inputs/taken", "nothing"]);
    assert_eq!(report.benchmarks.len(), 2);
    for one in &report.benchmarks {
        assert_eq!(one.samples_ns.len(), 12);
        let time = one.time;
        assert!(time.least_ns <= time.median_ns && time.median_ns <= time.most_ns);
        assert!(one.samples_ns.contains(&time.least_ns) && one.samples_ns.contains(&time.most_ns));
    }
    let taken = found(&report, "inputs/taken");
    assert_eq!(taken.throughput, Some(Throughput::Bytes(1000)));
}

#[test]
fn what_differs_from_iteration_to_iteration_is_told_as_a_range() {
    let report = measured(&["varies"]);
    let bytes = found(&report, "varies").figures.allocated_bytes;
    assert!(!bytes.is_exact(), "{bytes:?}");
    assert!(
        bytes.least < bytes.mean && bytes.mean < bytes.most,
        "{bytes:?}"
    );
    assert_eq!(exactly(found(&report, "varies").figures.allocations), 1.0);
}

#[test]
fn threads_that_the_work_starts_are_counted_when_asked_for() {
    let report = measured(&["threads"]);
    let figures = found(&report, "threads").figures;
    assert!(figures.allocated_bytes.least >= 123_456.0, "{figures:?}");
    assert!(figures.peak_bytes.least >= 123_456.0, "{figures:?}");
}

/// A mebibyte that costs next to nothing to make: it is not touched.
struct Large {
    _bytes: Vec<u8>,
}

static LIVE: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);

impl Large {
    fn new() -> Large {
        let live = LIVE.fetch_add(1, Ordering::Relaxed) + 1;
        MOST.fetch_max(live, Ordering::Relaxed);
        Large {
            _bytes: Vec::with_capacity(1 << 20),
        }
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// 1000 of them would be a GiB, and 64 MiB is what they may take.
#[test]
fn as_many_inputs_are_made_as_memory_holds() {
    let folder = tempfile::tempdir().unwrap();
    let output = program("benchmarks", folder.path(), &["--bench", "inputs/large"]);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    let most = std::fs::read_to_string(folder.path().join("most")).unwrap();
    let most: u64 = most.parse().unwrap();
    assert!((2..=65).contains(&most), "{most} at once");
}

#[test]
fn names_are_listed_as_test_runners_want_them() {
    let folder = tempfile::tempdir().unwrap();
    let listed = |arguments: &[&str]| printed(&program("benchmarks", folder.path(), arguments));
    assert_eq!(
        listed(&["--list", "--format", "terse", "bo"]),
        ["box: benchmark", "inputs/borrowed: benchmark"]
    );
    assert_eq!(
        listed(&["--bench", "--list", "--exact", "box"]),
        ["box: benchmark"]
    );
    assert!(listed(&["--list", "--ignored"]).is_empty());
}

#[test]
fn as_a_test_each_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["box", "nothing"][..],
        &["--bench", "--test", "box", "nothing"],
    ] {
        let output = program("benchmarks", folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        assert_eq!(printed(&output), ["box: ok", "nothing: ok"]);
    }
}

#[test]
fn a_table_tells_all_with_units() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(
        "benchmarks",
        folder.path(),
        &["--bench", "--quick", "one after"],
    );
    let lines = printed(&output);
    let row = lines.last_chunk::<2>().unwrap().join("\n");
    for part in ["one after the other", "6.84 KiB", "3.91 KiB", "0 B", "±"] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {row}"
        );
    }
}

#[test]
fn a_run_is_compared_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let first = ["--bench", "--quick", "--json", "old.json", "box", "nothing"];
    assert_eq!(program("benchmarks", at, &first).status.code(), Some(0));

    // Only figures are asked about here: a busy machine may well be slower, but not a million times.
    let old = std::fs::read_to_string(at.join("old.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&old).unwrap();
    for one in value["benchmarks"].as_array_mut().unwrap() {
        let times = ["least_ns", "median_ns", "most_ns"];
        for time in times.map(|name| one["time"][name].as_f64().map(|it| (name, it * 1e6))) {
            let (name, slow) = time.unwrap();
            one["time"][name] = slow.into();
        }
        for sample in one["samples_ns"].as_array_mut().unwrap() {
            *sample = (sample.as_f64().unwrap() * 1e6).into();
        }
    }
    std::fs::write(at.join("old.json"), value.to_string()).unwrap();
    let compared = ["--bench", "--quick", "--compare", "old.json"];
    let again = program("benchmarks", at, &[&compared[..], &["box"]].concat());
    assert_eq!(again.status.code(), Some(0), "{}", error(&again));
    let text = printed(&again).join("\n");
    assert!(
        text.contains("nothing is worse") && !text.contains("gone"),
        "{text}"
    );

    let old = std::fs::read_to_string(at.join("old.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&old).unwrap();
    let bytes = &mut value["benchmarks"][0]["figures"]["allocated_bytes"];
    *bytes = serde_json::json!({"mean": 7.0, "least": 7.0, "most": 7.0});
    std::fs::write(at.join("old.json"), value.to_string()).unwrap();
    let grown = program("benchmarks", at, &[&compared[..], &["box"]].concat());
    assert_eq!(grown.status.code(), Some(1), "{}", error(&grown));
    let text = printed(&grown).join("\n");
    assert!(
        text.contains("allocated bytes") && text.contains("+14.3 %"),
        "{text}"
    );
}

#[test]
fn a_report_is_written_whole_where_it_is_wanted_and_is_compared_with_something() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("there.json"), "what was there").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(at.join("there.json"), mode).unwrap();
    for (target, link) in [("there.json", "link.json"), ("made.json", "dangling.json")] {
        std::os::unix::fs::symlink(target, at.join(link)).unwrap();
    }
    let quick = ["--bench", "--quick", "box", "--json"];
    let kept = program("benchmarks", at, &[&quick[..], &["link.json"]].concat());
    assert!(kept.status.success(), "{}", error(&kept));
    let report = std::fs::read(at.join("there.json")).unwrap();
    assert!(plimsoll::bench::Report::parse(&report).is_ok());
    assert!(at.join("link.json").is_symlink());
    let found = std::fs::metadata(at.join("there.json")).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let mut names = std::fs::read_dir(at)
        .unwrap()
        .map(|one| one.unwrap().file_name());
    let is_beside = |name: std::ffi::OsString| name.to_string_lossy().contains(".json.");
    assert!(!names.any(is_beside), "something is left beside");
    let made = program("benchmarks", at, &[&quick[..], &["dangling.json"]].concat());
    assert!(made.status.success(), "{}", error(&made));
    assert!(at.join("dangling.json").is_symlink() && at.join("made.json").is_file());
    // To whoever reads at the other end, which may have a name in `/proc` alone.
    let told = program(
        "benchmarks",
        at,
        &[&quick[..], &["/proc/self/fd/1"]].concat(),
    );
    assert!(told.status.success(), "{}", error(&told));
    assert!(printed(&told).join("").contains("\"schema\""));
    let pipe = at.join("pipe.json");
    let name = std::ffi::CString::new(pipe.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a name that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
    let told = program("benchmarks", at, &[&quick[..], &["pipe.json"]].concat());
    assert!(told.status.success(), "{}", error(&told));
    assert!(plimsoll::bench::Report::parse(&reader.join().unwrap()).is_ok());

    let before = std::fs::read(at.join("there.json")).unwrap();
    let none = [
        "--json",
        "there.json",
        "--compare",
        "there.json",
        "--exact",
        "renamed",
    ];
    let none = program(
        "benchmarks",
        at,
        &[&["--bench", "--quick"], &none[..]].concat(),
    );
    assert_eq!(std::fs::read(at.join("there.json")).unwrap(), before);
    assert_eq!(none.status.code(), Some(2));
    assert!(
        error(&none).contains("nothing is compared"),
        "{}",
        error(&none)
    );
}

#[test]
fn faults_are_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.json"), "{").unwrap();
    for (arguments, wanted) in [
        (&["--bench", "--samples", "many"][..], "--samples many"),
        (&["--bench", "--fast"], "`--fast`"),
        (
            &["--bench", "--compare", "none.json"],
            "none.json: cannot be read",
        ),
        (&["--bench", "--compare", "bad.json"], "bad.json: EOF"),
        (
            &["--bench", "--quick", "--json", "no/such", "box"],
            "no/such: cannot be written",
        ),
    ] {
        let output = program("benchmarks", folder.path(), arguments);
        let error = error(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(wanted), "{arguments:?}: {error}");
        // Before anything is measured.
        assert_eq!(printed(&output), [""; 0], "{arguments:?}");
    }

    let output = program("faulty", folder.path(), &["--bench", "--quick"]);
    let error = error(&output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for wanted in ["named `twice`", "`idle` measured nothing", "name is empty"] {
        assert!(error.contains(wanted), "{error}");
    }
}
