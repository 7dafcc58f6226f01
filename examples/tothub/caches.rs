//! TotHub's caches: pages of lists, ready to send. They give way under pressure.
//!
//! A list is cached page by page: the key is what was asked for and the page of it. Bodies are weighed by
//! their length: they are made on threads of the pool, where no cache could measure them.

use axum::body::Bytes;
use plimsoll::MonitorBuilder;
use plimsoll::cache::{CacheError, PressureCache};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    pub number: u32,
    pub limit: u32,
}

impl Page {
    /// How many rows come before it.
    pub fn before(self) -> u32 {
        (self.number - 1).saturating_mul(self.limit)
    }
}

/// Pages by what was asked for.
pub type Pages<Q> = PressureCache<(Q, Page), Bytes>;

pub struct Caches {
    pub children: Arc<Pages<()>>,
    pub staff: Arc<Pages<()>>,
    /// By day.
    pub attendance: Arc<Pages<String>>,
    pub settings: Arc<Pages<()>>,
}

impl Caches {
    pub fn new() -> Result<Caches, CacheError> {
        Ok(Caches {
            children: pages("children", 100, 3)?,
            staff: pages("staff", 50, 5)?,
            attendance: pages("attendance", 150, 2)?,
            settings: pages("settings", 25, 15)?,
        })
    }

    pub fn register(&self, monitor: MonitorBuilder) -> MonitorBuilder {
        monitor
            .cache(&self.children)
            .cache(&self.staff)
            .cache(&self.attendance)
            .cache(&self.settings)
    }
}

fn pages<Q>(name: &str, most: u64, minutes: u64) -> Result<Arc<Pages<Q>>, CacheError>
where
    Q: Hash + Eq + Clone + Send + Sync + 'static,
{
    PressureCache::builder(name)
        .entries(most)
        // Small, and to hold all of that: what they spare is a query of milliseconds.
        .shards(1)
        .weigh_by(|_, body: &Bytes| body.len() as u64)
        .ttl(Duration::from_secs(60 * minutes))
        .build()
}
