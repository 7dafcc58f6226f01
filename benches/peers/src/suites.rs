//! What allocators are measured by: blocks and nothing else.

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

/// A block that may be freed on any thread.
struct Block {
    address: *mut u8,
    size: usize,
}

// SAFETY: one thread has it at a time.
unsafe impl Send for Block {}

impl Block {
    fn new(size: usize) -> Block {
        Block {
            address: take(size),
            size,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        give(self.address, self.size);
    }
}

/// A generator of numbers, quick beside an allocation (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn new() -> Random {
        Random(0x9E37_79B9_7F4A_7C15)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // By the upper bits, without a division.
        ((u128::from(self.0) * end as u128) >> 64) as usize
    }

    fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }
}

/// What threads leave for each other.
struct Exchange(Mutex<Vec<Vec<Block>>>);

impl Exchange {
    const fn new() -> Exchange {
        Exchange(Mutex::new(Vec::new()))
    }

    /// Leaves these, and takes what was left first, most likely by another thread. Empty the first time.
    fn swap(&self, blocks: Vec<Block>) -> Vec<Block> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(blocks);
        // As many as there are threads stay in it.
        if left.len() > 2 {
            left.remove(0)
        } else {
            Vec::new()
        }
    }
}

/// Allocates and frees, over and over. Named so that callgrind can count inside it.
#[inline(never)]
#[unsafe(no_mangle)]
pub fn pair_loop(operations: usize) {
    for _ in 0..operations {
        let address = take(black_box(64));
        give(black_box(address), 64);
    }
}

pub fn replace(operations: usize) {
    let mut random = Random::new();
    // They are operations too: who does few of them has no more to do for that.
    let held = operations.min(10_000);
    let mut blocks: Vec<Block> = (0..held)
        .map(|_| Block::new(random.between(8, 1024)))
        .collect();
    for _ in held..operations {
        let block = Block::new(random.between(8, 1024));
        let place = random.below(blocks.len());
        blocks[place] = block;
    }
}

pub fn larson(operations: usize) {
    static EXCHANGE: Exchange = Exchange::new();
    const BLOCKS: usize = 1000;
    // How often blocks pass on: each block is replaced some ten times between.
    const STINT: usize = 10 * BLOCKS;
    let mut random = Random::new();
    let mut blocks = Vec::new();
    for operation in 0..operations {
        if operation % STINT == 0 {
            blocks = EXCHANGE.swap(blocks);
        }
        let block = Block::new(random.between(10, 500));
        if blocks.len() < BLOCKS {
            blocks.push(block);
        } else {
            blocks[random.below(BLOCKS)] = block;
        }
    }
}

pub fn xmalloc(operations: usize) {
    static EXCHANGE: Exchange = Exchange::new();
    const BATCH: usize = 120;
    let mut random = Random::new();
    let mut left = operations;
    while left > 0 {
        let count = left.min(BATCH);
        let batch = (0..count).map(|_| Block::new(random.between(64, 512)));
        drop(EXCHANGE.swap(batch.collect()));
        left -= count;
    }
}

pub fn scratch(operations: usize) {
    // Side by side: one thread has allocated all of them.
    static FIRST: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    const SIZE: usize = 8;
    let mut block = {
        let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_empty() {
            first.extend((0..64).map(|_| Block::new(SIZE)));
        }
        first.pop()
    };
    for _ in 0..operations {
        drop(block.take());
        let new = Block::new(SIZE);
        for number in 0..100u64 {
            // SAFETY: the block is this thread's and has eight bytes, aligned to eight.
            unsafe { new.address.cast::<u64>().write_volatile(number) };
        }
        block = Some(new);
    }
}

pub fn rptest(operations: usize) {
    static EXCHANGE: Exchange = Exchange::new();
    const BLOCKS: usize = 4000;
    const BATCH: usize = 100;
    let mut random = Random::new();
    let mut blocks: Vec<Block> = Vec::with_capacity(BLOCKS);
    let mut sent = Vec::with_capacity(BATCH);
    for operation in 0..operations {
        // The least of two: twice as many in the lower half as in the upper.
        let size = random.between(16, 8000).min(random.between(16, 8000));
        let block = Block::new(size);
        if blocks.len() < BLOCKS {
            blocks.push(block);
            continue;
        }
        let place = random.below(BLOCKS);
        let old = std::mem::replace(&mut blocks[place], block);
        if operation % 8 == 0 {
            sent.push(old);
            if sent.len() == BATCH {
                drop(EXCHANGE.swap(std::mem::replace(&mut sent, Vec::with_capacity(BATCH))));
            }
        }
    }
}

#[inline(never)]
fn take(size: usize) -> *mut u8 {
    // SAFETY: the size is not 0 and far below the limit.
    unsafe {
        let address = alloc(Layout::from_size_align_unchecked(size, 8));
        // A block that nobody writes to costs less than any real one.
        if !address.is_null() {
            address.write(1);
        }
        address
    }
}

#[inline(never)]
fn give(address: *mut u8, size: usize) {
    // SAFETY: from `take` with this size, freed once.
    unsafe { dealloc(address, Layout::from_size_align_unchecked(size, 8)) }
}
