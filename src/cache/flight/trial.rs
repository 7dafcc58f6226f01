//! What both models try flights with: a table of one key, and what its value is made of.

use super::{Flights, Joined, Locked};
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
    source: Mutex<u64>,
    made: Mutex<u64>,
    /// The last of the source whose change is over.
    settled: Mutex<u64>,
}

impl Default for Trial {
    fn default() -> Self {
        Trial {
            flights: Flights::new(1),
            table: Mutex::new(None),
            source: Mutex::new(1),
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
                    let value = self.source();
                    *lock(&self.made) += 1;
                    let let_in = |_, flights: &mut Locked<'_, _, _>| {
                        *lock(&self.table) = Some(value);
                        flights.release();
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

    /// As `remove` does, after a change of what the value is made of.
    pub(super) fn take_out(&self) {
        let changed = {
            let mut source = lock(&self.source);
            *source += 1;
            *source
        };
        self.flights.overtake(&KEY, |key| (*key).into());
        *lock(&self.table) = None;
        self.settle(changed);
    }

    /// As `insert` does, of what was just changed.
    pub(super) fn put_in(&self) {
        let mut source = lock(&self.source);
        *source += 1;
        self.flights.overtake(&KEY, |key| (*key).into());
        *lock(&self.table) = Some(*source);
        self.settle(*source);
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
        *lock(&self.source)
    }

    pub(super) fn made(&self) -> u64 {
        *lock(&self.made)
    }
}
