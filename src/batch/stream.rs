//! Streams, a batch at a time.

use super::error::{Done, Reason, Stopped};
use super::gate::Pace;
use super::job::{Fetched, Filled, Job, held};
use super::settings::Batches;
use super::size::Plan;
use crate::measure;
use crate::waiting::{Arc, Mutex, lock};
use futures_core::Stream;
use futures_timer::Delay;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

/// Any stream in batches whose size follows the memory that there is. See the
/// [module](crate::batch). No runtime is needed: a timer of its own serves what waits.
pub trait StreamInBatches: Stream + Sized {
    /// In batches as these settings say. The stream is boxed.
    ///
    /// ```
    /// use futures_util::stream;
    /// use plimsoll::batch::{Batches, StreamInBatches};
    ///
    /// # fn main() { futures_executor(async {
    /// let mut sum = 0;
    /// let rows = stream::iter(1..=10u64);
    /// let done = rows.in_batches(&Batches::default()).run(|batch| {
    ///     sum += batch.iter().sum::<u64>();
    ///     async move { /* send it somewhere */ drop(batch) }
    /// }).await;
    /// assert_eq!((sum, done.unwrap().items), (55, 10));
    /// # }) }
    /// # fn futures_executor(future: impl Future<Output = ()>) {
    /// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    /// # }
    /// ```
    fn in_batches(self, batches: &Batches) -> BatchedStream<Self> {
        BatchedStream {
            items: Box::pin(self),
            batch: Vec::new(),
            job: Box::new(Job::new(batches, size_of::<Self::Item>())),
            filling: None,
            is_over: false,
            is_halted: false,
        }
    }
}

impl<S: Stream> StreamInBatches for S {}

/// A stream in batches: made by [`StreamInBatches::in_batches`].
///
/// As a [`Stream`] it gives the batches away, for example as the chunks of a response, and measures
/// what their items hold; [`run`](Self::run) and [`try_run`](Self::try_run) measure the work as well. It
/// answers `Err` when the job stops, then `None`; asked again after that, it goes on. A batch is done
/// when the next one is asked for: a client that does not read holds up the job, and that is all.
///
/// A batch that is begun goes out when the stream has no item ready for
/// [`linger`](super::BatchesBuilder::linger), so that items that trickle in are passed on.
///
/// Measured is what polling the stream and the work allocates on the thread that polls, wherever that
/// is each time.
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use plimsoll::batch::{Batches, StreamInBatches};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut batches = stream::iter(0..1000).in_batches(&Batches::default());
/// let mut items = 0;
/// while let Some(batch) = batches.next().await {
///     items += batch.expect("nothing stops it").len();
/// }
/// assert_eq!(items, 1000);
/// # });
/// ```
#[must_use = "it is lazy: run it"]
pub struct BatchedStream<S: Stream> {
    items: Pin<Box<S>>,
    batch: Vec<S::Item>,
    /// In a box, so that an error that carries the job is small.
    job: Box<Job>,
    /// The batch that is being fetched.
    filling: Option<Filling>,
    /// The stream has ended, and is not asked again.
    is_over: bool,
    /// It has answered why it stops, and owes an end.
    is_halted: bool,
}

/// A batch in the hands of asynchronous work: a `Vec` that goes back to the job when it is dropped, with
/// what is left in it. Whoever keeps it longer than the work lasts has taken all of it.
///
/// (An async closure of `&mut Vec` would say the same, but its job cannot be spawned as soon as it borrows
/// anything: the compiler does not see that its futures are `Send`.)
#[derive(Debug)]
pub struct Batch<T> {
    items: Vec<T>,
    /// Of this batch alone: one that comes late is not taken for another.
    home: Arc<Mutex<Vec<T>>>,
}

impl<T> Batch<T> {
    fn lend(items: Vec<T>) -> (Batch<T>, Arc<Mutex<Vec<T>>>) {
        let home = Arc::new(Mutex::new(Vec::new()));
        let batch = Batch {
            items,
            home: Arc::clone(&home),
        };
        (batch, home)
    }
}

impl<T> Deref for Batch<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> DerefMut for Batch<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl<T> Drop for Batch<T> {
    fn drop(&mut self) {
        *lock(&self.home) = std::mem::take(&mut self.items);
    }
}

/// A batch that is being fetched.
struct Filling {
    plan: Plan,
    /// What was allocated for it in polls so far.
    fetched: i64,
    linger: Option<Delay>,
    /// Nothing more came at once, and nothing is waited for.
    is_short: bool,
}

impl<S: Stream> BatchedStream<S> {
    /// Runs `work` on each batch to the end. It may take the items out of the batch or leave them there;
    /// what it leaves is dropped. The next batch is fetched when the work on this one has ended.
    ///
    /// May be cancelled; what had been fetched is lost then.
    ///
    /// # Errors
    ///
    /// When the job stops, as it was told to: with what was done, and itself to go on with.
    ///
    /// # Panics
    ///
    /// Only if `work` or the stream does; the batch is dropped then.
    pub async fn run<W, F>(self, mut work: W) -> Result<Done, Stopped<Self>>
    where
        W: FnMut(Batch<S::Item>) -> F,
        F: Future<Output = ()>,
    {
        self.try_run(move |batch| {
            let work = work(batch);
            async move {
                work.await;
                Ok::<_, Infallible>(())
            }
        })
        .await
    }

    /// [`run`](Self::run) with work that can fail. When it does, the items that it took out of the batch
    /// are done, and the ones that are still in it come first when the job goes on.
    ///
    /// # Errors
    ///
    /// When the job stops, or the work fails.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub async fn try_run<E, W, F>(mut self, mut work: W) -> Result<Done, Stopped<Self, E>>
    where
        W: FnMut(Batch<S::Item>) -> F,
        F: Future<Output = Result<(), E>>,
    {
        self.job.begin();
        loop {
            if self.is_at_end() {
                return Ok(self.job.finish());
            }
            let filled = match poll_fn(|context| self.poll_fill(context)).await {
                Ok(filled) => filled,
                Err(reason) => return Err(self.stopped(reason.widen())),
            };
            if filled.items == 0 {
                return Ok(self.job.finish());
            }
            let (batch, home) = Batch::lend(std::mem::take(&mut self.batch));
            let (worked, peak) = weighed(async { work(batch).await }).await;
            self.batch = std::mem::take(&mut *lock(&home));
            let left = if worked.is_ok() { 0 } else { self.batch.len() };
            if worked.is_ok() {
                self.batch.clear();
            }
            let items_done = filled.items.saturating_sub(left);
            self.job.note(&filled, items_done, peak);
            if let Err(error) = worked {
                return Err(self.stopped(Reason::Failed(error)));
            }
        }
    }

    /// Passes the gate, then fetches a batch: what was left over, or as many as planned. What it has
    /// done so far stays when it is not polled again.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        if self.filling.is_none() {
            let pace = match ready!(self.job.gate.poll_pass(context)) {
                Ok(pace) => pace,
                Err(reason) => return Poll::Ready(Err(reason)),
            };
            if let Some(filled) = self.begin(pace) {
                return Poll::Ready(Ok(filled));
            }
        }
        ready!(self.poll_items(context));
        let size = size_of::<S::Item>();
        let items = self.batch.len();
        let Some(filling) = self.filling.take() else {
            unreachable!("begun above")
        };
        Poll::Ready(Ok(Filled {
            plan: filling.plan,
            items,
            held: Some(held(filling.fetched, items, size)),
            was_full: !self.is_over && filling.linger.is_none() && !filling.is_short,
        }))
    }

    /// Begins a batch, unless there is one left over.
    fn begin(&mut self, pace: Pace) -> Option<Filled> {
        let plan = self.job.plan(pace);
        if !self.batch.is_empty() {
            return Some(Filled {
                plan,
                items: self.batch.len(),
                held: None,
                was_full: true,
            });
        }
        let most = self.items.size_hint().1.unwrap_or(usize::MAX);
        self.job.reserve(&mut self.batch, plan.items.min(most));
        self.filling = Some(Filling {
            plan,
            fetched: 0,
            linger: None,
            is_short: false,
        });
        None
    }

    /// Ready when the batch is complete, or the stream has ended, or nothing has come for too long.
    fn poll_items(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(filling) = &mut self.filling else {
            return Poll::Ready(());
        };
        let size = size_of::<S::Item>();
        while !self.is_over && self.batch.len() < filling.plan.items {
            let fetched = Fetched::begin();
            let polled = self.items.as_mut().poll_next(context);
            filling.fetched = filling.fetched.wrapping_add(fetched.bytes());
            match polled {
                Poll::Ready(Some(item)) => {
                    self.batch.push(item);
                    filling.linger = None;
                    if held(filling.fetched, self.batch.len(), size) >= filling.plan.held {
                        break;
                    }
                }
                Poll::Ready(None) => self.is_over = true,
                Poll::Pending if self.batch.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    let time = self.job.settings.linger;
                    if time.is_zero() {
                        filling.is_short = true;
                        break;
                    }
                    let linger = filling.linger.get_or_insert_with(|| Delay::new(time));
                    return Pin::new(linger).poll(context);
                }
            }
        }
        Poll::Ready(())
    }

    /// See [`Batched`](super::Batched).
    fn is_at_end(&self) -> bool {
        self.is_over && self.batch.is_empty() && self.filling.is_none()
    }

    fn stopped<E>(mut self, reason: Reason<E>) -> Stopped<Self, E> {
        self.job.stopped(reason).with(self)
    }

    /// What was done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        self.job.done()
    }

    /// Items that have been fetched and are not done. They come first when the job goes on.
    #[must_use]
    pub fn left_over(&self) -> &[S::Item] {
        &self.batch
    }

    /// What was left over, and the rest of the stream.
    #[must_use]
    pub fn into_rest(self) -> (Vec<S::Item>, Pin<Box<S>>) {
        (self.batch, self.items)
    }
}

/// Runs a future to its end, and measures the most that it held, over all its polls.
async fn weighed<F: Future>(future: F) -> (F::Output, u64) {
    let mut future = pin!(future);
    let (mut net, mut peak) = (0i64, 0i64);
    let output = poll_fn(|context| {
        let (polled, found) = measure(|| future.as_mut().poll(context));
        let highest = i64::try_from(found.peak_bytes).unwrap_or(i64::MAX);
        peak = peak.max(net.saturating_add(highest));
        net = net.saturating_add(found.net_bytes);
        polled
    })
    .await;
    (output, peak.max(0) as u64)
}

impl<S: Stream> Stream for BatchedStream<S> {
    type Item = Result<Vec<S::Item>, Stopped<()>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.job.take_back();
        if std::mem::take(&mut this.is_halted) {
            return Poll::Ready(None);
        }
        if this.is_at_end() {
            this.job.finish();
            return Poll::Ready(None);
        }
        this.job.begin();
        let filled = match ready!(this.poll_fill(context)) {
            Ok(filled) => filled,
            Err(reason) => {
                this.is_halted = true;
                return Poll::Ready(Some(Err(this.job.stopped(reason))));
            }
        };
        if filled.items == 0 {
            this.job.finish();
            return Poll::Ready(None);
        }
        this.job.give_out(filled);
        Poll::Ready(Some(Ok(std::mem::take(&mut this.batch))))
    }
}

/// Nothing in it is pinned in place: the stream is in a box.
impl<S: Stream> Unpin for BatchedStream<S> {}

impl<S: Stream> fmt::Debug for BatchedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchedStream")
            .field("done", &self.done())
            .field("left_over", &self.batch.len())
            .finish_non_exhaustive()
    }
}
