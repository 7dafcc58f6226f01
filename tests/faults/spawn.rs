//! Programs started by `posix_spawn` and `vfork`, while threads allocate: the parent stays exact.

use super::fork::all_states;
use super::truth::assert_exact;
use super::{played, shim};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const TIMES: usize = 100;

fn wait_for(process_id: libc::pid_t) {
    let mut status = 0;
    // SAFETY: waits for the child just made.
    let waited = unsafe { libc::waitpid(process_id, &mut status, 0) };
    assert_eq!(waited, process_id);
    assert_eq!(status, 0);
}

fn posix_spawn() -> libc::pid_t {
    let program = c"/bin/true";
    let arguments = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
    let mut process_id = 0;
    // SAFETY: strings that end with a zero, and lists that end with a null.
    let error = unsafe {
        libc::posix_spawn(
            &mut process_id,
            program.as_ptr(),
            std::ptr::null(),
            std::ptr::null(),
            arguments.as_ptr(),
            &arguments[1],
        )
    };
    assert_eq!(error, 0);
    process_id
}

pub fn spawns() {
    let stop = Arc::new(AtomicBool::new(false));
    let threads = all_states(&stop);
    for _ in 0..TIMES {
        // Without anything to do before it, the standard library takes `posix_spawn`.
        let output = Command::new("/bin/true").arg("with an argument").output();
        assert!(output.unwrap().status.success());
        let given_up = Command::new("/no/such/program")
            .stdin(Stdio::null())
            .spawn();
        assert!(given_up.is_err());
        wait_for(posix_spawn());
        wait_for(shim::vfork(c"/bin/true"));
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        assert!(thread.join().unwrap() > 0);
    }
    assert_exact();
}

#[test]
fn programs_that_are_started_meanwhile_leave_the_counts_exact() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command("spawns", folder.path()) {
        played(command, folder.path());
    }
}
