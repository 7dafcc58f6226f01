//! What runs inside `malloc`: the only place where allocating is forbidden.
//!
//! [`Plimsoll`] forwards to the allocator inside and counts. The path of one call:
//!
//! ```text
//! alloc ─► event due? ─► inner allocator ─► null? ─► failed()                local.rs
//!              │                         └► block.alloc: two stores          block.rs
//!              └► alloc_with_event                                           plimsoll.rs
//!                   refuses? ─► failed()                                     scope.rs
//!                   inner allocator ─► event(): register · publish · line · errand · peak
//!                                        │                                   local.rs
//!                                        ├► total.rs ─► alarm.rs ─► unpark
//!                                        └► observers                        scope.rs
//! ```
//!
//! | file | its one idea |
//! |---|---|
//! | `block` | one thread's counters, one writer |
//! | `registry` | all blocks: take, hand back, add up |
//! | `local` | a thread and its block, from first call to last destructor, and fork; `platform` hooks both |
//! | `scope` | a measured stretch of a thread, and who watches its calls |
//! | `errand` | what a thread is asked to do at its next event |
//! | `total` | the process total, its peak, and the line |
//! | `alarm` | waking who waits at the line |
//! | `jemalloc`, `system` | the allocator inside, with jemalloc and without |
//! | `memory` | pages for blocks |
//! | `sync` | atomics, or loom's, or shuttle's |

#[cfg(any(not(plimsoll_loom), plimsoll_shuttle))]
pub(crate) mod alarm;
pub(crate) mod block;
pub(crate) mod errand;
#[cfg(all(feature = "jemalloc", not(plimsoll_loom)))]
mod jemalloc;
#[cfg(not(plimsoll_loom))]
pub(crate) mod local;
mod memory;
#[cfg(all(test, plimsoll_loom, not(plimsoll_shuttle)))]
mod model;
pub(crate) mod registry;
#[cfg(not(plimsoll_loom))]
pub(crate) mod scope;
#[cfg(all(test, plimsoll_shuttle))]
pub(crate) mod storm;
pub(crate) mod sync;
#[cfg(all(not(feature = "jemalloc"), not(plimsoll_loom)))]
mod system;
#[cfg(any(not(plimsoll_loom), plimsoll_shuttle))]
pub(crate) mod total;

#[cfg(not(plimsoll_loom))]
mod plimsoll;
#[cfg(not(plimsoll_loom))]
pub use self::plimsoll::{Inner, Plimsoll};
