//! What is held, and who waits, in the order of asking. No lock and no thread: a value.

use std::collections::BTreeMap;
use std::task::Waker;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    size: u64,
    held: u64,
    /// By ticket: the least has waited the longest.
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiting {
    bytes: u64,
    waker: Waker,
}

impl Queue {
    pub(super) fn new(size: u64) -> Queue {
        Queue {
            size,
            held: 0,
            waiting: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whatever is asked for fits when nothing is held. So the sum cannot overflow: what is added to
    /// something stays within the size.
    fn fits(&self, bytes: u64) -> bool {
        let sum = self.held.checked_add(bytes);
        self.held == 0 || sum.is_some_and(|sum| sum <= self.size)
    }

    pub(super) fn try_take(&mut self, bytes: u64) -> bool {
        let can = self.waiting.is_empty() && self.fits(bytes);
        if can {
            self.held += bytes;
        }
        can
    }

    /// A ticket at the end of the queue.
    pub(super) fn wait(&mut self, bytes: u64, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, Waiting { bytes, waker });
        ticket
    }

    /// Whether a ticket was granted; if not it is told by `waker` from now on. With the waker that is
    /// not needed (any more), to be dropped without the lock.
    pub(super) fn look(&mut self, ticket: u64, waker: Waker) -> (bool, Waker) {
        match self.waiting.get_mut(&ticket) {
            Some(waiting) => (false, std::mem::replace(&mut waiting.waker, waker)),
            None => (true, waker),
        }
    }

    /// Leaves the queue, with the waker; `None` when the ticket was granted.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waker> {
        self.waiting.remove(&ticket).map(|waiting| waiting.waker)
    }

    /// Grants to the first if it fits, and answers whom to wake.
    pub(super) fn grant_one(&mut self) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        let bytes = first.get().bytes;
        if !self.fits(bytes) {
            return None;
        }
        self.held += bytes;
        self.waiting.pop_first().map(|(_, waiting)| waiting.waker)
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    pub(super) fn resize(&mut self, size: u64) {
        self.size = size;
    }
}
