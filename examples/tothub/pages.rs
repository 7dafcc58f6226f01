//! Pages of children, ready to send. They give way under pressure.

use plimsoll::{Level, Shrink};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pages kept, at the most.
const CAPACITY: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub page: u32,
    pub limit: u32,
}

#[derive(Default)]
pub struct Pages(Mutex<HashMap<Key, String>>);

impl Pages {
    pub fn get(&self, key: Key) -> Option<String> {
        self.lock().get(&key).cloned()
    }

    /// Keeps a page; when all places are taken, some other goes.
    pub fn put(&self, key: Key, json: String) {
        let mut pages = self.lock();
        if pages.len() >= CAPACITY
            && let Some(&other) = pages.keys().next()
        {
            pages.remove(&other);
        }
        pages.insert(key, json);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shrink for Pages {
    fn name(&self) -> &str {
        "children"
    }

    fn bytes(&self) -> u64 {
        self.lock()
            .values()
            .map(|json| json.capacity() as u64)
            .sum()
    }

    fn shrink(&self, level: Level) -> u64 {
        let keep = match level {
            Level::Normal => CAPACITY,
            Level::Optimise | Level::Restart => CAPACITY * 4 / 5,
            Level::Critical => CAPACITY / 2,
        };
        let mut pages = self.lock();
        let mut left = pages.len();
        let mut freed = 0;
        pages.retain(|_, json| {
            let stays = left <= keep;
            if !stays {
                left -= 1;
                freed += json.capacity() as u64;
            }
            stays
        });
        freed
    }
}
