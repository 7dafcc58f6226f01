//! What code allocates, held against what it should: for tests and benchmarks.
//!
//! Everything here counts *this thread*, or the threads that it is told of, so a test is exact while
//! a hundred others run beside it. It needs [`Plimsoll`](crate::Plimsoll) as the program's allocator,
//! in each test file; where it is not, assertions say so instead of passing at zero.
//!
//! ```
//! #[global_allocator]
//! static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//!
//! /// Reads `port = 8080` without a copy.
//! fn port(line: &str) -> Option<u16> {
//!     let (name, value) = line.split_once('=')?;
//!     (name.trim() == "port").then(|| value.trim().parse().ok())?
//! }
//!
//! /// A page of a list, as JSON.
//! fn page(names: &[&str]) -> String {
//!     let mut page = String::with_capacity(names.iter().map(|name| name.len() + 3).sum::<usize>() + 2);
//!     page.push('[');
//!     for (number, name) in names.iter().enumerate() {
//!         page.push_str(if number == 0 { "\"" } else { ",\"" });
//!         page.push_str(name);
//!         page.push('"');
//!     }
//!     page + "]"
//! }
//!
//! # /*
//! #[test]
//! # */
//! fn the_parser_does_not_allocate() {
//!     assert_eq!(plimsoll::no_alloc!({ port("port = 8080") }), Some(8080));
//! }
//!
//! # /*
//! #[test]
//! # */
//! fn a_page_stays_within_its_budget() {
//!     let page = plimsoll::assert_heap!(allocations: 1, reallocations: 0, peak_bytes: ..=64, {
//!         page(&["Ada", "Grace", "Edsger"])
//!     });
//!     assert_eq!(page, r#"["Ada","Grace","Edsger"]"#);
//! }
//! # the_parser_does_not_allocate();
//! # a_page_stays_within_its_budget();
//! ```
//!
//! A service's handler is a future: what it allocates in all of its polls, on whichever threads.
//!
//! ```
//! # #[global_allocator]
//! # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//! # async fn children(page: u32) -> Vec<u8> { tokio::task::yield_now().await; vec![0; 2000 + page as usize] }
//! # let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
//! # runtime.block_on(async {
//! let (response, found) = plimsoll::testing::measure_async(children(2)).await;
//! assert!(found.peak_bytes <= 64 * 1024, "{found:?}");
//! # drop(response);
//! # });
//! ```
//!
//! | to hold | use |
//! |---|---|
//! | one figure | [`assert_allocations!`](crate::assert_allocations), [`assert_allocated_bytes!`](crate::assert_allocated_bytes), [`assert_peak_bytes!`](crate::assert_peak_bytes), [`assert_net_bytes!`](crate::assert_net_bytes), [`assert_net_blocks!`](crate::assert_net_blocks), [`assert_reallocations!`](crate::assert_reallocations), [`assert_deallocations!`](crate::assert_deallocations) |
//! | several | [`assert_heap!`](crate::assert_heap) |
//! | all, in a file beside the test | [`assert_snapshot!`](crate::assert_snapshot) |
//! | none at all | [`no_alloc!`](crate::no_alloc), [`deny_allocations`], [`allow_allocations`] |
//! | nothing left behind | [`assert_no_leak!`](crate::assert_no_leak) |
//! | that it survives failures | [`sweep_failures`], [`fail_after`], [`fail_nth`], [`fail_above`] |
//! | to measure | [`measure()`], [`measure_async`], [`Group`] |
//!
//! Without the feature `testing` messages tell sizes and counts; with it, lines and stacks too, which
//! take the crate `backtrace`. A test's profile has them by default; a release build needs
//! `debug = "line-tables-only"`.
//!
//! The optimiser may remove an allocation whose result is unused, so that an exact count holds in one
//! profile and not in another: [`black_box`](std::hint::black_box) keeps it.
//!
//! # How it works
//!
//! The allocator's hot path knows nothing of any of this. A scope has the thread's next event due at
//! once, so that while it is open each call takes the cold path, where the scope's observer is told of
//! it, may walk the stack, and may refuse it. What observers allocate themselves no scope sees.

mod assert;
mod carried;
mod deny;
mod expected;
mod fail;
#[doc(hidden)]
pub mod figure;
mod frame;
mod future;
mod global;
mod group;
mod held;
mod leak;
mod measure;
mod recorder;
mod report;
mod sites;
mod snapshot;
mod sweep;
mod text;
mod trace;
mod unseen;

use self::unseen::Unseen;
use crate::allocator::scope::unseen;

#[doc(hidden)]
pub use self::{assert::check, deny::no_alloc, leak::no_leak, snapshot::snapshot};
pub use self::{
    carried::{carry, carry_future, spawn},
    deny::{DenyAllocations, allow_allocations, deny_allocations},
    expected::{Expected, Whole},
    fail::{Failing, fail_above, fail_after, fail_nth},
    future::measure_async,
    group::Group,
    measure::{Measurement, measure},
    sweep::{Finding, Outcome, Sweep, sweep_failures, try_sweep_failures},
};
