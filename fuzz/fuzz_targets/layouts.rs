//! Every method of `GlobalAlloc` over jemalloc and over the system's allocator, with layouts up to the
//! largest that there are: what is had is aligned, zeroed where asked and kept over `realloc`; what is
//! refused counts as failed and as nothing else, and leaves the old block as it was.
#![no_main]

use plimsoll::Plimsoll;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_char};
use std::hint::black_box;

#[global_allocator]
static OVER_SYSTEM: Plimsoll<System> = Plimsoll::wrap(System);
static OVER_JEMALLOC: Plimsoll = Plimsoll::new();

/// The sanitizer's allocator is the system's here: it is to refuse what is too large, as the real one
/// does, and not to end the run; and to keep little of what was freed from being used again, which
/// counts as resident.
///
/// Read before the environment's `ASAN_OPTIONS`, which win.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const c_char {
    const OPTIONS: &CStr =
        c"allocator_may_return_null=1:max_allocation_size_mb=64:quarantine_size_mb=16";
    OPTIONS.as_ptr()
}

/// A larger block is made smaller at once, so that what is held is at most this in each slot, 32 MiB.
const LARGE: usize = 2 << 20;
const SLOTS: usize = 16;

/// So many bytes at either end are written and read: no other page is touched.
const END: usize = 128;

/// Within a block of this size.
fn ends(size: usize) -> impl Iterator<Item = usize> {
    (0..size.min(END)).chain(size.saturating_sub(END).max(END)..size)
}

/// What stands at a place of a block with this layout.
fn mark(layout: Layout, at: usize) -> u8 {
    (layout.size() ^ (layout.size() >> 8) ^ at) as u8
}

/// The heap's figures: failed, allocations, deallocations, reallocations, allocated, deallocated, and
/// what is live in bytes and in blocks.
type Figures = [i64; 8];

fn figures() -> Figures {
    let heap = plimsoll::heap();
    [
        heap.failed_allocations(),
        heap.allocations(),
        heap.deallocations(),
        heap.reallocations(),
        heap.allocated_bytes(),
        heap.deallocated_bytes(),
        heap.live_bytes(),
        heap.live_blocks(),
    ]
    .map(|figure| figure as i64)
}

/// What the call of a method adds to the figures.
fn added<R>(call: impl FnOnce() -> R) -> (R, Figures) {
    let before = figures();
    let answer = call();
    let after = figures();
    (answer, std::array::from_fn(|at| after[at] - before[at]))
}

const REFUSED: Figures = [1, 0, 0, 0, 0, 0, 0, 0];

struct Block {
    allocator: &'static dyn GlobalAlloc,
    address: *mut u8,
    layout: Layout,
}

impl Block {
    /// `None` where it is refused.
    fn new(allocator: &'static dyn GlobalAlloc, layout: Layout, zeroed: bool) -> Option<Block> {
        // SAFETY: the size is not 0.
        let (address, added) = added(|| unsafe {
            black_box(if zeroed {
                allocator.alloc_zeroed(layout)
            } else {
                allocator.alloc(layout)
            })
        });
        if address.is_null() {
            assert_eq!(added, REFUSED);
            return None;
        }
        let size = layout.size() as i64;
        assert_eq!(added, [0, 1, 0, 0, size, 0, size, 1]);
        let block = Block {
            allocator,
            address,
            layout,
        };
        if zeroed {
            block.assert_holds(layout.size(), |_| 0);
        }
        block.fill();
        Some(block)
    }

    /// Stays as it is where that is refused.
    fn resize(&mut self, size: usize) {
        let old = self.layout;
        // SAFETY: allocated with this layout; the new size is not 0, and fits the alignment.
        let (moved, added) =
            added(|| black_box(unsafe { self.allocator.realloc(self.address, old, size) }));
        if moved.is_null() {
            assert_eq!(added, REFUSED);
            self.assert_is_as_filled();
            return;
        }
        let (from, to) = (old.size() as i64, size as i64);
        assert_eq!(added, [0, 0, 0, 1, to, from, to - from, 0]);
        self.address = moved;
        self.layout = Layout::from_size_align(size, old.align()).unwrap();
        self.assert_holds(old.size(), |at| mark(old, at));
        self.fill();
    }

    fn free(self) {
        self.assert_is_as_filled();
        // SAFETY: allocated with this layout.
        let ((), added) = added(|| unsafe { self.allocator.dealloc(self.address, self.layout) });
        let size = self.layout.size() as i64;
        assert_eq!(added, [0, 0, 1, 0, 0, size, -size, -1]);
    }

    fn fill(&self) {
        assert!(self.address.addr() % self.layout.align() == 0);
        for at in ends(self.layout.size()) {
            // SAFETY: within the block.
            unsafe { self.address.add(at).write(mark(self.layout, at)) };
        }
    }

    fn assert_is_as_filled(&self) {
        self.assert_holds(self.layout.size(), |at| mark(self.layout, at));
    }

    /// At both ends of what was filled, as far as it is still there.
    fn assert_holds(&self, filled: usize, expected: impl Fn(usize) -> u8) {
        for at in ends(filled).filter(|&at| at < self.layout.size()) {
            // SAFETY: within the block.
            let found = unsafe { self.address.add(at).read() };
            assert_eq!(found, expected(at), "at {at} of {:?}", self.layout);
        }
    }
}

/// Of what the size of a layout may be with this alignment, all orders of magnitude and both ends.
fn size(kind: u8, number: u16, align: usize) -> usize {
    let number = usize::from(number);
    match kind % 5 {
        0 => 1 + number % 256,
        1 => 1 + number,
        2 => 1 + (number << 5),
        3 => (1 << (number % 63)) + (number >> 14) * 8,
        _ => isize::MAX as usize - (align - 1) - number,
    }
}

/// Collections of nothing call no method at all.
fn assert_nothing_is_counted(length: usize) {
    let ((), added) = added(|| {
        drop(black_box(vec![(); length]));
        drop(black_box(Vec::<[u64; 0]>::with_capacity(length)));
        drop(black_box(Box::new(())));
        drop(black_box(Box::<[u64]>::from([])));
        drop(black_box(String::with_capacity(0)));
    });
    assert_eq!(added, Figures::default());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut slots = [const { None::<Block> }; SLOTS];
    let (operations, _) = bytes.as_chunks();
    for &[what, shift, kind, high, low] in operations {
        let number = u16::from_be_bytes([high, low]);
        let allocator: &dyn GlobalAlloc = match what & 1 {
            0 => &OVER_SYSTEM,
            _ => &OVER_JEMALLOC,
        };
        let slot = &mut slots[usize::from(what / 16)];
        // A held block is resized within its own alignment.
        let align = slot
            .as_ref()
            .map_or(1 << (shift % 22), |block| block.layout.align());
        let size = size(kind, number, align);
        let Ok(layout) = Layout::from_size_align(size, align) else {
            continue;
        };
        match (what / 2 % 8, slot.take()) {
            (0, found) => {
                assert_nothing_is_counted(number.into());
                *slot = found;
            }
            (1, Some(block)) => block.free(),
            (is_zeroed, None) => *slot = Block::new(allocator, layout, is_zeroed % 2 == 0),
            (_, Some(mut block)) => {
                block.resize(size);
                *slot = Some(block);
            }
        }
        if let Some(block) = slot.as_mut().filter(|block| block.layout.size() > LARGE) {
            block.resize(1 + usize::from(shift));
            assert!(block.layout.size() <= LARGE, "not made smaller");
        }
    }
    slots.into_iter().flatten().for_each(Block::free);
});
