//! The dashboard of a running service, in a real browser: live figures, a leak's verdict, a command
//! and its ledger row, a restart survived; in light, dark and on a phone; without an error in the
//! console, a request to another origin, or a serious finding of axe's.
//!
//! `PLIMSOLL_SCREENSHOTS` names a folder for the pictures.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod tothub;

use plimsoll::Monitor;
use plimsoll::http::Admin;
use std::path::{Path, PathBuf};
use std::process::Command;
use tothub::Service;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// The first of these programs that is there.
fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .filter(|program| program.is_file());
    found.next().unwrap_or_else(|| {
        panic!("{names:?} is missing: `tests/run.sh` installs it (Debian: chromium, nodejs, npm)")
    })
}

/// A leak that is fast enough to be told within a minute.
const LEAKS: [&str; 8] = [
    "--scenario",
    "leak-map",
    "--rate-mib-per-minute",
    "60",
    "--limit",
    "512MiB",
    "--interval-ms",
    "250",
];

#[test]
fn a_person_sees_what_happens_and_can_do_something_about_it() {
    let node = program(&["node", "nodejs"]);
    let chromium = program(&["chromium", "chromium-browser", "google-chrome"]);
    assert!(
        folder().join("node_modules/playwright-core").exists(),
        "the browser's driver is missing: `tests/run.sh` installs it (npm ci in tests/browser)"
    );
    let pictures = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("PLIMSOLL_SCREENSHOTS").map(PathBuf::from);
    let pictures = kept.as_deref().unwrap_or(pictures.path());
    let data = tothub::filled();
    let service = Service::start(data.path(), &LEAKS);
    let output = Command::new(node)
        .arg(folder().join("dashboard.mjs"))
        .arg(service.address.to_string())
        .arg(chromium)
        .arg(pictures)
        .output()
        .expect("node runs");
    drop(service);
    let found = String::from_utf8_lossy(&output.stdout);
    println!("{found}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for name in ["light", "dark", "phone", "restarted"] {
        let picture = std::fs::metadata(pictures.join(format!("{name}.png"))).unwrap();
        assert!(picture.len() > 10_000, "{name}.png is nearly nothing");
    }
}

#[test]
fn who_gives_no_token_is_asked_once_and_who_gives_it_sees_figures() {
    const TOKEN: &str = "a-token-that-is-long-enough";
    let admin = Admin::new(Monitor::builder().limit(8 << 30).start().unwrap());
    let server = admin.token(TOKEN).unwrap().serve("127.0.0.1:0").unwrap();
    let output = Command::new(program(&["node", "nodejs"]))
        .arg(folder().join("token.mjs"))
        .arg(server.address().to_string())
        .arg(program(&["chromium", "chromium-browser", "google-chrome"]))
        .arg(TOKEN)
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn what_the_page_keeps_and_how_it_connects_is_right_without_a_browser_too() {
    let output = Command::new(program(&["node", "nodejs"]))
        .arg(folder().join("modules.mjs"))
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What is embedded is what the sources make: nobody edits it by hand, and nobody forgets to build.
#[test]
fn what_is_embedded_is_what_the_sources_make() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/dashboard");
    assert!(
        sources.join("node_modules/esbuild").exists(),
        "the bundler is missing: `tests/run.sh` installs it (npm ci in src/http/dashboard)"
    );
    let output = Command::new(program(&["npm"]))
        .args(["run", "--silent", "check"])
        .current_dir(sources)
        .output()
        .expect("npm runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
