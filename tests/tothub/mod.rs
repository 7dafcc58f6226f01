//! The example, as the tests start it.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The example beside the tests. Cargo builds it with all of them, and not with one alone.
pub fn path() -> PathBuf {
    let path = beside();
    if !path.exists() {
        build(&[]);
    }
    path
}

/// The example, built for speed, beside a benchmark that runs it.
pub fn built() -> PathBuf {
    build(&["--release"]);
    beside()
}

fn beside() -> PathBuf {
    let own = std::env::current_exe().expect("a program has a name");
    let folder = own.ancestors().nth(2).expect("two folders up");
    folder.join("examples/tothub")
}

fn build(profile: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--features", "full", "--example", "tothub"])
        .args(profile)
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "the example is not built"
    );
}

/// A folder with a database, filled outside any limit, as a deployed service's is.
pub fn filled() -> tempfile::TempDir {
    filled_with(&[])
}

/// The same with flags of its own.
pub fn filled_with(flags: &[&str]) -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a folder");
    let filled = Command::new(path())
        .args(flags)
        .args(["--for", "1", "--port", "0", "--data"])
        .arg(data.path())
        .output()
        .expect("the service runs");
    assert!(filled.status.success(), "{filled:?}");
    data
}

/// Told to end, and waited for, when this goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        terminate(&mut self.0);
    }
}

/// The service as it runs, and ends when this goes.
pub struct Service {
    _running: Running,
    /// Where it listens, now and after every restart.
    pub address: SocketAddr,
}

impl Service {
    /// Over this folder's database, at a port that is free. What it says after it listens is read and
    /// passed over.
    pub fn start(data: &Path, flags: &[&str]) -> Service {
        let child = Command::new(path())
            .args(flags)
            .args(["--port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service runs");
        let mut running = Running(child);
        let mut lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        std::thread::spawn(move || lines.count());
        let address = line.strip_prefix("tothub listens on http://");
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{line}"));
        Service {
            _running: running,
            address,
        }
    }
}

/// For 20 s at the most.
pub fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Has the service end as a service manager does, and waits for it.
pub fn terminate(service: &mut Child) {
    // SAFETY: sends a signal to a child that has not been waited for.
    unsafe { libc::kill(service.id() as i32, libc::SIGTERM) };
    let _ = service.wait();
}
