//! A program that is told to end while it restarts: it ends, whenever that comes.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod roles;

use plimsoll::{Drain, Drill, EventKind, Monitor, Plimsoll, Restart, RestartError, Withheld};
use roles::{account, builder, command, fill, remembered, run, say, started, wait_for};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
        "ends" => ends(&folder),
        "stops" => stops(&folder),
        "asks" => asks(&folder),
        "forbids" => forbids(&folder),
        "presses" => presses(&folder),
        "closes" => closes(&folder),
        "moves" => moves(&folder),
        "signalled" => signalled(&folder),
        other => panic!("no such role: {other}"),
    }
}

/// Of the drain: so long that what ends before half of it did not end by it.
const DEADLINE: Duration = Duration::from_secs(100);

/// A monitor that restarts at once, and a drain that is never done by itself.
struct Draining {
    monitor: Monitor,
    token: Arc<Mutex<Option<Drain>>>,
}

fn draining(folder: &Path) -> Draining {
    let token = Arc::<Mutex<Option<Drain>>>::default();
    let held = Arc::clone(&token);
    let builder = builder(folder).drain(DEADLINE, move |token| {
        *held.lock().unwrap() = Some(token);
    });
    let (monitor, mut events) = started(builder);
    // With nothing that grows there is time for all of the drain.
    monitor.drill(Drill::new(0.85).with_restart()).unwrap();
    wait_for(&mut events, |event| {
        matches!(event.kind, EventKind::Restarting(_))
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while token.lock().unwrap().is_none() {
        assert!(Instant::now() < deadline, "no token");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(monitor.is_draining());
    assert_eq!(remembered(folder), 1);
    Draining { monitor, token }
}

fn ends(folder: &Path) {
    let draining = draining(folder);
    let mut events = draining.monitor.events();
    let begun = Instant::now();
    draining.monitor.ending();
    // As a runtime does that is taken down: until now the restart followed from this.
    drop(draining.token.lock().unwrap().take());
    wait_for(&mut events, |event| {
        matches!(event.kind, EventKind::RestartWithheld(Withheld::Ending))
    });
    assert!(begun.elapsed() < DEADLINE / 2);
    assert!(!draining.monitor.is_draining());
    // Nor does another one follow, due as it is.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(draining.monitor.restart(), RestartError::Ending);
    assert_eq!(draining.monitor.restarts(), []);
    assert_eq!(remembered(folder), 0);
    say(folder, "ends by itself");
}

fn stops(folder: &Path) {
    let draining = draining(folder);
    let begun = Instant::now();
    draining.monitor.stop();
    assert!(begun.elapsed() < DEADLINE / 2);
    drop(draining.token.lock().unwrap().take());
    assert_eq!(remembered(folder), 0);
    say(folder, "ends by itself");
}

/// Whoever operates it takes restarts out of the policy while one drains.
fn forbids(folder: &Path) {
    let draining = draining(folder);
    let mut events = draining.monitor.events();
    let left = || draining.token.lock().unwrap().as_ref().unwrap().remaining();
    assert!(left() > Duration::ZERO);
    let mut policy = draining.monitor.policy();
    policy.how = None;
    draining.monitor.set_policy(policy).unwrap();
    let called_off = |kind| matches!(kind, EventKind::RestartWithheld(Withheld::PolicyChanged));
    wait_for(&mut events, |event| called_off(event.kind));
    let deadline = Instant::now() + Duration::from_secs(20);
    while draining.monitor.is_draining() {
        assert!(Instant::now() < deadline, "it goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(left(), Duration::ZERO);
    drop(draining.token.lock().unwrap().take());
    assert_eq!(draining.monitor.restart(), RestartError::NotConfigured);
    assert_eq!(remembered(folder), 0);
    say(folder, "goes on");
}

/// A drain that nobody ends, and memory that comes to the limit meanwhile.
fn presses(folder: &Path) {
    if account(folder).len() > 1 {
        return say(folder, &format!("{} restart", remembered(folder)));
    }
    let _draining = draining(folder);
    let begun = Instant::now();
    let _kept = fill(0.98);
    std::thread::sleep(DEADLINE / 2);
    say(folder, &format!("no restart after {:?}", begun.elapsed()));
}

/// Sockets that would be handed over are not kept open by a program that ends.
fn closes(folder: &Path) {
    let (monitor, _) = started(builder(folder));
    let listening = || {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        monitor.hand_over("web", &socket).unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        address
    };
    let before = listening();
    assert!(TcpStream::connect(before).is_ok());
    monitor.ending();
    for address in [before, listening()] {
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    say(folder, "closed");
}

/// Goes into another folder after the monitor has begun.
fn moves(folder: &Path) {
    say(folder, &format!("{} before", remembered(folder)));
    assert!(account(folder).len() <= 4, "it restarts without end");
    std::env::set_current_dir(folder).unwrap();
    let (monitor, _) = started(builder(folder).state_file("state").restart_budget(1));
    let elsewhere = folder.join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::env::set_current_dir(&elsewhere).unwrap();
    if remembered(folder) == 0 {
        panic!("not restarted: {}", monitor.restart());
    }
}

/// A request that is waited for waits for an answer of the monitor's.
fn asks(folder: &Path) {
    let draining = draining(folder);
    let rows = draining.monitor.optimise().unwrap();
    let goes_on = draining.monitor.is_draining();
    say(folder, &format!("{} rows, draining: {goes_on}", rows.len()));
    // Another restart that is asked for is the one that is under way.
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| draining.monitor.restart());
        std::thread::sleep(Duration::from_millis(100));
        draining.monitor.ending();
        assert_eq!(asked.join().unwrap(), RestartError::Ending);
    });
}

static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_signal: i32) {
    TOLD.store(true, Ordering::SeqCst);
}

/// Restarts without end, until it is told to end.
fn signalled(folder: &Path) {
    // SAFETY: the handler only stores to an atomic.
    unsafe {
        libc::signal(
            libc::SIGTERM,
            note as extern "C" fn(i32) as libc::sighandler_t,
        )
    };
    let monitor = Monitor::builder()
        .restart(Restart::Exec)
        .state_file(folder.join("state"))
        .start()
        .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // As a runtime that is told by a handler: a moment later.
            while !TOLD.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            monitor.ending();
        });
        assert_eq!(monitor.restart(), RestartError::Ending);
        // It comes back only when the program was told.
        assert!(TOLD.load(Ordering::SeqCst));
    });
    say(folder, "ends by itself");
}

// ---- the tests -------------------------------------------------------------------------------

#[test]
fn a_program_that_ends_while_a_restart_drains_is_not_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let output = command("ends", folder.path())
        .env("NOTIFY_SOCKET", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(account(folder.path()), ["image", "ends by itself"]);
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(length) = manager.recv(&mut buffer) {
        let said = String::from_utf8_lossy(&buffer[..length]);
        heard.push(said.lines().next().unwrap().to_owned());
    }
    // And it is not said to be ready again.
    assert_eq!(heard, ["READY=1", "RELOADING=1", "STOPPING=1"]);
}

#[test]
fn a_monitor_that_is_stopped_while_a_restart_drains_does_not_restart() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("stops", folder.path());
    assert_eq!(account, ["image", "ends by itself"]);
}

#[test]
fn a_restart_that_drains_is_called_off_when_restarts_are_not_wanted_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("forbids", folder.path());
    assert_eq!(account, ["image", "goes on"]);
}

#[test]
fn a_drain_is_cut_short_when_the_limit_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("presses", folder.path());
    assert_eq!(account, ["image", "image", "1 restart"]);
}

#[test]
fn what_a_program_that_ends_has_closed_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run("closes", folder.path()), ["image", "closed"]);
}

#[test]
fn a_state_file_stays_where_it_is_when_the_program_changes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("moves", folder.path());
    assert_eq!(account, ["image", "0 before", "image", "1 before"]);
}

#[test]
fn a_restart_that_drains_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("asks", folder.path());
    assert_eq!(account, ["image", "4 rows, draining: true"]);
}

#[test]
fn a_signal_at_any_moment_of_any_restart_ends_the_program() {
    const PROGRAMS: u32 = 40;
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let (mut images, mut by_itself) = (0, 0);
    for _ in 0..PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command("signalled", folder.path()).spawn().unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Some time after one of the first images has begun.
        let patience = Instant::now() + Duration::from_secs(60);
        while account(folder.path()).len() < 1 + (random >> 32) as usize % 4 {
            assert!(Instant::now() < patience, "does not restart");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(random % 50_000));
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        let told = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if told.elapsed() >= Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("restarts on: {} images", account(folder.path()).len());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let account = account(folder.path());
        images += account.len();
        // By its own end, or by the signal while there was no handler.
        if account.last().is_some_and(|line| line == "ends by itself") {
            assert!(status.success(), "{status}");
            by_itself += 1;
        } else {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
        }
    }
    println!("{PROGRAMS} programs, {images} images, {by_itself} ended by themselves");
    // Not all of them before there was a handler, or a restart.
    assert!(by_itself >= 5, "{by_itself}");
    assert!(images > PROGRAMS as usize, "{images}");
}
