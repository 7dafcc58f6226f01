//! What a thread hands on to those that work for it.
//!
//! A group of threads, or a leak check, is something that counts and that several threads carry. A
//! thread knows what it carries; [`carry`], [`carry_future`] and [`spawn`] take that along to where
//! work goes on.

use super::held::Held;
use super::measure::watched;
use super::unseen;
use crate::allocator::scope::{Call, Observer};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Something that several threads tell of their calls. Called inside the allocator, unseen, as an
/// [`Observer`] is.
pub(super) trait Shared: Send + Sync {
    fn saw(&self, call: Call);
}

pub(super) type Carried = Arc<dyn Shared>;

/// This thread's scope for it.
struct Member(Carried);

impl Observer for Member {
    fn saw(&self, call: Call) {
        self.0.saw(call);
    }
}

thread_local! {
    /// What this thread carries.
    static CURRENT: RefCell<Vec<Carried>> = const { RefCell::new(Vec::new()) };
    /// What it carries to its end.
    static JOINED: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

fn is_carried(one: &Carried) -> bool {
    CURRENT
        .try_with(|current| current.borrow().iter().any(|other| Arc::ptr_eq(one, other)))
        .unwrap_or(false)
}

/// Runs `work` with `one` carried. Carried already, by this thread, nothing is counted twice.
pub(super) fn within<R>(one: &Carried, work: impl FnOnce() -> R) -> R {
    struct Back<'a>(&'a Carried);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            unseen(|| {
                let _ = CURRENT.try_with(|current| {
                    let mut current = current.borrow_mut();
                    let at = current.iter().rposition(|other| Arc::ptr_eq(self.0, other));
                    at.map(|at| current.remove(at))
                });
            });
        }
    }
    if is_carried(one) {
        return work();
    }
    let member = unseen(|| {
        let _ = CURRENT.try_with(|current| current.borrow_mut().push(Arc::clone(one)));
        Rc::new(Member(Arc::clone(one)))
    });
    let _back = Back(one);
    let kept = Rc::clone(&member);
    let result = watched(Some(member), work).0;
    unseen(|| drop(kept));
    result
}

/// Carries `one` until this thread ends.
pub(super) fn join(one: &Carried) {
    if is_carried(one) {
        return;
    }
    // A thread that is ending has nothing left to count.
    let _ = JOINED.try_with(|joined| {
        let member = unseen(|| {
            let _ = CURRENT.try_with(|current| current.borrow_mut().push(Arc::clone(one)));
            Rc::new(Member(Arc::clone(one)))
        });
        let held = Held::open(member);
        unseen(|| joined.borrow_mut().push(held));
    });
}

/// All that this thread carries.
fn current() -> Vec<Carried> {
    unseen(|| {
        CURRENT
            .try_with(|current| current.borrow().clone())
            .unwrap_or_default()
    })
}

/// Runs `work` with all of `carried`.
fn within_all<R>(carried: &[Carried], work: impl FnOnce() -> R) -> R {
    match carried {
        [] => work(),
        [first, rest @ ..] => within(first, || within_all(rest, work)),
    }
}

/// Drops its list unseen: it was made so.
struct Hand(Vec<Carried>);

impl Drop for Hand {
    fn drop(&mut self) {
        unseen(|| drop(std::mem::take(&mut self.0)));
    }
}

/// Work for another thread, counted there by all that counts here: every [`Group`](super::Group) that
/// this thread is in, and every leak check around the call.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::testing::{Group, carry};
///
/// let group = Group::new();
/// group.run(|| {
///     std::thread::scope(|scope| {
///         scope.spawn(carry(|| drop(std::hint::black_box(vec![0u8; 1000]))));
///     });
/// });
/// assert!(group.figures().allocated_bytes >= 1000);
/// ```
///
/// Where nothing counts it changes nothing.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let hand = Hand(current());
    move || {
        let hand = hand;
        within_all(&hand.0, work)
    }
}

/// A task whose polls are counted by all that counts here: [`carry`] for futures, as handed to
/// `tokio::spawn`.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// use plimsoll::testing::{Group, carry_future};
///
/// let group = Group::new();
/// group.run(|| {
///     let task = carry_future(async { drop(std::hint::black_box(vec![0u8; 1000])) });
///     runtime.block_on(runtime.spawn(task)).unwrap();
/// });
/// assert!(group.figures().allocated_bytes >= 1000);
/// ```
pub fn carry_future<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let hand = Hand(current());
    async move {
        let hand = hand;
        let mut future = pin!(future);
        poll_fn(|context| within_all(&hand.0, || future.as_mut().poll(context))).await
    }
}

/// [`std::thread::spawn`] with [`carry`].
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// plimsoll::assert_no_leak!({
///     plimsoll::testing::spawn(|| drop(vec![0u8; 100])).join().unwrap();
/// });
/// ```
///
/// # Panics
///
/// When the system starts no thread, as std's does.
pub fn spawn<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    std::thread::spawn(carry(work))
}
