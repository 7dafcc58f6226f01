//! Benchmarks that tell time and allocations of one run together.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dev-dependencies]
//! plimsoll = { version = "0.1", features = ["bench"] }
//!
//! [[bench]]
//! name = "pages"
//! harness = false
//! ```
//!
//! and in `benches/pages.rs`:
//!
//! ```no_run
//! use plimsoll::bench::{Harness, Throughput};
//!
//! #[global_allocator]
//! static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//!
//! fn pages(harness: &mut Harness) {
//!     harness.bench("join", |bencher| bencher.iter(|| ["one", "two"].concat()));
//!
//!     let mut sorting = harness.group("sort");
//!     for length in [100u32, 10_000] {
//!         sorting.bench(&length.to_string(), |bencher| {
//!             bencher
//!                 .throughput(Throughput::Items(length.into()))
//!                 // Made anew for each call, and neither timed nor counted.
//!                 .with_inputs(|| (0..length).rev().collect::<Vec<u32>>())
//!                 .iter(|mut numbers| {
//!                     numbers.sort();
//!                     numbers
//!                 })
//!         });
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     plimsoll::bench::main(pages)
//! }
//! ```
//!
//! then `cargo bench --bench pages -- --json new.json`, and later `-- --compare new.json`, or
//! `plimsoll bench-compare old.json new.json`.
//!
//! # What is measured
//!
//! A benchmark is warmed up, which also tells how many iterations make a sample. Then samples are
//! taken, one after the other. Around a sample stand two readings of the clock, and around these two
//! readings of the thread's counters, which the allocator keeps in any case: no scope is open while
//! the clock runs, and nothing is called but the routine. Time, allocations and bytes come from the
//! same iterations. The peak needs a scope whose every new peak takes a slower path: it comes from a
//! few further iterations, which are not timed.
//!
//! | | timed | counted |
//! |---|---|---|
//! | the routine | yes | yes |
//! | its output's drop with [`Bencher::iter`] | yes | yes |
//! | its output's drop with [`Inputs::iter`] | no | no |
//! | making an input | no | no |
//! | dropping an input that the routine takes by value | yes | yes |
//! | dropping an input that it borrows, [`Inputs::iter_ref`] | no | no |
//!
//! What is counted is what the benchmark's own thread calls. Threads that it starts are told of with
//! [`Bencher::threads`].
//!
//! # What is told
//!
//! Of the time, the median of the samples, which a few slow ones do not move; as their spread the
//! median absolute deviation, times 1.4826 so that it is the standard deviation where the samples are
//! normal ([`Time::spread_ns`]); and the fastest and slowest sample. Of each figure the mean of an
//! iteration, and the least and the most among the samples: the two differ only when iterations do.
//!
//! # What is compared
//!
//! [`compare`] says of each benchmark whether it is better, the same or worse: of time by a test of
//! ranks and an effect that is worth telling, of figures exactly. See [`Thresholds`].
//!
//! # Command line
//!
//! See [`main()`].

mod arguments;
mod bencher;
mod clock;
mod comparison;
#[cfg(feature = "criterion")]
#[cfg_attr(docsrs, doc(cfg(feature = "criterion")))]
pub mod criterion;
mod harness;
mod machine;
mod rank;
mod record;
mod report;
mod runner;
mod table;
mod units;

pub use self::{
    bencher::{Bencher, Inputs, Throughput},
    comparison::{Change, Comparison, Row, Thresholds, Verdict, compare},
    harness::{Group, Harness},
    machine::Machine,
    record::{Figure, Figures, Record, Time},
    report::{Report, ReportError},
    runner::{main, main_with},
};
