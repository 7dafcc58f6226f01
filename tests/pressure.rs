//! A real service in a real memory control group: it leaks, and stays alive; without the governor
//! the kernel kills it.
//!
//! Needs root and a memory controller of version 1 or 2. Where a group cannot be made the test says
//! so and counts as passed with nothing shown.
#![cfg(all(target_os = "linux", feature = "http"))]

mod group;
mod skip;
mod tothub;

use group::Group;
use skip::skip;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const LIMIT: u64 = 256 << 20;
const SIGKILL: i32 = 9;

fn leak_in(group: &Group, data: &std::path::Path, governor: &str, seconds: &str) -> Output {
    let mut command = Command::new(tothub::path());
    command
        .args([
            "--scenario",
            "leak",
            "--leak-mib-per-second",
            "24",
            "--cooldown",
            "2",
        ])
        .args([
            "--for",
            seconds,
            "--port",
            "0",
            "--governor",
            governor,
            "--data",
        ])
        .arg(data);
    group
        .start(&mut command)
        .wait_with_output()
        .expect("the service runs")
}

#[test]
fn a_leaking_service_restarts_itself_and_lives_and_without_the_governor_is_killed() {
    let group = match Group::new("leak", LIMIT) {
        Ok(group) => group,
        Err(why) => {
            skip(format!("no memory control group can be made here: {why}"));
            return;
        }
    };
    let data = tothub::filled();

    let governed = leak_in(&group, data.path(), "on", "30");
    let account = String::from_utf8_lossy(&governed.stdout);
    let log = String::from_utf8_lossy(&governed.stderr);
    assert!(
        governed.status.success(),
        "{:?}\n{account}{log}",
        governed.status
    );
    assert_eq!(group.kills(), 0, "the kernel killed\n{account}");
    let restarts = account.lines().filter(|line| line.contains(" % ")).count();
    assert!(restarts >= 2, "{restarts} restarts\n{account}{log}");
    assert!(account.contains("256.0 MiB (cgroup_v"), "{account}");

    let alone = leak_in(&group, data.path(), "off", "60");
    assert_eq!(alone.status.signal(), Some(SIGKILL), "{alone:?}");
    assert!(group.kills() >= 1);
    println!("{account}");
}

/// The full table, with slower leaks, is `cargo bench --bench survival`.
#[test]
fn a_leak_of_a_hundred_mib_a_second_kills_who_looks_every_half_minute() {
    let data = tothub::filled();
    for (governor, lives) in [("off", false), ("watchdog", false), ("on", true)] {
        let group = match Group::new(governor, 512 << 20) {
            Ok(group) => group,
            Err(why) => {
                skip(format!("no memory control group can be made here: {why}"));
                return;
            }
        };
        let mut command = Command::new(tothub::path());
        command
            .args(["--scenario", "leak", "--leak-mib-per-second", "100"])
            .args(["--cooldown", "1", "--for", "20", "--port", "0"])
            .args(["--governor", governor, "--data"])
            .arg(data.path());
        let output = group.start(&mut command).wait_with_output().expect("runs");
        let account = String::from_utf8_lossy(&output.stdout);
        println!("{governor}: {}\n{account}", output.status);
        assert_eq!(output.status.success(), lives, "{governor}");
        assert_eq!(group.kills() > 0, !lives, "{governor}");
    }
}
