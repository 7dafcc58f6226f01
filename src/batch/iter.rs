//! Iterators, a batch at a time.

use super::error::{Done, Reason, Stopped};
use super::gate::Pace;
use super::job::{Fetched, Filled, Job, held};
use super::settings::Batches;
use crate::measure;
use std::convert::Infallible;
use std::fmt;

/// Any iterator in batches whose size follows the memory that there is. See the
/// [module](crate::batch).
pub trait InBatches: Iterator + Sized {
    /// In batches as these settings say.
    ///
    /// ```
    /// use plimsoll::batch::{Batches, InBatches};
    ///
    /// let mut sum = 0;
    /// let done = (1..=10u64).in_batches(&Batches::default()).run(|batch| {
    ///     sum += batch.drain(..).sum::<u64>();
    /// });
    /// assert_eq!((sum, done.unwrap().items), (55, 10));
    /// ```
    fn in_batches(self, batches: &Batches) -> Batched<Self> {
        Batched {
            items: self,
            batch: Vec::new(),
            job: Box::new(Job::new(batches, size_of::<Self::Item>())),
            is_over: false,
            is_halted: false,
        }
    }
}

impl<I: Iterator> InBatches for I {}

/// An iterator in batches: made by [`InBatches::in_batches`].
///
/// [`run`](Self::run) and [`try_run`](Self::try_run) are to be preferred: they measure the work as
/// well as the items, and use one buffer for all batches. As an [`Iterator`] it gives the batches away,
/// and measures what their items hold; what is done with them shows in the room only. It answers
/// `Err` when the job stops, then `None`; asked again after that, it goes on. A batch is done when the
/// next one is asked for.
///
/// ```
/// use plimsoll::batch::{Batches, InBatches};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// for batch in (0..1000).in_batches(&Batches::default()) {
///     let batch: Vec<i32> = batch?;
/// #   drop(batch);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "it is lazy: run it"]
pub struct Batched<I: Iterator> {
    items: I,
    batch: Vec<I::Item>,
    /// In a box, so that an error that carries the job is small.
    job: Box<Job>,
    /// The iterator has ended, and is not asked again.
    is_over: bool,
    /// It has answered why it stops, and owes an end.
    is_halted: bool,
}

impl<I: Iterator> Batched<I> {
    /// Runs `work` on each batch to the end. It may take the items out of the batch or leave them there;
    /// what it leaves is dropped.
    ///
    /// # Errors
    ///
    /// When the job stops, as it was told to: with what was done, and itself to go on with.
    ///
    /// # Panics
    ///
    /// Only if `work` or the iterator does; the batch is dropped then.
    pub fn run(self, mut work: impl FnMut(&mut Vec<I::Item>)) -> Result<Done, Stopped<Self>> {
        self.try_run(|batch| {
            work(batch);
            Ok::<_, Infallible>(())
        })
    }

    /// [`run`](Self::run) with work that can fail. When it does, the items that it took out of the batch
    /// are done, and the ones that are still in it come first when the job goes on: take them out one
    /// by one, as by `drain` or `pop`, to lose none and to repeat none.
    ///
    /// # Errors
    ///
    /// When the job stops, or the work fails.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn try_run<E>(
        mut self,
        mut work: impl FnMut(&mut Vec<I::Item>) -> Result<(), E>,
    ) -> Result<Done, Stopped<Self, E>> {
        self.job.begin();
        loop {
            if self.is_at_end() {
                return Ok(self.job.finish());
            }
            let pace = match self.job.gate.pass() {
                Ok(pace) => pace,
                Err(reason) => return Err(self.stopped(reason.widen())),
            };
            let filled = self.fill(pace);
            if filled.items == 0 {
                return Ok(self.job.finish());
            }
            let (worked, found) = measure(|| work(&mut self.batch));
            let left = if worked.is_ok() { 0 } else { self.batch.len() };
            if worked.is_ok() {
                self.batch.clear();
            }
            let items_done = filled.items.saturating_sub(left);
            self.job.note(&filled, items_done, found.peak_bytes);
            if let Err(error) = worked {
                return Err(self.stopped(Reason::Failed(error)));
            }
        }
    }

    /// Fetches a batch: what was left over, or as many as planned.
    fn fill(&mut self, pace: Pace) -> Filled {
        let plan = self.job.plan(pace);
        let mut filled = Filled {
            plan,
            items: self.batch.len(),
            held: None,
            was_full: true,
        };
        if filled.items > 0 {
            return filled;
        }
        let most = self.items.size_hint().1.unwrap_or(usize::MAX);
        self.job.reserve(&mut self.batch, plan.items.min(most));
        let size = size_of::<I::Item>();
        let fetched = Fetched::begin();
        let mut bytes = 0;
        while !self.is_over && self.batch.len() < plan.items {
            let Some(item) = self.items.next() else {
                self.is_over = true;
                break;
            };
            self.batch.push(item);
            bytes = held(fetched.bytes(), self.batch.len(), size);
            if bytes >= plan.held {
                break;
            }
        }
        filled.items = self.batch.len();
        filled.held = Some(bytes);
        filled.was_full = !self.is_over;
        filled
    }

    /// Nothing is left, which is known before the gate: a job that is done neither waits nor stops.
    fn is_at_end(&self) -> bool {
        self.is_over && self.batch.is_empty()
    }

    fn stopped<E>(mut self, reason: Reason<E>) -> Stopped<Self, E> {
        self.job.stopped(reason).with(self)
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.job.done()
    }

    /// Items that have been fetched and are not done: what failed work left in its batch. They come
    /// first when the job goes on.
    pub fn left_over(&self) -> &[I::Item] {
        &self.batch
    }

    /// Everything that is not done, without batches: what was left over, then the rest of the iterator.
    pub fn into_rest(self) -> std::iter::Chain<std::vec::IntoIter<I::Item>, I> {
        self.batch.into_iter().chain(self.items)
    }
}

impl<I: Iterator> Iterator for Batched<I> {
    type Item = Result<Vec<I::Item>, Stopped<()>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.job.take_back();
        if std::mem::take(&mut self.is_halted) {
            return None;
        }
        if self.is_at_end() {
            self.job.finish();
            return None;
        }
        self.job.begin();
        let pace = match self.job.gate.pass() {
            Ok(pace) => pace,
            Err(reason) => {
                self.is_halted = true;
                return Some(Err(self.job.stopped(reason)));
            }
        };
        let filled = self.fill(pace);
        if filled.items == 0 {
            self.job.finish();
            return None;
        }
        self.job.give_out(filled);
        Some(Ok(std::mem::take(&mut self.batch)))
    }
}

impl<I: Iterator> fmt::Debug for Batched<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("done", &self.done())
            .field("left_over", &self.batch.len())
            .finish_non_exhaustive()
    }
}
