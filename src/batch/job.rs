//! What all jobs keep, whatever they walk: the gate, the size of the next batch, and what was done.

use super::error::{Done, Reason, Stopped};
use super::gate::{Gate, Pace};
use super::settings::{Batches, MOST_UNKNOWN_ITEMS, Purge, Settings};
use super::size::{Law, Plan, Sizer, Taken};
use crate::allocator::local::OwnCount;
use std::sync::Arc;

/// See the module.
pub(super) struct Job {
    pub(super) settings: Arc<Settings>,
    pub(super) gate: Gate,
    sizer: Sizer,
    done: Done,
    /// The batch that was given away last.
    given_out: Option<Filled>,
    /// Whether the plan is by what items take.
    is_known: bool,
    /// It was begun, and neither stopped nor came to its end.
    is_under_way: bool,
}

/// A batch that is complete, before its work.
#[derive(Clone, Copy)]
pub(super) struct Filled {
    pub(super) plan: Plan,
    pub(super) items: usize,
    /// What its items hold; `None` when they were fetched before, and cannot be measured any more.
    pub(super) held: Option<u64>,
    /// Whether there may be more.
    pub(super) was_full: bool,
}

impl Job {
    /// A job whose items are of so many bytes each by themselves.
    pub(super) fn new(batches: &Batches, own_size: usize) -> Job {
        let settings = Arc::clone(&batches.settings);
        let is_measured = is_measured();
        let is_known = is_measured || settings.item_bytes.is_some();
        let law = Law {
            budget: settings.budget,
            share: settings.share,
            most_items: settings.most_items(is_known),
            guess: settings.item_bytes,
            least: own_size.max(1) as u64,
            is_measured,
        };
        Job {
            gate: Gate::new(&settings),
            is_known,
            is_under_way: false,
            sizer: Sizer::new(law),
            done: Done::default(),
            given_out: None,
            settings,
        }
    }

    pub(super) fn begin(&mut self) {
        if !std::mem::replace(&mut self.is_under_way, true) {
            self.settings.progress.begins();
        }
    }

    /// Makes room for so many items in the buffer of a batch. Exactly: one that doubled would be over
    /// the budget by a part of itself. Where nothing is known of items, a plan of many says nothing of
    /// memory, and the buffer grows with what comes; as it does where there is no such room.
    pub(super) fn reserve<T>(&self, batch: &mut Vec<T>, items: usize) {
        let at_once = if self.is_known {
            items
        } else {
            items.min(MOST_UNKNOWN_ITEMS)
        };
        let _ = batch.try_reserve_exact(at_once);
    }

    pub(super) fn plan(&mut self, pace: Pace) -> Plan {
        self.sizer.plan(self.gate.room(), pace == Pace::Trickle)
    }

    /// Notes a batch after its items are gone: how many of them are done, and the most that the work
    /// held above what the items did.
    pub(super) fn note(&mut self, batch: &Filled, items_done: usize, work: u64) {
        let peak = batch.held.unwrap_or_default().saturating_add(work);
        if let Some(held) = batch.held {
            let taken = Taken {
                items: batch.items,
                held,
                peak,
                was_full: batch.was_full,
                is_short: self.gate.is_short(),
            };
            self.sizer.see(&batch.plan, &taken);
        }
        let items = items_done as u64;
        self.done.items = self.done.items.saturating_add(items);
        self.done.batches = self.done.batches.saturating_add(1);
        self.done.bytes = self.done.bytes.saturating_add(peak);
        self.settings.progress.note(items, 1, peak);
        if self.settings.purge == Purge::EveryBatch {
            crate::give_back();
        }
    }

    /// Gives a batch away: it is done when the next is asked for.
    pub(super) fn give_out(&mut self, batch: Filled) {
        self.given_out = Some(batch);
    }

    pub(super) fn take_back(&mut self) {
        if let Some(batch) = self.given_out.take() {
            self.note(&batch, batch.items, 0);
        }
    }

    pub(super) fn done(&self) -> Done {
        Done {
            paused: self.gate.paused(),
            ..self.done
        }
    }

    pub(super) fn finish(&mut self) -> Done {
        if std::mem::take(&mut self.is_under_way) {
            self.settings.progress.finishes();
        }
        self.done()
    }

    pub(super) fn stopped<E>(&mut self, reason: Reason<E>) -> Stopped<(), E> {
        let done = self.done();
        self.stopped_after(done, reason)
    }

    /// The same of a job that counts elsewhere what is done.
    pub(super) fn stopped_after<E>(&mut self, done: Done, reason: Reason<E>) -> Stopped<(), E> {
        if std::mem::take(&mut self.is_under_way) {
            self.settings.progress.stops();
        }
        let why = match &reason {
            Reason::Level(level) => level.as_str(),
            Reason::HeldTooLong(_) => "the longest hold is over",
            Reason::Ending => "the program is about to end",
            Reason::Restarting => "a restart waits",
            Reason::Failed(_) => "its work failed",
        };
        tracing::warn!(items = done.items, why, "a job stops before its end");
        Stopped {
            done,
            resume: (),
            reason,
        }
    }
}

/// One whose work unwinds, or whose owner lets go of it, has stopped.
impl Drop for Job {
    fn drop(&mut self) {
        // First: a pause that ends says that the job goes on.
        self.gate.leave();
        if self.is_under_way {
            self.settings.progress.stops();
        }
    }
}

/// Whether what this thread allocates is counted.
pub(super) fn is_measured() -> bool {
    OwnCount::new().is_counting()
}

/// What the calling thread fetches from now on.
#[derive(Clone, Copy)]
pub(super) struct Fetched {
    count: OwnCount,
    before: i64,
}

impl Fetched {
    pub(super) fn begin() -> Fetched {
        let count = OwnCount::new();
        let before = count.net();
        Fetched { count, before }
    }

    /// Bytes since the beginning; below zero when more was freed.
    #[inline(always)]
    pub(super) fn bytes(self) -> i64 {
        self.count.net().wrapping_sub(self.before)
    }
}

/// What so many items hold that took so much to fetch, with their places in the batch.
#[inline(always)]
pub(super) fn held(fetched: i64, items: usize, size: usize) -> u64 {
    let places = (items as u64).saturating_mul(size as u64);
    places.saturating_add(fetched.max(0) as u64)
}
