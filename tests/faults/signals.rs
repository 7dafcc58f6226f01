//! Signals that interrupt the counting, with a handler that does what POSIX allows one.
//!
//! One that allocates is not tried: jemalloc takes locks that the interrupted thread may hold, and a
//! count that was interrupted between its load and its store is lost.

use super::fork::all_states;
use super::truth::assert_exact;
use super::{played, roles};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As many have to arrive before it is enough.
const SIGNALS: u64 = 20_000;

static ARRIVED: AtomicU64 = AtomicU64::new(0);
static HIGHEST: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_: libc::c_int) {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
    // Figures take no lock and no memory.
    HIGHEST.fetch_max(plimsoll::heap().live_bytes_range().1, Ordering::Relaxed);
}

fn handle(signal: libc::c_int) {
    // SAFETY: all zero is a valid description; the handler does what one may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

fn every(microseconds: libc::suseconds_t) {
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: microseconds,
    };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: reads the structure that it is given.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

pub fn signals() {
    handle(libc::SIGALRM);
    handle(libc::SIGUSR1);
    let stop = Arc::new(AtomicBool::new(false));
    let threads = all_states(&stop);
    every(200);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ARRIVED.load(Ordering::Relaxed) < SIGNALS {
        assert!(Instant::now() < deadline, "too few signals arrive");
        for thread in &threads {
            // SAFETY: the thread has not been joined.
            unsafe { libc::pthread_kill(thread.as_pthread_t() as _, libc::SIGUSR1) };
        }
        // The thread that the timer's signals come to works as well.
        drop(std::hint::black_box(vec![1u8; 1_000]));
        std::thread::sleep(Duration::from_micros(300));
    }
    every(0);
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        assert!(thread.join().unwrap() > 0);
    }
    assert!(HIGHEST.load(Ordering::Relaxed) > 0);
    assert_exact();
}

#[test]
fn signals_that_interrupt_the_counting_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    played(roles::command("signals", folder.path()), folder.path());
}
