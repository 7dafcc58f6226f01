//! A program with rights that who started it lacks does not write where that one tells it to, and takes no other
//! wish from the environment.
#![cfg(all(target_os = "linux", feature = "jemalloc"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod roles;
mod skip;

use plimsoll::{Monitor, Plimsoll};
use skip::skip;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const BEFORE: &str = "what stood there";

/// Not a test: what starts a monitor with the environment that it was given.
#[test]
fn role() {
    let Some((_, folder)) = roles::own() else {
        return;
    };
    let monitor = Monitor::builder().start().unwrap();
    for option in monitor.jemalloc_options() {
        if option.name == "muzzy_decay_ms" {
            let is_left = option.remark.is_some();
            let effective = option.effective.as_deref().unwrap_or("nothing");
            roles::say(
                &folder,
                &format!("{effective}, left as it was set: {is_left}"),
            );
        }
    }
    monitor.ready();
    monitor.stop();
    roles::say(&folder, "ended");
}

/// Runs the role with a file and a socket that only root may write to; whether each was written to. And with a
/// decay time for jemalloc; whether that was taken.
fn obeyed(folder: &Path, mode: u32, user: u32) -> [bool; 3] {
    let program = folder.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
    let (file, socket) = (folder.join("file"), folder.join("socket"));
    fs::write(&file, BEFORE).unwrap();
    let manager = UnixDatagram::bind(&socket).unwrap();
    for path in [&file, &socket] {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    let mut command = Command::new(&program);
    roles::play(&mut command, "start", folder);
    let output = command
        .env("MEMORY_PRESSURE_WATCH", &file)
        .env("MEMORY_PRESSURE_WRITE", "aGVyZQ==")
        .env("NOTIFY_SOCKET", &socket)
        .env("_RJEM_MALLOC_CONF", "muzzy_decay_ms:78")
        .uid(user)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let account = roles::account(folder);
    let [decay, ended] = &account[..] else {
        panic!("{account:?}");
    };
    assert_eq!(ended, "ended");
    let is_set = decay == "78, left as it was set: true";
    assert!(is_set || decay.ends_with("set: false"), "{decay}");
    manager.set_nonblocking(true).unwrap();
    let is_told = manager.recv(&mut [0; 64]).is_ok();
    let is_written = fs::read_to_string(&file).unwrap() != BEFORE;
    [is_written, is_told, is_set]
}

#[test]
fn where_to_write_is_not_taken_from_who_has_fewer_rights() {
    // SAFETY: no arguments, no effect, cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can make a program that runs as root for others");
        return;
    }
    let folder = || {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        folder
    };
    // Who has the right is obeyed: so this test can fail.
    assert_eq!(obeyed(folder().path(), 0o755, 0), [true; 3]);
    assert_eq!(obeyed(folder().path(), 0o4755, roles::OTHER), [false; 3]);
}
