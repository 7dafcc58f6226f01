//! What the monitor costs when nothing happens, and while a level lasts that nothing can lower.
//!
//! `cargo bench --bench idle` (two minutes)
#![allow(clippy::print_stdout, reason = "a program, not a library")]

use plimsoll::{ActionKind, Monitor, Plimsoll, heap};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let monitor = Monitor::builder()
        .limit(1 << 30)
        .start()
        .expect("the only monitor");
    let (processor, allocations) = over_a_minute();
    println!(
        "idle: {:.4} % of a processor, {allocations} allocations in a minute",
        processor * 100.0
    );
    monitor.stop();

    let kept = vec![1u8; 420 << 20];
    let monitor = Monitor::builder()
        .limit(512 << 20)
        .start()
        .expect("the only monitor");
    let (processor, _) = over_a_minute();
    let rows = monitor.ledger();
    let purges = rows
        .iter()
        .filter(|row| row.action == ActionKind::PurgeArenas)
        .count();
    println!(
        "at the {} level: {:.4} % of a processor, {purges} purges due in a minute",
        monitor.level(),
        processor * 100.0
    );
    drop(kept);
}

/// The share of a processor, and the allocations, of this process while its main thread sleeps.
fn over_a_minute() -> (f64, u64) {
    // What the start leaves to be done.
    std::thread::sleep(Duration::from_secs(2));
    let (before, asked, begun) = (processor_time(), heap().allocations(), Instant::now());
    std::thread::sleep(MINUTE);
    let allocations = heap().allocations() - asked;
    let used = (processor_time() - before).as_secs_f64();
    (used / begun.elapsed().as_secs_f64(), allocations)
}

#[cfg(unix)]
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(unix))]
fn processor_time() -> Duration {
    Duration::ZERO
}
