//! The child of a fork goes on with the right figures. A file with one test, so that nothing else
//! runs in the process.
#![cfg(unix)]

mod truth;

use plimsoll::Plimsoll;
use std::sync::mpsc;
use truth::{Truth, assert_exact};

#[global_allocator]
static HEAP: Plimsoll<Truth> = Plimsoll::wrap(Truth);

#[test]
fn the_child_of_a_fork_goes_on_exactly_and_so_does_the_parent() {
    // The harness's own thread has to be at rest: an operation that another thread is in the
    // middle of is half counted in the child.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let kept = vec![1u8; 12_345];
    // A thread that will not be there in the child, with blocks that will.
    let (stop, stopped) = mpsc::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let piece = vec![1u8; 54_321];
        ready.send(()).unwrap();
        let _ = stopped.recv();
        drop(piece);
    });
    is_ready.recv().unwrap();
    assert_exact();
    for _ in 0..20 {
        // SAFETY: the child allocates, frees, starts a thread and leaves by `_exit`; the allocator
        // inside handles forks.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let fine = std::panic::catch_unwind(|| {
                assert_exact();
                // The forking thread alone.
                assert_eq!(plimsoll::heap().threads(), 1);
                let piece = vec![1u8; 999];
                let moved = std::thread::spawn(move || {
                    drop(piece);
                    vec![1u8; 7]
                });
                assert_eq!(moved.join().unwrap(), [1; 7]);
                assert_exact();
            });
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(fine.is_err())) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the child failed"
        );
    }
    drop(kept);
    stop.send(()).unwrap();
    other.join().unwrap();
    assert_exact();
}
