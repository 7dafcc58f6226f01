//! Forks at any moment: the child counts what it does itself to the byte, and does not hang.

use super::truth::{assert_exact, counted, exact, ours, since};
use super::{played, roles};
use plimsoll::{Monitor, heap, measure};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const FORKS: u64 = 300;

/// A child that does not end by itself within this is ended by its alarm, and that is a failure.
const CHILD_SECONDS: u32 = 60;

/// At once, with those of the monitor and of the test.
const MOST_THREADS: u64 = 60;

/// Every so many children start a monitor of their own.
const WITH_MONITOR: u64 = 20;

/// A thread that the standard library knows nothing of.
pub struct Bare(libc::pthread_t);

/// What one does.
pub type Work = extern "C" fn(*mut libc::c_void) -> *mut libc::c_void;

impl Bare {
    pub fn start(work: Work) -> Bare {
        // SAFETY: a number or a pointer, which is written before it is read.
        let mut thread: libc::pthread_t = unsafe { std::mem::zeroed() };
        // SAFETY: a function that takes nothing, and a place for the thread's name.
        let made = unsafe {
            libc::pthread_create(&mut thread, std::ptr::null(), work, std::ptr::null_mut())
        };
        assert_eq!(made, 0);
        Bare(thread)
    }

    pub fn join(self) {
        // SAFETY: ours, and not joined yet.
        let joined = unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
        assert_eq!(joined, 0);
    }
}

extern "C" fn short(_: *mut libc::c_void) -> *mut libc::c_void {
    for size in 1..50 {
        drop(black_box(vec![1u8; size]));
    }
    std::ptr::null_mut()
}

/// Threads that are at it.
static AT_IT: AtomicU64 = AtomicU64::new(0);

/// Does one thing again and again, until told to stop.
pub fn busy(
    stop: &Arc<AtomicBool>,
    mut work: impl FnMut(u64) + Send + 'static,
) -> std::thread::JoinHandle<u64> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            work(round);
            round += 1;
            if round == 1 {
                AT_IT.fetch_add(1, Ordering::AcqRel);
            }
        }
        round
    })
}

/// Threads in every state that a thread of the allocator's can be in.
pub fn all_states(stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<u64>> {
    vec![
        // The hot path.
        busy(stop, |round| {
            let mut piece = black_box(vec![1u8; 1 + (round % 500) as usize]);
            piece.extend([0; 600]);
        }),
        busy(stop, |round| drop(black_box(Box::new(round)))),
        // A quantum each time.
        busy(stop, |round| {
            drop(black_box(Vec::<u8>::with_capacity(
                (256 << 10) + (round % 7) as usize,
            )));
        }),
        // Threads that register and depart, more at once than the first chunk holds. The standard
        // library's hold a lock of its own while they start, which in a child nobody would let go.
        busy(stop, |_| {
            let many: Vec<_> = (0..40).map(|_| Bare::start(short)).collect();
            many.into_iter().for_each(Bare::join);
        }),
        // Scopes, which watch for peaks.
        busy(stop, |_| {
            let ((), outer) = measure(|| {
                let kept = black_box(vec![1u8; 3_000]);
                let ((), inner) = measure(|| drop(black_box(vec![1u8; 5_000])));
                assert_eq!(inner.peak_bytes, 5_000);
                drop(kept);
            });
            assert_eq!((outer.peak_bytes, outer.net_bytes), (8_000, 0));
        }),
        // Who reads.
        busy(stop, |_| {
            black_box(heap().live_bytes());
            black_box(plimsoll::threads());
        }),
    ]
}

/// What a child does. Nothing here may wait for a thread that only the parent has.
fn child(number: u64) -> Result<(), String> {
    let (truth, own) = (counted(), ours());
    if heap().threads() != 1 {
        return Err(format!("{} threads", heap().threads()));
    }
    // At most one operation for each thread that was in the middle of one.
    let off = (0..4).map(|place| truth[place].abs_diff(own[place])).max();
    if off > Some(MOST_THREADS) {
        return Err(format!("more than half counted: {truth:?}, {own:?}"));
    }
    let ((), own_work) = measure(|| {
        let mut kept = Vec::with_capacity(100);
        kept.extend((0..100).map(|size| black_box(vec![1u8; 1 + size])));
    });
    let bytes = 5_050 + 100 * size_of::<Vec<u8>>() as u64;
    if (own_work.allocations, own_work.allocated_bytes) != (101, bytes) {
        return Err(format!("measured {own_work:?}"));
    }
    let moved = std::thread::spawn(|| black_box(vec![7u8; 300_000]));
    let moved = moved.join().map_err(|_| "a thread panicked".to_owned())?;
    drop(moved);
    if number.is_multiple_of(WITH_MONITOR) {
        let builder = Monitor::builder().interval(Duration::from_millis(10));
        let monitor = builder.start().map_err(|error| error.to_string())?;
        while monitor.history().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        monitor.stop();
    }
    let (done, seen) = (since(counted(), truth), since(ours(), own));
    // Threads that have ended have, and jemalloc's own do not come through here.
    if done != seen {
        return Err(format!("did {done:?}, counted {seen:?}"));
    }
    let (low, high) = heap().live_bytes_range();
    if low != high {
        return Err(format!("not at rest: {low} to {high}"));
    }
    Ok(())
}

/// Forks, and answers how the child ended: 0 is well.
fn forked(number: u64) -> i32 {
    // SAFETY: the child allocates, starts threads and leaves by `_exit`; the allocator inside handles
    // forks.
    let process_id = unsafe { libc::fork() };
    assert!(process_id >= 0);
    if process_id == 0 {
        // SAFETY: ends this process should it hang.
        unsafe { libc::alarm(CHILD_SECONDS) };
        let outcome = child(number);
        if let Err(difference) = &outcome {
            // SAFETY: a buffer of that length. Not through a lock that may be another thread's.
            unsafe { libc::write(2, difference.as_ptr().cast(), difference.len()) };
        }
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    let waited = unsafe { libc::waitpid(process_id, &mut status, 0) };
    assert_eq!(waited, process_id);
    status
}

pub fn forks() {
    let builder = Monitor::builder().interval(Duration::from_millis(10));
    let monitor = builder.start().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = all_states(&stop);
    // And one that forks beside, as soon as none of them is only starting.
    let beside = Arc::new(AtomicU64::new(0));
    let failed = Arc::clone(&beside);
    let states = threads.len() as u64;
    threads.push(busy(&stop, move |number| {
        while AT_IT.load(Ordering::Acquire) < states {
            std::thread::yield_now();
        }
        let is_bad = forked(number * WITH_MONITOR + 1) != 0;
        failed.fetch_add(u64::from(is_bad), Ordering::Relaxed);
    }));
    while AT_IT.load(Ordering::Acquire) < threads.len() as u64 {
        std::thread::yield_now();
    }
    for number in 0..FORKS {
        // From within a scope every second time: the child goes on in it, as the parent does.
        let status = if number % 2 == 0 {
            forked(number)
        } else {
            measure(|| forked(number)).0
        };
        assert_eq!(status, 0, "child {number}");
    }
    stop.store(true, Ordering::Relaxed);
    let rounds: Vec<u64> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    println!("rounds: {rounds:?}");
    assert_eq!(beside.load(Ordering::Relaxed), 0);
    assert!(rounds.iter().all(|&rounds| rounds > 0));
    assert!(monitor.history().len() > 1, "the monitor goes on");
    monitor.stop();
    assert_exact();
    assert!(exact().is_ok());
}

#[test]
fn a_child_that_is_forked_in_any_state_counts_its_own_exactly_and_does_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    played(roles::command("forks", folder.path()), folder.path());
}
