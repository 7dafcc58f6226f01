//! What tikv-jemallocator's own tests ask of an allocator, asked of `Plimsoll` over three of them:
//! alignment, zeroing, usable size, contents over reallocations, large and huge sizes, and no two blocks
//! in one place. With each the counts are exact.

use plimsoll::{Plimsoll, measure};
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Below and above the size classes of all three, pages, and what is mapped by itself.
const SIZES: [usize; 26] = [
    1,
    2,
    7,
    8,
    9,
    15,
    16,
    17,
    24,
    48,
    63,
    64,
    65,
    100,
    128,
    1000,
    KIB,
    4 * KIB - 1,
    4 * KIB,
    4 * KIB + 1,
    14 * KIB,
    16 * KIB + 1,
    64 * KIB,
    MIB - 1,
    2 * MIB + 1,
    9 * MIB,
];

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A block that knows its allocator, and what was written into it.
struct Piece<'a, A: GlobalAlloc> {
    heap: &'a A,
    address: *mut u8,
    layout: Layout,
    seed: u8,
}

impl<'a, A: GlobalAlloc> Piece<'a, A> {
    fn new(heap: &'a A, layout: Layout, seed: u8) -> Piece<'a, A> {
        // SAFETY: no size here is 0.
        let address = unsafe { heap.alloc(layout) };
        assert!(!address.is_null(), "{layout:?}");
        let piece = Piece {
            heap,
            address,
            layout,
            seed,
        };
        piece.check_alignment();
        piece.fill(0);
        piece
    }

    fn zeroed(heap: &'a A, layout: Layout) -> Piece<'a, A> {
        // SAFETY: no size here is 0.
        let address = unsafe { heap.alloc_zeroed(layout) };
        assert!(!address.is_null(), "{layout:?}");
        Piece {
            heap,
            address,
            layout,
            seed: 0,
        }
    }

    fn check_alignment(&self) {
        assert_eq!(
            self.address.addr() % self.layout.align(),
            0,
            "{:?}",
            self.layout
        );
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is this piece's alone, as long as its layout says, and was written.
        unsafe { std::slice::from_raw_parts(self.address, self.layout.size()) }
    }

    fn written(&self, at: usize) -> u8 {
        (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ self.seed
    }

    fn fill(&self, from: usize) {
        // SAFETY: as above; not yet written, so through the pointer.
        (from..self.layout.size())
            .for_each(|at| unsafe { self.address.add(at).write(self.written(at)) });
    }

    fn check(&self, up_to: usize) {
        let same = |(at, &byte): (usize, &u8)| byte == self.written(at);
        assert!(
            self.bytes()[..up_to].iter().enumerate().all(same),
            "{:?}",
            self.layout
        );
    }

    fn resize(&mut self, size: usize) {
        let old = self.layout;
        // SAFETY: the block is this allocator's, and no size here is 0.
        let address = unsafe { self.heap.realloc(self.address, old, size) };
        assert!(!address.is_null(), "{old:?} to {size}");
        self.address = address;
        self.layout = layout(size, old.align());
        self.check_alignment();
        self.check(old.size().min(size));
        self.fill(old.size().min(size));
    }
}

impl<A: GlobalAlloc> Drop for Piece<'_, A> {
    fn drop(&mut self) {
        self.check(if self.seed == 0 {
            0
        } else {
            self.layout.size()
        });
        // SAFETY: the block is this allocator's, with this layout.
        unsafe { self.heap.dealloc(self.address, self.layout) };
    }
}

/// Runs it, and holds the counts against the truth: allocations, reallocations, bytes.
fn exactly(expected: (u64, u64, u64), work: impl FnOnce()) {
    let ((), found) = measure(work);
    assert_eq!(
        (
            found.allocations,
            found.reallocations,
            found.allocated_bytes
        ),
        expected
    );
    assert_eq!((found.net_bytes, found.net_blocks()), (0, 0));
}

fn every_alignment(heap: &impl GlobalAlloc) {
    for shift in 0..=21 {
        let align = 1usize << shift;
        for size in [1, align, align + 1, 3 * align] {
            exactly((3, 0, 3 * size as u64), || {
                // Three at once: the first of a page may be aligned by chance.
                let _pieces = [1, 2, 3].map(|seed| Piece::new(heap, layout(size, align), seed));
            });
        }
    }
}

fn zeroed_after_dirt(heap: &impl GlobalAlloc) {
    for size in SIZES {
        for align in [1, 64, 8 * KIB] {
            exactly((4, 0, 4 * size as u64), || {
                let of = layout(size, align);
                drop([1, 2].map(|seed| Piece::new(heap, of, seed)));
                let zeroed = [(); 2].map(|()| Piece::zeroed(heap, of));
                for piece in &zeroed {
                    piece.check_alignment();
                    assert!(piece.bytes().iter().all(|&byte| byte == 0), "{of:?}");
                    // SAFETY: all of the block, which nothing else names.
                    unsafe { piece.address.write_bytes(0xff, size) };
                }
            });
        }
    }
}

fn contents_over_reallocations(heap: &impl GlobalAlloc) {
    for align in [1, 16, 256, 64 * KIB] {
        let (first, rest) = SIZES.split_first().unwrap();
        let down = SIZES.iter().rev().skip(1);
        let steps: Vec<usize> = rest.iter().chain(down).copied().collect();
        let bytes = *first as u64 + steps.iter().sum::<usize>() as u64;
        exactly((1, steps.len() as u64, bytes), || {
            let mut piece = Piece::new(heap, layout(*first, align), 7);
            steps.iter().for_each(|&size| piece.resize(size));
        });
    }
}

/// Growing and shrinking by little, where an allocator may leave the block in its place.
fn in_place(heap: &impl GlobalAlloc) {
    let mut piece = Piece::new(heap, layout(100, 8), 9);
    for size in (100..20_000)
        .step_by(37)
        .chain((1..20_000).rev().step_by(41))
    {
        piece.resize(size);
    }
}

fn large_and_huge(heap: &impl GlobalAlloc) {
    // More than is written: what is not touched takes no memory.
    for size in [256 * MIB, 1024 * MIB + 1] {
        exactly((1, 1, (size + size / 2) as u64), || {
            let of = layout(size, 4 * KIB);
            // SAFETY: the size is not 0.
            let address = unsafe { heap.alloc(of) };
            assert!(!address.is_null());
            // SAFETY: both lie in the block.
            unsafe {
                address.write(1);
                address.add(size - 1).write(2);
            }
            // SAFETY: the block is this allocator's.
            let address = unsafe { heap.realloc(address, of, size / 2) };
            assert!(!address.is_null());
            // SAFETY: in the block, and written above.
            assert_eq!(unsafe { address.read() }, 1);
            // SAFETY: the block is this allocator's, with the layout of the reallocation.
            unsafe { heap.dealloc(address, layout(size / 2, 4 * KIB)) };
        });
    }
    // Larger than any address space: refused, and the old block is as it was.
    let most = isize::MAX as usize;
    let mut piece = Piece::new(heap, layout(100, 8), 5);
    let failed = plimsoll::heap().failed_allocations();
    for align in [1, 4 * KIB] {
        let of = layout(most - (align - 1), align);
        // SAFETY: the size is not 0.
        assert!(unsafe { heap.alloc(black_box(of)) }.is_null());
        // SAFETY: as above.
        assert!(unsafe { heap.alloc_zeroed(black_box(of)) }.is_null());
    }
    // SAFETY: the block is this allocator's, and the size rounds up to no more than `isize::MAX`.
    let moved = unsafe { heap.realloc(piece.address, piece.layout, most - 7) };
    assert!(moved.is_null());
    assert!(plimsoll::heap().failed_allocations() >= failed + 5);
    piece.resize(200);
}

/// Many at once, of all sizes, freed in another order: none lies in another.
fn no_two_in_one_place(heap: &impl GlobalAlloc) {
    let mut state = 0x9e37_79b9_u32;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let mut pieces = Vec::new();
    for round in 0..20_000usize {
        let most = [64, 1000, 20_000][random(3)];
        let size = 1 + random(most);
        let align = 1 << random(8);
        pieces.push(Piece::new(
            heap,
            layout(size, align),
            1 + (round % 255) as u8,
        ));
        if pieces.len() > 500 {
            // Its contents are looked at when it goes.
            drop(pieces.swap_remove(random(500)));
            let at = random(500);
            pieces[at].resize(1 + random(5000));
        }
    }
}

/// Allocated here and freed there.
fn over_threads<A: GlobalAlloc + Sync>(heap: &A) {
    struct Sent<'a, A: GlobalAlloc>(Piece<'a, A>);
    // SAFETY: a block may be freed on any thread, and one thread has it at a time.
    unsafe impl<A: GlobalAlloc + Sync> Send for Sent<'_, A> {}
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Sent<'_, A>>(100);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for Sent(mut piece) in receiver {
                piece.resize(piece.layout.size() * 2);
            }
        });
        for round in 0..5000usize {
            let of = layout(1 + round % 3000, 1 << (round % 7));
            let piece = Piece::new(heap, of, 1 + (round % 255) as u8);
            sender.send(Sent(piece)).unwrap();
        }
        drop(sender);
    });
}

macro_rules! over {
    ($name:ident, $heap:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn every_alignment() {
                super::every_alignment(&$heap);
            }
            #[test]
            fn zeroed_after_dirt() {
                super::zeroed_after_dirt(&$heap);
            }
            #[test]
            fn contents_over_reallocations() {
                super::contents_over_reallocations(&$heap);
            }
            #[test]
            fn in_place() {
                super::in_place(&$heap);
            }
            #[test]
            fn large_and_huge() {
                super::large_and_huge(&$heap);
            }
            #[test]
            fn no_two_in_one_place() {
                super::no_two_in_one_place(&$heap);
            }
            #[test]
            fn over_threads() {
                super::over_threads(&$heap);
            }
        }
    };
}

#[cfg(feature = "jemalloc")]
over!(jemalloc, HEAP);
over!(system, Plimsoll::wrap(std::alloc::System));
over!(mimalloc, Plimsoll::wrap(::mimalloc::MiMalloc));

/// A block of jemalloc's is at least as large as asked for, and may be used to its end.
#[cfg(feature = "jemalloc")]
#[test]
fn usable_sizes_hold_what_was_asked_for() {
    for size in SIZES {
        for align in [1, 64, 8 * KIB] {
            let piece = Piece::new(&HEAP, layout(size, align), 3);
            // SAFETY: the block is jemalloc's, and alive.
            let usable = unsafe { tikv_jemallocator::usable_size(piece.address) };
            assert!(usable >= size, "{size}: {usable}");
            // SAFETY: usable to its end.
            unsafe {
                piece
                    .address
                    .add(usable - 1)
                    .write_volatile(piece.written(usable - 1))
            };
        }
    }
}
