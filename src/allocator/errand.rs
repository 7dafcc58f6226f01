//! What another thread cannot do for a thread, and so asks it to do itself: flushing its tcache.
//!
//! An errand is a number that counts up. Who asks raises the number, then calls every owner: both
//! its events are then due, and its next allocation or free, of whatever size, takes the cold path
//! and finds the number raised. Who never allocates and frees again never comes; a runtime that
//! has a hook for that calls [`on_thread_park`](crate::on_thread_park) before its threads wait.
//!
//! # Protocol
//!
//! The owner arms its events and then looks at the number; who asks raises the number and then
//! disarms the events. With a fence between the two on either side, either the owner sees the
//! number or its arming comes before the disarming: a call cannot be lost.

use super::block::Block;
use super::registry::Registry;
use super::sync::{AtomicU32, Ordering, fence};

/// The lowest bit of the word: every thread that parks runs the errand, asked anew or not.
const STANDING: u32 = 1;

/// The number of the last errand, in all bits but the lowest.
pub(crate) struct Errands {
    word: AtomicU32,
}

impl Errands {
    super::block::maybe_const_fn! {
        pub(crate) fn new() -> Errands {
            Errands { word: AtomicU32::new(0) }
        }
    }

    /// The number of the last errand.
    pub(crate) fn last(&self) -> u32 {
        self.word.load(Ordering::Acquire) & !STANDING
    }

    /// Asks all threads, and answers the errand's number.
    pub(crate) fn call(&self, registry: &Registry) -> u32 {
        let number = self
            .word
            // What the errand is was stored before.
            .fetch_add(STANDING + 1, Ordering::Release)
            .wrapping_add(STANDING + 1)
            & !STANDING;
        fence(Ordering::SeqCst);
        for block in registry.iter().filter(|block| block.is_owned()) {
            block.call();
        }
        number
    }

    /// From now on, or no longer, a thread that parks runs the errand.
    pub(crate) fn stand(&self, standing: bool) {
        if standing {
            self.word.fetch_or(STANDING, Ordering::Relaxed);
        } else {
            self.word.fetch_and(!STANDING, Ordering::Relaxed);
        }
    }

    /// For the owner of `block`, after arming its events: runs the errand, if there is one, and then tells
    /// so. Answers whether there was.
    pub(crate) fn take(&self, block: &Block, run: impl FnOnce()) -> bool {
        fence(Ordering::SeqCst);
        let number = self.last();
        if block.errand.load(Ordering::Relaxed) == number {
            return false;
        }
        run();
        block.errand.store(number, Ordering::Release);
        true
    }

    /// Calls the owner of `block`, who has armed its events and does not [take](Self::take), if it was asked
    /// for an errand and has not come to it: the arming may have undone the call, or there was no owner yet.
    pub(crate) fn catch_up(&self, block: &Block) {
        fence(Ordering::SeqCst);
        if block.errand.load(Ordering::Relaxed) != self.last() {
            block.call();
        }
    }

    /// [`take`](Self::take) for a thread about to park: one load when nobody has asked.
    pub(crate) fn take_at_park(&self, block: &Block, run: impl FnOnce()) {
        let word = self.word.load(Ordering::Acquire);
        let number = word & !STANDING;
        let asked = block.errand.load(Ordering::Relaxed) != number;
        if asked || word & STANDING != 0 {
            run();
        }
        if asked {
            block.errand.store(number, Ordering::Release);
        }
    }

    /// How many owners have come to this errand, and of how many.
    pub(crate) fn done(&self, registry: &Registry, number: u32) -> (u32, u32) {
        let mut counted = (0, 0);
        for block in registry.iter().filter(|block| block.is_owned()) {
            // A later errand is the same work.
            let behind = number.wrapping_sub(block.errand.load(Ordering::Acquire)) as i32;
            counted.0 += u32::from(behind <= 0);
            counted.1 += 1;
        }
        counted
    }
}
