//! Early wake-ups in real processes: this binary starts itself as one that waits for the kernel or
//! for a service manager, and the time from the call to the look is printed.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod group;
mod skip;

use plimsoll::{Event, EventKind, EventReader, Fault, Monitor, Plimsoll};
use skip::skip;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// `some 200000 2000000`, as systemd would have it written.
const TRIGGER: &str = "c29tZSAyMDAwMDAgMjAwMDAwMAA=";

// ---- the roles -------------------------------------------------------------------------------

const ROLE: &str = "PLIMSOLL_TEST_ROLE";
const FOLDER: &str = "PLIMSOLL_TEST_FOLDER";

/// Not a test: what the other processes run.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder"));
    match role.as_str() {
        "woken" => woken(&folder),
        "stalled" => stalled(&folder),
        "lost" => lost(&folder),
        other => panic!("no such role: {other}"),
    }
}

/// One line to the account, with the time, in one write.
fn say(folder: &Path, line: &str) {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("account"));
    file.unwrap()
        .write_all(format!("{line} @{}\n", nanoseconds()).as_bytes())
        .unwrap();
}

/// The same clock in every process.
fn nanoseconds() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn waiting(folder: &Path) -> Option<(Monitor, EventReader)> {
    let interval = Duration::from_secs(3600);
    match Monitor::builder().interval(interval).start() {
        Ok(monitor) => {
            let events = monitor.events();
            say(folder, "waits");
            Some((monitor, events))
        }
        Err(error) => {
            say(folder, &error.to_string());
            None
        }
    }
}

fn wait_for(events: &mut EventReader, mut wanted: impl FnMut(&Event) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(event) = events.next_until(deadline) {
        if wanted(&event) {
            return;
        }
    }
    panic!("no such event");
}

fn woken(folder: &Path) {
    let Some((monitor, mut events)) = waiting(folder) else {
        return;
    };
    wait_for(&mut events, |event| match event.kind {
        EventKind::EarlyWake(source) => {
            say(folder, &format!("woken by {source}"));
            true
        }
        _ => false,
    });
    assert_eq!(monitor.summary().early_wakes, 1);
}

/// Goes through files several times as large as the group may hold, so that its threads wait for
/// memory to be freed, and for pages that were dropped a moment ago.
fn stalled(folder: &Path) {
    for number in 0..2 {
        let path = folder.join(format!("large-{number}"));
        std::thread::spawn(move || {
            // Written here, because what another group has written is charged to that.
            let mut file = File::create(&path).unwrap();
            let piece = vec![1u8; MIB];
            for _ in 0..200 {
                file.write_all(&piece).unwrap();
            }
            let mut piece = piece;
            loop {
                let mut file = File::open(&path).unwrap();
                while file.read(&mut piece).unwrap() > 0 {}
            }
        });
    }
    woken(folder);
}

/// Says how often it heard that the source is lost, and how often it was woken all the same.
fn lost(folder: &Path) {
    let Some((monitor, mut events)) = waiting(folder) else {
        return;
    };
    let is_lost = |event: &Event| matches!(event.kind, EventKind::Fault(Fault::WakeLost(_)));
    wait_for(&mut events, is_lost);
    let mut times = 1;
    let until = Instant::now() + Duration::from_secs(2);
    while let Some(event) = events.next_until(until) {
        times += u32::from(is_lost(&event));
    }
    let wakes = monitor.summary().early_wakes;
    say(folder, &format!("lost {times} times, woken {wakes} times"));
}

// ---- the tests -------------------------------------------------------------------------------

fn command(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "role", "--nocapture", "--test-threads", "1"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env_remove("MEMORY_PRESSURE_WATCH")
        .env_remove("MEMORY_PRESSURE_WRITE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Lines with the times at which they were said.
fn account(folder: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(folder.join("account")).unwrap_or_default();
    let line = |line: &str| {
        let (line, at) = line.rsplit_once(" @")?;
        Some((line.to_owned(), at.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Waits until the child has said this, and answers when it did.
fn until(what: &str, folder: &Path, child: &mut Child) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some((_, at)) = account(folder).into_iter().find(|(line, _)| line == what) {
            return at;
        }
        let account = account(folder);
        assert!(Instant::now() < deadline, "never `{what}`: {account:?}");
        if let Ok(Some(status)) = child.try_wait() {
            let mut said = String::new();
            let mut errors = child.stderr.take().unwrap();
            errors.read_to_string(&mut said).unwrap();
            panic!("ended with {status}: {account:?}\n{said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

const BY_MANAGER: &str = "woken by the service manager's memory pressure";

fn milliseconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

#[test]
fn a_fifo_of_the_service_manager_wakes_the_monitor() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated path.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let mut child = command("woken", folder.path())
        .env("MEMORY_PRESSURE_WATCH", &fifo)
        .spawn()
        .unwrap();
    until("waits", folder.path(), &mut child);
    let mut fifo = File::options().write(true).open(&fifo).unwrap();
    let rung = nanoseconds();
    fifo.write_all(b"!").unwrap();
    let heard = until(BY_MANAGER, folder.path(), &mut child);
    println!("woken {:.3} ms after a FIFO", milliseconds(rung, heard));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_socket_of_the_service_manager_is_told_and_wakes_the_monitor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let manager = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut child = command("woken", folder.path())
        .env("MEMORY_PRESSURE_WATCH", &path)
        .env("MEMORY_PRESSURE_WRITE", TRIGGER)
        .spawn()
        .unwrap();
    let (mut stream, _) = manager.accept().unwrap();
    let mut told = [0; 20];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"some 200000 2000000\0");
    until("waits", folder.path(), &mut child);
    let rung = nanoseconds();
    stream.write_all(b"!").unwrap();
    let heard = until(BY_MANAGER, folder.path(), &mut child);
    println!("woken {:.3} ms after a socket", milliseconds(rung, heard));
    assert!(child.wait().unwrap().success());
}

/// Whether this user may set a trigger of the kernel's; says so when not.
fn may_ask_the_kernel() -> bool {
    let trigger = File::options()
        .read(true)
        .write(true)
        .open("/proc/pressure/memory");
    let may = trigger.is_ok_and(|mut file| file.write_all(b"some 200000 2000000\0").is_ok());
    if !may {
        skip("no pressure stall information that this user may ask for");
    }
    may
}

/// A real trigger of the kernel's in a group that is short of memory: where none can be set, or no
/// group can be made, the test says so.
fn stall(name: &str, by: &str, watch: Option<&str>) {
    if !may_ask_the_kernel() {
        return;
    }
    let group = match group::Group::new(name, 32 << 20) {
        Ok(group) => group,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = command("stalled", folder.path());
    if let Some(watch) = watch {
        command
            .env("MEMORY_PRESSURE_WATCH", watch)
            .env("MEMORY_PRESSURE_WRITE", TRIGGER);
    }
    let mut child = group.start(&mut command);
    let waits = until("waits", folder.path(), &mut child);
    let heard = until(by, folder.path(), &mut child);
    println!(
        "{by} {:.0} ms after the start of a process that stalls 200 ms in 2 s",
        milliseconds(waits, heard)
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn pressure_stall_information_wakes_the_monitor() {
    stall("stalled", "woken by pressure stall information", None);
}

#[test]
fn a_regular_file_of_the_service_manager_is_told_and_wakes_the_monitor() {
    stall("named", BY_MANAGER, Some("/proc/pressure/memory"));
}

#[test]
fn a_kernel_file_that_cannot_ring_is_said_to_be_lost_once_and_wakes_nobody() {
    if !may_ask_the_kernel() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Nothing is written to it, so that it has no trigger.
    let output = command("lost", folder.path())
        .env("MEMORY_PRESSURE_WATCH", "/proc/pressure/memory")
        .output()
        .unwrap();
    let account = account(folder.path());
    assert!(output.status.success(), "{account:?}");
    assert_eq!(account[1].0, "lost 1 times, woken 0 times");
}

/// The group's file goes while its trigger is waited for, as when a manager moves the service.
#[test]
fn a_trigger_whose_group_is_removed_is_said_to_be_lost_once_and_wakes_nobody() {
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let Some(root) = roots
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists())
    else {
        return skip("no control groups of version 2");
    };
    let group = root.join(format!("plimsoll-lost-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&group) {
        return skip(format!("{}: {error}", group.display()));
    }
    let folder = tempfile::tempdir().unwrap();
    let watch = group.join("memory.pressure");
    if !watch.exists() {
        let _ = fs::remove_dir(&group);
        return skip("a group has no `memory.pressure`");
    }
    let mut child = command("lost", folder.path())
        .env("MEMORY_PRESSURE_WATCH", watch)
        .env("MEMORY_PRESSURE_WRITE", TRIGGER)
        .spawn()
        .unwrap();
    until("waits", folder.path(), &mut child);
    fs::remove_dir(&group).unwrap();
    until("lost 1 times, woken 0 times", folder.path(), &mut child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_watch_that_makes_no_sense_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let output = command("woken", folder.path())
        .env("MEMORY_PRESSURE_WATCH", "pressure")
        .output();
    assert!(output.unwrap().status.success());
    let account = account(folder.path());
    let named = "`MEMORY_PRESSURE_WATCH` is \"pressure\": expected";
    assert!(account[0].0.contains(named), "{account:?}");
}
