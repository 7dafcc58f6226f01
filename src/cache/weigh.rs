//! What an entry weighs.

use crate::allocator::local::OwnCount;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::mem::needs_drop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Says the bytes of an entry.
pub type Weigher<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// How a cache knows the bytes of an entry.
///
/// Counted are the bytes themselves up to 16 KiB, above that at most one part in 8,192 more (14 binary
/// digits, rounded up), and at most 256 TiB.
#[non_exhaustive]
pub enum Weigh<K, V> {
    /// The size of the entry's place in the table, without what key and value point to: right for plain data. That
    /// is the key's and the value's size and some 38 bytes.
    Shallow,
    /// What the thread allocated, and did not free, while the value was made, with the key's clone and
    /// the entry's place in the table. It needs [`Plimsoll`](crate::Plimsoll) as the program's
    /// allocator and values that are made by [`get_or_insert_with`], [`insert_with`] and the like: what
    /// [`insert`] is handed was made before, and is weighed as `Shallow`.
    ///
    /// Plain data, which has nothing to drop, is weighed as `Shallow`. What making any other value leaves
    /// behind elsewhere (a buffer that grew, a lazily made table) counts for it. What is made on other
    /// threads or by other tasks does not, and what is handed over by them and freed while it is made
    /// counts against it.
    ///
    /// [`get_or_insert_with`]: super::PressureCache::get_or_insert_with
    /// [`insert_with`]: super::PressureCache::insert_with
    /// [`insert`]: super::PressureCache::insert
    Measured,
    /// What this says, in bytes, at least 1. A panic in it goes to whoever inserts; the cache stays as
    /// it was.
    By(Weigher<K, V>),
}

impl<K, V> Clone for Weigh<K, V> {
    fn clone(&self) -> Self {
        match self {
            Weigh::Shallow => Weigh::Shallow,
            Weigh::Measured => Weigh::Measured,
            Weigh::By(weigh) => Weigh::By(Arc::clone(weigh)),
        }
    }
}

impl<K, V> fmt::Debug for Weigh<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Weigh::Shallow => "Shallow",
            Weigh::Measured => "Measured",
            Weigh::By(_) => "By(..)",
        })
    }
}

impl<K, V> Weigh<K, V> {
    /// Whether there is something to measure.
    #[inline]
    pub(super) fn measures(&self) -> bool {
        matches!(self, Weigh::Measured) && needs_drop::<(K, V)>()
    }
}

/// Bytes that a thread allocated and did not free, over one stretch or several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept(i64);

impl Kept {
    /// Runs `work` and adds what it kept. Nothing for a thread that counts in the shared block.
    pub(super) fn around<R>(&mut self, is_wanted: bool, work: impl FnOnce() -> R) -> R {
        if !is_wanted {
            return work();
        }
        // A block lasts as long as its thread, which the work does not leave.
        let count = OwnCount::new();
        let before = count.net();
        let result = work();
        self.0 += count.net().wrapping_sub(before);
        result
    }

    pub(super) fn and(self, other: Kept) -> Kept {
        Kept(self.0 + other.0)
    }

    /// None for work that freed more than it allocated.
    pub(super) fn bytes(self) -> u64 {
        self.0.max(0) as u64
    }
}

pin_project! {
    /// A future with what it kept, over all of its polls.
    pub(super) struct Metered<F> {
        #[pin]
        future: F,
        is_wanted: bool,
        kept: Kept,
    }
}

impl<F> Metered<F> {
    pub(super) fn new(future: F, is_wanted: bool) -> Metered<F> {
        Metered {
            future,
            is_wanted,
            kept: Kept::default(),
        }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = (F::Output, Kept);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        let polled = this.kept.around(*this.is_wanted, || future.poll(context));
        polled.map(|output| (output, *this.kept))
    }
}
