//! A test binary that starts itself in a role, and an account that all images of it write to.
#![allow(dead_code, reason = "each test file uses its part")]

use plimsoll::{Event, EventReader, Monitor, MonitorBuilder, Restart};
use std::fs::{self, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const MIB: u64 = 1 << 20;
pub const LIMIT: u64 = 100 * MIB;

/// `nobody` on every Linux.
pub const OTHER: u32 = 65534;

const ROLE: &str = "PLIMSOLL_TEST_ROLE";
const FOLDER: &str = "PLIMSOLL_TEST_FOLDER";

/// What this process is to play, and where; `None` in the process of the tests.
pub fn own() -> Option<(String, PathBuf)> {
    let role = std::env::var(ROLE).ok()?;
    let folder = std::env::var_os(FOLDER).expect("a folder");
    Some((role, PathBuf::from(folder)))
}

/// This binary in a role: it has a test of the name `role`, which asks for [`own`].
pub fn command(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    play(&mut command, role, folder);
    command
}

/// Has a copy of this binary play a role.
pub fn play(command: &mut Command, role: &str, folder: &Path) {
    command
        .args(["--exact", "role", "--nocapture", "--test-threads", "1"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env_remove("MEMORY_PRESSURE_WATCH")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// Plays a role to its end, and answers the account.
pub fn run(role: &str, folder: &Path) -> Vec<String> {
    let output = command(role, folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{said}", account(folder));
    account(folder)
}

/// One line to the account of all images, in one write.
pub fn say(folder: &Path, line: &str) {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("account"));
    file.unwrap()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

pub fn account(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("account")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Rows of restarts in the state file; it has to be whole or not there.
pub fn remembered(folder: &Path) -> usize {
    let Ok(text) = fs::read_to_string(folder.join("state")) else {
        return 0;
    };
    let rows = text
        .lines()
        .filter(|line| line.starts_with("restart "))
        .count();
    assert!(
        text.starts_with("plimsoll-state ") && text.ends_with(&format!("end {rows}\n")),
        "{text}"
    );
    rows
}

/// Restarts at once, and three times.
pub fn builder(folder: &Path) -> MonitorBuilder {
    Monitor::builder()
        .limit(LIMIT)
        .interval(Duration::from_millis(10))
        .restart(Restart::Exec)
        .sustained(Duration::ZERO)
        .cooldown(Duration::ZERO)
        .restart_budget(3)
        .state_file(folder.join("state"))
}

/// Started, with next to nothing in use.
pub fn started(builder: MonitorBuilder) -> (Monitor, EventReader) {
    let monitor = builder.start().unwrap();
    let events = monitor.events();
    monitor.ready();
    while monitor.history().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    (monitor, events)
}

/// This share of the limit, in pieces.
pub fn fill(share: f64) -> Vec<Vec<u8>> {
    let pieces = (share * LIMIT as f64) as u64 / MIB;
    (0..pieces)
        .map(|_| black_box(vec![1u8; MIB as usize]))
        .collect()
}

pub fn wait_for(events: &mut EventReader, mut wanted: impl FnMut(&Event) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(event) = events.next_until(deadline) {
        if wanted(&event) {
            return;
        }
    }
    panic!("no such event");
}

/// Device, file and flags of each, where there is one.
pub type Descriptors = Vec<Option<(u64, u64, i32)>>;

/// What the first descriptors are, and whether a new image would have them.
fn descriptors() -> Descriptors {
    let of = |descriptor| {
        // SAFETY: fills the structure that it is given, and reads a flag.
        unsafe {
            let mut about: libc::stat = std::mem::zeroed();
            let is_there = libc::fstat(descriptor, &mut about) == 0;
            is_there.then(|| {
                (
                    about.st_dev,
                    about.st_ino,
                    libc::fcntl(descriptor, libc::F_GETFD),
                )
            })
        }
    };
    (0..20).map(of).collect()
}

/// [`descriptors`], once nobody has opened something for a moment: the state may be on its way to the disk.
pub fn settled() -> Descriptors {
    loop {
        let now = descriptors();
        let is_steady = (0..50).all(|_| {
            std::thread::sleep(Duration::from_millis(1));
            descriptors() == now
        });
        if is_steady {
            return now;
        }
    }
}

/// Whether another process would find the state file in use: a child of this one, which has no part in its
/// locks.
pub fn is_locked(folder: &Path) -> bool {
    let name = folder
        .join("state.lock")
        .into_os_string()
        .into_encoded_bytes();
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: the child opens, asks and ends, none of which allocates or takes a lock of the program's.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let mut wanted: libc::flock = std::mem::zeroed();
            wanted.l_type = libc::F_WRLCK as _;
            let file = libc::open(name.as_ptr(), libc::O_RDWR);
            let asked = libc::fcntl(file, libc::F_GETLK, &mut wanted);
            let is_held = asked == 0 && wanted.l_pid == libc::getppid();
            libc::_exit(if is_held { 7 } else { 8 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        libc::WEXITSTATUS(status) == 7
    }
}
