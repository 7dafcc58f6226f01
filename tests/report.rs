//! A large job in a small container: in batches it ends, all at once it is killed.
//!
//! Needs root and a memory controller of version 1 or 2. Where a group cannot be made the test says
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

mod group;
mod tothub;

use group::Group;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

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
            println!("skipped: no memory control group can be made here: {why}");
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
