//! Caches that give way under pressure.
//!
//! [`PressureCache`] is a concurrent cache that stays within entries and bytes, forgets what is too old,
//! and holds less while memory is short: 80 % of its capacity from [`Level::Optimise`] on, half of it at
//! [`Level::Critical`]. The cap holds while the level lasts, so that what was freed is not filled again,
//! and is gone as soon as it ends. Register it with the monitor, and that is all:
//!
//! ```
//! # #[global_allocator]
//! # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//! use plimsoll::cache::PressureCache;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let children = PressureCache::builder("children")
//!     .entries(100)
//!     .ttl(Duration::from_secs(180))
//!     .build()?;
//! let monitor = plimsoll::Monitor::builder().cache(&children).start()?;
//!
//! let child = children.get_or_insert_with(&7, || String::from("Ada"));
//! assert_eq!(child, "Ada");
//! # drop(monitor);
//! # Ok(())
//! # }
//! ```
//!
//! # Pages of a list
//!
//! A list that is read page by page is cached page by page: the key is the question and the page. What
//! changes the list takes out all of its pages, those that are being made included:
//!
//! ```
//! use plimsoll::cache::PressureCache;
//!
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Query { room: &'static str }
//!
//! let pages = PressureCache::builder("children").entries(100).build()?;
//! let owls = Query { room: "owls" };
//! for page in 0..3u32 {
//!     pages.get_or_insert_with(&(owls.clone(), page), || vec![page]);
//! }
//! // A child has moved to another room:
//! assert_eq!(pages.invalidate_if(|(query, _), _| query == &owls), 3);
//! # Ok::<(), plimsoll::cache::CacheError>(())
//! ```
//!
//! # Caches that are there already
//!
//! [`adapt`] lets caches of other crates take part, as far as each can.
//!
//! [`Level::Optimise`]: crate::Level::Optimise
//! [`Level::Critical`]: crate::Level::Critical

#[cfg(not(plimsoll_loom))]
pub mod adapt;
#[cfg(not(plimsoll_loom))]
mod base;
#[cfg(not(plimsoll_loom))]
mod builder;
#[cfg(not(plimsoll_loom))]
mod capacity;
#[cfg(not(plimsoll_loom))]
mod clock;
mod due;
mod flight;
#[cfg(not(plimsoll_loom))]
mod freed;
#[cfg(not(plimsoll_loom))]
mod leaving;
#[cfg(not(plimsoll_loom))]
mod making;
#[cfg(not(plimsoll_loom))]
mod pressure_cache;
#[cfg(not(plimsoll_loom))]
mod stamp;
#[cfg(not(plimsoll_loom))]
mod statistics;
#[cfg(not(plimsoll_loom))]
mod sweeper;
#[cfg(not(plimsoll_loom))]
mod weigh;

#[cfg(not(plimsoll_loom))]
pub use self::{
    builder::{CacheBuilder, CacheError},
    clock::ManualClock,
    pressure_cache::{Ages, PressureCache},
    weigh::{Weigh, Weigher},
};
#[cfg(not(plimsoll_loom))]
pub use crate::{CacheStatistics, Evictions};
