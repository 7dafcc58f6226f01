//! What both models try flights with: a table of one key, and what its value is made of.

use super::{Flights, Joined, Locked};
use crate::allocator::sync::{AtomicU64, Ordering};
use crate::waiting::{Mutex, lock};
#[cfg(not(plimsoll_shuttle))]
use loom::future::block_on;
#[cfg(plimsoll_shuttle)]
use shuttle::future::block_on;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

const KEY: u8 = 7;

pub(super) struct Trial {
    flights: Flights<u8, u64>,
    table: Mutex<Option<u64>>,
    /// Grows with every change.
    source: AtomicU64,
    /// What orders a reading of the source and some of its changes.
    order: Mutex<()>,
    /// One changes at a time, from the source to the table: that is the user's to see to.
    changing: Mutex<()>,
    made: Mutex<u64>,
    /// The last of the source whose change is over.
    settled: Mutex<u64>,
}

impl Default for Trial {
    fn default() -> Self {
        Trial {
            flights: Flights::new(1),
            table: Mutex::new(None),
            source: AtomicU64::new(1),
            order: Mutex::new(()),
            changing: Mutex::new(()),
            made: Mutex::new(0),
            settled: Mutex::new(1),
        }
    }
}

impl Trial {
    /// As `get_or_insert_with` does.
    pub(super) fn ask(&self) -> u64 {
        loop {
            if let Some(held) = self.held() {
                return held;
            }
            match self.flights.join(KEY.into(), KEY, |_| self.held()) {
                Joined::Held(held) => return held,
                Joined::Wait(waiting, _) => {
                    if let Some(told) = block_on(waiting) {
                        return told;
                    }
                }
                Joined::Make(maker) => {
                    let value = {
                        let _ordered = lock(&self.order);
                        self.source()
                    };
                    *lock(&self.made) += 1;
                    let let_in = |_, flights: Locked<'_, _, _>| {
                        *lock(&self.table) = Some(value);
                        drop(flights);
                    };
                    maker.land(Some(let_in), || value);
                    return value;
                }
            }
        }
    }

    /// Makes nothing, or waits in vain, as a task that is cancelled.
    pub(super) fn give_up(&self) {
        match self.flights.join(KEY.into(), KEY, |_| self.held()) {
            Joined::Wait(waiting, _) => {
                let mut context = Context::from_waker(Waker::noop());
                let _ = pin!(waiting).poll(&mut context);
            }
            Joined::Held(_) | Joined::Make(_) => {}
        }
    }

    /// As `remove` does, after a change of what the value is made of that only the cache's own locks order.
    pub(super) fn take_out(&self) {
        self.take(|| drop(self.flights.overtake(&KEY, KEY.into())));
    }

    /// As `invalidate_if` and `clear` do.
    pub(super) fn clear(&self) {
        self.take(|| self.flights.overtake_all());
    }

    fn take(&self, overtake: impl FnOnce()) {
        let _changing = lock(&self.changing);
        let changed = self.change();
        self.flights
            .take_out(overtake, || *lock(&self.table) = None);
        self.settle(changed);
    }

    /// As `insert` does, of what was just changed. That is ordered with its reading: a first flight may begin
    /// and land within.
    pub(super) fn put_in(&self) {
        let _changing = lock(&self.changing);
        let changed = {
            let _ordered = lock(&self.order);
            self.change()
        };
        self.put(changed);
        self.settle(changed);
    }

    /// As `insert` does, of whatever it may be.
    pub(super) fn put(&self, value: u64) {
        let are_used = self.flights.are_used();
        let flights = are_used.then(|| self.flights.overtake(&KEY, KEY.into()));
        *lock(&self.table) = Some(value);
        if flights.is_none() && self.flights.are_used() {
            self.flights.overtake_all();
        }
        drop(flights);
    }

    fn change(&self) -> u64 {
        self.source.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn settle(&self, changed: u64) {
        let mut settled = lock(&self.settled);
        *settled = changed.max(*settled);
    }

    /// Who asks from now on is told of this or a later one.
    pub(super) fn settled(&self) -> u64 {
        *lock(&self.settled)
    }

    pub(super) fn held(&self) -> Option<u64> {
        *lock(&self.table)
    }

    pub(super) fn source(&self) -> u64 {
        self.source.load(Ordering::Relaxed)
    }

    pub(super) fn made(&self) -> u64 {
        *lock(&self.made)
    }
}
