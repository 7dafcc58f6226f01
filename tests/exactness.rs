//! Every figure equals a ground truth at quiescence, to the byte and the block, and while threads
//! run the true value lies inside the interval.
//!
//! Two truths frame ours. [`Truth`], inside Plimsoll, counts with locked additions what reaches the
//! allocator: it counts an allocation before we do and a free after. [`Driver`] counts what the
//! test does: an allocation after we do and a free before. So at any instant
//! `driver live <= our live <= inner live`, and when nothing runs all three are equal.

mod truth;

use plimsoll::Plimsoll;
use proptest::prelude::*;
use std::alloc::Layout;
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError, mpsc};
use truth::{Counters, REFUSE, TRUTH, Truth, ZEROED, alone, assert_exact};

#[global_allocator]
static HEAP: Plimsoll<Truth> = Plimsoll::wrap(Truth);

static DRIVER: Counters = Counters::new();

/// Old sizes of reallocations that have begun, and of those that are over. The inner allocator
/// counts both halves of a reallocation before we count either, so one that shrinks has the inner
/// truth below ours for a moment, by less than this.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicU64 = AtomicU64::new(0);

/// A block of the test's own, freed when dropped, on whichever thread that is.
struct Piece {
    address: *mut u8,
    layout: Layout,
}

// SAFETY: plain memory without a thread.
unsafe impl Send for Piece {}

impl Piece {
    fn new(size: usize, align: usize, zeroed: bool) -> Option<Piece> {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: sizes in these tests are above 0.
        let address = black_box(unsafe {
            if zeroed {
                std::alloc::alloc_zeroed(layout)
            } else {
                std::alloc::alloc(layout)
            }
        });
        if address.is_null() {
            return None;
        }
        if zeroed {
            // SAFETY: `size` bytes were allocated.
            assert!((0..size).all(|at| unsafe { *address.add(at) } == 0));
        }
        // SAFETY: at least one byte was allocated.
        unsafe { address.write(size as u8) };
        DRIVER.alloc(size);
        Some(Piece { address, layout })
    }

    /// Resizes; a refusal leaves the piece as it was.
    fn resize(&mut self, size: usize) -> bool {
        let old = self.layout.size() as u64;
        BEGUN.fetch_add(old, Ordering::SeqCst);
        DRIVER.deallocated.fetch_add(old, Ordering::SeqCst);
        // SAFETY: allocated with this layout; the new size is above 0.
        let moved = black_box(unsafe { std::alloc::realloc(self.address, self.layout, size) });
        let now = if moved.is_null() { old } else { size as u64 };
        DRIVER.allocated.fetch_add(now, Ordering::SeqCst);
        OVER.fetch_add(old, Ordering::SeqCst);
        if moved.is_null() {
            return false;
        }
        // SAFETY: the first byte moves along.
        assert_eq!(unsafe { *moved }, self.layout.size() as u8);
        // SAFETY: at least one byte.
        unsafe { moved.write(size as u8) };
        self.address = moved;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        true
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        DRIVER.free(self.layout.size());
        // SAFETY: allocated with this layout and not freed.
        unsafe { std::alloc::dealloc(self.address, self.layout) };
    }
}

#[derive(Clone, Debug)]
enum Op {
    Alloc {
        size: usize,
        align: usize,
        zeroed: bool,
    },
    Resize {
        which: usize,
        size: usize,
    },
    Free {
        which: usize,
    },
    Send {
        which: usize,
        to: usize,
    },
    FreeReceived,
    RefuseAlloc {
        size: usize,
    },
    RefuseResize {
        which: usize,
    },
    InThread {
        size: usize,
    },
    Measured {
        size: usize,
    },
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..600usize, 2 => 600..40_000usize, 1 => 200_000..900_000usize]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (size(), 0..9u32, any::<bool>())
            .prop_map(|(size, align, zeroed)| Op::Alloc { size, align: 1 << align, zeroed }),
        3 => (any::<usize>(), size()).prop_map(|(which, size)| Op::Resize { which, size }),
        4 => any::<usize>().prop_map(|which| Op::Free { which }),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(which, to)| Op::Send { which, to }),
        2 => Just(Op::FreeReceived),
        1 => size().prop_map(|size| Op::RefuseAlloc { size }),
        1 => any::<usize>().prop_map(|which| Op::RefuseResize { which }),
        1 => size().prop_map(|size| Op::InThread { size }),
        1 => size().prop_map(|size| Op::Measured { size }),
    ]
}

fn pick(which: usize, length: usize) -> Option<usize> {
    (length > 0).then(|| which % length)
}

fn carry_out(
    op: &Op,
    held: &mut Vec<Piece>,
    inbox: &mpsc::Receiver<Piece>,
    others: &[mpsc::Sender<Piece>],
) {
    match *op {
        Op::Alloc {
            size,
            align,
            zeroed,
        } => held.extend(Piece::new(size, align, zeroed)),
        Op::Resize { which, size } => {
            if let Some(at) = pick(which, held.len()) {
                assert!(held[at].resize(size));
            }
        }
        Op::Free { which } => {
            if let Some(at) = pick(which, held.len()) {
                held.swap_remove(at);
            }
        }
        Op::Send { which, to } => {
            if let Some(at) = pick(which, held.len()) {
                let _ = others[to % others.len()].send(held.swap_remove(at));
            }
        }
        Op::FreeReceived => drop(inbox.try_recv()),
        Op::RefuseAlloc { size } => {
            REFUSE.set(true);
            assert!(Piece::new(size, 8, false).is_none());
        }
        Op::RefuseResize { which } => {
            if let Some(at) = pick(which, held.len()) {
                REFUSE.set(true);
                assert!(!held[at].resize(77));
            }
        }
        Op::InThread { size } => {
            let piece = std::thread::spawn(move || Piece::new(size, 8, false));
            held.extend(piece.join().unwrap());
        }
        Op::Measured { size } => {
            let (piece, found) = plimsoll::measure(|| Piece::new(size, 8, false));
            assert_eq!(
                (found.allocations, found.allocated_bytes, found.peak_bytes),
                (1, size as u64, size as u64)
            );
            held.extend(piece);
        }
    }
}

/// Checks that the interval meets both truths, once.
fn assert_framed() {
    let (driver, truth) = (DRIVER.read(), TRUTH.read());
    let over = OVER.load(Ordering::SeqCst);
    let heap = plimsoll::heap();
    let begun = BEGUN.load(Ordering::SeqCst);
    let (driver_later, truth_later) = (DRIVER.read(), TRUTH.read());
    let (low, high) = heap.live_bytes_range();
    let least = driver.allocated.saturating_sub(driver_later.deallocated);
    let most = truth_later.allocated - truth.deallocated + (begun - over);
    assert!(low <= high);
    assert!(
        high >= least && low <= most,
        "bytes {low}..={high} outside {least}..={most}"
    );
    let (low, high) = heap.live_blocks_range();
    let least = driver
        .allocations
        .saturating_sub(driver_later.deallocations);
    let most = truth_later.allocations - truth.deallocations;
    assert!(
        high >= least && low <= most,
        "blocks {low}..={high} outside {least}..={most}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_on_many_threads_are_counted_to_the_byte(
        programs in proptest::collection::vec(proptest::collection::vec(op(), 1..250), 1..7),
    ) {
        let _alone = alone();
        let threads = programs.len();
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel()).unzip();
        // All stop in the middle, are compared, and go on.
        let gate = Barrier::new(threads + 1);
        let running = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let checker = scope.spawn(|| {
                // Once at least, also when it gets its first turn only after the others' end.
                loop {
                    assert_framed();
                    if !running.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            for (program, inbox) in programs.iter().zip(inboxes) {
                let senders = senders.clone();
                let gate = &gate;
                scope.spawn(move || {
                    let mut held = Vec::new();
                    let (first, second) = program.split_at(program.len() / 2);
                    for op in first {
                        carry_out(op, &mut held, &inbox, &senders);
                    }
                    gate.wait();
                    gate.wait();
                    for op in second {
                        carry_out(op, &mut held, &inbox, &senders);
                    }
                    gate.wait();
                    // The rest is freed here, or on the thread that drops the inbox last.
                });
            }
            gate.wait();
            assert_exact();
            gate.wait();
            gate.wait();
            running.store(false, Ordering::Relaxed);
            checker.join().unwrap();
        });
        drop(senders);
        assert_exact();
    }
}

#[test]
fn ten_thousand_threads_come_and_go_and_nothing_is_lost() {
    thread_local! {
        /// Allocates, and frees what it held, when the thread is already ending.
        static LAST: LastWords = const { LastWords(Cell::new(None)) };
    }
    struct LastWords(Cell<Option<Piece>>);
    impl Drop for LastWords {
        fn drop(&mut self) {
            drop(self.0.take());
            drop(Piece::new(333, 16, true));
            LEFT.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(Piece::new(55, 8, false));
        }
    }
    static LEFT: Mutex<Vec<Piece>> = Mutex::new(Vec::new());

    let _alone = alone();
    for _ in 0..200 {
        let threads: Vec<_> = (0..50)
            .map(|number| {
                let handed_over = Piece::new(100 + number, 8, false).unwrap();
                std::thread::spawn(move || {
                    // The first thing that some threads do is to free.
                    drop(handed_over);
                    LAST.with(|last| last.0.set(Piece::new(77, 8, false)));
                    let mut piece = Piece::new(10 + number, 8, false).unwrap();
                    assert!(piece.resize(1000 + number));
                    piece
                })
            })
            .collect();
        for thread in threads {
            drop(thread.join().unwrap());
        }
    }
    assert_exact();
    let left = std::mem::take(&mut *LEFT.lock().unwrap());
    assert_eq!(left.len(), 10_000);
    drop(left);
    assert_exact();
}

#[test]
fn zeroed_memory_comes_from_the_inner_allocator_as_such() {
    let _alone = alone();
    let before = ZEROED.load(Ordering::Relaxed);
    drop(black_box(vec![0u8; 100_000]));
    assert!(ZEROED.load(Ordering::Relaxed) > before);
    assert_exact();
}
