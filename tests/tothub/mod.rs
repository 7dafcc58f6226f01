//! The example, as the tests start it.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::PathBuf;
use std::process::{Child, Command};

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

/// Has the service end as a service manager does, and waits for it.
pub fn terminate(service: &mut Child) {
    // SAFETY: sends a signal to a child that has not been waited for.
    unsafe { libc::kill(service.id() as i32, libc::SIGTERM) };
    let _ = service.wait();
}
