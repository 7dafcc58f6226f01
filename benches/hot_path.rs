//! What counting costs, call by call: Plimsoll's methods beside those of the allocator inside,
//! in one binary, on one and on two threads.
//!
//! `cargo bench --bench hot_path`. Against other crates, each as the global allocator of its own
//! program, and in instructions: `cargo bench -p plimsoll-peers --bench peers`.
#![allow(missing_docs, reason = "criterion's macros write public functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use plimsoll::{Inner, Plimsoll};
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

static COUNTED: Plimsoll = Plimsoll::new();
static BARE: Plimsoll = Plimsoll::new();

/// Not inlined, as an allocation in a program is not.
#[inline(never)]
fn pair(heap: &impl GlobalAlloc, size: usize) {
    // SAFETY: the size is not 0; allocated and freed with one layout.
    unsafe {
        let layout = Layout::from_size_align_unchecked(size, 8);
        let address = black_box(heap.alloc(layout));
        heap.dealloc(address, layout);
    }
}

#[inline(never)]
fn grow(heap: &impl GlobalAlloc) {
    // SAFETY: allocated, resized and freed with matching layouts.
    unsafe {
        let layout = Layout::from_size_align_unchecked(64, 8);
        let address = black_box(heap.alloc(layout));
        let address = black_box(heap.realloc(address, layout, 80));
        heap.dealloc(address, Layout::from_size_align_unchecked(80, 8));
    }
}

fn beside(criterion: &mut Criterion, name: &str, run: impl Fn(&dyn Heap)) {
    let bare: &Inner = BARE.inner();
    let mut group = criterion.benchmark_group(name);
    group.bench_function("bare", |bencher| bencher.iter(|| run(bare)));
    group.bench_function("plimsoll", |bencher| bencher.iter(|| run(&COUNTED)));
    group.finish();
}

/// One call through a table for both sides alike.
trait Heap: Sync {
    fn pair(&self, size: usize);
    fn grow(&self);
}

impl<A: GlobalAlloc + Sync> Heap for A {
    fn pair(&self, size: usize) {
        pair(self, size);
    }
    fn grow(&self) {
        grow(self);
    }
}

fn one_thread(criterion: &mut Criterion) {
    beside(criterion, "pair of 64 bytes", |heap| {
        heap.pair(black_box(64))
    });
    beside(criterion, "pair of 4096 bytes", |heap| {
        heap.pair(black_box(4096))
    });
    beside(criterion, "realloc 64 to 80 bytes", |heap| heap.grow());
}

/// The measured thread allocates while another does the same.
fn two_threads(criterion: &mut Criterion) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..1000 {
                    COUNTED.pair(black_box(64));
                }
            }
        });
        beside(criterion, "pair of 64 bytes beside a busy thread", |heap| {
            heap.pair(black_box(64));
        });
        stop.store(true, Ordering::Relaxed);
    });
}

fn measure(criterion: &mut Criterion) {
    criterion.bench_function("an empty measure", |bencher| {
        bencher.iter(|| plimsoll::measure(|| black_box(1)));
    });
}

criterion_group!(benches, one_thread, two_threads, measure);
criterion_main!(benches);
