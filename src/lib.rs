//! A load line for the heap.
//!
//! Plimsoll is a global allocator that counts, exact to the byte and without a lock, and a monitor
//! that acts on what it sees before the kernel does. Swap it in with two lines:
//!
//! ```
//! #[global_allocator]
//! static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//!
//! fn main() {
//!     let kept = vec![0u8; 1000];
//!     let heap = plimsoll::heap();
//!     println!("{} bytes in {} blocks", heap.live_bytes(), heap.live_blocks());
//! #   drop(kept);
//! }
//! ```
//!
//! # Three ways to use it
//!
//! **In a service**, with a [`Monitor`] beside it: levels at 75, 80 and 90 % of whatever limit the
//! process is under, a [`Diagnosis`] of where the memory is, caches that shrink, thread caches that
//! are flushed, pages that are given back, and a restart in place before the kernel kills, with open
//! requests answered and listening sockets handed over.
//!
//! ```no_run
//! # fn main() -> Result<(), plimsoll::StartError> {
//! let monitor = plimsoll::Monitor::builder()
//!     .restart(plimsoll::Restart::Exec)
//!     .state_file("service.state")
//!     .start()?;
//! // … listen; then say that the start is over:
//! monitor.ready();
//! println!("{:?}", monitor.status());
//! # Ok(())
//! # }
//! ```
//!
//! Whether it leaks, how fast, how surely and how long there is left, says
//! [`Monitor::leak_verdict`]; [`trend`] says the same of any series.
//!
//! **In tests**, with [`testing`]: what a piece of work allocated, on this thread alone, whatever
//! other tests do meanwhile; code that must not allocate, or not leak, or survive that an allocation
//! fails.
//!
//! ```
//! # #[global_allocator]
//! # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//! let line = plimsoll::assert_allocations!(..=1, { ["one", "two"].concat() });
//! # assert_eq!(line, "onetwo");
//! ```
//!
//! **In benchmarks**, by the same figures beside the times: with the harness of [`bench`], or with
//! `criterion` by its measurements.
//!
//! # The figures
//!
//! | figure | from | exact? |
//! |---|---|---|
//! | [`heap`] | our own counters | to the byte when nothing runs; an interval that holds the truth while threads do |
//! | [`threads`] | the same, thread by thread | for each thread |
//! | [`measure`] | this thread's | to the byte, peak included |
//! | [`figures::jemalloc()`] | jemalloc's statistics | as jemalloc has them, with their age |
//! | [`figures::ProcessFigures`] | the kernel | to some tens of pages for each processor |
//! | [`figures::LimitReader`] | control groups, resource limits, memory | as set |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `jemalloc` | yes | jemalloc inside, its figures, and the purge |
//! | `serde` | no | `Serialize` for figures and status |
//! | `cli` | no | `bench`, and the program `plimsoll`: `analyze` says whether a recorded series is a leak, `bench-compare` what became of benchmarks |
//! | `http` | no | `serde`, and endpoints, live stream, dashboard, and the request layer: see [`http`] |
//! | `prometheus` | no | all figures as metrics; with `http`, `GET /metrics` |
//! | `cache` | no | caches that give way under pressure: see [`cache`] |
//! | `moka`, `lru`, `foyer` | no | `cache`, and caches of these crates take part: see `adapt` in [`cache`] |
//! | `batch` | no | large jobs that keep within memory: see [`batch`] |
//! | `rayon` | no | `batch`, and the same on rayon's pool |
//! | `testing` | no | lines and stacks in the messages of [`testing`] |
//! | `bench` | no | `serde`, and a harness for time and allocations together: see [`bench`] |
//! | `criterion` | no | `bench`, and allocations as criterion's measurements: see `bench::criterion` |
//! | `full` | no | all of them |
//!
//! # Limits
//!
//! Linux on x86-64 and AArch64 is first class. On other Unix systems the allocator counts the same
//! way, and the monitor cannot start, because figures and limits come from `/proc`. Elsewhere all
//! threads count in one shared block: exact, but slower. The tests run on Linux, x86-64, with glibc and, by
//! hand, musl, the allocator's on an emulated AArch64 too: other systems are decided by `cfg` and untested.
//! With `panic = "abort"` a
//! callback that panics ends the process, as any panic does. A signal handler must not allocate (POSIX
//! does not allow it either): one that interrupts a count loses it. An operation that another
//! thread is in the middle of during a `fork` may be half counted in the child.
//!
#![cfg_attr(feature = "batch", doc = "[`batch`]: crate::batch")]
#![cfg_attr(
    not(feature = "batch"),
    doc = "[`batch`]: https://docs.rs/plimsoll/latest/plimsoll/batch/"
)]
#![cfg_attr(feature = "bench", doc = "[`bench`]: crate::bench")]
#![cfg_attr(
    not(feature = "bench"),
    doc = "[`bench`]: https://docs.rs/plimsoll/latest/plimsoll/bench/"
)]
#![cfg_attr(feature = "cache", doc = "[`cache`]: crate::cache")]
#![cfg_attr(
    not(feature = "cache"),
    doc = "[`cache`]: https://docs.rs/plimsoll/latest/plimsoll/cache/"
)]
#![cfg_attr(feature = "http", doc = "[`http`]: crate::http")]
#![cfg_attr(
    not(feature = "http"),
    doc = "[`http`]: https://docs.rs/plimsoll/latest/plimsoll/http/"
)]
#![cfg_attr(
    feature = "jemalloc",
    doc = "[`figures::jemalloc()`]: crate::figures::jemalloc()"
)]
#![cfg_attr(
    not(feature = "jemalloc"),
    doc = "[`figures::jemalloc()`]: https://docs.rs/plimsoll/latest/plimsoll/figures/fn.jemalloc.html"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(plimsoll_loom, allow(dead_code, unused))]
#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "there is neither a fork nor an exec")
)]

mod allocator;
#[cfg(feature = "batch")]
#[cfg_attr(docsrs, doc(cfg(feature = "batch")))]
pub mod batch;
#[cfg(all(feature = "bench", not(plimsoll_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "bench")))]
pub mod bench;
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub mod cache;
mod caught;
#[cfg(all(feature = "prometheus", not(plimsoll_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "prometheus")))]
pub mod export;
#[cfg(not(plimsoll_loom))]
pub mod figures;
#[cfg(not(plimsoll_loom))]
mod governor;
#[cfg(all(feature = "http", not(plimsoll_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
#[cfg(all(feature = "cli", not(plimsoll_loom)))]
#[doc(hidden)]
pub mod recorded;
#[cfg(not(plimsoll_loom))]
pub mod testing;
#[cfg(not(plimsoll_loom))]
pub mod trend;
#[cfg(not(plimsoll_loom))]
mod units;
#[cfg(any(feature = "batch", feature = "cache"))]
mod waiting;

#[cfg(not(plimsoll_loom))]
pub use self::{
    allocator::{Inner, Plimsoll},
    figures::{HeapFigures, ThreadFigures, heap, threads},
    governor::*,
    testing::{Measurement, measure},
};
