//! Starting the new image when that is not easy: few descriptors, or no success at all.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod roles;

use plimsoll::{EventKind, Fault, Plimsoll, Withheld};
use roles::{builder, fill, is_locked, remembered, run, say, settled, started, wait_for};
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// Not a test: what the other processes run.
#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    say(&folder, "image");
    match role.as_str() {
        "few" => few(&folder),
        "none_left" => none_left(&folder),
        "fails" => fails(&folder),
        other => panic!("no such role: {other}"),
    }
}

fn allow_descriptors(most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: reads the structure that it is given.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// Every descriptor that is left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// Restarts with three sockets while it may have few descriptors, and has none left.
fn few(folder: &Path) {
    allow_descriptors(24);
    let mut handed = listenfd::ListenFd::from_env();
    let count = handed.len();
    let first = handed.take_tcp_listener(0).unwrap();
    let listener = first.unwrap_or_else(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    say(folder, &format!("port {port} of {count}"));
    let others = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let (monitor, mut events) = started(builder(folder));
    monitor.hand_over("first", &listener).unwrap();
    for (name, other) in ["second", "third"].iter().zip(&others) {
        monitor.hand_over(name, other).unwrap();
    }
    // The state takes a descriptor for its file, and then one for its folder; and whoever reads figures
    // meanwhile, the worker or the one who looks, one for each.
    let mut taken = take_all();
    taken.truncate(taken.len() - 3);
    let kept = fill(0.96);
    wait_for(&mut events, |event| match event.kind {
        EventKind::Fault(fault) => panic!("{fault}"),
        EventKind::RestartWithheld(why) => matches!(why, Withheld::BudgetSpent { .. }),
        _ => false,
    });
    drop((kept, taken));
}

fn none_left(folder: &Path) {
    allow_descriptors(24);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (monitor, _) = started(builder(folder));
    let taken = take_all();
    let error = monitor.hand_over("first", &listener).unwrap_err();
    drop(taken);
    say(folder, &error.to_string());
}

/// The kernel takes no variable as long as this one, and then it takes them all.
fn fails(folder: &Path) {
    const TOO_LONG: &str = "PLIMSOLL_TEST_TOO_LONG";
    if folder.join("mended").exists() {
        return say(folder, "restarted");
    }
    // SAFETY: no other thread of this process reads or changes the environment.
    unsafe { std::env::set_var(TOO_LONG, "x".repeat(200_000)) };
    let (monitor, mut events) = started(builder(folder));
    // Sockets that would go where the program has files of its own, and where it has none.
    let sockets = [0; 8].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    for (number, socket) in sockets.iter().enumerate() {
        monitor.hand_over(&number.to_string(), socket).unwrap();
    }
    let before = settled();
    assert!(is_locked(folder));
    let _kept = fill(0.96);
    let mut tries = Vec::new();
    let mut waits = 0;
    wait_for(&mut events, |event| {
        match event.kind {
            EventKind::Fault(Fault::ExecFailed(libc::E2BIG)) => {
                tries.push(event.uptime);
            }
            EventKind::Fault(fault) => panic!("{fault}"),
            EventKind::RestartWithheld(Withheld::Failed { .. }) => waits += 1,
            EventKind::RestartWithheld(why) => panic!("{why}"),
            _ => {}
        }
        tries.len() == 3
    });
    let gaps = [tries[1] - tries[0], tries[2] - tries[1]];
    let least = [1, 2].map(Duration::from_secs);
    assert!(gaps[0] >= least[0] && gaps[1] >= least[1], "{gaps:?}");
    say(folder, "tried again, later and later");
    // What did not happen is not on the account, and the budget is there for what does.
    while monitor.is_draining() {
        std::thread::yield_now();
    }
    assert_eq!((monitor.restarts().len(), remembered(folder)), (0, 0));
    assert!(waits >= 1);
    // What stood where a socket had to go stands there again.
    assert_eq!(settled(), before);
    // And no other program takes the state file meanwhile.
    assert!(is_locked(folder));
    File::create(folder.join("mended")).unwrap();
    // SAFETY: likewise.
    unsafe { std::env::remove_var(TOO_LONG) };
    wait_for(&mut events, |_| false);
}

// ---- the tests -------------------------------------------------------------------------------

#[test]
fn sockets_are_handed_over_where_few_descriptors_are_allowed_and_none_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("few", folder.path());
    println!("{account:?}");
    assert_eq!(account.len(), 8, "{account:?}");
    let first = account[1].strip_suffix(" of 0").unwrap();
    for later in account[3..].iter().step_by(2) {
        assert_eq!(*later, format!("{first} of 3"));
    }
}

#[test]
fn a_socket_that_could_not_be_handed_over_is_refused_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("none_left", folder.path());
    assert!(account[1].contains("RLIMIT_NOFILE"), "{account:?}");
}

#[test]
fn an_image_that_cannot_be_started_is_tried_less_and_less_often_and_costs_no_budget() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("fails", folder.path());
    println!("{account:?}");
    // And once it can be, it is.
    let expected = [
        "image",
        "tried again, later and later",
        "image",
        "restarted",
    ];
    assert_eq!(account, expected);
}
