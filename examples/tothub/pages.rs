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
pub struct Pages(Mutex<Kept>);

struct Kept {
    pages: HashMap<Key, String>,
    /// As the level allows.
    cap: usize,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            pages: HashMap::new(),
            cap: CAPACITY,
        }
    }
}

impl Kept {
    /// Holds no more than this many, and answers the bytes freed.
    fn trim(&mut self, most: usize) -> u64 {
        let mut left = self.pages.len();
        let mut freed = 0;
        self.pages.retain(|_, json| {
            let stays = left <= most;
            if !stays {
                left -= 1;
                freed += json.capacity() as u64;
            }
            stays
        });
        freed
    }
}

impl Pages {
    pub fn get(&self, key: Key) -> Option<String> {
        self.lock().pages.get(&key).cloned()
    }

    /// Keeps a page; when all places are taken, some other goes.
    pub fn put(&self, key: Key, json: String) {
        let mut kept = self.lock();
        let most = kept.cap - 1;
        kept.trim(most);
        kept.pages.insert(key, json);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shrink for Pages {
    fn name(&self) -> &str {
        "children"
    }

    fn bytes(&self) -> u64 {
        let kept = self.lock();
        kept.pages.values().map(|json| json.capacity() as u64).sum()
    }

    fn shrink(&self, level: Level) -> u64 {
        let mut kept = self.lock();
        kept.cap = match level {
            Level::Normal => CAPACITY,
            Level::Optimise | Level::Restart => CAPACITY * 4 / 5,
            Level::Critical => CAPACITY / 2,
        };
        let most = kept.cap;
        kept.trim(most)
    }
}
