//! What a worker does: one workload under the global allocator of its binary.
//!
//! Every allocator has a binary of its own under `src/bin`, because a program has one global
//! allocator. A worker is told the workload, the number of threads and the number of operations,
//! and prints nanoseconds per operation. Calls go through functions that are not inlined, so that
//! each allocator's own code generation does not change the loop around it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "programs, not a library"
)]

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::Instant;

/// A workload by its name, and what one operation is.
pub const WORKLOADS: [(&str, &str); 3] = [
    ("pair", "allocate and free 64 bytes"),
    (
        "replace",
        "replace a random one of 10,000 blocks by one of 8 to 1,024 bytes",
    ),
    ("json", "parse and drop a JSON document of 200 KiB"),
];

/// Runs what the arguments say: `WORKLOAD THREADS OPERATIONS`.
pub fn work() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match words.as_slice() {
        [workload, threads, operations] => threads
            .parse()
            .ok()
            .zip(operations.parse().ok())
            .and_then(|(threads, operations)| Some((find(workload)?, threads, operations))),
        _ => None,
    };
    let Some((run, threads, operations)) = parsed else {
        eprintln!("found {words:?}: expected WORKLOAD THREADS OPERATIONS, as `pair 2 1000000`");
        return ExitCode::from(2);
    };
    println!("{}", nanoseconds(run, threads, operations));
    ExitCode::SUCCESS
}

type Run = fn(usize);

fn find(workload: &str) -> Option<Run> {
    match workload {
        "pair" => Some(pair_loop),
        "replace" => Some(replace),
        "json" => Some(json),
        _ => None,
    }
}

/// Wall time of the slowest of `threads`, started together, per operation of each.
fn nanoseconds(run: Run, threads: usize, operations: usize) -> f64 {
    let start = Barrier::new(threads);
    let slowest = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    run(operations / 10);
                    start.wait();
                    let begun = Instant::now();
                    run(operations);
                    begun.elapsed()
                })
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .max()
    });
    slowest.unwrap_or_default().as_nanos() as f64 / operations as f64
}

/// Allocates and frees, over and over. Named so that callgrind can count inside it.
#[inline(never)]
#[unsafe(no_mangle)]
pub fn pair_loop(operations: usize) {
    for _ in 0..operations {
        let address = take(black_box(64));
        give(black_box(address), 64);
    }
}

fn replace(operations: usize) {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let mut size = move || 8 + next() % 1017;
    let mut blocks: Vec<(*mut u8, usize)> = (0..10_000)
        .map(|_| {
            let size = size();
            (take(size), size)
        })
        .collect();
    let mut place = 0;
    for _ in 0..operations {
        let size = size();
        place = (place + size * 7919) % blocks.len();
        let (address, old) = std::mem::replace(&mut blocks[place], (take(size), size));
        give(address, old);
    }
    for (address, size) in blocks {
        give(address, size);
    }
}

fn json(operations: usize) {
    let document = document();
    for _ in 0..operations {
        let value: serde_json::Value =
            serde_json::from_str(black_box(&document)).unwrap_or_default();
        drop(black_box(value));
    }
}

/// Children with names, numbers and lists, as a service would send them.
fn document() -> String {
    let rooms = ["Acorns", "Beeches", "Cedars"];
    let children: Vec<_> = (0..1000)
        .map(|id| {
            serde_json::json!({
                "id": id,
                "name": format!("Child {id:05}"),
                "room": rooms[id % rooms.len()],
                "days": [id % 2 == 0, true, false, id % 3 == 0, true],
                "contacts": [
                    { "name": format!("Contact {}", id * 2), "phone": format!("555-{id:04}") },
                    { "name": format!("Contact {}", id * 2 + 1), "phone": null },
                ],
                "fee": id as f64 * 1.25,
            })
        })
        .collect();
    serde_json::Value::from(children).to_string()
}

#[inline(never)]
fn take(size: usize) -> *mut u8 {
    // SAFETY: the size is not 0 and far below the limit.
    unsafe {
        let address = alloc(Layout::from_size_align_unchecked(size, 8));
        // A block that nobody writes to costs less than any real one.
        if !address.is_null() {
            address.write(1);
        }
        address
    }
}

#[inline(never)]
fn give(address: *mut u8, size: usize) {
    // SAFETY: from `take` with this size, freed once.
    unsafe { dealloc(address, Layout::from_size_align_unchecked(size, 8)) }
}
