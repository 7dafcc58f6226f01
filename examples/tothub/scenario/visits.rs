//! The visits: parents and educators who ask the service for something, fifty times a second.
//!
//! They come as independent people do, with exponential gaps. Each is answered with a page of
//! children from the database. Some are slow to read theirs: it stays until a later visit takes its
//! place, which gives the heap the slight unrest of every service that is used.
//!
//! Each visit is told its share of the rate, in bytes. What it does with them is the scenario.

use super::random::Random;
use crate::store::{CHILDREN, Child, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const A_SECOND: f64 = 50.0;
/// Answers on their way at the same time, 0.4 MiB in all.
const SLOW_READERS: u32 = 64;
/// The most children on a page.
const PAGE: u32 = 100;
/// Of a child in memory, on average: the struct, and some 70 for its four texts.
const BYTES_A_CHILD: usize = size_of::<Child>() + 70;
/// What the healthy loads take and give back, in the time that it would take at the rate.
const SWING: Duration = Duration::from_secs(90);

pub struct Visits {
    pub random: Random,
    store: Arc<Store>,
    bytes_a_second: f64,
    due: Instant,
    unread: Vec<String>,
}

impl Visits {
    pub fn new(store: Arc<Store>, mib_per_minute: u64) -> Visits {
        Visits {
            random: Random::seeded(),
            store,
            bytes_a_second: (mib_per_minute << 20) as f64 / 60.0,
            due: Instant::now(),
            unread: vec![String::new(); SLOW_READERS as usize],
        }
    }

    /// Waits for the next visit, answers it, and tells its share of the rate in bytes.
    pub fn serve(&mut self) -> usize {
        // Counted from when the last was due, not from now, so that none is lost to a slow one.
        let gap = -(1.0 - self.random.unit()).ln() / A_SECOND;
        self.due += Duration::from_secs_f64(gap);
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));

        let limit = 1 + self.random.below(PAGE);
        let page = self.page(limit);
        match serde_json::to_string(&page) {
            Ok(answer) => {
                let place = self.random.below(SLOW_READERS) as usize;
                self.unread[place] = answer;
            }
            Err(error) => tracing::warn!(%error, "a visit was not answered"),
        }
        self.random.about(self.bytes_a_second / A_SECOND)
    }

    /// As many children as take about these bytes.
    pub fn children(&mut self, bytes: usize) -> Box<[Child]> {
        let wanted = (bytes + BYTES_A_CHILD / 2) / BYTES_A_CHILD;
        self.page(wanted as u32).into_boxed_slice()
    }

    /// So many children, from anywhere.
    pub fn page(&mut self, limit: u32) -> Vec<Child> {
        let after = self.random.below(CHILDREN.saturating_sub(limit));
        self.store.children(after, limit).unwrap_or_else(|error| {
            tracing::warn!(%error, "a visit could not read the children");
            Vec::new()
        })
    }

    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// What a healthy load takes and gives back.
    pub fn swing_bytes(&self) -> f64 {
        self.bytes_a_second * SWING.as_secs_f64()
    }
}

/// A picture or a scanned form: bytes that mean nothing here, but are really there.
pub fn scan(bytes: usize) -> Vec<u8> {
    vec![0xA5; bytes]
}
