//! A monitor that has nothing to do allocates nothing. Alone in its process, so that every
//! allocation there is would be its own.

#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

use plimsoll::{Monitor, Plimsoll, heap};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

#[test]
fn looking_allocates_nothing() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let interval = Duration::from_millis(10);
    let monitor = Monitor::builder().interval(interval).start().unwrap();
    // The first looks make what is made once.
    let looks = || monitor.history().len();
    let patience = Instant::now() + Duration::from_secs(20);
    while looks() < 20 {
        assert!(Instant::now() < patience, "it does not look");
        std::thread::sleep(Duration::from_millis(10));
    }
    let seen = monitor.history().pop().map(|sample| sample.at);
    let counted = || heap().allocations() + heap().reallocations();
    let before = counted();
    // Some three hundred looks.
    std::thread::sleep(Duration::from_secs(3));
    let found = counted() - before;
    println!("{found} allocations in 3 s of looks every 10 ms");
    assert_eq!(found, 0);
    assert!(monitor.history().pop().map(|sample| sample.at) > seen);
}
