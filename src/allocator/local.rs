//! A thread and its block: from the first event to the last destructor, and over a fork.
//!
//! # The life of a thread here
//!
//! 1. *Fresh.* The thread-local pointer names [`FRESH`], a block whose events are always due, so
//!    the first call of any kind, a free as well, takes the cold path and registers.
//! 2. *Owner.* The pointer names the thread's own block. Nearly every call finds no event due and
//!    ends in [`Block::alloc`] or [`Block::try_free`].
//! 3. *Departed.* A pthread key's destructor hands the block back. Keys are destroyed in rounds,
//!    after all destructors of Rust's thread-locals; ours re-arms itself until the last round but one,
//!    so that what other keys' destructors free is still counted in the block. The pointer then names
//!    [`GONE`], whose events are always due too, and whatever still comes goes to the shared block.
//!
//! A thread for which no block could be had goes from *fresh* straight to the shared block, and
//! stays there: exact, only slower.
//!
//! The pointer has no destructor and a constant initialiser, so reaching it neither allocates nor
//! registers anything; where a target cannot do that, counting falls back to the shared block.

use super::block::{Block, Totals};
use super::errand::Errands;
use super::registry::Registry;
use super::scope::{self, Call, Watching};
use super::sync::{AtomicPtr, AtomicU64, Ordering};
use super::{alarm, total};
use core::cell::Cell;
use core::ptr;

pub(crate) static REGISTRY: Registry = Registry::new();

/// Allocations that the inner allocator refused.
static FAILED: AtomicU64 = AtomicU64::new(0);

static ERRANDS: Errands = Errands::new();
/// What to do when called: a `fn()`, or null. The allocator does not know what it is.
static ERRAND: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Never written: stands in for the block of a thread that has none yet.
static FRESH: Block = Block::new();
/// Never written: stands in for the block of a thread that counts in the shared one.
static GONE: Block = Block::new();

/// How often this process has been forked from another, itself included: a handle made before a
/// fork can tell that it is now in the child.
static FORKS: AtomicU64 = AtomicU64::new(0);

pub(super) struct Local {
    block: Cell<*const Block>,
    pub(super) watching: Watching,
}

thread_local! {
    pub(super) static LOCAL: Local = const {
        Local { block: Cell::new(&raw const FRESH), watching: Watching::new() }
    };
}

/// The thread's block, or a stand-in whose events are always due.
#[inline(always)]
fn current() -> &'static Block {
    let block = LOCAL
        .try_with(|local| local.block.get())
        .unwrap_or(&raw const GONE);
    // SAFETY: the pointer names `FRESH`, `GONE` or a block of the registry, all of which live for
    // ever.
    unsafe { &*block }
}

/// The block behind a thread's pointer; `None` for the stand-ins.
fn owned(block: *const Block) -> Option<&'static Block> {
    if ptr::eq(block, &FRESH) || ptr::eq(block, &GONE) {
        return None;
    }
    // SAFETY: neither stand-in, so a block of the registry, which lives for ever.
    Some(unsafe { &*block })
}

/// Whether an event is due at an allocation of this size: then the caller takes its cold path, which
/// ends in [`allocated_event`].
#[inline(always)]
pub(crate) fn alloc_due(size: usize) -> bool {
    current().alloc_due(size as u64)
}

/// The size, for after the call to the allocator inside.
///
/// LLVM takes one register for both uses, before and after the call, and copies it back into the one in
/// which it came. Told apart, the size stays there for the call: an instruction less for every
/// allocation.
#[inline(always)]
pub(crate) fn kept(size: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let kept;
        // SAFETY: does nothing.
        unsafe {
            core::arch::asm!(
                "/* {0} */",
                inlateout(reg) size => kept,
                options(nomem, nostack, preserves_flags),
            );
        }
        kept
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    size
}

/// Counts a successful allocation at which no event was due: so the thread has a block of its own.
#[inline(always)]
pub(crate) fn allocated(size: usize) {
    current().alloc(size as u64);
}

/// Counts a free unless an event is due: then the caller goes on in its own cold path, with
/// [`deallocated_event`].
///
/// A free is counted before it is carried out: a slow one does not leave the figure too high, and
/// nobody can count a new owner of the address first.
#[inline(always)]
pub(crate) fn try_deallocated(size: usize) -> bool {
    current().try_free(size as u64)
}

/// Whether an event is due at a reallocation: then the caller takes its cold path, which ends in
/// [`reallocated_event`].
#[inline(always)]
pub(crate) fn realloc_due(old: usize, new: usize) -> bool {
    current().realloc_due(old as u64, new as u64)
}

/// Counts a successful reallocation at which no event was due.
#[inline(always)]
pub(crate) fn reallocated(old: usize, new: usize) {
    current().realloc(old as u64, new as u64);
}

/// Counts an allocation that the inner allocator refused. Answers null.
#[cold]
#[inline(never)]
pub(crate) fn failed() -> *mut u8 {
    FAILED.fetch_add(1, Ordering::Relaxed);
    ptr::null_mut()
}

/// After an allocation at which an event was due; null is one that failed. Answers the address.
pub(crate) fn allocated_event(address: *mut u8, size: usize) -> *mut u8 {
    if address.is_null() {
        return failed();
    }
    event(Change {
        allocated: size as u64,
        allocations: 1,
        ..Change::default()
    });
    scope::tell(Call::Allocated { address, size });
    address
}

/// Before a free at which an event is due.
pub(crate) fn deallocated_event(address: *mut u8, size: usize) {
    event(Change {
        deallocated: size as u64,
        deallocations: 1,
        ..Change::default()
    });
    scope::tell(Call::Freed { address, size });
}

/// Before a reallocation at which an event is due.
pub(crate) fn reallocating(address: *mut u8) {
    scope::tell(Call::Moving { address });
}

/// After one; null is one that failed. Answers the address.
pub(crate) fn reallocated_event(address: *mut u8, old: usize, new: usize) -> *mut u8 {
    if address.is_null() {
        scope::tell(Call::Stayed);
        return failed();
    }
    event(Change {
        allocated: new as u64,
        deallocated: old as u64,
        reallocations: 1,
        ..Change::default()
    });
    let to = address;
    scope::tell(Call::Moved { to, old, new });
    address
}

/// Whether somebody who watches this thread has the allocation fail.
pub(crate) fn refuses(size: usize) -> bool {
    scope::refuses(size)
}

/// What one call changes.
type Change = Totals;

/// The one place where everything rare happens: registers the thread, counts, and does what is due.
fn event(change: Change) {
    let _ = LOCAL
        .try_with(|local| match local.own_block() {
            Some(block) => {
                if change.allocations == 1 {
                    block.alloc(change.allocated);
                } else if change.deallocations == 1 {
                    block.free(change.deallocated);
                } else {
                    block.realloc(change.deallocated, change.allocated);
                }
                local.after(block);
            }
            None => {
                count_shared(change);
                local.note_shared(change);
            }
        })
        .map_err(|_| count_shared(change));
}

fn count_shared(change: Change) {
    let shared = &REGISTRY.shared;
    if change.allocations == 1 {
        shared.alloc(change.allocated);
    } else if change.deallocations == 1 {
        shared.free(change.deallocated);
    } else {
        shared.realloc(change.deallocated, change.allocated);
    }
    total::publish(change.net());
}

impl Local {
    /// The thread's own block, taken now if it is fresh; `None` when it counts in the shared one.
    pub(super) fn own_block(&self) -> Option<&'static Block> {
        let block = self.block.get();
        if ptr::eq(block, &FRESH) {
            return self.register();
        }
        owned(block)
    }

    fn register(&self) -> Option<&'static Block> {
        let block = platform::can_hand_back()
            .then(|| REGISTRY.take(platform::thread_id(), ERRANDS.last()))
            .flatten();
        // Before the hooks: should libc allocate through us in there, the thread is registered.
        self.block.set(block.map_or(&raw const GONE, ptr::from_ref));
        let block = block?;
        if !platform::at_thread_exit() {
            // Nobody would hand it back.
            self.block.set(&raw const GONE);
            self.surrender(block);
            return None;
        }
        // Asked for, or looked on, before the block had an owner to be called. The fence is `catch_up`'s.
        ERRANDS.catch_up(block);
        if scope::is_looked_on() {
            block.call();
        }
        Some(block)
    }

    /// What is due after a count that an event interrupted.
    fn after(&self, block: &Block) {
        if block.quantum_reached() {
            total::publish(block.take_unpublished());
            block.rearm();
        }
        ERRANDS.take(block, run_errand);
        self.note(block);
    }

    /// Publishes what the block still holds back and hands it back.
    fn surrender(&self, block: &Block) {
        total::publish(block.take_unpublished());
        REGISTRY.give_back(block);
    }
}

/// The thread's last act: hands its block back.
fn depart() {
    let _ = LOCAL.try_with(|local| {
        if let Some(block) = owned(local.block.replace(&raw const GONE)) {
            local.surrender(block);
        }
    });
}

/// In the child of a fork, on its only thread.
fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    alarm::forget_in_child();
    total::disarm();
    scope::look_away_in_child();
    // Whoever monitors the parent does not monitor the child.
    ERRANDS.stand(false);
    let own = LOCAL
        .try_with(|local| owned(local.block.get()))
        .unwrap_or(None);
    if let Some(own) = own {
        own.thread_id
            .store(platform::thread_id(), Ordering::Relaxed);
    }
    REGISTRY.reclaim_in_child(own, |block| total::publish(block.take_unpublished()));
}

/// Has every thread run `errand` at its next allocation or free, and answers a number by which to
/// ask how many have.
///
/// It runs inside the allocator: it must not allocate through it, unwind, or wait for anyone.
pub(crate) fn call_all(errand: fn()) -> u32 {
    ERRAND.store(errand as *mut (), Ordering::Release);
    ERRANDS.call(&REGISTRY)
}

/// For the owner of `block`, who has armed its events and does not run an errand now.
pub(super) fn catch_up(block: &Block) {
    ERRANDS.catch_up(block);
}

/// How many threads have come to an errand, and of how many.
pub(crate) fn errand_done(number: u32) -> (u32, u32) {
    ERRANDS.done(&REGISTRY, number)
}

/// From now on, or no longer, every thread that parks runs the last errand.
pub(crate) fn errand_at_park(standing: bool) {
    ERRANDS.stand(standing);
}

/// The calling thread is about to park.
pub(crate) fn parks() {
    let _ = LOCAL.try_with(|local| {
        if let Some(block) = owned(local.block.get()) {
            ERRANDS.take_at_park(block, run_errand);
        }
    });
}

#[cold]
fn run_errand() {
    let errand = ERRAND.load(Ordering::Acquire);
    if !errand.is_null() {
        // SAFETY: only `call_all` stores here, and it stores a `fn()`.
        let errand = unsafe { core::mem::transmute::<*mut (), fn()>(errand) };
        errand();
    }
}

/// What the calling thread has counted so far, by the block's own origin: only differences tell
/// something. `None` for a thread that counts in the shared block.
#[cfg(any(feature = "http", feature = "bench"))]
#[inline]
pub(crate) fn own_totals() -> Option<Totals> {
    LOCAL
        .try_with(|local| {
            let block = local.own_block()?;
            Some(local.watching.visible(block.totals()))
        })
        .ok()?
}

/// Whether what this program allocates comes through here at all: `Plimsoll` is its allocator.
pub(crate) fn is_counting() -> bool {
    static KNOWN: once_cell::race::OnceBool = once_cell::race::OnceBool::new();
    fn counted() -> Totals {
        let block = LOCAL.try_with(Local::own_block).ok().flatten();
        block.map_or_else(|| REGISTRY.shared.totals(), Block::totals)
    }
    let probe = || {
        scope::unseen(|| {
            let before = counted().allocations;
            drop(core::hint::black_box(Box::new(core::hint::black_box(1u8))));
            counted().allocations > before
        })
    };
    KNOWN.get_or_init(probe)
}

/// The calling thread's count of what it holds, for many readings in a row.
#[cfg(any(feature = "batch", feature = "cache"))]
#[derive(Clone, Copy)]
pub(crate) struct OwnCount {
    /// `None` for a thread that counts in the shared block.
    block: Option<&'static Block>,
    /// Stays on its thread: elsewhere the block may have another owner.
    _on_its_thread: core::marker::PhantomData<*const ()>,
}

#[cfg(any(feature = "batch", feature = "cache"))]
impl OwnCount {
    pub(crate) fn new() -> OwnCount {
        OwnCount {
            block: LOCAL.try_with(Local::own_block).ok().flatten(),
            _on_its_thread: core::marker::PhantomData,
        }
    }

    /// Whether it tells anything: the thread has a block of its own, and `Plimsoll` is the program's
    /// allocator.
    pub(crate) fn is_counting(self) -> bool {
        self.block.is_some() && is_counting()
    }

    /// Allocated minus deallocated, of which only differences tell something: below zero where the
    /// thread frees what others allocated. Two loads.
    #[inline(always)]
    pub(crate) fn net(self) -> i64 {
        self.block.map_or(0, Block::net)
    }
}

/// How many forks lie between this process and the one that started the program.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

pub(crate) fn failed_allocations() -> u64 {
    FAILED.load(Ordering::Relaxed)
}

#[cfg(unix)]
mod platform;

/// No hooks: every thread counts in the shared block.
#[cfg(not(unix))]
mod platform {
    pub(super) fn can_hand_back() -> bool {
        false
    }

    pub(super) fn at_thread_exit() -> bool {
        false
    }

    pub(super) fn thread_id() -> u32 {
        0
    }
}

#[cfg(all(test, unix, not(plimsoll_loom)))]
mod tests {
    use super::*;

    #[test]
    fn neither_the_beginning_nor_the_end_of_a_scope_undoes_a_call() {
        // On a thread of its own: with a block of its own.
        let looked = std::thread::spawn(|| {
            let block = LOCAL.with(Local::own_block).expect("a block");
            let called = || block.alloc_due(1);
            block.rearm();
            let before = called();
            ERRANDS.call(&REGISTRY);
            let (within, _) = crate::measure(called);
            let after = called();
            assert!(ERRANDS.take(block, || ()));
            block.rearm();
            let done = called();
            [before, within, after, done]
        });
        assert_eq!(looked.join().unwrap(), [false, true, true, false]);
    }
}
