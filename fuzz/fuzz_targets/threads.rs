//! Sequences of operations on several threads, which hand each other blocks, end, and are followed by
//! others: once all are joined, the heap's figures differ from those before by sums made by hand, to
//! the byte and the block; meanwhile they are within bounds.
//!
//! The threads are made by `pthread_create`: those of the standard library allocate for themselves.
#![no_main]

use plimsoll::{HeapFigures, Plimsoll};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static HEAP: Plimsoll<System> = Plimsoll::wrap(System);

/// The sums made by hand. What changes what is live is noted before and after, so that at any instant
/// both ends of what is live are known.
struct Sums {
    allocations: Noted,
    deallocations: Noted,
    allocated: Noted,
    deallocated: Noted,
    reallocations: AtomicU64,
}

static SUMS: Sums = Sums {
    allocations: Noted::new(),
    deallocations: Noted::new(),
    allocated: Noted::new(),
    deallocated: Noted::new(),
    reallocations: AtomicU64::new(0),
};

struct Noted {
    begun: AtomicU64,
    over: AtomicU64,
}

impl Noted {
    const fn new() -> Noted {
        Noted {
            begun: AtomicU64::new(0),
            over: AtomicU64::new(0),
        }
    }

    fn begin(&self, amount: usize) {
        self.begun.fetch_add(amount as u64, Ordering::SeqCst);
    }

    fn end(&self, amount: usize) {
        self.over.fetch_add(amount as u64, Ordering::SeqCst);
    }

    fn begun(&self) -> i64 {
        self.begun.load(Ordering::SeqCst) as i64
    }

    fn over(&self) -> i64 {
        self.over.load(Ordering::SeqCst) as i64
    }
}

impl Sums {
    /// As they are in the heap's figures: the totals, and then what is live.
    fn read(&self) -> [i64; 7] {
        let [allocations, deallocations, allocated, deallocated] = [
            &self.allocations,
            &self.deallocations,
            &self.allocated,
            &self.deallocated,
        ]
        .map(|noted| {
            assert_eq!(noted.begun(), noted.over());
            noted.over()
        });
        [
            allocations,
            deallocations,
            self.reallocations.load(Ordering::SeqCst) as i64,
            allocated,
            deallocated,
            allocated - deallocated,
            allocations - deallocations,
        ]
    }
}

fn figures(heap: &HeapFigures) -> [i64; 7] {
    let exact = |(low, high)| {
        assert_eq!(low, high, "{heap:?}");
        low
    };
    [
        heap.allocations(),
        heap.deallocations(),
        heap.reallocations(),
        heap.allocated_bytes(),
        heap.deallocated_bytes(),
        exact(heap.live_bytes_range()),
        exact(heap.live_blocks_range()),
    ]
    .map(|figure| figure as i64)
}

/// What the heap's figures have beyond the sums, with failed allocations and threads.
fn by_others() -> ([i64; 7], u64, u32) {
    let heap = plimsoll::heap();
    let (ours, by_hand) = (figures(&heap), SUMS.read());
    let by_others = std::array::from_fn(|at| ours[at] - by_hand[at]);
    (by_others, heap.failed_allocations(), heap.threads())
}

/// Once, while threads run: what is live is within what is noted, with so much by others.
fn assert_framed(bytes_by_others: i64, blocks_by_others: i64) {
    let least = [SUMS.allocated.over(), SUMS.allocations.over()];
    let most = [SUMS.deallocated.over(), SUMS.deallocations.over()];
    let heap = plimsoll::heap();
    let least = [
        least[0] - SUMS.deallocated.begun() + bytes_by_others,
        least[1] - SUMS.deallocations.begun() + blocks_by_others,
    ];
    let most = [
        SUMS.allocated.begun() - most[0] + bytes_by_others,
        SUMS.allocations.begun() - most[1] + blocks_by_others,
    ];
    let ranges = [heap.live_bytes_range(), heap.live_blocks_range()];
    for (at, (low, high)) in ranges.into_iter().enumerate() {
        assert!(low <= high, "{heap:?}");
        assert!(
            high as i64 >= least[at] && low as i64 <= most[at],
            "{low}..={high} outside {}..={}: {heap:?}",
            least[at],
            most[at]
        );
    }
}

/// A block that knows what it holds, freed when dropped, on whichever thread that is.
struct Piece {
    address: *mut u8,
    layout: Layout,
}

// SAFETY: plain memory without a thread.
unsafe impl Send for Piece {}

/// So many bytes at either end are written and read.
const END: usize = 64;

/// Within a block of this size.
fn ends(size: usize) -> impl Iterator<Item = usize> {
    (0..size.min(END)).chain(size.saturating_sub(END).max(END)..size)
}

/// What stands at a place of a block of this size.
fn mark(size: usize, at: usize) -> u8 {
    (size ^ (size >> 8) ^ at) as u8
}

impl Piece {
    fn new(size: usize, align: usize, zeroed: bool) -> Piece {
        let layout = Layout::from_size_align(size, align).unwrap();
        SUMS.allocations.begin(1);
        SUMS.allocated.begin(size);
        // SAFETY: the size is not 0.
        let address = unsafe {
            if zeroed {
                HEAP.alloc_zeroed(layout)
            } else {
                HEAP.alloc(layout)
            }
        };
        SUMS.allocations.end(1);
        SUMS.allocated.end(size);
        assert!(!address.is_null() && address.addr() % align == 0);
        let piece = Piece { address, layout };
        assert!(!zeroed || ends(size).all(|at| piece.byte(at) == 0));
        piece.fill();
        piece
    }

    fn byte(&self, at: usize) -> u8 {
        assert!(at < self.layout.size());
        // SAFETY: within the block.
        unsafe { self.address.add(at).read() }
    }

    fn fill(&self) {
        let size = self.layout.size();
        for at in ends(size) {
            // SAFETY: within the block, which is ours alone.
            unsafe { self.address.add(at).write(mark(size, at)) };
        }
    }

    fn resize(&mut self, size: usize) {
        let old = self.layout.size();
        SUMS.allocated.begin(size);
        SUMS.deallocated.begin(old);
        // SAFETY: allocated with this layout; the new size is not 0.
        self.address = unsafe { HEAP.realloc(self.address, self.layout, size) };
        SUMS.allocated.end(size);
        SUMS.deallocated.end(old);
        SUMS.reallocations.fetch_add(1, Ordering::SeqCst);
        assert!(!self.address.is_null() && self.address.addr() % self.layout.align() == 0);
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        let mut kept = ends(old).filter(|&at| at < size);
        assert!(kept.all(|at| self.byte(at) == mark(old, at)));
        self.fill();
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let size = self.layout.size();
        assert!(ends(size).all(|at| self.byte(at) == mark(size, at)));
        SUMS.deallocations.begin(1);
        SUMS.deallocated.begin(size);
        // SAFETY: allocated with this layout and not freed.
        unsafe { HEAP.dealloc(self.address, self.layout) };
        SUMS.deallocations.end(1);
        SUMS.deallocated.end(size);
    }
}

/// Where every thread takes blocks from and puts them.
static SLOTS: [Mutex<Option<Piece>>; 8] = [const { Mutex::new(None) }; 8];

thread_local! {
    /// Freed when the thread is already ending, and then one more is allocated and freed.
    static LAST: LastWords = const { LastWords(Cell::new(None)) };
}

struct LastWords(Cell<Option<Piece>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if let Some(piece) = self.0.take() {
            drop(Piece::new(piece.layout.size(), 16, true));
        }
    }
}

fn carry_out(what: u8, slot: u8, size: u8) {
    // Up to a quarter of a MiB, so that a few dozen pass a quantum.
    let size = 1 + usize::from(size).pow(2) * 4;
    let slot = &SLOTS[usize::from(slot) % SLOTS.len()];
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match (what % 8, slot.take()) {
        (0..=2, None) => *slot = Some(Piece::new(size, 1 << (what / 8 % 9), what & 1 == 1)),
        (0..=2, Some(piece)) | (3, Some(piece)) => drop(piece),
        (4 | 5, Some(mut piece)) => {
            piece.resize(size);
            *slot = Some(piece);
        }
        (6, found) => {
            // What the thread kept goes to whoever finds it, and what it finds it keeps.
            LAST.with(|last| *slot = last.0.replace(found));
        }
        (_, found) => *slot = found,
    }
}

/// Threads that follow each other, each at one part of the operations.
struct Line {
    parts: Vec<Vec<Operation>>,
    /// Each part's thread, as soon as it has begun.
    threads: Vec<AtomicU64>,
    /// Whose turn it is; past the end when the last is about to end.
    turn: AtomicUsize,
}

/// What to do, where, and how large.
type Operation = [u8; 3];

impl Line {
    /// An operation that ends a thread stands between two parts.
    fn new(operations: &[Operation]) -> Line {
        let parts = operations.splitn(12, |[what, ..]| what % 16 == 7);
        let parts: Vec<_> = parts.map(<[_]>::to_vec).collect();
        Line {
            threads: parts.iter().map(|_| AtomicU64::new(0)).collect(),
            turn: AtomicUsize::new(0),
            parts,
        }
    }

    /// Begins the thread whose turn it is, if there is one.
    ///
    /// # Safety
    ///
    /// The line stays where it is until it was joined.
    unsafe fn begin(&self) {
        let Some(place) = self.threads.get(self.turn()) else {
            return;
        };
        let mut thread = 0;
        let line = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: `run` takes a line that stays, which the caller promises.
        let failed = unsafe { libc::pthread_create(&mut thread, ptr::null(), run, line) };
        assert_eq!(failed, 0);
        place.store(thread, Ordering::SeqCst);
    }

    fn turn(&self) -> usize {
        self.turn.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.turn() == self.parts.len()
    }

    fn join(&self) {
        for thread in &self.threads {
            let thread = thread.load(Ordering::SeqCst);
            // SAFETY: begun, by the one before if not by us, and joined only here.
            assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
        }
    }
}

/// One thread of a line. The next begins while this one still has its last words to say.
extern "C" fn run(line: *mut c_void) -> *mut c_void {
    // SAFETY: a line that stays until this thread was joined.
    let line = unsafe { &*line.cast::<Line>() };
    for &[what, slot, size] in &line.parts[line.turn()] {
        carry_out(what, slot, size);
    }
    line.turn.fetch_add(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { line.begin() };
    ptr::null_mut()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&count, bytes)) = bytes.split_first() else {
        return;
    };
    let count = 2 + usize::from(count % 3);
    let (operations, _) = bytes.as_chunks();
    let lines: Vec<Line> = (0..count)
        .map(|number| {
            let is_its = |[_, slot, _]: &&Operation| usize::from(slot / 8) % count == number;
            let own: Vec<_> = operations.iter().filter(is_its).copied().collect();
            Line::new(&own)
        })
        .collect();
    // From here to the end, nothing but the operations allocates or frees.
    let before @ ([.., bytes, blocks], ..) = by_others();
    for line in &lines {
        // SAFETY: joined below, before `lines` ends.
        unsafe { line.begin() };
    }
    while !lines.iter().all(Line::is_over) {
        assert_framed(bytes, blocks);
        std::thread::yield_now();
    }
    lines.iter().for_each(Line::join);
    assert_eq!(by_others(), before);
    for slot in &SLOTS {
        drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
    assert_eq!(by_others(), before);
});
