//! `plimsoll::bench` on small work, and beside a bare loop and criterion: whether its times are theirs.
//!
//! `cargo bench --features bench --bench harness`: a program as users write one.
//! `cargo bench --features bench --bench harness -- beside`: the three ways to take the time, one
//! after the other, several rounds.
#![allow(missing_docs, clippy::print_stdout, reason = "a program")]

use plimsoll::bench::{Harness, Throughput};
use std::hint::black_box;
use std::process::ExitCode;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

#[path = "harness/beside.rs"]
mod beside;

fn numbers(harness: &mut Harness) {
    harness.bench("box", |bencher| bencher.iter(|| Box::new(black_box(7u64))));

    harness.bench("nothing", |bencher| bencher.iter(|| black_box(1) + 1));

    // A vector without capacity: 4, 8, 16, 32, 64 numbers of 8 bytes.
    harness.bench("grown", |bencher| {
        bencher.iter(|| {
            let mut numbers: Vec<u64> = Vec::new();
            (0..64).for_each(|number| numbers.push(black_box(number)));
            numbers
        });
    });

    // One block of 4000 bytes is freed before the other is made.
    harness.bench("one after the other", |bencher| {
        bencher.iter(|| {
            drop(black_box(vec![0u8; 4000]));
            drop(black_box(vec![0u8; 4000]));
        });
    });

    let mut inputs = harness.group("inputs");
    inputs.bench("by value", |bencher| {
        bencher
            .throughput(Throughput::Bytes(1000))
            .with_inputs(|| vec![1u8; 1000])
            .iter(|bytes| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    });
    inputs.bench("kept", |bencher| {
        bencher
            .throughput(Throughput::Items(1000))
            .with_inputs(|| (0..1000u32).rev().collect::<Vec<u32>>())
            .iter(|mut numbers| {
                numbers.sort_unstable();
                numbers
            });
    });
    inputs.bench("borrowed", |bencher| {
        bencher
            .with_inputs(|| Vec::<u8>::with_capacity(16))
            .iter_ref(|bytes| bytes.reserve_exact(100));
    });

    harness.bench("threads", |bencher| {
        bencher.samples(5).threads().iter(|| {
            let bytes = plimsoll::testing::spawn(|| black_box(vec![0u8; 123_456]));
            bytes.join().map(|bytes| bytes.len())
        });
    });
}

fn main() -> ExitCode {
    // Cargo adds `--bench`, before or behind.
    if std::env::args().any(|argument| argument == "beside") {
        beside::run();
        return ExitCode::SUCCESS;
    }
    plimsoll::bench::main(numbers)
}
