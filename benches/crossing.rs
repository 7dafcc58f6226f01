//! From crossing a line to the callback, while memory grows at 1 GB/s.
//!
//! `cargo bench --bench crossing`
//!
//! A thread allocates at that rate and notes when its sum passes the line; the callback notes when
//! it begins and how much the heap holds by then. What lies between is the delay and the overshoot.
#![allow(clippy::print_stdout, reason = "a program, not a library")]

use plimsoll::{EventKind, Level, Monitor, Plimsoll, heap};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const LIMIT: u64 = 256 << 20;
const LINE: f64 = 0.75;
const ROUNDS: usize = 300;
const PIECE: usize = 16 << 10;
const BYTES_PER_SECOND: f64 = 1e9;

fn main() {
    let epoch = Instant::now();
    let now = move || epoch.elapsed().as_nanos() as u64;
    let called_at = Arc::new(AtomicU64::new(0));
    let held_then = Arc::new(AtomicU64::new(0));
    let (at, held) = (Arc::clone(&called_at), Arc::clone(&held_then));
    let monitor = Monitor::builder()
        .limit(LIMIT)
        .observe_only()
        .on_event(move |event| {
            if let EventKind::Level {
                from: Level::Normal,
                ..
            } = event.kind
            {
                held.store(heap().live_bytes(), Ordering::Relaxed);
                at.store(now(), Ordering::Release);
            }
        })
        .start()
        .expect("the only monitor");

    let line = (LINE * LIMIT as f64) as u64;
    let mut delays = Vec::new();
    let mut overshoots = Vec::new();
    for _ in 0..ROUNDS {
        called_at.store(0, Ordering::Relaxed);
        let mut pieces = Vec::with_capacity(LIMIT as usize / PIECE);
        let start = heap().live_bytes();
        let begun = Instant::now();
        let mut crossed_at = None;
        while called_at.load(Ordering::Acquire) == 0 {
            let grown = (pieces.len() * PIECE) as u64;
            if crossed_at.is_none() && start + grown >= line {
                crossed_at = Some(now());
            }
            assert!(grown < LIMIT, "never noticed");
            // Not faster than the rate, in steps of a piece.
            if grown as f64 <= begun.elapsed().as_secs_f64() * BYTES_PER_SECOND {
                pieces.push(black_box(Vec::<u8>::with_capacity(PIECE)));
            }
        }
        let crossed_at = crossed_at.unwrap_or(called_at.load(Ordering::Acquire));
        delays.push(called_at.load(Ordering::Acquire).saturating_sub(crossed_at));
        overshoots.push(held_then.load(Ordering::Relaxed).saturating_sub(line));
        drop(pieces);
        while monitor.level() != Level::Normal {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    delays.sort_unstable();
    overshoots.sort_unstable();
    let at = |values: &[u64], share: f64| values[((values.len() - 1) as f64 * share) as usize];
    println!(
        "from crossing to callback over {ROUNDS} rounds at 1 GB/s: p50 {:.3} ms, p99 {:.3} ms, \
         max {:.3} ms",
        at(&delays, 0.5) as f64 / 1e6,
        at(&delays, 0.99) as f64 / 1e6,
        at(&delays, 1.0) as f64 / 1e6,
    );
    println!(
        "overshoot when the callback begins: p50 {:.2} MiB, p99 {:.2} MiB, max {:.2} MiB",
        at(&overshoots, 0.5) as f64 / 1048576.0,
        at(&overshoots, 0.99) as f64 / 1048576.0,
        at(&overshoots, 1.0) as f64 / 1048576.0,
    );
}
