//! A monitor that has nothing to do allocates nothing. Alone in its process, so that every
//! allocation there is would be its own.

use plimsoll::{Monitor, Plimsoll, heap};
use std::time::Duration;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

#[test]
fn looking_allocates_nothing() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let interval = Duration::from_millis(10);
    let monitor = Monitor::builder().interval(interval).start().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let counted = || heap().allocations() + heap().reallocations();
    let before = counted();
    // Some three hundred looks.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(counted() - before, 0);
    assert!(!monitor.history().is_empty());
}
