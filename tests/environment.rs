//! Values of the environment that make no sense: each is told by its name, and the program starts.
#![cfg(all(target_os = "linux", feature = "jemalloc"))]

mod roles;

use plimsoll::{Monitor, Plimsoll};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// Not a test: what starts a monitor with the environment that it was given.
#[test]
fn role() {
    let Some((_, folder)) = roles::own() else {
        return;
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let monitor = Monitor::builder().start().unwrap();
    for option in monitor.jemalloc_options() {
        let remark = option.remark.as_deref().unwrap_or("as wanted");
        roles::say(&folder, &format!("{}: {remark}", option.name));
    }
    monitor.ready();
    monitor.stop();
    roles::say(&folder, "ended");
}

/// What it logs and what it is told with these variables.
fn started_with(variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let output = roles::command("start", folder.path())
        .env_remove("_RJEM_MALLOC_CONF")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let account = roles::account(folder.path());
    assert_eq!(account.last().map(String::as_str), Some("ended"));
    (said, account)
}

#[test]
fn a_manager_that_cannot_be_told_is_named() {
    let (said, _) = started_with(&[]);
    assert!(!said.contains("WARN"), "{said}");
    let (said, _) = started_with(&[("NOTIFY_SOCKET", "run/notify")]);
    // As the log quotes it.
    let warning = r#"NOTIFY_SOCKET is \"run/notify\": expected an absolute path"#;
    assert!(said.contains("WARN") && said.contains(warning), "{said}");
}

#[test]
fn a_variable_that_this_jemalloc_does_not_read_is_told() {
    let row = "MALLOC_CONF: not read: this jemalloc reads _RJEM_MALLOC_CONF";
    let (said, account) = started_with(&[("MALLOC_CONF", "dirty_decay_ms:1")]);
    assert!(said.contains("MALLOC_CONF has no effect"), "{said}");
    assert!(account.iter().any(|line| line == row), "{account:?}");
    // Who sets both knows.
    let both = [("MALLOC_CONF", "a:1"), ("_RJEM_MALLOC_CONF", "narenas:2")];
    let (said, account) = started_with(&both);
    assert!(!said.contains("has no effect"), "{said}");
    assert!(!account.iter().any(|line| line == row), "{account:?}");
}
