//! Large jobs that know how much memory is left: batches whose size adapts, pauses that end, and a
//! budget of bytes that many share.
//!
//! A report over two million rows that collects them all is killed where memory is short. The same
//! report in batches holds one batch at a time, of as many rows as fit:
//!
//! ```
//! # #[global_allocator]
//! # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//! use plimsoll::batch::{Batches, InBatches};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rows = (0..100_000).map(|id| format!("row {id}"));
//! let batches = Batches::builder().budget(1 << 20).build()?;
//! let mut bytes = 0;
//! let done = rows.in_batches(&batches).run(|rows| {
//!     bytes += rows.iter().map(String::len).sum::<usize>();
//! })?;
//! assert_eq!(done.items, 100_000);
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | walk an iterator | [`InBatches`] |
//! | walk or pass on a stream | [`StreamInBatches`] |
//! | work on items in parallel, on rayon's pool | `ForEachWithin` (feature `rayon`) |
//! | share so many bytes among tasks and threads | [`Budget`] |
//! | wait while memory is short, in a loop of your own | [`Pause`] |
//! | show how far it is | [`Progress`] |
//! | say how | [`Batches`] |
//!
//! # How large a batch is
//!
//! What an item takes is measured, with the counters of the thread: what the batch holds when it is
//! complete, and the most that the work on it holds above that. The size of the next batch follows:
//!
//! ```text
//! allowance  = the least of  window                                starts at the budget
//!                            share × room below the line           with a monitor
//! items      = allowance ÷ bytes of an item    at least 1, at most twice the last batch
//! window     → window ÷ 2                      after a batch at whose end memory is short
//!            → window + budget ÷ 16            after one that used it, up to the budget
//! item       → what was measured               when that is more
//!            → ¾ item + ¼ of what was measured when it is less
//! ```
//!
//! - *Additive increase, multiplicative decrease*, as in TCP (RFC 5681), because jobs that know
//!   nothing of each other then come to equal shares of what they contend for (Chiu and Jain 1989).
//!   Halving, and a window that starts at its most so that a cold job is not throttled, are also what
//!   the governor of `scalo` does. A sixteenth: back at the budget eight batches after one halving.
//!   Only a window that was used grows (RFC 7661): one that was not has not been shown to fit.
//! - *Memory is short* from [`Level::Optimise`](crate::Level::Optimise) on.
//! - *The room* is what is left below the line of the level at which the job pauses, or of `optimise`
//!   when it does not: the limit times that line, less the live heap or what the monitor last saw
//!   used, whichever is more. A quarter of it, so that four jobs that see the same room fit in it.
//! - *The estimate rises at once and falls slowly*: too small a batch costs some nanoseconds an item, too
//!   large a one the process. It falls to a tenth in some ten batches.
//! - *At most twice the last batch*: the first is of one item, because nothing is known of it, and
//!   what few items say is not trusted for many. Thirteen batches lead from 1 to 8192 items.
//! - *A batch is closed early* when its items hold their part of the allowance, whatever the
//!   estimate said: a batch of items that are suddenly large is over by one item at the most. The part
//!   is what items hold of what batches took, so that the work on it has its room as well.
//! - *An item that is larger than the allowance runs alone.* Nothing is refused for its size.
//!
//! Measured is what the thread that runs the batch allocates. What the work hands to other threads
//! is seen only in the room. Items that existed before, as in a `Vec` that is walked, take only what
//! their place in the batch takes.
//!
//! What work allocates anew for each batch, however small that is (a large buffer, a compressor), counts as its
//! items': where it is more than half of what a batch may take, batches stay at one item. Made once, before the
//! job, it counts for none.
//!
//! # Without counters
//!
//! When [`Plimsoll`](crate::Plimsoll) is not the global allocator nothing can be measured: batches
//! follow [`item_bytes`](BatchesBuilder::item_bytes) as it was given, or, without it, are of
//! [`most_items`](BatchesBuilder::most_items), 256 unless it is set. Without a monitor only the budget
//! counts. Everything else works the same.
//!
//! # When memory is short
//!
//! A job can pause, purge and stop, each only when it is told to; see [`BatchesBuilder`]. A pause has a
//! longest hold, 30 s by default, as `scalo` has it, so that nothing waits for ever: after it goes one
//! batch of one item, then the next hold begins. A pause ends as well when the program is about to end
//! ([`Monitor::ending`](crate::Monitor::ending)) or waits for what is under way before a restart. A stop
//! is an error, [`Stopped`], that has what was done, and the job itself to go on with.
//!
//! # Cost
//!
//! For an item some 2 to 8 ns, most of it a look at the thread's counters. For a batch 80 ns, 140 with a
//! monitor, and once a millisecond at the most a look at the heap, about a microsecond. (On a virtual
//! machine with two processors; `cargo bench --features rayon --bench batches` measures it on yours.)

mod budget;
#[cfg(not(plimsoll_loom))]
mod error;
#[cfg(not(plimsoll_loom))]
mod gate;
#[cfg(not(plimsoll_loom))]
mod iter;
#[cfg(not(plimsoll_loom))]
mod job;
#[cfg(all(feature = "rayon", not(plimsoll_loom)))]
mod parallel;
#[cfg(not(plimsoll_loom))]
mod pause;
#[cfg(not(plimsoll_loom))]
mod progress;
#[cfg(not(plimsoll_loom))]
mod settings;
#[cfg(not(plimsoll_loom))]
mod size;
#[cfg(not(plimsoll_loom))]
mod stream;

pub use self::budget::{Acquire, Budget, Permit};
#[cfg(all(feature = "rayon", not(plimsoll_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "rayon")))]
pub use self::parallel::{ForEachWithin, ItemBytes, Measured};
#[cfg(not(plimsoll_loom))]
pub use self::{
    error::{Done, Reason, SettingsError, Stopped},
    iter::{Batched, InBatches},
    pause::{Passed, Pause},
    progress::{Paused, Progress},
    settings::{Batches, BatchesBuilder, Purge},
    stream::{Batch, BatchedStream, StreamInBatches},
};
