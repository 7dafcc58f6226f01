//! One thread's counters.
//!
//! A block has one writer, the thread that owns it, and any number of readers that never write.
//! So a count is a plain load, an add and a store: no locked instruction. The stores are
//! `Release` and the readers' loads `Acquire`, which costs nothing on x86-64 (`add [mem], reg`)
//! and an `stlr` on AArch64, and buys this: a reader that sees a free also sees the allocation
//! that came before it, on whichever thread that was, so that the bounds of a snapshot hold under
//! weak memory too.
//!
//! All totals only ever grow. They belong to the block, not to the thread: when a thread ends,
//! the next owner goes on adding (see [`registry`](super::registry)).
//!
//! # The two events
//!
//! `allocated` is compared with `next_alloc` and `deallocated` with `next_free` before a call is
//! carried out. Where a comparison says that the event is due, *nothing* has been done yet and the
//! caller goes to the cold path, which may refuse the call, or carries it out, counts, and then does
//! what is due. A zeroed `next_alloc`
//! and `next_free` therefore send every call to the cold path: that is how a thread without a
//! block of its own is recognised, with no branch beyond the one that events need anyway. It is
//! also how another thread calls a thread to the cold path: see [`errand`](super::errand). These
//! two are the only words of a block that others write.
//!
//! # What was tried for fewer instructions
//!
//! Over bare jemalloc, for an allocation and its free, by `cargo bench -p plimsoll-peers --bench peers`:
//!
//! | trial | instructions |
//! |---|---|
//! | as it is: sizes before alignments in what the cold paths are called with; jemalloc's alignments compared once | 11.0 |
//! | the latter alone | 12.9 |
//! | neither: events compared with memory, the size told apart before and after the call | 16.2 to 17.1, as the loop around it is laid out |
//! | the events' words loaded as atomics, and then compared | 21.1 |
//! | the events' words as plain cells | 19.0 |
//! | neither, and each sum kept as what is left until its event, so that counting compares; counted before the call, and undone in a cold path where it is refused | 12.1 |
//! | the same with one address less, by inline assembly | 11.1 |
//!
//! In a program without LTO, where `__rust_alloc` is a call and the layout is not known there, it is 19: 27 before
//! the [allocator inside](super::jemalloc) compared alignments once, and 16 with the block's address in a second
//! thread-local for after the call, so that one register is kept across it instead of two. That is not here: with it
//! such a program (jaq: 545 M instructions, an allocation for every 300) had 0.7 % instructions less and the same
//! time, and a library that is loaded would call for the address twice. Telling LLVM that the cold paths do not
//! unwind changed nothing there.
//!
//! With LTO, too, the calls are left out of line wherever LLVM takes the call site for cold, which is what it inlines
//! there at a cost of at most 45 (an allocation is 150, a free 95 by its reckoning): in a JSON parser, at most sites. An
//! allocation and its free are 24 more than bare jemalloc's there, 3.6 % of all instructions, 4 % of the time, where
//! `benches/peers/layouts.sh` tells 1.04 for it and 1.013 for all programs. What is asked of alignments and of events in
//! one cold path instead of two, and alignments above 8 not taken for cold, changed neither.
//!
//! The last two of the table are not here: a sum is then two words that a reader has to put together, a cumulative
//! figure can go back where a small request is refused while somebody reads, and the model of it was
//! explored with two preemptions at most. jemalloc's own counters of a thread are no substitute: they
//! count usable sizes, and not what was asked for. Counts do not follow from bytes, so each is an
//! addition of its own.

use super::sync::{AtomicU32, AtomicU64, Ordering, own_load};
use core::cell::Cell;

/// A thread adds to the process total each time it has allocated, or freed, this many bytes.
///
/// 256 KiB: at 1 GB/s one thread publishes every 0.25 ms, well inside the millisecond that a
/// crossed line may take to be noticed, and pays one shared atomic add for some 4,000 ordinary
/// allocations.
pub(crate) const QUANTUM: u64 = 256 * 1024;

/// The counters of one thread, in the order in which a pair of `alloc` and `dealloc` touches them.
///
/// 128-byte aligned because x86-64 prefetches cache lines in pairs and Apple's cores have 128-byte
/// lines: two threads' blocks never share one. The first 64 bytes are all that the hot path and a
/// snapshot touch; the rest belongs to the cold path.
#[repr(C, align(128))]
pub(crate) struct Block {
    allocated: AtomicU64,
    /// Where the next event is due; set by the owner, and to zero by [`call`](Self::call).
    next_alloc: AtomicU64,
    allocations: AtomicU64,
    deallocated: AtomicU64,
    next_free: AtomicU64,
    deallocations: AtomicU64,
    reallocations: AtomicU64,
    /// While a `realloc` is counted, the old size: `allocated` may already hold the new size and
    /// `deallocated` not yet the old one, and a reader widens its lower bound by this much.
    moving: AtomicU64,

    /// What the process total knows of `allocated - deallocated`. Owner only, like all `Cell`s here.
    published: Cell<i64>,
    /// Where `allocated` has to arrive for the next publication; `next_alloc` is lower while a
    /// scope of `measure` waits for a new peak.
    quantum_alloc: Cell<u64>,
    /// Odd while a thread owns the block. Both the take-over and the hand-back add one.
    generation: AtomicU32,
    /// The last errand that the owner has run.
    pub(crate) errand: AtomicU32,
    /// The kernel's id of the owner, to find its name.
    pub(crate) thread_id: AtomicU32,
    /// Place in the registry; written once, before the block is first used.
    pub(crate) index: AtomicU32,
    /// The next free block, as its index plus one; 0 ends the stack.
    pub(crate) next_in_stack: AtomicU32,
    /// The totals at take-over, which per-thread figures subtract.
    base: [AtomicU64; BASE],
}

// SAFETY: the `Cell`s are reached by the owner alone, and ownership passes from thread to thread
// through the registry's release and acquire; in a forked child by its only thread. Everything
// that others read is atomic. The stand-ins for threads without a block are never written.
unsafe impl Sync for Block {}

/// The totals at take-over that are kept: both sums and the three counts; in the model, which
/// leaves the counts out, the sums.
const BASE: usize = if cfg!(plimsoll_loom) { 2 } else { 5 };

/// The totals of one block, or of several added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) allocated: u64,
    pub(crate) deallocated: u64,
    pub(crate) allocations: u64,
    pub(crate) deallocations: u64,
    pub(crate) reallocations: u64,
    pub(crate) moving: u64,
}

impl Totals {
    pub(crate) const ZERO: Totals = Totals {
        allocated: 0,
        deallocated: 0,
        allocations: 0,
        deallocations: 0,
        reallocations: 0,
        moving: 0,
    };

    pub(crate) fn add(&mut self, other: Totals) {
        self.allocated += other.allocated;
        self.deallocated += other.deallocated;
        self.allocations += other.allocations;
        self.deallocations += other.deallocations;
        self.reallocations += other.reallocations;
        self.moving += other.moving;
    }

    /// What was counted since `earlier`, a reading of the same counters.
    pub(crate) fn since(self, earlier: Totals) -> Totals {
        Totals {
            allocated: self.allocated.wrapping_sub(earlier.allocated),
            deallocated: self.deallocated.wrapping_sub(earlier.deallocated),
            allocations: self.allocations.wrapping_sub(earlier.allocations),
            deallocations: self.deallocations.wrapping_sub(earlier.deallocations),
            reallocations: self.reallocations.wrapping_sub(earlier.reallocations),
            moving: self.moving,
        }
    }

    /// Allocated minus deallocated: negative for a thread that frees what others allocated.
    pub(crate) fn net(self) -> i64 {
        self.allocated.wrapping_sub(self.deallocated) as i64
    }
}

/// Adds to a counter that only the caller writes. One `add [mem], reg` on x86-64.
#[inline(always)]
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(own_load(counter).wrapping_add(by), Ordering::Release);
}

/// Adds one to a count. The model leaves the counts out: see [`Block::totals`].
#[inline(always)]
fn count(counter: &AtomicU64) {
    if cfg!(not(plimsoll_loom)) {
        bump(counter, 1);
    }
}

/// Whether a count has reached the block's word at which an event is due.
///
/// LLVM loads an atomic into a register before it compares, an instruction more for every call;
/// x86-64 compares with memory, and an aligned load is atomic there.
#[cfg(all(target_arch = "x86_64", not(plimsoll_loom), not(miri)))]
macro_rules! reached {
    ($count:expr, $block:ident.$due:ident) => {
        'compared: {
            // SAFETY: reads the eight aligned bytes of one field, and writes nothing.
            unsafe {
                core::arch::asm!(
                    "cmp {count}, qword ptr [{block} + {due}]",
                    "jae {reached}",
                    count = in(reg) $count,
                    block = in(reg) core::ptr::from_ref::<Block>($block),
                    due = const core::mem::offset_of!(Block, $due),
                    reached = label { break 'compared true },
                    options(nostack, readonly),
                );
            }
            false
        }
    };
}
#[cfg(not(all(target_arch = "x86_64", not(plimsoll_loom), not(miri))))]
macro_rules! reached {
    ($count:expr, $block:ident.$due:ident) => {
        $count >= $block.$due.load(Ordering::Relaxed)
    };
}

/// `const` where the atomics are `core`'s; loom's cannot be made in a constant.
macro_rules! maybe_const_fn {
    ($(#[$doc:meta])* $vis:vis fn $name:ident() -> $out:ty $body:block) => {
        #[cfg(not(plimsoll_loom))]
        $(#[$doc])* $vis const fn $name() -> $out $body
        #[cfg(plimsoll_loom)]
        $(#[$doc])* $vis fn $name() -> $out $body
    };
}
pub(crate) use maybe_const_fn;

impl Block {
    maybe_const_fn! {
        /// All zero, which is also what fresh pages hold: both events are due at once.
        pub(crate) fn new() -> Block {
            Block {
                allocated: AtomicU64::new(0),
                next_alloc: AtomicU64::new(0),
                allocations: AtomicU64::new(0),
                deallocated: AtomicU64::new(0),
                next_free: AtomicU64::new(0),
                deallocations: AtomicU64::new(0),
                reallocations: AtomicU64::new(0),
                moving: AtomicU64::new(0),
                published: Cell::new(0),
                quantum_alloc: Cell::new(0),
                generation: AtomicU32::new(0),
                errand: AtomicU32::new(0),
                thread_id: AtomicU32::new(0),
                index: AtomicU32::new(0),
                next_in_stack: AtomicU32::new(0),
                #[cfg(not(plimsoll_loom))]
                base: [const { AtomicU64::new(0) }; BASE],
                #[cfg(plimsoll_loom)]
                base: core::array::from_fn(|_| AtomicU64::new(0)),
            }
        }
    }

    /// Whether an event is due at an allocation of this size. Counts nothing.
    #[inline(always)]
    pub(crate) fn alloc_due(&self, size: u64) -> bool {
        let allocated = own_load(&self.allocated).wrapping_add(size);
        reached!(allocated, self.next_alloc)
    }

    /// Counts a free, unless an event is due: then counts nothing and answers `false`.
    #[inline(always)]
    pub(crate) fn try_free(&self, size: u64) -> bool {
        let deallocated = own_load(&self.deallocated).wrapping_add(size);
        if reached!(deallocated, self.next_free) {
            return false;
        }
        self.deallocated.store(deallocated, Ordering::Release);
        count(&self.deallocations);
        true
    }

    /// Whether an event is due at a reallocation. Counts nothing.
    #[inline(always)]
    pub(crate) fn realloc_due(&self, old: u64, new: u64) -> bool {
        let deallocated = own_load(&self.deallocated).wrapping_add(old);
        self.alloc_due(new) || reached!(deallocated, self.next_free)
    }

    /// Counts an allocation whatever is due.
    #[inline(always)]
    pub(crate) fn alloc(&self, size: u64) {
        bump(&self.allocated, size);
        count(&self.allocations);
    }

    /// Counts a free whatever is due.
    pub(crate) fn free(&self, size: u64) {
        bump(&self.deallocated, size);
        count(&self.deallocations);
    }

    /// Counts a reallocation whatever is due.
    ///
    /// The two sums cannot change in one store. `moving` is up before the first and down after the
    /// second, so whoever reads `allocated`, then `moving`, then `deallocated` finds either both
    /// halves or the mark.
    #[inline(always)]
    pub(crate) fn realloc(&self, old: u64, new: u64) {
        self.moving.store(old, Ordering::Release);
        bump(&self.allocated, new);
        bump(&self.deallocated, old);
        self.moving.store(0, Ordering::Release);
        count(&self.reallocations);
    }

    /// The totals now. The order of the loads is part of the protocol: `allocated`, `moving`,
    /// `deallocated`.
    pub(crate) fn totals(&self) -> Totals {
        let allocated = self.allocated.load(Ordering::Acquire);
        let moving = self.moving.load(Ordering::Acquire);
        let deallocated = self.deallocated.load(Ordering::Acquire);
        Totals {
            allocated,
            moving,
            deallocated,
            ..self.counts()
        }
    }

    /// Allocated minus deallocated, for the owner, whom no order of the loads can mislead.
    #[cfg(all(any(feature = "batch", feature = "cache"), not(plimsoll_loom)))]
    #[inline]
    pub(crate) fn net(&self) -> i64 {
        let allocated = own_load(&self.allocated);
        allocated.wrapping_sub(own_load(&self.deallocated)) as i64
    }

    #[cfg(not(plimsoll_loom))]
    fn counts(&self) -> Totals {
        Totals {
            allocations: self.allocations.load(Ordering::Acquire),
            deallocations: self.deallocations.load(Ordering::Acquire),
            reallocations: self.reallocations.load(Ordering::Acquire),
            ..Totals::default()
        }
    }

    /// The counts are written and read as the sums are. Left out of the model, they leave it small
    /// enough to be explored to the end.
    #[cfg(plimsoll_loom)]
    fn counts(&self) -> Totals {
        Totals::default()
    }

    /// Whether a publication is due, as opposed to a scope of `measure` that waits for a peak. Also
    /// when somebody has called the owner.
    pub(crate) fn quantum_reached(&self) -> bool {
        let next_alloc = self.next_alloc.load(Ordering::Relaxed);
        // A call that met the owner's arming halfway leaves one of the two words at zero.
        next_alloc == 0
            || own_load(&self.allocated) >= self.quantum_alloc.get()
            || own_load(&self.deallocated) >= self.next_free.load(Ordering::Relaxed)
    }

    /// What the process total does not know yet; from here on it is taken as known.
    pub(crate) fn take_unpublished(&self) -> i64 {
        let net = self.totals().net();
        let delta = net.wrapping_sub(self.published.get());
        self.published.set(net);
        delta
    }

    /// Sets both events one quantum ahead.
    pub(crate) fn rearm(&self) {
        let allocated = own_load(&self.allocated);
        let deallocated = own_load(&self.deallocated);
        self.quantum_alloc.set(allocated.wrapping_add(QUANTUM));
        self.next_alloc
            .store(allocated.wrapping_add(QUANTUM), Ordering::Relaxed);
        self.next_free
            .store(deallocated.wrapping_add(QUANTUM), Ordering::Relaxed);
    }

    /// Has both events due at once: the owner's next call of any kind takes the cold path. From any
    /// thread.
    pub(crate) fn call(&self) {
        self.next_alloc.store(0, Ordering::Relaxed);
        self.next_free.store(0, Ordering::Relaxed);
    }

    /// Has the next allocation event no later than when `allocated - deallocated` exceeds `peak`.
    ///
    /// `deallocated` only grows, so `allocated > peak + deallocated` cannot become true before
    /// `allocated` reaches what that sum is now: the event may come early, never late.
    pub(crate) fn rearm_for_peak(&self, peak: i64) {
        let at = (own_load(&self.deallocated) as i64)
            .wrapping_add(peak)
            .wrapping_add(1) as u64;
        let quantum = self.quantum_alloc.get();
        self.next_alloc.store(at.min(quantum), Ordering::Relaxed);
    }

    /// Puts the allocation event back to the publication alone.
    pub(crate) fn rearm_without_peak(&self) {
        self.next_alloc
            .store(self.quantum_alloc.get(), Ordering::Relaxed);
    }

    /// Begins an ownership: notes the totals that the owner inherits and arms the events. The errand
    /// is one that the owner, being new, has no need to run.
    pub(crate) fn begin(&self, thread_id: u32, errand: u32) {
        self.errand.store(errand, Ordering::Relaxed);
        let totals = self.totals();
        for (slot, value) in self.base.iter().zip([
            totals.allocated,
            totals.deallocated,
            totals.allocations,
            totals.deallocations,
            totals.reallocations,
        ]) {
            // Release, so that a reader who finds one of these also finds that the last ownership
            // is over.
            slot.store(value, Ordering::Release);
        }
        self.thread_id.store(thread_id, Ordering::Release);
        self.rearm();
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation
            .store(generation.wrapping_add(1) | 1, Ordering::Release);
    }

    /// Ends an ownership. The totals stay as they are: the next owner goes on from there.
    pub(crate) fn end(&self) {
        self.moving.store(0, Ordering::Release);
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation
            .store((generation | 1).wrapping_add(1), Ordering::Release);
    }

    /// The owner's kernel id and what it counted since it took over; `None` for a free block, or
    /// when the owner changed while we read.
    pub(crate) fn owner(&self) -> Option<(u32, Totals)> {
        let generation = self.generation.load(Ordering::Acquire);
        if generation & 1 == 0 {
            return None;
        }
        let mut base = [0; 5];
        for (value, slot) in base.iter_mut().zip(&self.base) {
            *value = slot.load(Ordering::Acquire);
        }
        let thread_id = self.thread_id.load(Ordering::Acquire);
        let totals = self.totals();
        if self.generation.load(Ordering::Acquire) != generation {
            return None;
        }
        let base = Totals {
            allocated: base[0],
            deallocated: base[1],
            allocations: base[2],
            deallocations: base[3],
            reallocations: base[4],
            moving: 0,
        };
        Some((thread_id, totals.since(base)))
    }

    /// Whether a thread owns the block.
    pub(crate) fn is_owned(&self) -> bool {
        self.generation.load(Ordering::Acquire) & 1 == 1
    }
}

/// The block of those who have none: threads past their hand-back, and threads for which no memory
/// for a block could be had. Many writers, so real atomic adds; only the cold path comes here.
pub(crate) struct SharedBlock {
    block: Block,
}

impl SharedBlock {
    maybe_const_fn! {
        pub(crate) fn new() -> SharedBlock {
            SharedBlock { block: Block::new() }
        }
    }

    pub(crate) fn alloc(&self, size: u64) {
        self.block.allocated.fetch_add(size, Ordering::AcqRel);
        self.block.allocations.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn free(&self, size: u64) {
        self.block.deallocated.fetch_add(size, Ordering::AcqRel);
        self.block.deallocations.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn realloc(&self, old: u64, new: u64) {
        self.block.moving.fetch_add(old, Ordering::AcqRel);
        self.block.allocated.fetch_add(new, Ordering::AcqRel);
        self.block.deallocated.fetch_add(old, Ordering::AcqRel);
        self.block.moving.fetch_sub(old, Ordering::AcqRel);
        self.block.reallocations.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn totals(&self) -> Totals {
        self.block.totals()
    }

    /// In the child of a fork: nobody is in the middle of a reallocation any more.
    pub(crate) fn settle_in_child(&self) {
        self.block.moving.store(0, Ordering::Relaxed);
    }
}
