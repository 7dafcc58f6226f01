//! A stretch of a thread's life that is being measured, and who watches its calls.
//!
//! # How a scope sees what the hot path does not tell
//!
//! A scope that only measures reads the thread's counters at both ends, and has the thread's
//! allocation event come at each new peak. A scope with an [`Observer`] has both events due at
//! every call: while it is open the thread's every call takes the cold path, where the observer is
//! told of it and may refuse it. The hot path has no branch for either.
//!
//! # Unseen work
//!
//! An observer may allocate: it keeps records. What runs inside [`unseen`] counts for the process,
//! as everything does, but no scope of the thread sees it: it is kept apart in
//! [`Watching::unseen`], which every reading of a scope subtracts, and no observer is told. An
//! observer is always called unseen, so it is never called from within itself.
//!
//! # Onlookers
//!
//! Whether a block is freed on *another* thread, only that thread can tell. While anybody looks on
//! ([`look_on`]), frees and reallocations of all threads are told to one function. Who begins to
//! look on raises a count and then calls every thread to its cold path; a thread arms its events
//! and then looks at the count, with a fence between the two on either side, as in
//! [`errand`](super::errand): every free that comes after the beginning is told.

use super::block::Totals;
use super::local::{LOCAL, Local, REGISTRY, catch_up};
use super::sync::{AtomicPtr, AtomicU32, Ordering, fence};
use core::cell::Cell;
use core::ptr;
use std::rc::Rc;

/// One call of the allocator, as the cold path sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Allocated {
        address: *mut u8,
        size: usize,
    },
    /// Told before it is carried out: from then on the address may be somebody else's.
    Freed {
        address: *mut u8,
        size: usize,
    },
    /// A reallocation is about to be tried. [`Moved`](Self::Moved) or [`Stayed`](Self::Stayed)
    /// follows on the same thread.
    Moving {
        address: *mut u8,
    },
    Moved {
        to: *mut u8,
        old: usize,
        new: usize,
    },
    /// The reallocation was refused: the block is where it was.
    Stayed,
}

/// Who watches the calls of a scope. Runs inside the allocator, unseen: it may allocate and lock
/// what no caller of the allocator holds, and must not unwind.
pub(crate) trait Observer {
    /// Whether an allocation of this many bytes, or a reallocation that grows to them, is to fail.
    fn refuses(&self, _size: usize) -> bool {
        false
    }

    fn saw(&self, call: Call);
}

/// A thread's part in all this.
pub(super) struct Watching {
    /// The innermost open scope of this thread.
    innermost: Cell<*const Scope>,
    /// How many of the open scopes have an observer.
    observers: Cell<u32>,
    /// How deep the thread is in unseen work.
    depth: Cell<u32>,
    /// The totals when the outermost unseen work began.
    began: Cell<Totals>,
    /// What was counted unseen so far.
    unseen: Cell<Totals>,
}

impl Watching {
    pub(super) const fn new() -> Watching {
        Watching {
            innermost: Cell::new(ptr::null()),
            observers: Cell::new(0),
            depth: Cell::new(0),
            began: Cell::new(Totals::ZERO),
            unseen: Cell::new(Totals::ZERO),
        }
    }

    /// The open scopes, from the innermost outwards.
    fn scopes(&self) -> impl Iterator<Item = &Scope> {
        // SAFETY: a scope is on this list from `begin` to `end`, while its owner keeps it in its
        // place, and the list is this thread's alone.
        let at = |scope: *const Scope| unsafe { scope.as_ref() };
        core::iter::successors(at(self.innermost.get()), move |scope| at(scope.outer.get()))
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.depth.get() > 0
    }

    /// Whether every call of the thread is to take the cold path.
    fn is_watched(&self) -> bool {
        !self.is_hidden() && (self.observers.get() > 0 || LOOKING.load(Ordering::Relaxed) > 0)
    }

    /// The totals of a thread without what was counted unseen.
    pub(super) fn visible(&self, totals: Totals) -> Totals {
        let totals = if self.is_hidden() {
            self.began.get()
        } else {
            totals
        };
        totals.since(self.unseen.get())
    }
}

impl Local {
    /// Tells the scopes of a call that the thread's block has counted, and arms its events again.
    pub(super) fn note(&self, block: &super::block::Block) {
        let watching = &self.watching;
        if !watching.is_hidden() && !watching.innermost.get().is_null() {
            let net = watching.visible(block.totals()).net();
            watching.scopes().for_each(|scope| scope.note_peak(net));
        }
        self.arm(block);
    }

    /// Tells the scopes of a call of a thread that has no block; then every call comes here.
    pub(super) fn note_shared(&self, change: Totals) {
        if !self.watching.is_hidden() {
            self.watching.scopes().for_each(|scope| scope.count(change));
        }
    }

    /// Has the next event come when a scope or an observer needs it.
    fn arm(&self, block: &super::block::Block) {
        let watching = &self.watching;
        match watching.scopes().next() {
            // Each outer scope's peak is at least this one's: it was told of all that this one was.
            Some(scope) if !watching.is_hidden() => {
                let unseen = watching.unseen.get().net();
                block.rearm_for_peak(scope.peak.get().wrapping_add(unseen));
            }
            Some(_) => block.rearm_without_peak(),
            None => {}
        }
        if watching.is_watched() {
            block.call();
        } else {
            catch_up(block);
        }
    }
}

/// Asks each of the calling thread's observers. Whether one refuses an allocation of this size.
pub(super) fn refuses(size: usize) -> bool {
    LOCAL
        .try_with(|local| {
            let watching = &local.watching;
            watching.observers.get() > 0
                && !watching.is_hidden()
                && unseen(|| {
                    // Each is asked, also after one that refuses: they count.
                    watching.scopes().fold(false, |is_refused, scope| {
                        let observer = scope.observer.as_ref();
                        observer.is_some_and(|observer| observer.refuses(size)) || is_refused
                    })
                })
        })
        .unwrap_or(false)
}

/// Tells the calling thread's observers, and those who look on, of a call.
pub(super) fn tell(call: Call) {
    let _ = LOCAL.try_with(|local| {
        let watching = &local.watching;
        if !watching.is_watched() {
            return;
        }
        unseen(|| {
            for scope in watching.scopes() {
                if let Some(observer) = &scope.observer {
                    observer.saw(call);
                }
            }
            tell_onlooker(call);
        });
    });
}

/// Runs `work` so that no scope of this thread sees what it allocates and frees.
pub(crate) fn unseen<R>(work: impl FnOnce() -> R) -> R {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = LOCAL.try_with(|local| {
                let watching = &local.watching;
                watching.depth.set(watching.depth.get() - 1);
                if let (false, Some(block)) = (watching.is_hidden(), local.own_block()) {
                    let mut sum = watching.unseen.get();
                    sum.add(block.totals().since(watching.began.get()));
                    watching.unseen.set(sum);
                    local.arm(block);
                }
            });
        }
    }
    let begun = LOCAL.try_with(|local| {
        let watching = &local.watching;
        if let (false, Some(block)) = (watching.is_hidden(), local.own_block()) {
            watching.began.set(block.totals());
        }
        watching.depth.set(watching.depth.get() + 1);
    });
    let _back = begun.ok().map(|()| Back);
    work()
}

/// A stretch of this thread's life that is being measured. Scopes nest, and may end in any order.
pub(crate) struct Scope {
    outer: Cell<*const Scope>,
    start: Cell<Totals>,
    /// Counted here while the thread has no block of its own.
    shared: Cell<Totals>,
    /// The highest `allocated - deallocated` of the thread since the start.
    peak: Cell<i64>,
    observer: Option<Rc<dyn Observer>>,
}

impl Scope {
    pub(crate) fn watched(observer: Option<Rc<dyn Observer>>) -> Scope {
        Scope {
            outer: Cell::new(ptr::null()),
            start: Cell::default(),
            shared: Cell::default(),
            peak: Cell::new(0),
            observer,
        }
    }

    /// Opens the scope on this thread.
    ///
    /// # Safety
    ///
    /// The scope stays where it is until [`end`](Self::end) has run, on the same thread; or for
    /// ever.
    pub(crate) unsafe fn begin(&self) {
        let _ = LOCAL.try_with(|local| {
            let watching = &local.watching;
            let block = local.own_block();
            let start = block.map_or(Totals::ZERO, |block| watching.visible(block.totals()));
            self.start.set(start);
            self.peak.set(start.net());
            self.outer.set(watching.innermost.replace(self));
            let observers = watching.observers.get();
            watching
                .observers
                .set(observers + u32::from(self.observer.is_some()));
            if let Some(block) = block {
                local.arm(block);
            }
        });
    }

    /// Closes the scope: what the thread counted in it, and the most it had above the start.
    pub(crate) fn end(&self) -> (Totals, u64) {
        let counted = LOCAL.try_with(|local| {
            let watching = &local.watching;
            let block = local.own_block();
            let counted = block.map(|block| watching.visible(block.totals()));
            if self.unlink(watching) {
                let observers = watching.observers.get();
                watching
                    .observers
                    .set(observers - u32::from(self.observer.is_some()));
            }
            let Some((block, counted)) = block.zip(counted) else {
                return self.shared.get();
            };
            if watching.innermost.get().is_null() {
                block.rearm_without_peak();
            }
            local.arm(block);
            counted.since(self.start.get())
        });
        let peak = self.peak.get().wrapping_sub(self.start.get().net());
        (counted.unwrap_or_default(), peak.max(0) as u64)
    }

    /// Takes the scope off the thread's list, wherever it stands there.
    fn unlink(&self, watching: &Watching) -> bool {
        if ptr::eq(watching.innermost.get(), self) {
            watching.innermost.set(self.outer.get());
            return true;
        }
        let inner = watching
            .scopes()
            .find(|scope| ptr::eq(scope.outer.get(), self));
        if let Some(inner) = inner {
            inner.outer.set(self.outer.get());
        }
        inner.is_some()
    }

    fn note_peak(&self, net: i64) {
        self.peak.set(self.peak.get().max(net));
    }

    fn count(&self, change: Totals) {
        let mut sum = self.shared.get();
        sum.add(change);
        self.shared.set(sum);
        self.note_peak(sum.net());
    }
}

/// How many look on.
static LOOKING: AtomicU32 = AtomicU32::new(0);
/// Whom to tell: a `fn(Call)`, or null. The allocator does not know what it is.
static ONLOOKER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// From now on frees and reallocations of all threads are told to `onlooker`, until
/// [`look_away`] has been called as often as this. There is one such function in a program. It runs
/// as an [`Observer`] does.
pub(crate) fn look_on(onlooker: fn(Call)) {
    ONLOOKER.store(onlooker as *mut (), Ordering::Release);
    LOOKING.fetch_add(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    for block in REGISTRY.iter().filter(|block| block.is_owned()) {
        block.call();
    }
}

/// Whether anybody looks on. For a thread that comes to own a block, after a fence.
pub(super) fn is_looked_on() -> bool {
    LOOKING.load(Ordering::Relaxed) > 0
}

pub(crate) fn look_away() {
    // Not below zero: in the child of a fork it has been set back.
    let fewer = |looking: u32| looking.checked_sub(1);
    let _ = LOOKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
}

/// In the child of a fork: those who looked on stayed in the parent, but for the calling thread,
/// who looks on no longer.
pub(super) fn look_away_in_child() {
    LOOKING.store(0, Ordering::Relaxed);
}

fn tell_onlooker(call: Call) {
    let onlooker = ONLOOKER.load(Ordering::Acquire);
    if LOOKING.load(Ordering::Relaxed) > 0 && !onlooker.is_null() {
        // SAFETY: only `look_on` stores here, and it stores a `fn(Call)`.
        let onlooker = unsafe { core::mem::transmute::<*mut (), fn(Call)>(onlooker) };
        onlooker(call);
    }
}
