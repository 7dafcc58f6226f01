//! What a snapshot costs: the reader, over 1 to 1,000 threads, and the threads that allocate
//! meanwhile.
//!
//! `cargo bench --bench snapshot`
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a program, not a library"
)]

use criterion::{BenchmarkId, Criterion, criterion_group};
use plimsoll::{Plimsoll, heap};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heap() with threads alive");
    for threads in [1, 10, 100, 1000] {
        // This thread is one of them.
        let gate = Arc::new(Barrier::new(threads));
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let gate = Arc::clone(&gate);
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn(move || {
                        let kept = black_box(vec![0u8; 100]);
                        gate.wait();
                        gate.wait();
                        drop(kept);
                    })
                    .expect("a thread")
            })
            .collect();
        gate.wait();
        group.bench_with_input(
            BenchmarkId::from_parameter(threads),
            &threads,
            |bencher, _| {
                bencher.iter(heap);
            },
        );
        gate.wait();
        for other in others {
            other.join().expect("no panic");
        }
    }
    group.finish();
}

/// A box made and dropped: nothing but allocating.
fn pair(_: &mut Vec<Vec<u8>>, _: usize) {
    drop(black_box(Box::new([0u8; 64])));
}

/// One of a thousand blocks replaced by one of another size.
fn replace(held: &mut Vec<Vec<u8>>, step: usize) {
    let size = 8 + step * 7919 % 1017;
    held.resize_with(1000, Vec::new);
    held[step * 31 % 1000] = black_box(Vec::with_capacity(size));
}

type Step = fn(&mut Vec<Vec<u8>>, usize);

/// Steps a second of a thread, with or without a reader in a loop beside it, and its snapshots.
fn steps(step: Step, time: Duration, read: bool) -> (f64, u64) {
    let stop = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    let rate = std::thread::scope(|scope| {
        // Both ways there is a second busy thread, so that the processor's frequency is the same.
        scope.spawn(|| {
            let mut count = 0;
            let mut own = 0u64;
            while !stop.load(Ordering::Relaxed) {
                if read {
                    black_box(heap());
                    count += 1;
                } else {
                    own = black_box(own.wrapping_add(1));
                }
            }
            reads.store(count, Ordering::Relaxed);
        });
        let writer = scope.spawn(|| {
            let mut held = Vec::new();
            let begun = Instant::now();
            let mut steps = 0;
            while begun.elapsed() < time {
                for number in steps..steps + 10_000 {
                    step(&mut held, number);
                }
                steps += 10_000;
            }
            steps as f64 / begun.elapsed().as_secs_f64()
        });
        let rate = writer.join().expect("no panic");
        stop.store(true, Ordering::Relaxed);
        rate
    });
    (rate, reads.load(Ordering::Relaxed))
}

fn writers(name: &str, step: Step) {
    const ROUNDS: usize = 31;
    const TIME: Duration = Duration::from_millis(100);
    let mut ratios = Vec::new();
    let mut reads = 0;
    for _ in 0..ROUNDS {
        let (alone, _) = steps(step, TIME, false);
        let (beside, read) = steps(step, TIME, true);
        ratios.push(beside / alone);
        reads += read;
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{name}: beside heap() in a loop a thread keeps {:.3} of its speed ({:.3} to {:.3} in \
         {ROUNDS} alternating rounds; {:.0} ns a snapshot)",
        ratios[ROUNDS / 2],
        ratios[ROUNDS / 10],
        ratios[ROUNDS - 1 - ROUNDS / 10],
        (ROUNDS as f64 * TIME.as_nanos() as f64) / reads as f64,
    );
}

criterion_group!(benches, threads);

fn main() {
    // First: afterwards the blocks of a thousand threads would have to be read as well.
    writers("pairs", pair);
    writers("random replacement", replace);
    benches();
    Criterion::default().final_summary();
}
