//! Divan and `plimsoll::bench` in one program, on the same functions: two tables, one after the other.
//!
//! Divan counts allocations in an allocator of its own, here around `Plimsoll`, so both counts come
//! from the same calls. Its counting is on the path of every call while it measures.
//!
//! `cargo bench --features bench --bench beside_divan`
#![allow(missing_docs, reason = "a program")]

use plimsoll::Plimsoll;
use std::hint::black_box;
use std::process::ExitCode;

#[global_allocator]
static HEAP: divan::AllocProfiler<Plimsoll> = divan::AllocProfiler::new(Plimsoll::new());

#[divan::bench]
fn boxed() -> Box<u64> {
    Box::new(black_box(7))
}

#[divan::bench]
fn grown() -> Vec<u64> {
    let mut numbers = Vec::new();
    (0..64).for_each(|number| numbers.push(black_box(number)));
    numbers
}

#[divan::bench]
fn sorted() -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..black_box(1000u32))
        .map(|n| n.wrapping_mul(2_654_435_761))
        .collect();
    numbers.sort_unstable();
    numbers
}

fn main() -> ExitCode {
    divan::main();
    plimsoll::bench::main(|harness| {
        harness.bench("boxed", |bencher| bencher.iter(boxed));
        harness.bench("grown", |bencher| bencher.iter(grown));
        harness.bench("sorted", |bencher| bencher.iter(sorted));
    })
}
