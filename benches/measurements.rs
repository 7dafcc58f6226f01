//! Allocations, bytes and peak by criterion: what an iteration takes, not how long.
//!
//! `cargo bench --features criterion --bench measurements`
#![allow(missing_docs, reason = "a program")]

use criterion::{Criterion, criterion_group, criterion_main};
use plimsoll::bench::criterion::{AllocatedBytes, Allocations, BencherExt, Counted, PeakBytes};
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

fn lines(count: usize) -> String {
    (0..count)
        .map(|line| format!("name{line}=value{line}\n"))
        .collect()
}

/// Criterion keeps what it found by name, whatever was measured: each measurement has names of its own.
fn parsing<M: Counted + 'static>(criterion: &mut Criterion<M>, measured: &str) {
    let text = lines(1000);
    let pairs = || text.lines().filter_map(|line| line.split_once('='));
    let mut group = criterion.benchmark_group(format!("{measured} of settings"));
    group.bench_function("counted", |bencher| {
        bencher.iter_counted(|| black_box(pairs()).count());
    });
    group.bench_function("hash map", |bencher| {
        bencher.iter_counted(|| pairs().collect::<HashMap<_, _>>());
    });
    group.bench_function("tree", |bencher| {
        bencher.iter_counted(|| pairs().collect::<BTreeMap<_, _>>());
    });
    group.bench_function("appended", |bencher| {
        bencher.iter_counted_with(
            || text.clone(),
            |mut text| {
                text.push('\n');
                text
            },
        );
    });
    group.finish();
}

fn quick<M: Counted + 'static>(measurement: M) -> Criterion<M> {
    // What is counted needs no long run.
    Criterion::default()
        .with_measurement(measurement)
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(50))
        .measurement_time(std::time::Duration::from_millis(200))
}

fn allocations(criterion: &mut Criterion<Allocations>) {
    parsing(criterion, "allocations");
}

fn bytes(criterion: &mut Criterion<AllocatedBytes>) {
    parsing(criterion, "bytes");
}

fn peak(criterion: &mut Criterion<PeakBytes>) {
    parsing(criterion, "peak");
}

criterion_group!(name = one; config = quick(Allocations); targets = allocations);
criterion_group!(name = two; config = quick(AllocatedBytes); targets = bytes);
criterion_group!(name = three; config = quick(PeakBytes); targets = peak);
criterion_main!(one, two, three);
