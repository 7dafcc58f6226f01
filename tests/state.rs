//! The state file among other users: a service that was run by another user before still starts.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod roles;
mod skip;
mod truth;

use plimsoll::{EventKind, Monitor, Plimsoll, Restart, RestartError};
use skip::skip;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roles::OTHER;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const FOLDER: &str = "PLIMSOLL_TEST_FOLDER";

/// Not a test: what the other user runs. Starts with the state file, and says what it hears.
#[test]
fn role() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let mut account = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("account"))
        .unwrap();
    let mut say = |line: String| account.write_all(format!("{line}\n").as_bytes()).unwrap();
    // One that must not succeed here: it would end the process.
    let monitor = Monitor::builder()
        .restart(Restart::Exit(9))
        .state_file(folder.join("state"))
        .start();
    let monitor = match monitor {
        Ok(monitor) => monitor,
        Err(error) => return say(format!("not started: {error}")),
    };
    say("started".to_owned());
    let mut events = monitor.events();
    let until = Instant::now() + Duration::from_millis(300);
    while let Some(event) = events.next_until(until) {
        if let EventKind::Fault(fault) = event.kind {
            say(fault.to_string());
        }
    }
    assert_eq!(monitor.restart(), RestartError::Failed);
    say("not restarted".to_owned());
}

/// Runs the role as another user in this folder; `None` when this test cannot become one.
fn run_by_another(folder: &Path) -> Option<(Vec<String>, Option<i32>)> {
    // SAFETY: no arguments, no effect, cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
        return None;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture"])
        .env(FOLDER, folder)
        .uid(OTHER)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            skip(format!("another user may not run this test: {error}"));
            return None;
        }
    };
    let text = fs::read_to_string(folder.join("account")).unwrap_or_default();
    Some((
        text.lines().map(str::to_owned).collect(),
        output.status.code(),
    ))
}

fn folder(mode: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
    folder
}

/// What a run as this user leaves behind.
fn run_by_us(folder: &Path) {
    let state = folder.join("state");
    Monitor::builder()
        .state_file(&state)
        .start()
        .unwrap()
        .stop();
    fs::write(&state, "plimsoll-state 2\nend 0\n").unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o600)).unwrap();
    let lock = folder.join("state.lock").metadata().unwrap();
    assert_eq!(lock.permissions().mode() & 0o777, 0o600);
}

#[test]
fn state_and_lock_of_another_user_are_set_aside() {
    let _alone = truth::alone();
    let folder = folder(0o777);
    run_by_us(folder.path());
    let Some((account, code)) = run_by_another(folder.path()) else {
        return;
    };
    // Started, and able to write the state down: so it came to the restart.
    assert_eq!(
        account,
        [
            "started",
            "the state file cannot be believed and is set aside"
        ]
    );
    assert_eq!(code, Some(9));
    assert!(folder.path().join("state.damaged").exists());
    assert!(folder.path().join("state.lock.damaged").exists());
}

#[test]
fn what_is_in_use_by_another_user_is_left_alone() {
    let _alone = truth::alone();
    let folder = folder(0o777);
    let state = folder.path().join("state");
    let monitor = Monitor::builder().state_file(&state).start().unwrap();
    let Some((account, code)) = run_by_another(folder.path()) else {
        return;
    };
    // It starts, or any user could keep it from that.
    let no_restart = "the state file could not be written: no restart without it";
    assert_eq!(account, ["started", no_restart, "not restarted"]);
    assert_eq!(code, Some(0));
    assert!(folder.path().join("state.lock").exists());
    assert!(!folder.path().join("state.lock.damaged").exists());
    drop(monitor);
}

/// As in `/tmp`: whoever comes first would otherwise keep the service from starting.
#[test]
fn where_it_cannot_be_set_aside_the_program_runs_and_does_not_restart() {
    let _alone = truth::alone();
    let folder = folder(0o1777);
    run_by_us(folder.path());
    let Some((account, code)) = run_by_another(folder.path()) else {
        return;
    };
    let no_restart = "the state file could not be written: no restart without it";
    assert_eq!(account, ["started", no_restart, "not restarted"]);
    assert_eq!(code, Some(0));
    assert!(folder.path().join("state").exists());
}
