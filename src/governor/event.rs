//! What the monitor says: typed events, to any number of readers that never make it wait.
//!
//! Every reader has a bounded queue of its own. When one is slow, its oldest event makes room for
//! the newest, and it is told how many it lost. The last events are kept, so that a reader that
//! comes late starts with them.

use super::diagnosis::Diagnosis;
use super::drill::Drill;
use super::leak::LeakNews;
use super::ledger::LedgerRow;
use super::level::Level;
use super::lock::lock;
use super::policy::Policy;
use super::restart::{RestartRecord, Withheld};
use crate::figures::{Limit, Pressure};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Events that wait for a reader, at the most.
///
/// A level that lasts makes about five events a minute, so 256 hold most of an hour; a queue's
/// memory, about 64 KiB, is reserved when the reader is made.
const CAPACITY: usize = 256;

/// One event. As JSON, what happened stands in `kind` and `what`, and times are seconds:
///
/// ```json
/// {"sequence": 7, "uptime_seconds": 61.5, "kind": "early_wake", "what": "pressure_stall"}
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Event {
    /// Counts up by one with each event of a monitor, from 0. A gap is what a slow reader lost.
    pub sequence: u64,
    /// Since the monitor started.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "uptime_seconds", serialize_with = "crate::units::seconds")
    )]
    pub uptime: Duration,
    /// What happened.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kind: EventKind,
}

/// What happened. As text, a line for people.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "kind", content = "what", rename_all = "snake_case")
)]
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
    /// Where the memory is: at each entry into a level, and before each round of actions.
    Diagnosis(Diagnosis),
    /// The verdict on whether the program leaks has changed, or how urgent it is. See
    /// [`Monitor::leak_verdict`](crate::Monitor::leak_verdict) for the whole of it.
    Leak(LeakNews),
    /// New work is better refused from now on, or no longer: see
    /// [`Monitor::is_shedding`](crate::Monitor::is_shedding), which stays as it is in a dry run. Not told by a
    /// monitor that only observes.
    Shedding(bool),
    /// A restart was due and did not happen.
    RestartWithheld(Withheld),
    /// The last event of this image of the program, unless the restart fails or is called off, of which
    /// another tells: the drain begins when all callbacks have returned.
    Restarting(RestartRecord),
    /// The kernel or the service manager says that memory is short, and the monitor looks at once.
    EarlyWake(WakeSource),
    /// A drill began.
    Drill(Drill),
    /// The policy was changed by [`Monitor::set_policy`](crate::Monitor::set_policy).
    Policy(Policy),
    /// This reader was too slow: the events from [`Event::sequence`] on.
    Lost {
        /// That many.
        events: u64,
    },
    /// Something does not work as it should; the monitor goes on.
    Fault(Fault),
}

/// What does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
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
    /// The state file was damaged, or not ours to believe, or its lock file was not ours; that has
    /// been set aside.
    StateSetAside,
    /// What wakes the monitor early no longer works; it goes on at its interval.
    WakeLost(WakeSource),
    /// The state file could not be written, with this `errno` value; 0 where no call failed, as when
    /// something that is not ours stands in its place. The restart does not happen, because its cooldown
    /// could not be kept.
    StateUnwritable(i32),
    /// The new image could not be started, with this `errno` value; the program goes on.
    ExecFailed(i32),
}

impl Fault {
    pub(super) fn unwritable(error: &io::Error) -> Fault {
        Fault::StateUnwritable(error.raw_os_error().unwrap_or(0))
    }
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
            Fault::StateSetAside => {
                f.write_str("the state file cannot be believed and is set aside")
            }
            Fault::StateUnwritable(0) => {
                f.write_str("the state file could not be written: no restart without it")
            }
            Fault::StateUnwritable(code) => {
                let error = io::Error::from_raw_os_error(*code);
                write!(
                    f,
                    "the state file could not be written: {error}: no restart without it"
                )
            }
            Fault::WakeLost(source) => write!(f, "{source} no longer wakes the monitor"),
            Fault::ExecFailed(code) => {
                let error = io::Error::from_raw_os_error(*code);
                write!(f, "the new image could not be started: {error}")
            }
        }
    }
}

/// Who says that memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum WakeSource {
    /// The kernel's pressure stall information, by a trigger of our own.
    PressureStall,
    /// What the service manager named in `MEMORY_PRESSURE_WATCH`.
    ServiceManager,
}

impl fmt::Display for WakeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WakeSource::PressureStall => "pressure stall information",
            WakeSource::ServiceManager => "the service manager's memory pressure",
        })
    }
}

/// A wake-up that the monitor's thread has not seen yet.
#[derive(Default)]
pub(super) struct EarlyWake(AtomicU8);

impl EarlyWake {
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "nothing wakes there")
    )]
    pub(super) fn set(&self, source: WakeSource) {
        let code = match source {
            WakeSource::PressureStall => 1,
            WakeSource::ServiceManager => 2,
        };
        self.0.store(code, Ordering::Release);
    }

    pub(super) fn take(&self) -> Option<WakeSource> {
        // A load first: at every look, and nearly always nothing.
        if self.0.load(Ordering::Relaxed) == 0 {
            return None;
        }
        match self.0.swap(0, Ordering::Acquire) {
            1 => Some(WakeSource::PressureStall),
            2 => Some(WakeSource::ServiceManager),
            _ => None,
        }
    }
}

/// Where events are sent to, from any of the monitor's threads.
///
/// The lock is held for one copy to each reader.
pub(super) struct Bus {
    inner: Mutex<Inner>,
    started: Instant,
}

struct Inner {
    sequence: u64,
    /// A ring of the last events.
    recent: Vec<Event>,
    readers: Vec<Queue>,
    closed: bool,
}

struct Queue {
    sender: Sender<Event>,
    /// To make room with.
    receiver: Receiver<Event>,
    /// Shared with the reader: alone, the reader is gone.
    reader: Arc<()>,
}

impl Bus {
    pub(super) fn new(started: Instant) -> Bus {
        Bus {
            inner: Mutex::new(Inner {
                sequence: 0,
                recent: Vec::with_capacity(CAPACITY),
                readers: Vec::new(),
                closed: false,
            }),
            started,
        }
    }

    /// Numbers an event and sends it to everybody; neither waits for a reader nor allocates.
    pub(super) fn send(&self, kind: EventKind) -> Event {
        let mut inner = lock(&self.inner);
        let event = Event {
            sequence: inner.sequence,
            uptime: self.started.elapsed(),
            kind,
        };
        inner.sequence += 1;
        let place = (event.sequence % CAPACITY as u64) as usize;
        if inner.recent.len() < CAPACITY {
            inner.recent.push(event);
        } else {
            inner.recent[place] = event;
        }
        inner.forget_the_gone();
        for queue in &inner.readers {
            queue.push(event);
        }
        event
    }

    /// A reader of the last events, as far as they are kept, and of all to come.
    pub(super) fn subscribe(&self) -> EventReader {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        let reader = Arc::new(());
        let queue = Queue {
            sender,
            receiver: receiver.clone(),
            reader: Arc::clone(&reader),
        };
        let mut inner = lock(&self.inner);
        let next = inner.sequence.saturating_sub(inner.recent.len() as u64);
        for sequence in next..inner.sequence {
            queue.push(inner.recent[(sequence % CAPACITY as u64) as usize]);
        }
        // Here as well: events may be far between, and readers come and go.
        inner.forget_the_gone();
        if !inner.closed {
            inner.readers.push(queue);
        }
        EventReader {
            events: receiver,
            next,
            held: None,
            _reader: reader,
        }
    }

    /// How many events there were: another number tells that something has happened.
    #[cfg(feature = "http")]
    pub(super) fn count(&self) -> u64 {
        lock(&self.inner).sequence
    }

    /// The last events, from the oldest.
    pub(super) fn recent(&self) -> Vec<Event> {
        // Memory before the lock: nobody who sends waits for it.
        let mut events = Vec::with_capacity(CAPACITY);
        let inner = lock(&self.inner);
        let next = inner.sequence.saturating_sub(inner.recent.len() as u64);
        let place = |sequence| (sequence % CAPACITY as u64) as usize;
        events.extend((next..inner.sequence).map(|sequence| inner.recent[place(sequence)]));
        events
    }

    /// The last event was sent: readers come to an end.
    pub(super) fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        inner.readers.clear();
    }
}

impl Inner {
    fn forget_the_gone(&mut self) {
        self.readers
            .retain(|queue| Arc::strong_count(&queue.reader) > 1);
    }
}

impl Queue {
    fn push(&self, event: Event) {
        let mut pending = event;
        // The reader takes events too, so one round of making room is usually enough, and a few
        // are the most that it takes.
        while let Err(TrySendError::Full(back)) = self.sender.try_send(pending) {
            let _ = self.receiver.try_recv();
            pending = back;
        }
    }
}

/// Reads a monitor's events, each once, in their order.
///
/// As an iterator it waits for the next event, and ends when the monitor has stopped.
///
/// ```no_run
/// use std::time::Duration;
///
/// # fn follow(monitor: &plimsoll::Monitor) {
/// let mut events = monitor.events();
/// while !events.is_over() {
///     match events.next_within(Duration::from_secs(60)) {
///         Some(event) => println!("{}", event.kind),
///         None => println!("nothing for a minute"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct EventReader {
    events: Receiver<Event>,
    /// The sequence number that comes next if none is lost.
    next: u64,
    /// Waits behind the news that others were lost.
    held: Option<Event>,
    _reader: Arc<()>,
}

impl EventReader {
    /// The next event; `None` when there is none yet, or [no more](Self::is_over).
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.held.take().or_else(|| self.events.try_recv().ok())?;
        Some(self.in_order(event))
    }

    /// The next event; `None` when none came until then, or no more will.
    pub fn next_until(&mut self, deadline: Instant) -> Option<Event> {
        let event = self
            .held
            .take()
            .or_else(|| self.events.recv_deadline(deadline).ok())?;
        Some(self.in_order(event))
    }

    /// The next event; `None` when none came within this time, or no more will.
    pub fn next_within(&mut self, time: Duration) -> Option<Event> {
        match Instant::now().checked_add(time) {
            Some(deadline) => self.next_until(deadline),
            // Longer than the clock can tell.
            None => self.next(),
        }
    }

    /// Whether there will be no more: the monitor has stopped, and all its events were read.
    pub fn is_over(&mut self) -> bool {
        if self.held.is_some() {
            return false;
        }
        match self.events.try_recv() {
            Ok(event) => {
                self.held = Some(event);
                false
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => true,
        }
    }

    /// The event, or before it the news that others were lost.
    fn in_order(&mut self, event: Event) -> Event {
        let lost = event.sequence.saturating_sub(self.next);
        if lost == 0 {
            self.next = event.sequence + 1;
            return event;
        }
        let news = Event {
            sequence: self.next,
            uptime: event.uptime,
            kind: EventKind::Lost { events: lost },
        };
        self.next = event.sequence;
        self.held = Some(event);
        news
    }
}

impl Iterator for EventReader {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let event = self.held.take().or_else(|| self.events.recv().ok())?;
        Some(self.in_order(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bus() -> Bus {
        Bus::new(Instant::now())
    }

    fn some() -> EventKind {
        EventKind::Fault(Fault::NotInstalled)
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
        let bus = bus();
        let mut reader = bus.subscribe();
        for _ in 0..CAPACITY + 10 {
            bus.send(some());
        }
        bus.close();
        assert!(!reader.is_over());
        let first = reader.next().unwrap();
        assert!(matches!(first.kind, EventKind::Lost { events: 10 }));
        assert!(!reader.is_over());
        assert_eq!(first.sequence, 0);
        let rest: Vec<_> = reader.by_ref().map(|event| event.sequence).collect();
        assert_eq!(rest, (10..CAPACITY as u64 + 10).collect::<Vec<_>>());
        assert!(reader.is_over());
    }

    #[test]
    fn every_reader_gets_every_event_and_a_late_one_the_last_ones() {
        let bus = bus();
        let mut early = bus.subscribe();
        for _ in 0..CAPACITY + 3 {
            bus.send(some());
            assert!(early.try_next().is_some());
        }
        let mut late = bus.subscribe();
        bus.send(some());
        assert_eq!(early.try_next().unwrap().sequence, CAPACITY as u64 + 3);
        assert_eq!(early.try_next().map(|event| event.sequence), None);
        // The oldest that was kept made room for the newest, and that is a loss like any other.
        let first = late.try_next().unwrap();
        assert!(matches!(first.kind, EventKind::Lost { events: 1 }));
        assert_eq!(late.try_next().unwrap().sequence, 4);
    }

    #[test]
    fn a_time_without_end_is_waited_for_without_end() {
        let bus = bus();
        let mut reader = bus.subscribe();
        bus.send(some());
        bus.close();
        assert!(reader.next_within(Duration::MAX).is_some());
        assert!(reader.next_within(Duration::MAX).is_none());
    }

    #[test]
    fn a_reader_that_is_gone_costs_nothing_any_more() {
        let bus = bus();
        drop(bus.subscribe());
        bus.send(some());
        assert!(lock(&bus.inner).readers.is_empty());
        // Nor while nothing happens, however many come and go.
        (0..10).for_each(|_| drop(bus.subscribe()));
        assert_eq!(lock(&bus.inner).readers.len(), 1);
    }
}
