//! What is true right now: each figure from one source, with its bounds or its age.
//!
//! | figure | source |
//! |---|---|
//! | [`heap()`] | our own counters: what the program asked for, exact |
//! | [`threads()`] | the same, thread by thread |
//! | `jemalloc()`, `jemalloc_arenas()` | jemalloc's statistics (feature `jemalloc`) |
//! | [`ProcessFigures`] | the kernel, for this process |
//! | [`LimitReader`] | who allows how much |
//! | [`Pressure`] | the ratio of the ones to the other |
//!
//! What stands in files of `/proc` and `/sys` is read below [`Roots`], and says by [`FigureError`] why
//! it cannot be had.

// One file for each source. `limits` reads what `cgroup` has found; `small_file` reads without
// allocating.

mod cgroup;
mod error;
mod heap;
#[cfg(feature = "jemalloc")]
pub(crate) mod jemalloc;
mod limits;
mod pressure;
mod process;
mod roots;
mod small_file;
mod threads;

pub use error::FigureError;
pub use heap::{HeapFigures, heap};
#[cfg(feature = "jemalloc")]
pub use jemalloc::{
    ArenaFigures, JemallocError, JemallocFigures, Refusal, jemalloc, jemalloc_arenas,
};
pub use limits::{Limit, LimitReader, LimitSource};
pub use pressure::{Pressure, Signal};
pub use process::ProcessFigures;
pub use roots::Roots;
#[cfg(feature = "http")]
pub(crate) use threads::largest_threads;
pub use threads::{ThreadFigures, threads};

#[cfg(fuzzing)]
pub use limits::fuzz_parse as fuzz_limits;
