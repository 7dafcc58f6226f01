//! The state file on a disk that is full, or may only be read.

use super::{played, roles, said, watched, with_own_mounts};
use plimsoll::{Event, EventKind, Fault, Monitor, MonitorBuilder, Restart, RestartError};
use roles::{LIMIT, say, wait_for};
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

fn path_of(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Mounts there, in the mounts of this process's own.
pub fn mount(what: &CStr, on: &Path, kind: &CStr, flags: libc::c_ulong, options: &CStr) {
    let on = path_of(on);
    // SAFETY: strings that end with a zero.
    let mounted = unsafe {
        libc::mount(
            what.as_ptr(),
            on.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(mounted, 0, "{on:?}: {}", std::io::Error::last_os_error());
}

pub fn unmount(path: &Path) {
    // SAFETY: a string that ends with a zero.
    let unmounted = unsafe { libc::umount2(path_of(path).as_ptr(), libc::MNT_DETACH) };
    assert_eq!(unmounted, 0, "{}", std::io::Error::last_os_error());
}

fn small_disk(on: &Path) {
    fs::create_dir(on).unwrap();
    mount(c"tmpfs", on, c"tmpfs", 0, c"size=16k");
}

fn read_only(folder: &Path, is_so: bool) {
    if !is_so {
        return unmount(folder);
    }
    // The file system itself cannot be made so while the lock is open for writing: what is laid over
    // the folder can.
    mount(&path_of(folder), folder, c"", libc::MS_BIND, c"");
    let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
    mount(c"", folder, c"", flags, c"");
    assert!(File::create(folder.join("trial")).is_err());
}

fn fill_up(disk: &Path) {
    let mut filler = File::create(disk.join("filler")).unwrap();
    while filler.write_all(&[0; 512]).is_ok() {}
}

fn builder(disk: &Path) -> MonitorBuilder {
    Monitor::builder()
        .limit(LIMIT)
        .interval(Duration::from_millis(10))
        .restart(Restart::Exec)
        .state_file(disk.join("state"))
}

fn is_unwritable(event: &Event) -> bool {
    matches!(event.kind, EventKind::Fault(Fault::StateUnwritable(code)) if code != 0)
}

/// Cannot write what it has to, goes on, and writes it when it can.
fn cannot_write(folder: &Path, disk: &Path, hinder: impl Fn(bool)) {
    if roles::account(folder).is_empty() {
        small_disk(disk);
    }
    let monitor = builder(disk).start().unwrap();
    let mut events = monitor.events();
    if let [restart] = monitor.restarts().as_slice() {
        // The image after it.
        let kept = fs::read_to_string(disk.join("state")).unwrap();
        let held = kept.lines().any(|line| line.starts_with("start "));
        return say(
            folder,
            &format!("restarted {:?}, start: {held}", restart.how),
        );
    }
    hinder(true);
    monitor.ready();
    wait_for(&mut events, is_unwritable);
    assert_eq!(monitor.restart(), RestartError::Failed);
    wait_for(&mut events, is_unwritable);
    assert_eq!(monitor.restarts(), [], "it did not happen");
    assert!(!disk.join("state").exists());
    // The program goes on, and so does the monitor.
    monitor.optimise().unwrap();
    say(folder, "went on");
    hinder(false);
    say(folder, &monitor.restart().to_string());
}

pub fn full(folder: &Path) {
    let disk = folder.join("disk");
    cannot_write(folder, &disk, |is_so| {
        if is_so {
            fill_up(&disk);
        } else {
            fs::remove_file(disk.join("filler")).unwrap();
        }
    });
}

pub fn read_only_role(folder: &Path) {
    let disk = folder.join("disk");
    cannot_write(folder, &disk, |is_so| read_only(&disk, is_so));
}

/// Starts where nothing can be written: not at all on one that may only be read, and as ever on a
/// full one, where the lock takes no room.
pub fn start_hindered(folder: &Path) {
    let disk = folder.join("disk");
    small_disk(&disk);
    fill_up(&disk);
    builder(&disk).start().unwrap().stop();
    say(folder, "started on a full one");
    fs::remove_file(disk.join("state.lock")).unwrap();
    read_only(&disk, true);
    say(folder, &builder(&disk).start().unwrap_err().to_string());
    read_only(&disk, false);
    builder(&disk).start().unwrap().stop();
}

fn plays(role: &str) -> Option<(tempfile::TempDir, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = roles::command(role, folder.path());
    if !with_own_mounts(&mut command) {
        return None;
    }
    let account = played(command, folder.path());
    Some((folder, account))
}

const WRITTEN_LATER: [&str; 2] = ["went on", "restarted Exec, start: true"];

#[test]
fn a_full_disk_holds_restarts_up_until_there_is_room_and_nothing_else() {
    if let Some((_, account)) = plays("full_disk") {
        assert_eq!(account, WRITTEN_LATER);
    }
}

#[test]
fn a_disk_that_may_only_be_read_holds_restarts_up_until_it_may_be_written() {
    if let Some((_, account)) = plays("read_only") {
        assert_eq!(account, WRITTEN_LATER);
    }
}

#[test]
fn a_monitor_that_could_never_write_its_state_does_not_start_and_names_the_file() {
    if let Some((folder, account)) = plays("start_read_only") {
        let lock = folder.path().join("disk/state.lock");
        assert_eq!(account[0], "started on a full one");
        assert!(account[1].contains(lock.to_str().unwrap()), "{account:?}");
        assert!(account[1].contains("Read-only"), "{account:?}");
    }
}

/// The error stream of a process that logs there, as programs do.
#[test]
fn the_log_names_the_file_that_could_not_be_written_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = roles::command("full_disk", folder.path());
    if !with_own_mounts(&mut command) {
        return;
    }
    command.env("PLIMSOLL_TEST_LOG", "1");
    let output = watched(command);
    let said = said(&output);
    assert!(said.contains("could not be written"), "{said}");
    assert!(
        said.contains("disk/state") && said.contains("No space left"),
        "{said}"
    );
}
