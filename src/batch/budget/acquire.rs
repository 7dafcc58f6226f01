//! Waiting for bytes, and having them.

use super::Budget;
use crate::waiting::lock;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for a [`Permit`]: see [`Budget::acquire`]. It takes its place in the queue when it is first
/// polled, and leaves it when it is dropped.
#[must_use = "a future does nothing until it is polled"]
pub struct Acquire {
    budget: Budget,
    bytes: u64,
    /// Its place in the queue, from the first poll that had to wait until the permit is handed out.
    ticket: Option<u64>,
}

impl Acquire {
    pub(super) fn new(budget: Budget, bytes: u64) -> Acquire {
        Acquire {
            budget,
            bytes,
            ticket: None,
        }
    }
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        let permit = || Poll::Ready(Permit::new(this.budget.clone(), this.bytes));
        let Some(ticket) = this.ticket else {
            if lock(&this.budget.queue).try_take(this.bytes) {
                return permit();
            }
            // A clone may run foreign code, so it is made without the lock; what was free meanwhile
            // is taken after it.
            let waker = context.waker().clone();
            let mut queue = lock(&this.budget.queue);
            if queue.try_take(this.bytes) {
                drop(queue);
                return permit();
            }
            this.ticket = Some(queue.wait(this.bytes, waker));
            return Poll::Pending;
        };
        let waker = context.waker().clone();
        let (is_granted, _unneeded) = lock(&this.budget.queue).look(ticket, waker);
        if !is_granted {
            return Poll::Pending;
        }
        let permit = permit();
        this.ticket = None;
        permit
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let left = lock(&self.budget.queue).leave(ticket);
        match left {
            // Those behind may fit now.
            Some(waker) => {
                drop(waker);
                self.budget.grant();
            }
            None => self.budget.give_back(self.bytes),
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Bytes of a [`Budget`]: given back when it is dropped.
#[must_use = "dropped at once, it holds nothing"]
pub struct Permit {
    budget: Budget,
    bytes: u64,
}

impl Permit {
    pub(super) fn new(budget: Budget, bytes: u64) -> Permit {
        Permit { budget, bytes }
    }

    /// What it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but so many bytes, as when it turns out that less is needed. One that holds
    /// less already stays as it is.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        if surplus > 0 {
            self.bytes = bytes;
            self.budget.give_back(surplus);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
