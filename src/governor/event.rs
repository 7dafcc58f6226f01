//! What the monitor says: typed events on one bounded channel.
//!
//! The channel never makes the monitor wait. When nobody reads, the oldest event makes room for
//! the newest; [`Event::sequence`] tells a reader how many it missed.

use super::ledger::LedgerRow;
use super::level::Level;
use super::restart::{RestartRecord, Withheld};
use crate::figures::{Limit, Pressure};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::fmt;
use std::time::Duration;

/// Events that wait for a reader, at the most.
///
/// A level that lasts makes about three events a minute, so 256 hold more than an hour; the
/// channel's memory, about 50 KiB, is reserved at the start.
const CAPACITY: usize = 256;

/// One event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Counts up by one with each event of a monitor, from 0. A gap is what a slow reader lost.
    pub sequence: u64,
    /// Since the monitor started.
    pub uptime: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The monitor runs.
    Started {
        /// The limit that it holds the program to.
        limit: Limit,
    },
    /// A level was entered or left.
    Level {
        /// The level before.
        from: Level,
        /// The level now.
        to: Level,
        /// The reading that decided.
        pressure: Pressure,
    },
    /// The limit changed, as when an operator resizes a container.
    Limit {
        /// The limit before.
        from: Limit,
        /// The limit now.
        to: Limit,
    },
    /// An action was carried out.
    Action(LedgerRow),
    /// A restart was due and did not happen.
    RestartWithheld(Withheld),
    /// The last event of this image of the program: the restart follows when all callbacks have
    /// returned.
    Restarting(RestartRecord),
    /// Something does not work as it should; the monitor goes on.
    Fault(Fault),
}

/// What does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No allocation has been counted: [`Plimsoll`](crate::Plimsoll) is not the program's global
    /// allocator. Only resident memory is watched.
    NotInstalled,
    /// The resident memory could not be read; the heap alone decides until it can.
    ResidentUnreadable,
    /// The limit could not be read anew; the last one stays.
    LimitUnreadable,
    /// A callback panicked; the others ran.
    CallbackPanicked,
    /// A cache panicked while it was asked to shrink; the others were asked.
    CachePanicked,
    /// The state file was damaged and has been set aside.
    StateSetAside,
    /// The state file could not be written: the restart did not happen, because its cooldown could
    /// not have been kept.
    StateUnwritable,
    /// The new image could not be started, with this `errno` value; the program goes on.
    ExecFailed(i32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotInstalled => f.write_str(
                "no allocation has been counted: expected `Plimsoll` as the global allocator",
            ),
            Fault::ResidentUnreadable => f.write_str("the resident memory could not be read"),
            Fault::LimitUnreadable => f.write_str("the limit could not be read anew"),
            Fault::CallbackPanicked => f.write_str("a callback panicked"),
            Fault::CachePanicked => f.write_str("a cache panicked while shrinking"),
            Fault::StateSetAside => f.write_str("the state file was damaged and is set aside"),
            Fault::StateUnwritable => {
                f.write_str("the state file could not be written: no restart without it")
            }
            Fault::ExecFailed(code) => {
                write!(f, "the new image could not be started: error {code}")
            }
        }
    }
}

/// The monitor's end of the channel.
pub(super) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    sequence: u64,
}

impl Events {
    pub(super) fn new() -> Events {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        Events {
            sender,
            receiver,
            sequence: 0,
        }
    }

    pub(super) fn receiver(&self) -> Receiver<Event> {
        self.receiver.clone()
    }

    /// Numbers and sends an event; never waits, never allocates.
    pub(super) fn send(&mut self, uptime: Duration, kind: EventKind) -> Event {
        let event = Event {
            sequence: self.sequence,
            uptime,
            kind,
        };
        self.sequence += 1;
        let mut pending = event;
        // Readers take events too, so one round of making room is usually enough, and a few are
        // the most that it takes.
        while let Err(TrySendError::Full(back)) = self.sender.try_send(pending) {
            let _ = self.receiver.try_recv();
            pending = back;
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_loses_the_oldest_and_can_tell_how_many() {
        let mut events = Events::new();
        let reader = events.receiver();
        for _ in 0..CAPACITY + 10 {
            events.send(Duration::ZERO, EventKind::Fault(Fault::NotInstalled));
        }
        let sequences: Vec<_> = reader.try_iter().map(|event| event.sequence).collect();
        assert_eq!(sequences.len(), CAPACITY);
        assert_eq!(sequences[0], 10);
    }
}
