//! No thread is to be had for the monitor.

use super::{played, roles, shim, skip, truth};
use plimsoll::figures::{LimitReader, ProcessFigures, Roots};
use plimsoll::{EventKind, Monitor, StartError};
use roles::{OTHER, say};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn start() -> Result<Monitor, StartError> {
    Monitor::builder()
        .interval(Duration::from_millis(10))
        .start()
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// Threads and descriptors of this process.
pub fn held() -> [usize; 2] {
    ["/proc/self/task", "/proc/self/fd"].map(count)
}

/// Waits for as many as before: a thread that has been joined may be listed a moment longer.
pub fn wait_for(before: [usize; 2]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while held() != before {
        assert!(Instant::now() < deadline, "{:?}, before {before:?}", held());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Each thread that a start asks for is refused in turn; whatever it was, the next start works.
pub fn no_thread(folder: &Path) {
    // jemalloc starts threads of its own, which stay.
    start().unwrap().stop();
    let before = held();
    let wanted = &shim::faults().create_nth;
    let mut refused = 0;
    for nth in 1.. {
        let live = plimsoll::heap().live_blocks();
        wanted.store(nth, Ordering::SeqCst);
        let outcome = start();
        let is_over = wanted.swap(0, Ordering::SeqCst) > 0;
        match outcome {
            Ok(monitor) => monitor.stop(),
            Err(StartError::Thread(error)) => {
                assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
        wait_for(before);
        if nth > 1 {
            let now = plimsoll::heap().live_blocks();
            assert!(now <= live, "{} blocks are left by try {nth}", now - live);
        }
        let monitor = start().unwrap();
        monitor.optimise().unwrap();
        monitor.stop();
        wait_for(before);
        if is_over {
            break;
        }
    }
    truth::assert_exact();
    say(folder, &format!("{refused} refused"));
}

/// No thread can have its own block handed back, so none has one: all count in the shared one.
pub fn no_block(folder: &Path) {
    assert_eq!(plimsoll::threads().len(), 0);
    let threads = (0..40u64).map(|number| {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for round in 0..500 {
                kept.push(vec![1u8; 1 + (number * 37 + round * 11) as usize % 3_000]);
                if round % 3 == 0 {
                    kept.remove(0);
                }
                if let Some(last) = kept.last_mut() {
                    last.extend_from_slice(&[0; 100]);
                }
            }
            // Freed by another thread.
            kept
        })
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        drop(thread.join().unwrap());
    }
    truth::assert_exact();
    start().unwrap().stop();
    truth::assert_exact();
    say(folder, &format!("{} threads", plimsoll::threads().len()));
}

/// As a user who may have no more threads.
pub fn no_process(folder: &Path) {
    let mut found = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: fills the structure that it is given.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &mut found) };
    assert_eq!(read, 0);
    let set = |most| {
        let limit = libc::rlimit {
            rlim_cur: most,
            ..found
        };
        // SAFETY: reads the structure that it is given.
        unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }
    };
    let before = held();
    assert_eq!(set(1), 0);
    let error = start().unwrap_err();
    assert_eq!(held(), before);
    say(folder, &error.to_string());
    assert_eq!(set(found.rlim_cur), 0);
    start().unwrap().stop();
}

/// The main thread ends by itself, and the others go on.
pub fn headless(folder: &Path) {
    // SAFETY: the child calls what a child of a process with threads may, of ours and of the C library.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let account = folder.to_owned();
        let (runs, has_started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let monitor = start().unwrap();
            let mut events = monitor.events();
            runs.send(()).unwrap();
            let has_memory = || {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                status.contains("VmRSS")
            };
            while has_memory() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let held = ProcessFigures::read(&Roots::default()).map(|held| held.anonymous_bytes > 0);
            let limits = LimitReader::new(Roots::default(), None).map(|_| ());
            say(&account, &format!("{held:?} {limits:?}"));
            let looks = monitor.history().len() + 5;
            while monitor.history().len() < looks {
                std::thread::sleep(Duration::from_millis(1));
            }
            monitor.optimise().unwrap();
            monitor.stop();
            let faults = events
                .by_ref()
                .filter(|event| matches!(event.kind, EventKind::Fault(_)));
            say(&account, &format!("{} faults", faults.count()));
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        });
        has_started.recv().unwrap();
        // SAFETY: ends this thread alone, and destroys nothing.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn a_process_whose_main_thread_has_ended_is_watched_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let account = played(roles::command("headless", folder.path()), folder.path());
    assert_eq!(account, ["Ok(true) Ok(())", "0 faults"]);
}

#[test]
fn threads_that_can_hand_nothing_back_count_together_and_exactly() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(mut command) = shim::command("no_block", folder.path()) {
        command.env("PLIMSOLL_TEST_NO_BLOCK", "1");
        assert_eq!(played(command, folder.path()), ["0 threads"]);
    }
}

#[test]
fn a_monitor_that_is_refused_a_thread_leaves_nothing_behind_and_starts_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command("no_thread", folder.path()) {
        let account = played(command, folder.path());
        println!("{account:?}");
        // Three threads, and a fourth where the kernel tells of stalls.
        assert!(
            ["3 refused", "4 refused"].contains(&account[0].as_str()),
            "{account:?}"
        );
    }
}

#[test]
fn a_user_who_may_have_no_more_threads_is_told_so() {
    // SAFETY: no arguments, no effect, cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let mut command = roles::command("no_process", folder.path());
    command.uid(OTHER);
    // Whether it may run at all.
    let mut trial = std::process::Command::new(command.get_program());
    if let Err(error) = trial.arg("--list").uid(OTHER).output() {
        skip(format!("another user may not run this test: {error}"));
        return;
    }
    let account = played(command, folder.path());
    assert!(
        account[0].starts_with("no thread for the monitor"),
        "{account:?}"
    );
}
