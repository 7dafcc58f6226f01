//! Allocations that fail on demand.

use super::held::Held;
use super::trace::Trace;
use super::{Unseen, global};
use crate::allocator::scope::{Call, Observer};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

thread_local! {
    /// Whether the thread is in [`spared`].
    static SPARED: Cell<bool> = const { Cell::new(false) };
}

/// Which allocations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// This one, counted from 0.
    Only(u64),
    /// This one and all that come after.
    From(u64),
    /// All of more bytes than this.
    Above(usize),
}

impl Rule {
    fn refuses(self, number: u64, size: usize) -> bool {
        match self {
            Rule::Only(only) => number == only,
            Rule::From(first) => number >= first,
            Rule::Above(bytes) => size > bytes,
        }
    }
}

type OnRefusal = Box<dyn Fn(usize, &Trace)>;

/// Refuses by a rule.
pub(super) struct Refusing {
    rule: Rule,
    seen: Cell<u64>,
    refused: Cell<u64>,
    /// Size and place of the first that was refused.
    first: RefCell<Option<(usize, Trace)>>,
    on_first: Option<OnRefusal>,
    /// What happens, and does not return, when so many have been refused.
    endless: Option<(u64, Box<dyn Fn()>)>,
}

impl Refusing {
    pub(super) fn new(rule: Rule) -> Refusing {
        Refusing {
            rule,
            seen: Cell::new(0),
            refused: Cell::new(0),
            first: RefCell::new(None),
            on_first: None,
            endless: None,
        }
    }

    /// Told of the first refusal, inside the allocator, unseen.
    pub(super) fn on_first(mut self, tell: impl Fn(usize, &Trace) + 'static) -> Refusing {
        self.on_first = Some(Box::new(tell));
        self
    }

    /// Called when so many have been refused, inside the allocator, unseen.
    pub(super) fn endless_at(mut self, refused: u64, call: impl Fn() + 'static) -> Refusing {
        self.endless = Some((refused, Box::new(call)));
        self
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.get()
    }
}

impl Observer for Refusing {
    fn refuses(&self, size: usize) -> bool {
        // A panic allocates its payload and its message: refused, it would be an abort.
        if std::thread::panicking() || SPARED.get() {
            return false;
        }
        let number = self.seen.get();
        self.seen.set(number + 1);
        if !self.rule.refuses(number, size) {
            return false;
        }
        let refused = self.refused.get() + 1;
        self.refused.set(refused);
        if let Some((at, call)) = &self.endless
            && refused == *at
        {
            call();
        }
        let mut first = self.first.borrow_mut();
        if first.is_none() {
            let trace = Trace::here();
            if let Some(tell) = &self.on_first {
                tell(size, &trace);
            }
            *first = Some((size, trace));
        }
        true
    }

    fn saw(&self, _: Call) {}
}

/// Has allocations of this thread fail until it is dropped, also by a panic. Made by [`fail_after`],
/// [`fail_nth`] and [`fail_above`].
#[must_use = "allocations fail until this is dropped"]
pub struct Failing {
    /// Dropped before what it tells.
    _held: Held,
    refusing: Unseen<Rc<Refusing>>,
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failing")
            .field("seen", &self.seen())
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}

impl Failing {
    #[track_caller]
    fn by(what: &str, rule: Rule) -> Failing {
        global::require(what);
        Failing::with(&Unseen::new(|| Rc::new(Refusing::new(rule))))
    }

    pub(super) fn with(refusing: &Unseen<Rc<Refusing>>) -> Failing {
        Failing {
            _held: Held::open(Rc::<Refusing>::clone(refusing)),
            refusing: refusing.clone(),
        }
    }

    /// How many allocations were asked for so far, refused or not.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.refusing.seen.get()
    }

    /// How many were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refusing.refused()
    }

    /// Where the first was refused, as `src/list.rs:12 in list::push` (with the feature `testing`, without which
    /// no line is known); `None` when none was.
    #[must_use]
    pub fn first_refused_at(&self) -> Option<String> {
        let site = Unseen::new(|| {
            let first = self.refusing.first.borrow();
            first.as_ref().map(|(_, trace)| trace.site())
        });
        // The caller's copy is one of his allocations, but refused it would abort the process.
        spared(|| Option::clone(&site))
    }
}

/// Runs `work` with nothing refused.
fn spared<R>(work: impl FnOnce() -> R) -> R {
    SPARED.set(true);
    let result = work();
    SPARED.set(false);
    result
}

/// Lets `allowed` more allocations of this thread succeed, and has all after them fail, until the
/// guard is dropped.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::testing::fail_after;
///
/// /// Both lists, or neither.
/// fn two_lists(length: usize) -> Result<(Vec<u8>, Vec<u8>), std::collections::TryReserveError> {
///     let (mut one, mut two) = (Vec::new(), Vec::new());
///     one.try_reserve_exact(length)?;
///     two.try_reserve_exact(length)?;
///     Ok((one, two))
/// }
///
/// let failing = fail_after(1);
/// assert!(two_lists(100).is_err());
/// assert_eq!(failing.refused(), 1);
/// drop(failing);
/// assert!(two_lists(100).is_ok());
/// ```
///
/// What counts as an allocation: `alloc`, `alloc_zeroed`, and a `realloc` that grows. One that shrinks
/// is never refused, and nothing is while the thread panics: a panic allocates its message. Refused
/// allocations are in [`HeapFigures::failed_allocations`](crate::HeapFigures::failed_allocations).
/// Other threads are not touched, the test harness's neither.
///
/// **Most of std aborts the process when an allocation fails** (`handle_alloc_error`; what it does
/// cannot be changed on stable Rust): `Vec::push`, `Box::new`, `format!`, `clone`. Code that is to
/// survive uses `try_reserve`, or the allocator directly. [`sweep_failures`](super::sweep_failures)
/// reports such an abort with its line instead of dying by it. An assertion on the way is safe while
/// it holds, or fails by a panic; `println!` is not.
///
/// # Panics
///
/// When [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
///
/// # Cost
///
/// Some tens of nanoseconds for each call of this thread while the guard lives.
#[track_caller]
pub fn fail_after(allowed: u64) -> Failing {
    Failing::by("fail_after", Rule::From(allowed))
}

/// Has one allocation of this thread fail, the `number`th from now on, counted from 0, and lets the
/// others succeed: as [`fail_after`] otherwise.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// let failing = plimsoll::testing::fail_nth(0);
/// assert!(Vec::<u8>::new().try_reserve(10).is_err());
/// assert!(Vec::<u8>::new().try_reserve(10).is_ok());
/// # drop(failing);
/// ```
#[track_caller]
pub fn fail_nth(number: u64) -> Failing {
    Failing::by("fail_nth", Rule::Only(number))
}

/// Has every allocation of this thread of more than `bytes` bytes fail: as [`fail_after`] otherwise.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// let failing = plimsoll::testing::fail_above(1 << 20);
/// assert!(Vec::<u8>::new().try_reserve(2 << 20).is_err());
/// assert!(Vec::<u8>::new().try_reserve(1 << 20).is_ok());
/// # drop(failing);
/// ```
#[track_caller]
pub fn fail_above(bytes: usize) -> Failing {
    Failing::by("fail_above", Rule::Above(bytes))
}
