//! Real leaks and real loads in a real process: the verdict on each of ten is right.
//!
//! Each runs in a process of its own, two minutes at a time lapse: the service samples twice a second
//! and is held to 256 MiB, of which a leak takes 24 MiB a minute.
#![cfg(all(target_os = "linux", feature = "http"))]

mod tothub;

use std::process::{Child, Command, Stdio};

const LEAKS: [&str; 5] = [
    "leak-map",
    "leak-cycle",
    "leak-task",
    "leak-connection",
    "leak-log",
];

const HEALTHY: [&str; 5] = ["cache-fill", "batch", "sawtooth", "daily", "start-up"];

fn start(scenario: &str, data: &std::path::Path) -> Child {
    Command::new(tothub::path())
        .args(["--scenario", scenario, "--for", "120", "--port", "0"])
        .args(["--limit", "256MiB", "--interval-ms", "500"])
        .args(["--governor", "off", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the service runs")
}

/// What the account says of it: `verdict: leak, linear, …`.
fn verdict(child: Child) -> String {
    let output = child.wait_with_output().expect("the service ends");
    let account = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let line = account
        .lines()
        .find_map(|line| line.trim().strip_prefix("verdict: "));
    line.unwrap_or_else(|| panic!("the account has no verdict\n{account}"))
        .to_owned()
}

#[test]
fn five_leaks_are_found_and_five_healthy_loads_are_not_called_one() {
    let scenarios: Vec<&str> = LEAKS.into_iter().chain(HEALTHY).collect();
    let folders: Vec<_> = scenarios.iter().map(|_| tothub::filled()).collect();
    // All ten at once: each uses a few percent of a core.
    let children: Vec<Child> = scenarios
        .iter()
        .zip(&folders)
        .map(|(scenario, data)| start(scenario, data.path()))
        .collect();
    let verdicts: Vec<String> = children.into_iter().map(verdict).collect();
    for (scenario, verdict) in scenarios.iter().zip(&verdicts) {
        println!("{scenario:16} {verdict}");
    }
    for (scenario, verdict) in scenarios.iter().zip(&verdicts) {
        let expected = if LEAKS.contains(scenario) {
            "leak,"
        } else {
            "no_leak,"
        };
        assert!(verdict.starts_with(expected), "{scenario}: {verdict}");
    }
}
