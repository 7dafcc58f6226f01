//! `/proc` is not there at the start, or goes away while the monitor runs.

use super::disk::{mount, unmount};
use super::{played, roles, with_own_mounts};
use plimsoll::{EventKind, Fault, Level, Monitor, MonitorBuilder, Restart, StartError};
use roles::{LIMIT, fill, say, wait_for};
use std::path::Path;
use std::time::{Duration, Instant};

fn builder() -> MonitorBuilder {
    Monitor::builder()
        .limit(LIMIT)
        .interval(Duration::from_millis(10))
}

fn cover() {
    mount(c"tmpfs", Path::new("/proc"), c"tmpfs", 0, c"");
    assert!(!Path::new("/proc/self").exists());
}

fn uncover() {
    unmount(Path::new("/proc"));
    assert!(Path::new("/proc/self").exists());
}

pub fn no_proc(folder: &Path) {
    cover();
    for _ in 0..2 {
        match builder().start() {
            Err(StartError::Figures(error)) => say(folder, &error.to_string()),
            other => panic!("{other:?}"),
        }
    }
    // The heap is counted all the same.
    super::truth::assert_exact();
    uncover();
    builder().start().unwrap().stop();
}

fn count(monitor: &Monitor, wanted: Fault) -> usize {
    let is_wanted = |kind| matches!(kind, EventKind::Fault(fault) if fault == wanted);
    let events = monitor.recent_events().into_iter();
    events.filter(|event| is_wanted(event.kind)).count()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn proc_lost(folder: &Path) {
    let monitor = builder().start().unwrap();
    let mut events = monitor.events();
    cover();
    wait_for(&mut events, |event| {
        matches!(event.kind, EventKind::Fault(Fault::ResidentUnreadable))
    });
    assert!(monitor.status().process.is_none());
    assert!(monitor.diagnosis().is_none());
    assert_eq!(monitor.limit().bytes, LIMIT);
    // The heap alone decides.
    let kept = fill(0.95);
    wait_until("critical", || monitor.level() == Level::Critical);
    monitor.optimise().unwrap();
    drop(kept);
    wait_until("normal", || monitor.level() == Level::Normal);
    // The limit is read anew every 30 s.
    wait_until("the limit is missed", || {
        count(&monitor, Fault::LimitUnreadable) > 0
    });
    assert_eq!(count(&monitor, Fault::ResidentUnreadable), 1, "said once");
    assert_eq!(count(&monitor, Fault::LimitUnreadable), 1, "said once");
    assert_eq!(monitor.limit().bytes, LIMIT, "the last one stays");
    say(folder, "went on");
    uncover();
    assert!(monitor.status().process.is_some());
    let looks = monitor.history().last().map(|sample| sample.at);
    wait_until("a look that finds resident memory", || {
        let last = monitor.history().last().copied();
        last.is_some_and(|last| Some(last.at) > looks && last.held.resident_bytes > 0)
    });
    // It is news again.
    cover();
    wait_until("missed again", || {
        count(&monitor, Fault::ResidentUnreadable) == 2
    });
    uncover();
    monitor.stop();
}

/// Restarts in place where `/proc` has gone: neither the program's path nor the main thread's signals can be
/// looked up then.
pub fn restarts_without_proc(folder: &Path) {
    let is_again = !roles::account(folder).is_empty();
    say(folder, "image");
    // SAFETY: all zero is a set, which is filled.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: asks for what the calling thread blocks, and whether the set has a signal.
    let is_deaf = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut blocked);
        libc::sigismember(&blocked, libc::SIGTERM) == 1
    };
    if is_again {
        say(folder, &format!("deaf to SIGTERM: {is_deaf}"));
        return uncover();
    }
    let monitor = builder()
        .restart(Restart::Exec)
        .state_file(folder.join("state"))
        .start()
        .unwrap();
    cover();
    let why = monitor.restart();
    panic!("{why}");
}

#[test]
fn a_restart_finds_the_program_though_proc_has_gone() {
    if let Some(account) = plays("restarts_without_proc") {
        assert_eq!(account, ["image", "image", "deaf to SIGTERM: false"]);
    }
}

fn plays(role: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = roles::command(role, folder.path());
    with_own_mounts(&mut command).then(|| played(command, folder.path()))
}

#[test]
fn without_proc_a_monitor_does_not_start_and_names_what_it_misses() {
    if let Some(account) = plays("no_proc") {
        assert_eq!(account.len(), 2, "{account:?}");
        assert!(account[0].contains("/proc/meminfo"), "{account:?}");
        assert_eq!(account[0], account[1], "nothing was left behind");
    }
}

/// Takes half a minute: as long as the limit is believed.
#[test]
fn a_proc_that_goes_away_is_missed_once_and_found_when_it_is_back() {
    if let Some(account) = plays("proc_lost") {
        assert_eq!(account, ["went on"]);
    }
}
