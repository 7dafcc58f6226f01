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
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use tothub::{Service, wait_until};

const SIGKILL: i32 = 9;

/// As many connections to the database as the service has for its requests, and reports that it makes at once.
const READERS: u64 = 4;

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

#[test]
fn all_children_are_streamed_in_chunks_and_lists_come_from_their_caches() {
    let data = tothub::filled();
    let service = Service::start(data.path(), &[]);
    let address = service.address;

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
    // They have a moment to say what they hold.
    let details = || client::get(address, "/api/system/memory-details").json();
    wait_until(|| details()["caches_are_late"] == false);
    let details = details();
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

/// Reports that wait for memory keep nobody from the database.
#[test]
fn reports_that_pause_hold_up_no_other_request() {
    let data = tothub::filled_with(&["--attendance-days", "100"]);
    let flags = ["--attendance-days", "100", "--interval-ms", "50"];
    let service = Service::start(data.path(), &flags);
    let address = service.address;
    let asked = r#"{"pressure": 0.85, "seconds": 3600}"#;
    let drill = client::post(address, "/api/system/memory/drill", asked);
    assert_eq!(drill.status, 202, "{drill:?}");
    let level = || client::get(address, "/api/system/memory-stats").json()["level"].clone();
    wait_until(|| level() == "restart");

    let _waiting: Vec<_> = (0..READERS)
        .map(|_| {
            let mut report = TcpStream::connect(address).expect("it listens");
            let line = b"POST /api/reports/nightly HTTP/1.1\r\nHost: tothub\r\n\r\n";
            report.write_all(line).unwrap();
            report
        })
        .collect();
    let under_way = || {
        let performance = client::get(address, "/api/system/performance").json();
        let mut routes = performance["routes"].as_array().unwrap().iter();
        let report = routes.find(|row| row["route"] == "/api/reports/nightly");
        report.map_or(0, |row| row["in_flight"].as_u64().unwrap())
    };
    wait_until(|| under_way() == READERS);
    for page in 1..=2 * READERS {
        let path = format!("/api/children?page={page}");
        assert_eq!(client::get(address, &path).status, 200, "{path}");
    }
    let one_more = client::ask(address, "POST /api/reports/nightly", &[], "");
    assert_eq!(one_more.status, 503, "{one_more:?}");
    assert_eq!(
        under_way(),
        READERS,
        "reports came to an end: nothing is shown"
    );
}
