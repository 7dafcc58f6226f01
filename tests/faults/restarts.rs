//! Each system call on the way to a restart in place fails in turn: the new image comes all the same, or the old
//! one goes on as it was, says why, and restarts the next time.

use super::{played, roles, shim};
use plimsoll::Monitor;
use roles::{account, builder, is_locked, remembered, say, settled};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

const ERROR: &str = "PLIMSOLL_TEST_ERROR";

/// The calls that have failed, in their order: image by image the next one.
fn failed(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("failed")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// At an interval of an hour: it looks when it is told to, so that the calls are those of the restart.
fn start(folder: &Path) -> Monitor {
    let monitor = builder(folder)
        .restart_budget(1000)
        .interval(Duration::from_secs(3600))
        .drain(Duration::from_secs(60), drop)
        .start()
        .unwrap();
    monitor.ready();
    while monitor.history().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    monitor
}

pub fn restarts(folder: &Path) {
    say(folder, "image");
    let images = account(folder)
        .iter()
        .filter(|line| *line == "image")
        .count();
    if failed(folder).len() + 5 < images {
        // The last images came before so many calls were made: not each makes as many, for threads of ours
        // beside it make some.
        return;
    }
    let sockets = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let monitor = start(folder);
    for (number, socket) in sockets.iter().enumerate() {
        monitor.hand_over(&number.to_string(), socket).unwrap();
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("failed"));
    let log = log.unwrap();
    let before = settled();
    let faults = shim::faults();
    let error: i64 = std::env::var(ERROR).unwrap().parse().unwrap();
    faults
        .call_log
        .store(log.as_raw_fd().into(), Ordering::SeqCst);
    faults.call_errno.store(error, Ordering::SeqCst);
    faults.call_nth.store(images as i64, Ordering::SeqCst);
    let why = monitor.restart();
    faults.call_nth.store(0, Ordering::SeqCst);
    let name = failed(folder).pop().unwrap_or_default();
    say(folder, &format!("{name}: {why}"));
    remembered(folder);
    assert_eq!(settled(), before, "{name}");
    assert!(is_locked(folder), "{name}");
    let why = monitor.restart();
    panic!("after {name}: {why}");
}

#[test]
fn whatever_call_of_a_restart_fails_the_new_image_comes_or_the_old_one_goes_on() {
    let mut calls = BTreeMap::<String, u32>::new();
    // Of the thread that restarts, and of the one that writes the state: one after the other, so that each
    // image makes the same calls.
    let tries = [
        (libc::EIO, "plimsoll"),
        (libc::EINTR, "plimsoll"),
        (libc::EIO, "plimsoll-keep"),
        (libc::EINTR, "plimsoll-keep"),
    ];
    for (error, thread) in tries {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut command) = shim::command("restarts", folder.path()) else {
            return;
        };
        command
            .env(ERROR, error.to_string())
            .env("PLIMSOLL_TEST_THREAD", thread);
        let account = played(command, folder.path());
        let came_back: Vec<_> = account.iter().filter(|line| *line != "image").collect();
        for name in failed(folder.path()) {
            *calls.entry(name).or_default() += 1;
        }
        println!("error {error} of {thread}: came back: {came_back:?}");
    }
    println!("{calls:?}");
    for name in [
        "dup2",
        "dup3",
        "execve",
        "fcntl",
        "fsync",
        "open64",
        "pthread_sigmask",
        "rename",
        "sched_affinity",
        "sched_attr",
        "sigaction",
    ] {
        assert!(calls.contains_key(name), "no {name}: {calls:?}");
    }
}
