//! When the first entry of a cache expires, known without asking the cache.
//!
//! Apart from the cache: who only wants to know must not be the last to let go of it, and drop its values
//! with the sweeper's lock held.
//!
//! # Protocol
//!
//! Who inserts puts the entry into the table, under a lock of the table's, and lowers the due time after
//! that. A sweep forgets the due time, looks at the table under the same lock, and lowers it to what it
//! saw. So the due time is never later than the first entry expires: an entry that came before the look
//! was seen by it; one that came after it has passed the lock later, finds the due time forgotten, and
//! lowers it.

use crate::allocator::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// When nothing is due.
pub(super) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Due(AtomicU64);

impl Due {
    pub(super) fn new() -> Due {
        Due(AtomicU64::new(NEVER))
    }

    /// An entry has come into the table that expires then: whether that is earlier than was known.
    #[inline]
    pub(super) fn lower(&self, expires: u64) -> bool {
        expires < self.0.load(Ordering::Acquire)
            && self.0.fetch_min(expires, Ordering::AcqRel) > expires
    }

    /// Before a sweep looks.
    pub(super) fn forget(&self) {
        self.0.store(NEVER, Ordering::Release);
    }

    /// How long until then; `None` while nothing is due.
    pub(super) fn wait(&self, now: impl FnOnce() -> u64) -> Option<Duration> {
        let at = self.0.load(Ordering::Acquire);
        (at != NEVER).then(|| Duration::from_nanos(at.saturating_sub(now())))
    }
}

#[cfg(all(test, plimsoll_loom, not(plimsoll_shuttle)))]
mod model {
    use super::*;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// Two insert while a sweep looks, and maybe takes out what has expired: at the end the due time is
    /// not later than the first entry's.
    #[test]
    fn an_entry_is_never_later_due_than_it_expires() {
        loom::model(|| {
            let due = Arc::new(Due::new());
            let table = Arc::new(Mutex::new(vec![1u64]));
            assert!(due.lower(1));
            let inserting = [5u64, 3].map(|expires| {
                let (due, table) = (Arc::clone(&due), Arc::clone(&table));
                thread::spawn(move || {
                    table.lock().unwrap().push(expires);
                    due.lower(expires);
                })
            });
            due.forget();
            let first = {
                let mut table = table.lock().unwrap();
                table.retain(|expires| *expires > 1);
                table.iter().copied().min().unwrap_or(NEVER)
            };
            due.lower(first);
            for thread in inserting {
                thread.join().unwrap();
            }
            let first = table.lock().unwrap().iter().copied().min();
            assert_eq!(first, Some(3));
            assert!(due.wait(|| 0).unwrap() <= Duration::from_nanos(3));
        });
    }
}
