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

#[cfg(feature = "programs")]
mod programs;
mod suites;

use std::process::ExitCode;
use std::sync::Barrier;
use std::time::Instant;

/// A workload.
#[derive(Clone, Copy)]
pub struct Workload {
    /// By which it is asked for.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// A program does other things than allocating too.
    pub is_program: bool,
    run: fn(usize),
}

const fn suite(name: &'static str, run: fn(usize), operation: &'static str) -> Workload {
    Workload {
        name,
        operation,
        is_program: false,
        run,
    }
}

#[cfg(feature = "programs")]
const fn program(name: &'static str, run: fn(usize), operation: &'static str) -> Workload {
    Workload {
        is_program: true,
        ..suite(name, run, operation)
    }
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    suite("pair", suites::pair_loop, "allocate and free 64 bytes"),
    suite(
        "replace",
        suites::replace,
        "replace a random one of 10,000 blocks by one of 8 to 1,024 bytes",
    ),
    suite(
        "larson",
        suites::larson,
        "replace a random one of 1,000 blocks of 10 to 500 bytes, which pass from thread to thread \
         (Larson and Krishnan 1998)",
    ),
    suite(
        "xmalloc",
        suites::xmalloc,
        "allocate 64 to 512 bytes that another thread frees (Lever and Boreham 2000)",
    ),
    suite(
        "scratch",
        suites::scratch,
        "free 8 bytes that lie beside another thread's, allocate 8, write them a hundred times \
         (cache-scratch, Berger et al. 2000)",
    ),
    suite(
        "rptest",
        suites::rptest,
        "allocate 16 to 8,000 bytes, small ones more often, and free one of 4,000, every eighth on \
         another thread (after rpmalloc's benchmark)",
    ),
    #[cfg(feature = "programs")]
    program(
        "json",
        programs::json,
        "parse and drop a JSON document of 200 KiB",
    ),
    #[cfg(feature = "programs")]
    program(
        "json-large",
        programs::json_large,
        "parse, write and drop a JSON document of 16 MiB",
    ),
    #[cfg(feature = "programs")]
    program(
        "regex",
        programs::regex,
        "compile a regular expression, and collect what it finds in this project's README",
    ),
    #[cfg(feature = "programs")]
    program(
        "sqlite",
        programs::sqlite,
        "a transaction of 100 rows and a query over them; SQLite allocates through Rust's allocator",
    ),
    #[cfg(feature = "programs")]
    program(
        "compiler",
        programs::compiler,
        "parse 200 functions into an arena, with names in a map; fold their constants; drop all",
    ),
];

/// Runs what the arguments say: `WORKLOAD THREADS OPERATIONS`.
pub fn work() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let find = |name: &String| WORKLOADS.iter().find(|workload| workload.name == name);
    let parsed = match words.as_slice() {
        [workload, threads, operations] => threads
            .parse()
            .ok()
            .zip(operations.parse().ok())
            .and_then(|(threads, operations)| Some((find(workload)?, threads, operations))),
        _ => None,
    };
    let Some((workload, threads, operations)) = parsed else {
        eprintln!("found {words:?}: expected WORKLOAD THREADS OPERATIONS, as `pair 2 1000000`");
        return ExitCode::from(2);
    };
    println!("{}", nanoseconds(workload.run, threads, operations));
    ExitCode::SUCCESS
}

/// Wall time of the slowest of `threads`, started together, per operation of each.
fn nanoseconds(run: fn(usize), threads: usize, operations: usize) -> f64 {
    // One that fails has measured something else, and would keep the others waiting; its message is out.
    let run = |operations| {
        if std::panic::catch_unwind(|| run(operations)).is_err() {
            std::process::exit(1);
        }
    };
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
        let times = threads.into_iter().map(|thread| thread.join());
        times.map(|time| time.unwrap_or_default()).max()
    });
    slowest.unwrap_or_default().as_nanos() as f64 / operations as f64
}
