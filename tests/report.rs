//! TotHub's large jobs: in a small container the report ends in batches and is killed all at once, and all
//! children go out as a stream; and its lists, from their caches.
//!
//! The first needs root and a memory controller of version 1 or 2. Where a group cannot be made it says
//! so and counts as passed with nothing shown.
#![cfg(all(
    target_os = "linux",
    feature = "batch",
    feature = "cache",
    feature = "http"
))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod client;
mod group;
mod skip;
mod tothub;

use group::Group;
use skip::skip;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

const SIGKILL: i32 = 9;

/// 2,000,000 visits: some 240 MiB when all are held at once.
const DAYS: &str = "400";

fn report(data: &std::path::Path, group: &Group, how: &str) -> Output {
    let mut command = Command::new(tothub::path());
    command
        .args(["--attendance-days", DAYS, "--report", how, "--data"])
        .arg(data);
    group
        .start(&mut command)
        .wait_with_output()
        .expect("the report runs")
}

#[test]
fn a_report_over_two_million_rows_ends_in_128_mib_where_all_at_once_is_killed() {
    let group = match Group::new("report", 128 << 20) {
        Ok(group) => group,
        Err(why) => {
            skip(format!("no memory control group can be made here: {why}"));
            return;
        }
    };
    let data = tothub::filled_with(&["--attendance-days", DAYS]);

    let batches = report(data.path(), &group, "in-batches");
    let said = String::from_utf8_lossy(&batches.stdout);
    let log = String::from_utf8_lossy(&batches.stderr);
    assert!(batches.status.success(), "{}\n{said}{log}", batches.status);
    assert_eq!(group.kills(), 0);
    let (json, how) = said.trim_end().rsplit_once('\n').expect("report and how");
    let found: serde_json::Value = serde_json::from_str(json).expect("a report in JSON");
    assert_eq!(found["visits"], 2_000_000);
    assert_eq!(found["days"], 400);
    // By hand, from how the database is filled: everybody comes for nine hours.
    let rooms = found["by_room"].as_object().expect("rooms");
    let sum = |what: &str| {
        rooms
            .values()
            .map(|room| room[what].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((rooms.len(), sum("visits")), (5, 2_000_000));
    assert_eq!(sum("minutes"), 2_000_000 * 9 * 60);
    println!("{how}");

    let at_once = report(data.path(), &group, "all-at-once");
    assert_eq!(at_once.status.signal(), Some(SIGKILL), "{at_once:?}");
    assert!(group.kills() > 0);
}

/// A running service that is told to end, whatever happens.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        tothub::terminate(&mut self.0);
    }
}

#[test]
fn all_children_are_streamed_in_chunks_and_lists_come_from_their_caches() {
    let data = tothub::filled();
    let mut service = Command::new(tothub::path())
        .args(["--port", "0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the service runs");
    let mut lines = BufReader::new(service.stdout.take().expect("piped")).lines();
    let _service = Running(service);
    let address = lines
        .find_map(|line| {
            Some(
                line.ok()?
                    .strip_prefix("tothub listens on http://")?
                    .to_owned(),
            )
        })
        .and_then(|address| address.parse().ok())
        .expect("an address");

    let all = client::get(address, "/api/children/export");
    assert_eq!(all.status, 200);
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(all.header("transfer-encoding"), Some("chunked"));
    // A chunk's head may stand within a line: what ends each child does not.
    assert_eq!(all.body.matches("\"id\":").count(), 50_000);
    assert!(all.body.contains("Child 00001") && all.body.contains("Child 50000"));

    let paths = [
        "/api/children?page=7&limit=20",
        "/api/staff?page=2",
        "/api/attendance?date=2026-06-15&page=3",
        "/api/settings",
    ];
    for path in paths {
        let first = client::get(address, path);
        assert_eq!(first.status, 200, "{path}");
        assert_eq!(first.body, client::get(address, path).body, "{path}");
    }
    let details = client::get(address, "/api/system/memory-details").json();
    let caches = details["caches"].as_array().expect("caches");
    let told: Vec<_> = caches
        .iter()
        .map(|cache| {
            let found = &cache["statistics"];
            (
                cache["name"].as_str().unwrap(),
                found["most_entries"].as_u64().unwrap(),
                (
                    found["hits"].as_u64().unwrap(),
                    found["misses"].as_u64().unwrap(),
                ),
            )
        })
        .collect();
    let expected = [
        ("children", 100),
        ("staff", 50),
        ("attendance", 150),
        ("settings", 25),
    ];
    assert_eq!(told, expected.map(|(name, most)| (name, most, (1, 1))));
}
