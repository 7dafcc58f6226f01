//! `plimsoll analyze`, as a person or a program runs it.
#![cfg(feature = "cli")]

mod skip;

use serde_json::Value;
use skip::skip;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const MIB: f64 = 1_048_576.0;

/// A folder with one file in it.
struct File {
    folder: TempDir,
    name: &'static str,
}

impl File {
    fn new(name: &'static str, content: impl AsRef<[u8]>) -> File {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        File { folder, name }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// `plimsoll analyze … NAME` beside the file.
    fn analyze(&self, arguments: &[&str]) -> Output {
        plimsoll()
            .current_dir(self.folder.path())
            .args(arguments)
            .arg(self.name)
            .output()
            .unwrap()
    }
}

fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("analyze");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one JSON object of `--json`.
fn json(output: &Output) -> Value {
    assert_eq!(stderr(output), "");
    let text = stdout(output);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.ends_with('\n'));
    serde_json::from_str(&text).unwrap()
}

/// The lines of `--replay`.
fn changes(output: &Output) -> Vec<(f64, String)> {
    assert_eq!(stderr(output), "");
    let change = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let fields = value.as_object().unwrap();
        assert_eq!(fields.len(), 3, "{line}");
        assert!((0.0..=1.0).contains(&fields["confidence"].as_f64().unwrap()));
        (
            fields["t"].as_f64().unwrap(),
            fields["verdict"].as_str().unwrap().to_owned(),
        )
    };
    stdout(output).lines().map(change).collect()
}

/// Noise that is the same everywhere, of one in size.
fn noise(step: u32) -> f64 {
    // The finaliser of MurmurHash3.
    let mut bits = step.wrapping_mul(0x9E37_79B9);
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85EB_CA6B);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xC2B2_AE35);
    f64::from(bits ^ (bits >> 16)) / f64::from(u32::MAX) - 0.5
}

/// 90 MiB that grow by 12 MiB an hour, every 30 s for three hours.
fn leak(step: u32) -> f64 {
    (90.0 + 12.0 * f64::from(step) / 120.0 + noise(step)) * MIB
}

/// 160 MiB that stay.
fn level(step: u32) -> f64 {
    (160.0 + 3.0 * noise(step)) * MIB
}

fn csv(start: f64, bytes: fn(u32) -> f64) -> String {
    let mut text = "t_seconds,bytes\n".to_owned();
    for step in 0..360 {
        let seconds = start + 30.0 * f64::from(step);
        writeln!(text, "{seconds},{:.0}", bytes(step)).unwrap();
    }
    text
}

fn prometheus(series: &[&str]) -> String {
    let mut values = String::new();
    for step in 0..360 {
        let gap = if step == 0 { "" } else { "," };
        let seconds = 1_767_571_200.5 + 30.0 * f64::from(step);
        write!(values, "{gap}[{seconds},\"{:e}\"]", leak(step)).unwrap();
    }
    let series: Vec<String> = series
        .iter()
        .map(|labels| format!("{{\"metric\":{{{labels}}},\"values\":[{values}]}}"))
        .collect();
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{}]}}}}",
        series.join(",")
    )
}

// What cannot be read.

#[test]
fn bad_input_is_named_by_place_and_ends_with_two() {
    let rows = |row: &str| format!("t_seconds,bytes\n0,100\n{row}\n60,100\n90,100\n");
    let time = "a time in seconds, from 0 to 1e11";
    let bytes = "a number of bytes, 0 or more";
    let cases: &[(String, String)] = &[
        (
            rows("30,NaN"),
            format!("line 3, column 2 (bytes): found \"NaN\", expected {bytes}"),
        ),
        (
            rows("30,inf"),
            format!("line 3, column 2 (bytes): found \"inf\", expected {bytes}"),
        ),
        (
            rows("30,1e400"),
            format!("line 3, column 2 (bytes): found \"1e400\", expected {bytes}"),
        ),
        (
            rows("30,-5"),
            format!("line 3, column 2 (bytes): found \"-5\", expected {bytes}"),
        ),
        (
            rows("30,12 MiB"),
            format!("line 3, column 2 (bytes): found \"12 MiB\", expected {bytes}"),
        ),
        (
            rows("30,"),
            format!("line 3, column 2 (bytes): found \"\", expected {bytes}"),
        ),
        (
            rows(&format!("30,{}", "9x".repeat(30))),
            format!(
                "line 3, column 2 (bytes): found \"{}…\", expected {bytes}",
                "9x".repeat(20)
            ),
        ),
        (
            rows("nan,100"),
            format!("line 3, column 1 (t_seconds): found \"nan\", expected {time}"),
        ),
        (
            rows("-30,100"),
            format!("line 3, column 1 (t_seconds): found \"-30\", expected {time}"),
        ),
        (
            // In milliseconds.
            rows("1767571200000,100"),
            format!("line 3, column 1 (t_seconds): found \"1767571200000\", expected {time}"),
        ),
        (
            "t_seconds,bytes\n5,1\n35,1\n20,1\n".to_owned(),
            "line 4, column 1 (t_seconds): found \"20\", expected a time after the 35 before it"
                .to_owned(),
        ),
        (
            "t_seconds,bytes\n5,1\n35,1\n35,1\n".to_owned(),
            "line 4, column 1 (t_seconds): found \"35\", expected a time after the 35 before it"
                .to_owned(),
        ),
        (
            "bytes,t_seconds\r\n\r\n1,5\r\n1,5\r\n".to_owned(),
            "line 4, column 2 (t_seconds): found \"5\", expected a time after the 5 before it"
                .to_owned(),
        ),
        (
            rows("30"),
            "line 3: found 1 field, expected 2 as in the header".to_owned(),
        ),
        (
            // A comma where a point should be.
            rows("30,100,5"),
            "line 3: found 3 fields, expected 2 as in the header".to_owned(),
        ),
        (
            "t_seconds,percent\n0,1\n1,2\n2,-1\n".to_owned(),
            "line 4, column 2 (percent): found \"-1\", expected a percentage, 0 or more".to_owned(),
        ),
        (
            "t_seconds,value\n0,1\n1,2\n2,-1\n".to_owned(),
            "line 4, column 2 (value): found \"-1\", expected a figure, 0 or more".to_owned(),
        ),
        (
            "t_seconds,bytes,blocks\n0,1,1\n1,2,many\n".to_owned(),
            "line 3, column 3 (blocks): found \"many\", expected a number of blocks, 0 or more"
                .to_owned(),
        ),
        (
            "t_seconds,bytes\n0,1\n1,1\n".to_owned(),
            "found 2 rows of figures, expected at least 3".to_owned(),
        ),
        (
            "t_seconds,bytes\n".to_owned(),
            "found 0 rows of figures, expected at least 3".to_owned(),
        ),
        (
            " \n\n".to_owned(),
            "the file is empty: expected a CSV that begins with `t_seconds,bytes`, or the JSON of a \
             range query to Prometheus"
                .to_owned(),
        ),
        (
            "0,100\n30,100\n60,100\n".to_owned(),
            "line 1: found \"0,100\", expected a header as `t_seconds,bytes`".to_owned(),
        ),
        (
            "time,bytes\n0,100\n30,100\n".to_owned(),
            "line 1: found the columns `time,bytes`, expected one named `t_seconds`".to_owned(),
        ),
        (
            "t_seconds,rss\n0,100\n30,100\n".to_owned(),
            "line 1: found the columns `t_seconds,rss`, expected one named `bytes`, `percent` or \
             `value`"
                .to_owned(),
        ),
        (
            "t_seconds,bytes,bytes\n0,100,1\n30,100,1\n".to_owned(),
            "line 1: found the column `bytes` twice, expected it once".to_owned(),
        ),
        (
            "t_seconds,bytes\n0,1\n1,\0\n".to_owned(),
            "line 3: found a zero byte, expected text in UTF-8".to_owned(),
        ),
    ];
    for (content, message) in cases {
        let output = File::new("soak.csv", content).analyze(&[]);
        assert_eq!(stderr(&output), format!("error: soak.csv: {message}\n"));
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn an_empty_file_and_a_binary_one_are_said_to_be() {
    let output = File::new("nothing.csv", "").analyze(&["--json"]);
    assert!(stderr(&output).starts_with("error: nothing.csv: the file is empty: expected"));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");

    let output = File::new("heap.bin", b"t_seconds,bytes\n0,\xff\xfe\n").analyze(&["--replay"]);
    assert_eq!(
        stderr(&output),
        "error: heap.bin: line 2: found bytes that are not UTF-8, expected text in UTF-8\n"
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = plimsoll().arg("no-such-file.csv").output().unwrap();
    let message = stderr(&output);
    assert!(
        message.starts_with("error: no-such-file.csv: cannot be read: "),
        "{message}"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = plimsoll().arg(folder.path()).output().unwrap();
    assert!(stderr(&output).contains(": cannot be read: "));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn arguments_that_make_no_sense_end_with_two() {
    let file = File::new("soak.csv", csv(0.0, level));
    let output = file.analyze(&["--frobnicate"]);
    assert!(stderr(&output).starts_with("error: unexpected argument '--frobnicate' found"));
    assert_eq!(output.status.code(), Some(2));

    for limit in ["0", "-1", "lots", "5XB", "nan"] {
        let output = file.analyze(&[&format!("--limit={limit}")]);
        let expected = format!(
            "error: invalid value '{limit}' for '--limit <BYTES>': expected bytes above 0, as \
             268435456, 256MiB, 1.5GiB or 512MB"
        );
        let message = stderr(&output);
        assert!(message.starts_with(&expected), "{message}");
        assert_eq!(output.status.code(), Some(2));
    }

    let output = plimsoll().output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no file");
}

// Prometheus.

#[test]
fn prometheus_answers_are_read() {
    let file = File::new("range.json", prometheus(&["\"job\":\"shop\""]));
    let answer = json(&file.analyze(&["--json", "--limit", "256MiB"]));
    assert_eq!(answer["verdict"], "leak");
    let slope = answer["slope_bytes_per_hour"].as_f64().unwrap() / MIB;
    assert!((11.5..12.5).contains(&slope), "{slope}");
    let since = answer["since_seconds"].as_f64().unwrap();
    assert!((1_767_571_200.0..1_767_582_000.0).contains(&since));
}

#[test]
fn what_prometheus_answers_otherwise_is_named() {
    let matrix = |values: &str| {
        format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":\
             {{}},\"values\":{values}}}]}}}}"
        )
    };
    let cases = [
        (
            prometheus(&[
                "\"__name__\":\"rss\",\"job\":\"shop\",\"pod\":\"a\"",
                "\"__name__\":\"rss\",\"job\":\"shop\",\"pod\":\"b\"",
            ]),
            "found 2 series, expected exactly one: rss{job=\"shop\",pod=\"a\"}, \
             rss{job=\"shop\",pod=\"b\"}",
        ),
        (prometheus(&[]), "found 0 series, expected exactly one"),
        (
            "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\
             \"value\":[1,\"1\"]}]}}"
                .to_owned(),
            "found a result of type \"vector\", expected \"matrix\", as /api/v1/query_range answers",
        ),
        (
            "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}".to_owned(),
            "found the error \"parse error\" from Prometheus, expected the answer to a range query",
        ),
        (
            "{\"status\":\"success\"}".to_owned(),
            "found no `data`: expected the JSON of a range query to Prometheus \
             (/api/v1/query_range)",
        ),
        (
            matrix("[[1,\"5\"],[2,\"5\"],[3,\"NaN\"]]"),
            "entry 3 of the series, its value: found \"NaN\", expected a figure, 0 or more",
        ),
        (
            matrix("[[1,\"5\"],[-2,\"5\"],[3,\"6\"]]"),
            "entry 2 of the series, its time: found \"-2\", expected a time in seconds, from 0 to \
             1e11",
        ),
        (
            matrix("[[3,\"5\"],[2.5,\"5\"],[4,\"6\"]]"),
            "entry 2 of the series, its time: found \"2.5\", expected a time after the 3 before it",
        ),
        (
            matrix("[[3,\"5\"]]"),
            "found 1 row of figures, expected at least 3",
        ),
        (
            matrix("[[3,5]]"),
            "invalid type: integer `5`, expected a string at line 1 column 87: expected the JSON of \
             a range query to Prometheus (/api/v1/query_range)",
        ),
    ];
    for (content, message) in cases {
        let output = File::new("range.json", content).analyze(&[]);
        assert_eq!(stderr(&output), format!("error: range.json: {message}\n"));
        assert_eq!(output.status.code(), Some(2));
    }
}

// What is said.

#[test]
fn a_leak_is_one_and_fails_only_when_asked() {
    let file = File::new("soak.csv", csv(0.0, leak));
    for arguments in [&["--json"][..], &["--replay"], &[]] {
        assert_eq!(file.analyze(arguments).status.code(), Some(0));
        let asked = [arguments, &["--fail-on-leak"]].concat();
        assert_eq!(file.analyze(&asked).status.code(), Some(1));
    }
}

#[test]
fn what_is_healthy_never_fails() {
    let file = File::new("soak.csv", csv(0.0, level));
    for arguments in [&["--json"][..], &["--replay"], &[]] {
        let asked = [arguments, &["--fail-on-leak"]].concat();
        assert_eq!(file.analyze(&asked).status.code(), Some(0));
    }
}

#[test]
fn json_has_the_fields_of_the_contract_first() {
    let file = File::new("soak.csv", csv(0.0, leak));
    let output = file.analyze(&["--json", "--limit", "256MiB"]);
    let text = stdout(&output);
    let mut from = 0;
    for field in [
        "verdict",
        "pattern",
        "slope_bytes_per_hour",
        "slope_low",
        "slope_high",
        "confidence",
        "seconds_to_limit",
        "severity",
        "recommendations",
        "seconds_to_limit_soonest",
    ] {
        let at = text.find(&format!("\"{field}\":")).expect(field);
        assert!(at > from, "{field}");
        from = at;
    }
    let answer = json(&output);
    assert_eq!(answer["verdict"], "leak");
    assert_eq!(answer["pattern"], "linear");
    assert_eq!(answer["severity"], "high");
    assert_eq!(answer["doubt"], Value::Null);
    assert_eq!(answer["unit"], "bytes");
    assert_eq!(answer["samples"], 360);
    assert_eq!(answer["span_seconds"], 10_770.0);
    assert_eq!(answer["limit_bytes"], 256.0 * MIB);
    let number = |field: &str| answer[field].as_f64().expect(field);
    assert!(number("slope_low") <= number("slope_bytes_per_hour"));
    assert!(number("slope_bytes_per_hour") <= number("slope_high"));
    assert!((0.5..=1.0).contains(&number("confidence")));
    // 130 MiB are left, at 12 an hour.
    let hours = number("seconds_to_limit") / 3_600.0;
    assert!((10.0..11.5).contains(&hours), "{hours}");
    assert!(number("seconds_to_limit_soonest") <= number("seconds_to_limit"));
    assert!(number("seconds_to_limit") <= number("seconds_to_limit_latest"));
    let recommendations = answer["recommendations"].as_array().unwrap();
    assert!(recommendations.len() >= 2);
    assert!(recommendations.iter().all(Value::is_string));
}

#[test]
fn json_of_what_is_healthy_has_no_time_to_limit() {
    let file = File::new("soak.csv", csv(0.0, level));
    let answer = json(&file.analyze(&["--json", "--limit", "256MiB"]));
    assert_eq!(answer["verdict"], "no_leak");
    assert_eq!(answer["seconds_to_limit"], Value::Null);
    assert_eq!(answer["severity"], "none");
    assert!(answer["doubt"].is_string());
}

#[test]
fn three_rows_are_too_early() {
    let file = File::new("soak.csv", "t_seconds,bytes\n0,0\n1,0\n2,0\n");
    let answer = json(&file.analyze(&["--json"]));
    assert_eq!(answer["verdict"], "insufficient");
    assert_eq!(answer["confidence"], 0.0);
    assert!(stdout(&file.analyze(&[])).contains("Too early to say whether it is a leak."));
}

#[test]
fn unix_times_change_nothing_but_the_times() {
    let unix = 1_767_571_200.0;
    let (early, late) = (
        File::new("soak.csv", csv(0.0, leak)),
        File::new("soak.csv", csv(unix, leak)),
    );
    let (mut early_answer, mut late_answer) = (
        json(&early.analyze(&["--json"])),
        json(&late.analyze(&["--json"])),
    );
    let since = |answer: &mut Value| answer["since_seconds"].take().as_f64().unwrap();
    assert_eq!(since(&mut early_answer) + unix, since(&mut late_answer));
    assert_eq!(early_answer, late_answer);

    let moved: Vec<_> = changes(&early.analyze(&["--replay"]))
        .into_iter()
        .map(|(seconds, verdict)| (seconds + unix, verdict))
        .collect();
    assert_eq!(changes(&late.analyze(&["--replay"])), moved);
}

#[test]
fn replay_tells_each_change_once_and_nothing_else() {
    let file = File::new("soak.csv", csv(60.0, leak));
    let changes_seen = changes(&file.analyze(&["--replay"]));
    assert_eq!(changes_seen[0], (60.0, "insufficient".to_owned()));
    assert_eq!(changes_seen.last().unwrap().1, "leak");
    assert!(changes_seen.windows(2).all(|two| two[0].0 < two[1].0));
    assert!(changes_seen.windows(2).all(|two| two[0].1 != two[1].1));
    assert_eq!(
        changes(&file.analyze(&["--replay", "--json"])),
        changes_seen
    );
}

#[test]
fn replay_of_what_is_healthy_never_says_leak() {
    let file = File::new("soak.csv", csv(0.0, level));
    let changes = changes(&file.analyze(&["--replay"]));
    assert!(changes.iter().all(|(_, verdict)| verdict != "leak"));
    assert_eq!(changes.last().unwrap().1, "no_leak");
}

#[test]
fn blocks_that_do_not_grow_leave_a_doubt() {
    let with_blocks = |blocks: fn(u32) -> u32| {
        let mut text = "t_seconds,bytes,blocks\n".to_owned();
        for step in 0..360 {
            writeln!(text, "{},{:.0},{}", 30 * step, leak(step), blocks(step)).unwrap();
        }
        json(&File::new("soak.csv", text).analyze(&["--json"]))
    };
    let grow = with_blocks(|step| 10_000 + 100 * step);
    let stay = with_blocks(|step| 10_000 + step % 7);
    let confidence = |answer: &Value| answer["confidence"].as_f64().unwrap();
    assert_eq!(grow["verdict"], "leak");
    assert_eq!(stay["verdict"], "leak");
    assert!(confidence(&stay) < confidence(&grow));
    let advice = stay["recommendations"].to_string();
    assert!(advice.contains("blocks do not grow"), "{advice}");
}

#[test]
fn percent_is_of_a_hundred_unless_a_limit_is_given() {
    for column in ["percent", "value"] {
        let mut text = format!("t_seconds,{column}\n");
        for step in 0..360 {
            writeln!(
                text,
                "{},{:.3}",
                30 * step,
                100.0 * leak(step) / 256.0 / MIB
            )
            .unwrap();
        }
        let file = File::new("soak.csv", text);
        let time = |answer: &Value| answer["seconds_to_limit"].as_f64().unwrap() / 3_600.0;

        let answer = json(&file.analyze(&["--json"]));
        assert_eq!(answer["unit"], "percent");
        assert_eq!(answer["limit_bytes"], 100.0);
        assert!((10.0..11.5).contains(&time(&answer)));
        let advice = answer["recommendations"].to_string();
        assert!(
            advice.contains("points/h") && !advice.contains(" B"),
            "{advice}"
        );

        // A percentage: 80 % of 256 MiB are 74.8 MiB away.
        let answer = json(&file.analyze(&["--json", "--limit", "80"]));
        assert_eq!(answer["unit"], "percent");
        assert!((5.5..6.6).contains(&time(&answer)), "{answer}");

        // What they are percent of.
        let answer = json(&file.analyze(&["--json", "--limit", "256MiB"]));
        assert_eq!(answer["unit"], "bytes");
        assert!((10.0..11.5).contains(&time(&answer)));
        let slope = answer["slope_bytes_per_hour"].as_f64().unwrap() / MIB;
        assert!((11.5..12.5).contains(&slope), "{slope}");
    }
}

#[test]
fn the_report_says_what_was_read_what_it_is_and_what_to_do() {
    let file = File::new("soak.csv", csv(1_767_571_200.0, leak));
    let text = stdout(&file.analyze(&["--limit", "140MiB"]));
    for part in [
        "soak.csv: 360 samples in 2 h 59 min, one every 30 s, under a limit of 140.0 MiB\n",
        "MiB ┤",
        "╌ limit\n",
        "2026-01-05 00:00",
        "2026-01-05 02:59 UTC\n",
        "A leak, 9",
        "memory grows steadily.\n",
        "  pattern         linear\n",
        "  slope           1",
        "MiB/h (90 % interval: 1",
        "  since           2026-01-05 0",
        "  limit reached   in ",
        "                  2026-01-05 0",
        "UTC (2026-01-05 0",
        "  severity        ",
        "What to do\n  • memory has grown by ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 92),
        "{text}"
    );
}

#[test]
fn the_report_says_what_speaks_against_a_leak() {
    let file = File::new("soak.csv", csv(0.0, level));
    let text = stdout(&file.analyze(&[]));
    for part in [
        ", no limit given\n",
        "No leak, 9",
        "memory stays where it is.\n",
        "  against a leak  it",
        "What to do\n  • nothing has to be done\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("severity"));
}

// How it is fed, and read.

#[test]
fn a_dash_is_standard_input() {
    let run = |content: &str| {
        let mut child = plimsoll()
            .args(["--json", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(content.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    };
    assert_eq!(json(&run(&csv(0.0, leak)))["verdict"], "leak");
    let output = run("t_seconds,bytes\n0,x\n");
    assert_eq!(
        stderr(&output),
        "error: standard input: line 2, column 2 (bytes): found \"x\", expected a number of bytes, 0 \
         or more\n"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    for arguments in [&[][..], &["--json"], &["--replay"]] {
        let mut child = plimsoll()
            .args(arguments)
            .args(["--fail-on-leak", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before there is anything to say.
        drop(child.stdout.take());
        let mut input = child.stdin.take().unwrap();
        input.write_all(csv(0.0, leak).as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(stderr(&output), "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn a_standard_output_that_is_full_is_said_to_be() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        skip("there is no /dev/full");
        return;
    };
    let file = File::new("soak.csv", csv(0.0, level));
    let output = plimsoll().arg(file.path()).stdout(full).output().unwrap();
    assert!(stderr(&output).starts_with("error: standard output cannot be written: "));
    assert_eq!(output.status.code(), Some(2));
}
