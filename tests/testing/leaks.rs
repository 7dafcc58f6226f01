use crate::block;
use crate::panics::panic_of;
use plimsoll::assert_no_leak;
use plimsoll::testing::{carry, fail_above, spawn};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

#[test]
fn what_is_freed_again_is_no_leak() {
    assert_no_leak!({
        let mut list = Vec::new();
        for number in 0..1000usize {
            list.push(block(number + 1));
        }
        list.truncate(10);
        list.shrink_to_fit();
    });
}

#[test]
fn blocks_that_other_threads_free_are_no_leak() {
    for round in 0..200 {
        let remaining = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_no_leak!({
                let kept: Vec<_> = (0..20).map(|number| block(number + round + 1)).collect();
                std::thread::scope(|scope| {
                    // A scope's end does not wait for what a thread frees of its own; this does.
                    scope.spawn(carry(move || drop(kept))).join().unwrap();
                });
            });
        }));
        assert!(remaining.is_ok(), "round {round}");
    }
}

#[test]
fn a_stranger_frees_while_all_allocate() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Option<Box<[u8]>>>(4);
        let (done, is_done) = mpsc::sync_channel::<()>(4);
        scope.spawn(move || {
            for received in receive {
                drop(received);
                done.send(()).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // The very sizes, so that addresses are used again at once.
                    let mut list = block(64).into_vec();
                    list.reserve_exact(200);
                    drop(list);
                }
            });
        }
        send.send(None).unwrap();
        is_done.recv().unwrap();
        for _ in 0..300 {
            assert_no_leak!({
                send.send(Some(block(64))).unwrap();
                is_done.recv().unwrap();
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_leak_is_found_to_the_byte_with_its_line() {
    let mut kept = Vec::with_capacity(10);
    let (message, place) = panic_of(|| {
        assert_no_leak!({
            drop(block(5));
            kept.push(block(1000));
            kept.push(block(234));
        });
    });
    assert!(message.contains("2 blocks with 1,234 bytes"), "{message}");
    assert!(message.contains("tests/testing/leaks.rs:"), "{message}");
    assert!(place.starts_with("tests/testing/leaks.rs:"), "{place}");
}

#[test]
fn an_older_block_that_shrinks_and_grows_back_is_none() {
    let mut list = std::hint::black_box(Vec::<u8>::with_capacity(100));
    assert_no_leak!({
        list.shrink_to(50);
        list.reserve_exact(100);
    });
    assert_no_leak!({
        list.reserve_exact(200);
        list.shrink_to(50);
        list.reserve_exact(100);
    });
    let (message, _) = panic_of(|| {
        assert_no_leak!({
            list.shrink_to(50);
            list.reserve_exact(130);
        });
    });
    assert!(message.contains("30 bytes"), "{message}");
}

#[test]
fn an_older_block_that_grows_is_a_leak_and_one_that_shrinks_again_is_none() {
    let mut list = std::hint::black_box(Vec::<u8>::with_capacity(100));
    let (message, _) = panic_of(|| assert_no_leak!({ list.reserve_exact(1000) }));
    assert!(message.contains("1 block with 900 bytes"), "{message}");
    assert_no_leak!({
        list.reserve_exact(5000);
        list.shrink_to(100);
    });
}

#[test]
fn what_a_carried_thread_leaves_is_found() {
    let (message, _) = panic_of(|| {
        assert_no_leak!({
            spawn(|| std::mem::forget(block(4321))).join().unwrap();
        });
    });
    assert!(message.contains("4,321 bytes"), "{message}");
}

#[cfg(unix)]
#[test]
fn the_child_of_a_fork_within_a_check_goes_on_whoever_held_what() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(block(10));
                }
            });
        }
        for _ in 0..200 {
            let status = assert_no_leak!({
                // SAFETY: the child allocates, which the allocator allows, and leaves by `_exit`.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: ends a child that hangs, and one that does not.
                    unsafe {
                        libc::alarm(60);
                        drop(block(1000));
                        libc::_exit(0);
                    }
                }
                let mut status = 0;
                // SAFETY: waits for the child just made.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                status
            });
            assert_eq!(status, 0, "the child hung");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Two threads in the middle of a reallocation at once: each knows its own block again.
#[test]
fn blocks_that_two_threads_reallocate_at_once_are_told_apart() {
    let grow = |rounds: usize| {
        let mut list = Vec::<u8>::with_capacity(10);
        for round in 1..rounds {
            black_box(&mut list).reserve_exact(10 + 7 * round);
            if round % 5 == 0 {
                list = Vec::with_capacity(10);
            }
        }
    };
    assert_no_leak!({
        let threads = [300, 301, 302].map(|rounds| spawn(move || grow(rounds)));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// What could not grow stays where it is, and is a leak where it is forgotten.
#[test]
fn a_block_that_was_refused_to_grow_and_is_forgotten_is_a_leak() {
    let (message, _) = panic_of(|| {
        assert_no_leak!({
            let mut list = Vec::<u8>::with_capacity(123);
            // Once by us, and once by the allocator.
            let failing = fail_above(1_000);
            assert!(list.try_reserve_exact(5_000).is_err());
            drop(failing);
            assert!(list.try_reserve_exact(1 << 61).is_err());
            std::mem::forget(list);
        });
    });
    assert!(message.contains("123 bytes"), "{message}");
}
