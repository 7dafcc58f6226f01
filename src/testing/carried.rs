//! What a thread hands on to those that work for it.
//!
//! A group of threads, or a leak check, is something that counts and that several threads carry. A
//! thread knows what it carries; [`carry`], [`carry_future`] and [`spawn`] take that along to where
//! work goes on.

use super::held::Held;
use super::measure::watched;
use super::{Unseen, unseen};
use crate::allocator::scope::{Call, Observer};
use std::cell::{Cell, RefCell};
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
struct Member {
    of: Carried,
    /// Another scope of this thread tells of the same calls.
    rests: Cell<bool>,
}

impl Member {
    fn of(one: &Carried, rests: bool) -> Unseen<Rc<Member>> {
        Unseen::new(|| {
            Rc::new(Member {
                of: Arc::clone(one),
                rests: Cell::new(rests),
            })
        })
    }
}

impl Observer for Member {
    fn saw(&self, call: Call) {
        if !self.rests.get() {
            self.of.saw(call);
        }
    }
}

/// What a thread carries to its end.
struct Joined {
    /// Dropped before what it tells.
    _held: Held,
    member: Unseen<Rc<Member>>,
}

thread_local! {
    /// What this thread carries for a while.
    static CURRENT: Unseen<RefCell<Vec<Carried>>> = Unseen::new(RefCell::default);
    /// What it carries to its end.
    static JOINED: Unseen<RefCell<Vec<Joined>>> = Unseen::new(RefCell::default);
}

fn is_carried_for_a_while(one: &Carried) -> bool {
    CURRENT
        .try_with(|current| current.borrow().iter().any(|other| Arc::ptr_eq(one, other)))
        .unwrap_or(false)
}

/// This thread's member that has joined it.
fn joined(one: &Carried) -> Option<Unseen<Rc<Member>>> {
    let find = |joined: &Unseen<RefCell<Vec<Joined>>>| {
        let joined = joined.borrow();
        let mut members = joined.iter().map(|joined| &joined.member);
        members.find(|member| Arc::ptr_eq(one, &member.of)).cloned()
    };
    JOINED.try_with(find).ok().flatten()
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
            // The work had the thread join.
            if let Some(member) = joined(self.0) {
                member.rests.set(false);
            }
        }
    }
    if is_carried_for_a_while(one) || joined(one).is_some() {
        return work();
    }
    let member = Member::of(one, false);
    unseen(|| {
        let _ = CURRENT.try_with(|current| current.borrow_mut().push(Arc::clone(one)));
    });
    let _back = Back(one);
    watched(Some(Rc::<Member>::clone(&member)), work).0
}

/// Carries `one` until this thread ends.
pub(super) fn join(one: &Carried) {
    if joined(one).is_some() {
        return;
    }
    // A thread that is ending has nothing left to count.
    let _ = JOINED.try_with(|joined| {
        // While work runs that carries it, that work's scope tells.
        let member = Member::of(one, is_carried_for_a_while(one));
        let _held = Held::open(Rc::<Member>::clone(&member));
        unseen(|| joined.borrow_mut().push(Joined { _held, member }));
    });
}

/// All that this thread carries, in one order or another; some of it twice.
fn current() -> Unseen<Vec<Carried>> {
    Unseen::new(|| {
        let for_a_while = CURRENT.try_with(|current| current.borrow().clone());
        let mut all = for_a_while.unwrap_or_default();
        let _ = JOINED.try_with(|joined| {
            let joined = joined.borrow();
            all.extend(joined.iter().map(|joined| Arc::clone(&joined.member.of)));
        });
        all
    })
}

/// Runs `work` with all of `carried`.
fn within_all<R>(carried: &[Carried], work: impl FnOnce() -> R) -> R {
    match carried {
        [] => work(),
        [first, rest @ ..] => within(first, || within_all(rest, work)),
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
    let hand = current();
    move || within_all(&hand, work)
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
    let hand = current();
    async move {
        let mut future = pin!(future);
        poll_fn(|context| within_all(&hand, || future.as_mut().poll(context))).await
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
