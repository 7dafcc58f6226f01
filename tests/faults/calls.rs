//! Every system call of the monitor's fails in turn: whatever it is, the program goes on to its end.

use super::{played, roles, shim, truth};
use plimsoll::{Level, Levels, Monitor, Restart, StartError};
use roles::{LIMIT, MIB, say};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Start, a look, the state file, a level and what is done about it, the end. At an interval of an
/// hour: the monitor looks when there is reason to, so that the calls come to an end.
fn scenario(folder: &Path) -> Result<(), StartError> {
    // The figure may seem to grow by a twentieth: not as far as to a restart.
    let mut levels = Levels::default();
    levels.restart.enter = 0.95;
    levels.critical.enter = 0.97;
    let monitor = Monitor::builder()
        .limit(LIMIT)
        .levels(levels)
        .interval(Duration::from_secs(3600))
        .restart(Restart::Exit(9))
        .state_file(folder.join("state"))
        .start()?;
    monitor.ready();
    wait_until("it looks", || !monitor.history().is_empty());
    let begun = Instant::now();
    let kept = black_box(vec![0u8; (0.77 * LIMIT as f64) as usize]);
    wait_until("a level", || {
        let is_late = begun.elapsed() > Duration::from_secs(20);
        let faults = shim::faults();
        let nth = faults.call_nth.load(Ordering::SeqCst);
        let name = String::from_utf8_lossy(&faults.call_name);
        let all = monitor.recent_events();
        assert!(
            !is_late,
            "no level: call {nth} {name} {:?} {:?} {all:?}",
            monitor.history(),
            plimsoll::heap()
        );
        monitor.level() > Level::Normal
    });
    monitor.optimise().unwrap();
    drop(kept);
    monitor.stop();
    Ok(())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What descriptors are of, or what threads are called.
pub fn all_of(folder: &str) -> Vec<String> {
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let target = std::fs::read_link(&path).map(|target| target.display().to_string());
        target
            .or_else(|_| std::fs::read_to_string(path.join("comm")))
            .ok()
    };
    std::fs::read_dir(folder).unwrap().filter_map(of).collect()
}

const ERROR: &str = "PLIMSOLL_TEST_ERROR";

/// So many calls of a start are tried with each error.
const START: i64 = 60;

const ERRORS: [i32; 3] = [libc::EIO, libc::EINTR, libc::EMFILE];

/// Which calls are tried with this error: all of a start, and of what comes after it, again and again
/// the same, each with one of the errors.
fn swept(error: i32) -> impl Iterator<Item = i64> {
    let place = ERRORS.iter().position(|&own| own == error);
    let first = START + place.unwrap() as i64;
    (1..START).chain((first..).step_by(ERRORS.len()))
}

pub fn calls(folder: &Path) {
    let error: i32 = std::env::var(ERROR).unwrap().parse().unwrap();
    std::panic::set_hook(Box::new(|about| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        println!("{about}");
    }));
    let faults = shim::faults();
    // jemalloc starts threads of its own, which stay.
    scenario(folder).unwrap();
    let descriptors = all_of("/proc/self/fd");
    let threads = all_of("/proc/self/task");
    let mut failed = BTreeMap::<String, u32>::new();
    let mut refused = 0;
    for nth in swept(error) {
        faults.call_seen.store(0, Ordering::SeqCst);
        faults.call_failed.store(0, Ordering::SeqCst);
        faults.call_errno.store(error.into(), Ordering::SeqCst);
        faults.call_nth.store(nth, Ordering::SeqCst);
        shim::mark(true);
        let outcome = scenario(folder);
        shim::mark(false);
        faults.call_nth.store(0, Ordering::SeqCst);
        if faults.call_failed.load(Ordering::SeqCst) == 0 {
            outcome.unwrap();
            break;
        }
        let name = std::str::from_utf8(&faults.call_name).unwrap();
        let name = name.trim_end_matches('\0').to_owned();
        if let Err(error) = outcome {
            // Says what it was about, and leaves nothing behind.
            assert!(error.to_string().len() > 10, "{name} {nth}: {error}");
            refused += 1;
        }
        *failed.entry(name).or_default() += 1;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "call {nth}: {failed:?}");
        roles::remembered(folder);
    }
    let sum: u32 = failed.values().sum();
    assert!(sum > 60, "the scenario makes more calls than that");
    scenario(folder).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = (all_of("/proc/self/fd"), all_of("/proc/self/task"));
        if now.0.len() == descriptors.len() && now.1.len() <= threads.len() {
            break;
        }
        let is_late = Instant::now() > deadline;
        assert!(
            !is_late,
            "before: {descriptors:?} {threads:?}, now: {now:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(plimsoll::heap().live_bytes() < MIB);
    truth::assert_exact();
    say(
        folder,
        &format!("error {error}: {sum} calls failed, {refused} starts were refused: {failed:?}"),
    );
}

/// Each error in a process of its own: they wait more than they work.
#[test]
fn whatever_call_of_the_monitors_fails_the_program_goes_on_to_its_end() {
    let tries = ERRORS.map(|error| {
        std::thread::spawn(move || {
            let folder = tempfile::tempdir().unwrap();
            let mut command = shim::command("calls", folder.path())?;
            let manager = folder.path().join("manager");
            let _manager = UnixDatagram::bind(&manager).unwrap();
            command
                .env("NOTIFY_SOCKET", &manager)
                .env(ERROR, error.to_string());
            Some(played(command, folder.path()))
        })
    });
    let tried = tries.map(|tried| tried.join().unwrap());
    println!("{tried:#?}");
    if tried[0].is_none() {
        return;
    }
    // Among the calls that failed, with one error or another, are those that each try is sure to come to.
    let said = format!("{tried:?}");
    for name in ["fcntl", "fsync", "open64", "read", "sched_attr", "statx"] {
        assert!(
            said.contains(&format!("\\\"{name}\\\": ")),
            "no {name}: {said}"
        );
    }
}
