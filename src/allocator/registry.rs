//! All blocks of the process: who owns which, and what they add up to.
//!
//! # Protocol
//!
//! *Storage.* Blocks stand in chunks that double in size, found by index and never unmapped. A
//! reader walks indices `0..len`; a slot that was reserved but whose chunk is not there yet has
//! counted nothing, and is skipped.
//!
//! *Taking.* A thread pops a free block, or reserves the next index. The pop is an acquire, the
//! hand-back's push a release: the new owner's first load sees the old owner's last store, and
//! adds to it. Nothing is folded and nothing reset, so there is no moment at which a count could
//! be lost or be there twice.
//!
//! *The stack* of free blocks is a list of indices whose head carries a tag that changes with
//! each push and pop, so that a head which is back at an old index is not mistaken for unchanged.
//!
//! *Reading.* Nobody stops for a reader. [`Registry::bounds`] passes over all blocks twice.
//! Counters only grow, so with `t` any instant between the passes, what the first pass read is at
//! most the value at `t`, and what the second read is at least that. Hence
//! `A1 - F2 <= live(t) <= A2 - F1`; the lower end is lowered by the `moving` of reallocations that
//! the second pass found half counted. When the process is quiet both ends are equal, and exact.

use super::block::{Block, SharedBlock, Totals, maybe_const_fn};
use super::memory;
use super::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

/// Blocks that stand in the registry itself: a small program maps nothing. 8 KiB of zeroed
/// static memory.
#[cfg(not(plimsoll_loom))]
const FIRST: usize = 32;
#[cfg(plimsoll_loom)]
const FIRST: usize = 2;

/// With 32 in the first chunk and each further one as large as all before it, 26 more chunks hold
/// 2^31 blocks: more threads than Linux can have (2^22).
const CHUNKS: usize = 26;

pub(crate) struct Registry {
    first: [Block; FIRST],
    /// Chunk `k` holds `FIRST << k` blocks.
    chunks: [AtomicPtr<Block>; CHUNKS],
    /// Indices reserved so far.
    len: AtomicU32,
    /// Head of the free stack: tag in the upper half, index plus one in the lower, 0 when empty.
    free: AtomicU64,
    /// Blocks owned now.
    owned: AtomicU32,
    pub(crate) shared: SharedBlock,
}

/// Two passes over all counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) first: Totals,
    pub(crate) second: Totals,
}

impl Bounds {
    /// The least and the most that were live at any instant between the passes.
    pub(crate) fn live_bytes(&self) -> (u64, u64) {
        let low = self
            .first
            .allocated
            .saturating_sub(self.second.deallocated)
            .saturating_sub(self.second.moving);
        let high = self.second.allocated.saturating_sub(self.first.deallocated);
        (low, high)
    }

    /// The same for blocks. `realloc` leaves their number alone.
    pub(crate) fn live_blocks(&self) -> (u64, u64) {
        let low = self
            .first
            .allocations
            .saturating_sub(self.second.deallocations);
        let high = self
            .second
            .allocations
            .saturating_sub(self.first.deallocations);
        (low, high)
    }
}

impl Registry {
    maybe_const_fn! {
        pub(crate) fn new() -> Registry {
            Registry {
                #[cfg(not(plimsoll_loom))]
                first: [const { Block::new() }; FIRST],
                #[cfg(plimsoll_loom)]
                first: core::array::from_fn(|_| Block::new()),
                #[cfg(not(plimsoll_loom))]
                chunks: [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS],
                #[cfg(plimsoll_loom)]
                chunks: core::array::from_fn(|_| AtomicPtr::new(core::ptr::null_mut())),
                len: AtomicU32::new(0),
                free: AtomicU64::new(0),
                owned: AtomicU32::new(0),
                shared: SharedBlock::new(),
            }
        }
    }

    /// Blocks owned by threads that are alive.
    pub(crate) fn owned(&self) -> u32 {
        self.owned.load(Ordering::Relaxed)
    }

    /// Takes a block for the thread with this kernel id; `None` when there is no memory for one.
    ///
    /// `errand` is the last one asked for, see [`Block::begin`].
    pub(crate) fn take(&self, thread_id: u32, errand: u32) -> Option<&Block> {
        let block = match self.pop() {
            Some(block) => block,
            None => self.reserve()?,
        };
        block.begin(thread_id, errand);
        self.owned.fetch_add(1, Ordering::Relaxed);
        Some(block)
    }

    /// Hands a block back. The caller owns it and does not touch it afterwards.
    pub(crate) fn give_back(&self, block: &Block) {
        block.end();
        self.owned.fetch_sub(1, Ordering::Relaxed);
        self.push(block);
    }

    /// Adds up all blocks, twice.
    pub(crate) fn bounds(&self) -> Bounds {
        let first = self.pass();
        // Between the passes lies the instant that the bounds speak of.
        fence(Ordering::SeqCst);
        let second = self.pass();
        Bounds { first, second }
    }

    fn pass(&self) -> Totals {
        let mut sum = self.shared.totals();
        for block in self.iter() {
            sum.add(block.totals());
        }
        sum
    }

    /// Every block that was ever used, owned or free.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Block> {
        (0..self.len.load(Ordering::Acquire)).filter_map(|index| self.get(index))
    }

    /// In the child of a fork: every block but the caller's lost its thread. Their totals stay,
    /// for their memory is still there; `each` sees every such block before it becomes free.
    ///
    /// Only the calling thread exists, so nothing here races. The stack is built anew, because a
    /// thread of the parent may have held a block between pop and use.
    pub(crate) fn reclaim_in_child(&self, own: Option<&Block>, mut each: impl FnMut(&Block)) {
        self.shared.settle_in_child();
        self.free.store(0, Ordering::Relaxed);
        self.owned
            .store(u32::from(own.is_some()), Ordering::Relaxed);
        for index in 0..self.len.load(Ordering::Relaxed) {
            let Some(block) = self.get(index) else {
                continue;
            };
            if own.is_some_and(|own| core::ptr::eq(own, block)) {
                continue;
            }
            each(block);
            if block.is_owned() {
                block.end();
            }
            block.index.store(index, Ordering::Relaxed);
            self.push(block);
        }
    }

    fn get(&self, index: u32) -> Option<&Block> {
        let index = index as usize;
        if index < FIRST {
            return self.first.get(index);
        }
        let (chunk, offset) = locate(index);
        let blocks = self.chunks[chunk].load(Ordering::Acquire);
        if blocks.is_null() {
            return None;
        }
        // SAFETY: chunk `k` holds `FIRST << k` zeroed blocks that are never unmapped, and
        // `locate` gives an offset below that.
        Some(unsafe { &*blocks.add(offset) })
    }

    fn reserve(&self) -> Option<&Block> {
        let mut index = self.len.load(Ordering::Acquire);
        loop {
            // Before the index is taken: one without memory would be lost, and chunks grow with it.
            if index as usize >= FIRST {
                let (chunk, _) = locate(index as usize);
                self.ensure_chunk(chunk)?;
            }
            let next = index.checked_add(1)?;
            let taken = self
                .len
                .compare_exchange(index, next, Ordering::AcqRel, Ordering::Acquire);
            match taken {
                Ok(_) => break,
                Err(now) => index = now,
            }
        }
        let block = self.get(index)?;
        block.index.store(index, Ordering::Relaxed);
        Some(block)
    }

    /// Makes sure that a chunk is there. Of two threads that bring one, the later drops its own.
    fn ensure_chunk(&self, chunk: usize) -> Option<()> {
        let slot = self.chunks.get(chunk)?;
        if !slot.load(Ordering::Acquire).is_null() {
            return Some(());
        }
        let count = FIRST << chunk;
        let fresh = memory::blocks(count);
        if fresh.is_null() {
            return None;
        }
        if slot
            .compare_exchange(
                core::ptr::null_mut(),
                fresh,
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_err()
        {
            // SAFETY: the exchange failed, so nobody has seen `fresh`, and it came from
            // `blocks(count)`.
            unsafe { memory::discard(fresh, count) };
        }
        Some(())
    }

    fn pop(&self) -> Option<&Block> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let block = self.get(index)?;
            // Another thread may take this block now and link it elsewhere; the tag then differs
            // and the exchange fails.
            let next = block.next_in_stack.load(Ordering::Relaxed);
            match self.free.compare_exchange_weak(
                head,
                tagged(head, next),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(block),
                Err(now) => head = now,
            }
        }
    }

    fn push(&self, block: &Block) {
        let link = block.index.load(Ordering::Relaxed) + 1;
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            block.next_in_stack.store(head as u32, Ordering::Relaxed);
            match self.free.compare_exchange_weak(
                head,
                tagged(head, link),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

/// A head with the next tag. 2^32 pushes and pops would have to fall between one thread's load and
/// its exchange for a stale head to pass.
fn tagged(head: u64, link: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(link)
}

/// Chunk and offset of an index at or past `FIRST`: chunk `k` covers
/// `FIRST << k .. FIRST << (k + 1)`.
fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST).ilog2() as usize;
    (chunk, index - (FIRST << chunk))
}

#[cfg(all(test, not(plimsoll_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in FIRST..FIRST << 6 {
            assert_eq!(locate(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(locate(u32::MAX as usize / 2).0 < CHUNKS);
    }

    #[test]
    fn a_handed_back_block_is_the_next_one_taken_and_runs_on() {
        static REGISTRY: Registry = Registry::new();
        let registry = &REGISTRY;
        let first = registry.take(1, 0).expect("the first chunk is static");
        first.alloc(100);
        registry.give_back(first);
        assert_eq!(registry.owned(), 0);

        let second = registry.take(2, 0).expect("a free block is there");
        assert!(core::ptr::eq(first, second));
        second.free(40);
        let (thread_id, own) = second.owner().expect("owned");
        assert_eq!((thread_id, own.allocated, own.deallocated), (2, 0, 40));
        assert_eq!(registry.bounds().live_bytes(), (60, 60));
    }

    #[test]
    fn more_threads_than_the_first_chunk_holds_are_each_counted() {
        static REGISTRY: Registry = Registry::new();
        let registry = &REGISTRY;
        let blocks: Vec<_> = (0..1000).map(|id| registry.take(id, 0).unwrap()).collect();
        for block in &blocks {
            block.alloc(3);
        }
        assert_eq!(registry.bounds().live_bytes(), (3000, 3000));
        assert_eq!(registry.owned(), 1000);
        for block in blocks {
            registry.give_back(block);
        }
        for id in 0..1000 {
            registry.take(id, 0).unwrap().free(3);
        }
        assert_eq!(registry.bounds().live_bytes(), (0, 0));
        assert_eq!(registry.len.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_half_counted_reallocation_widens_the_lower_bound_only() {
        let bounds = Bounds {
            first: Totals {
                allocated: 300,
                deallocated: 0,
                ..Totals::default()
            },
            second: Totals {
                allocated: 300,
                deallocated: 0,
                moving: 100,
                ..Totals::default()
            },
        };
        assert_eq!(bounds.live_bytes(), (200, 300));
    }
}
