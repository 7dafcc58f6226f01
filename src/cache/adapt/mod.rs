//! Caches of other crates, and whatever else can give memory back, taking part.
//!
//! | adapter | feature | resized at once | keeps its cap while a level lasts | evicts |
//! |---|---|---|---|---|
//! | [`QuickCache`] | `cache` | yes | yes | what is used least |
//! | `Lru` | `lru` | yes, and gives its table back | yes | what was used least lately |
//! | `Foyer` | `foyer` | yes, with a thread started for each shard | yes | by its own policy |
//! | `Moka`, `MokaFuture` | `moka` | no: moka 0.12 has no resize | no: it refills, and is cleared again while the level lasts | whatever comes first |
//! | [`Closure`] | `cache` | as it says | as it says | as it says |
//!
//! Each leaves 80 % of the capacity that it was wrapped with from [`Level::Optimise`] on, 50 % at
//! [`Level::Critical`], and all of it at [`Level::Normal`]; `shares` sets others. A capacity that an
//! owner changes later is set back by the next level: wrap it anew then.
//!
//! ```
//! # #[global_allocator]
//! # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//! use plimsoll::cache::adapt::QuickCache;
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let staff = Arc::new(quick_cache::sync::Cache::<u32, String>::new(50));
//! let adapted = Arc::new(QuickCache::new("staff", Arc::clone(&staff), 200));
//! let monitor = plimsoll::Monitor::builder().cache(&adapted).start()?;
//! # drop(monitor);
//! # Ok(())
//! # }
//! ```
//!
//! The monitor knows an adapter weakly: keep it for as long as the cache lives.

mod closure;
#[cfg(feature = "foyer")]
mod foyer;
#[cfg(feature = "lru")]
mod lru;
#[cfg(feature = "moka")]
mod moka;
mod quick_cache;

pub use self::closure::Closure;
#[cfg(feature = "foyer")]
#[cfg_attr(docsrs, doc(cfg(feature = "foyer")))]
pub use self::foyer::Foyer;
#[cfg(feature = "lru")]
#[cfg_attr(docsrs, doc(cfg(feature = "lru")))]
pub use self::lru::Lru;
#[cfg(feature = "moka")]
#[cfg_attr(docsrs, doc(cfg(feature = "moka")))]
pub use self::moka::{Moka, MokaFuture};
pub use self::quick_cache::QuickCache;

use super::builder::Shares;
use crate::Level;

/// What every adapter knows of its cache.
#[derive(Debug)]
struct Adapted {
    name: String,
    bytes_a_unit: u64,
    shares: Shares,
}

impl Adapted {
    fn new(name: impl Into<String>, bytes_a_unit: u64) -> Adapted {
        Adapted {
            name: name.into(),
            bytes_a_unit,
            shares: Shares::default(),
        }
    }

    /// Of units that the cache counts: entries, or its weigher's.
    fn bytes(&self, units: u64) -> u64 {
        units.saturating_mul(self.bytes_a_unit)
    }

    /// What a level leaves of so many units.
    fn under(&self, level: Level, whole: u64) -> u64 {
        ((whole as f64 * self.shares.at(level)) as u64).min(whole)
    }

    /// A share that makes no sense is not to empty a cache at the worst moment.
    fn set_shares(&mut self, at_optimise: f64, at_critical: f64) {
        let shares = Shares {
            at_optimise,
            at_critical,
        };
        match shares.faults().first() {
            None => self.shares = shares,
            Some(fault) => {
                tracing::error!(cache = self.name, %fault, "the shares of a cache stay as they were");
            }
        }
    }
}
