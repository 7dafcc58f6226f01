//! Real faults in real processes: each has an outcome that is defined, and none hurts the program.
#![cfg(all(target_os = "linux", target_pointer_width = "64", feature = "jemalloc"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod callbacks;
mod calls;
mod clock;
mod disk;
mod fork;
mod library;
mod limit;
mod memory;
mod own_proc;
mod restarts;
#[cfg(all(feature = "http", feature = "cache", feature = "batch"))]
mod served;
mod shim;
mod signals;
mod spawn;
mod threads;
mod truth;

#[cfg(all(feature = "http", feature = "cache", feature = "batch"))]
#[path = "../client/mod.rs"]
mod client;
#[path = "../group/mod.rs"]
mod group;
#[path = "../roles/mod.rs"]
mod roles;
#[path = "../skip/mod.rs"]
mod skip;

use plimsoll::Plimsoll;
use skip::skip;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Duration;

#[global_allocator]
static HEAP: Plimsoll<truth::Truth> = Plimsoll::wrap(truth::Truth);

/// Not a test: what the other processes run.
#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    if std::env::var_os("PLIMSOLL_TEST_LOG").is_some() {
        tracing_subscriber::fmt().with_writer(io::stderr).init();
    }
    match role.as_str() {
        "forks" => fork::forks(),
        "spawns" => spawn::spawns(),
        "signals" => signals::signals(),
        "bomb_in_callback" => callbacks::bomb_in_callback(&folder),
        "bomb_in_cache" => callbacks::bomb_in_cache(&folder),
        "logs" => callbacks::logs(&folder),
        "caches" => callbacks::caches(&folder),
        "drains" => callbacks::drains(&folder),
        "ends" => callbacks::ends(&folder),
        "library" => library::library(&folder),
        "closed" => library::closed(&folder),
        "clock" => clock::clock(&folder),
        "stuck_clock" => clock::stuck_clock(&folder),
        "no_proc" => own_proc::no_proc(&folder),
        "restarts_without_proc" => own_proc::restarts_without_proc(&folder),
        "proc_lost" => own_proc::proc_lost(&folder),
        "full_disk" => disk::full(&folder),
        "read_only" => disk::read_only_role(&folder),
        "start_read_only" => disk::start_hindered(&folder),
        "refused" => memory::refused(),
        "lost_indices" => memory::lost_indices(),
        "lowered" => limit::lowered(&folder),
        "group" => limit::in_group(&folder),
        "no_thread" => threads::no_thread(&folder),
        "no_block" => threads::no_block(&folder),
        "no_process" => threads::no_process(&folder),
        "headless" => threads::headless(&folder),
        "calls" => calls::calls(&folder),
        "restarts" => restarts::restarts(&folder),
        #[cfg(all(feature = "http", feature = "cache", feature = "batch"))]
        "forked" => served::forked(&folder),
        #[cfg(all(feature = "http", feature = "cache", feature = "batch"))]
        "server_threads" => served::server_threads(&folder),
        #[cfg(all(feature = "http", feature = "cache", feature = "batch"))]
        "no_sweeper" => served::no_sweeper(&folder),
        #[cfg(all(feature = "http", feature = "cache", feature = "batch"))]
        "no_descriptor" => served::no_descriptor(&folder),
        other => panic!("no such role: {other}"),
    }
    roles::say(&folder, "done");
}

/// How long a process may take that usually takes less than a minute, on a machine that may have much
/// else to do: only one that hangs is ended.
const WATCHDOG: Duration = Duration::from_secs(300);

/// Plays the role of a command to its end, which has to come.
fn watched(mut command: Command) -> Output {
    let child = command.spawn().expect("a process");
    let process_id = child.id() as libc::pid_t;
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    if let Ok(output) = ended.recv_timeout(WATCHDOG) {
        return output.unwrap();
    }
    // SAFETY: our own child, which has not been waited for.
    unsafe { libc::kill(process_id, libc::SIGKILL) };
    let output = ended.recv().unwrap().unwrap();
    panic!("it hangs: {}", said(&output));
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{:?}\n{out}\n{err}", output.status)
}

/// Plays a role to its good end, and answers the account without its last line.
fn played(command: Command, folder: &Path) -> Vec<String> {
    let output = watched(command);
    let mut account = roles::account(folder);
    assert!(output.status.success(), "{account:?} {}", said(&output));
    assert_eq!(account.pop().as_deref(), Some("done"), "{}", said(&output));
    account
}

/// Has a command run among mounts of its own; `false`, and why it is skipped is said, where this
/// process may not.
fn with_own_mounts(command: &mut Command) -> bool {
    // SAFETY: no arguments, no effect, cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can have mounts of its own");
        return false;
    }
    let own_mounts = || {
        // SAFETY: only system calls, on constants.
        let done = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    std::ptr::null(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
        };
        if done {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    let mut trial = Command::new("true");
    // SAFETY: likewise; and so in the command itself.
    unsafe {
        trial.pre_exec(own_mounts);
        command.pre_exec(own_mounts);
    }
    match trial.status() {
        Ok(_) => true,
        Err(error) => {
            skip(format!("no mounts of its own: {error}"));
            false
        }
    }
}
