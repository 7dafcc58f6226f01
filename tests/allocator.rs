//! What goes wrong in other counting allocators, each as a test that passes here.

use plimsoll::{Plimsoll, heap, measure};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// An allocator that says how it was called, and refuses what is too large.
#[derive(Default)]
struct Recording {
    zeroed: AtomicUsize,
    reallocated: AtomicUsize,
    freed_size: AtomicUsize,
    freed_align: AtomicUsize,
}

impl Recording {
    const fn new() -> Recording {
        Recording {
            zeroed: AtomicUsize::new(0),
            reallocated: AtomicUsize::new(0),
            freed_size: AtomicUsize::new(0),
            freed_align: AtomicUsize::new(0),
        }
    }
}

const TOO_LARGE: usize = 1 << 30;

// SAFETY: forwards to the system's allocator, or answers null.
unsafe impl GlobalAlloc for Recording {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= TOO_LARGE {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's obligations are passed on.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.zeroed.fetch_add(1, Ordering::Relaxed);
        if layout.size() >= TOO_LARGE {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's obligations are passed on.
        unsafe { std::alloc::System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        self.freed_size.store(layout.size(), Ordering::Relaxed);
        self.freed_align.store(layout.align(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { std::alloc::System.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.reallocated.fetch_add(1, Ordering::Relaxed);
        if size >= TOO_LARGE {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's obligations are passed on.
        unsafe { std::alloc::System.realloc(address, layout, size) }
    }
}

/// Any allocator goes inside, in a constant, on stable Rust.
static WRAPPED: Plimsoll<Recording> = Plimsoll::wrap(Recording::new());

#[test]
fn all_four_methods_reach_the_inner_allocator_with_the_layout_as_it_came() {
    static OWN: Plimsoll<Recording> = Plimsoll::wrap(Recording::new());
    let inner = OWN.inner();
    let layout = Layout::from_size_align(100, 64).unwrap();
    // SAFETY: allocated, resized and freed with matching layouts.
    unsafe {
        let address = OWN.alloc_zeroed(layout);
        assert_eq!(inner.zeroed.load(Ordering::Relaxed), 1);
        let address = OWN.realloc(address, layout, 200);
        assert_eq!(inner.reallocated.load(Ordering::Relaxed), 1);
        assert_eq!(address.addr() % 64, 0);
        OWN.dealloc(address, Layout::from_size_align(200, 64).unwrap());
    }
    assert_eq!(inner.freed_size.load(Ordering::Relaxed), 200);
    assert_eq!(inner.freed_align.load(Ordering::Relaxed), 64);
}

#[test]
fn a_refused_allocation_is_counted_as_failed_and_as_nothing_else() {
    let failed_before = heap().failed_allocations();
    let layout = Layout::from_size_align(TOO_LARGE, 8).unwrap();
    let small = Layout::from_size_align(64, 8).unwrap();
    let ((), found) = measure(|| {
        // SAFETY: the sizes are above 0; what is refused is not touched, and the small block is
        // still there after a refused `realloc`.
        unsafe {
            assert!(WRAPPED.alloc(layout).is_null());
            assert!(WRAPPED.alloc_zeroed(layout).is_null());
            let block = WRAPPED.alloc(small);
            assert!(WRAPPED.realloc(block, small, TOO_LARGE).is_null());
            WRAPPED.dealloc(block, small);
        }
    });
    assert_eq!(
        (found.allocations, found.deallocations, found.reallocations),
        (1, 1, 0)
    );
    assert_eq!((found.allocated_bytes, found.deallocated_bytes), (64, 64));
    // Another test may be refused something at the same time.
    assert!(heap().failed_allocations() - failed_before >= 3);
}

#[test]
fn try_reserve_beyond_all_memory_is_an_error_and_not_an_abort() {
    let mut bytes = Vec::<u8>::new();
    assert!(bytes.try_reserve(isize::MAX as usize - 4096).is_err());
    bytes.try_reserve(10).unwrap();
}

#[test]
fn a_shrinking_realloc_adds_its_new_size_and_frees_its_old_one() {
    let mut bytes = Vec::<u8>::with_capacity(10_000);
    bytes.push(1);
    let (bytes, found) = measure(|| {
        bytes.shrink_to(100);
        black_box(bytes)
    });
    assert_eq!((found.allocations, found.reallocations), (0, 1));
    assert_eq!(
        (found.allocated_bytes, found.deallocated_bytes),
        (100, 10_000)
    );
    assert_eq!(found.net_bytes, -9_900);
    assert_eq!(found.peak_bytes, 0);
    drop(bytes);
}

#[test]
fn a_growing_realloc_does_not_count_both_blocks_in_the_peak() {
    let (_, found) = measure(|| {
        let mut bytes = black_box(Vec::<u8>::with_capacity(1000));
        bytes.reserve_exact(2000);
        black_box(bytes)
    });
    assert_eq!((found.allocations, found.reallocations), (1, 1));
    assert_eq!(found.peak_bytes, 2000);
}

#[test]
fn the_peak_includes_the_allocation_that_makes_it() {
    let (_, found) = measure(|| {
        drop(black_box(vec![0u8; 700]));
        drop(black_box(vec![0u8; 500]));
    });
    assert_eq!(found.peak_bytes, 700);
}

#[test]
fn nested_scopes_each_see_their_own_and_the_outer_ones_see_all() {
    let (inner, outer) = measure(|| {
        let first = black_box(vec![0u8; 1000]);
        let ((), inner) = measure(|| drop(black_box(vec![0u8; 300])));
        drop(first);
        let ((), second) = measure(|| drop(black_box(vec![0u8; 400])));
        assert_eq!(second.peak_bytes, 400);
        inner
    });
    assert_eq!((inner.allocations, inner.peak_bytes), (1, 300));
    // 1000 and 300 at once; not 1000 + 300 + 400.
    assert_eq!((outer.allocations, outer.peak_bytes), (3, 1300));
    assert_eq!(outer.net_bytes, 0);
}

#[test]
#[cfg(panic = "unwind")]
fn a_panic_closes_its_scope_and_the_outer_one_goes_on() {
    let ((), outer) = measure(|| {
        let caught = std::panic::catch_unwind(|| {
            measure(|| {
                let _held = black_box(vec![0u8; 5000]);
                std::panic::resume_unwind(Box::new(()));
            })
        });
        assert!(caught.is_err());
        drop(black_box(vec![0u8; 100]));
    });
    assert_eq!(outer.net_bytes, 0);
    assert!(
        outer.peak_bytes >= 5000 && outer.peak_bytes < 6000,
        "{outer:?}"
    );
    let ((), later) = measure(|| drop(black_box(vec![0u8; 10])));
    assert_eq!((later.allocations, later.peak_bytes), (1, 10));
}

#[test]
fn other_threads_do_not_disturb_a_measurement() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(black_box(vec![0u8; 999]));
                }
            });
        }
        for _ in 0..2000 {
            let (kept, found) = measure(|| {
                drop(black_box(vec![0u8; 3000]));
                black_box(vec![0u8; 1000])
            });
            assert_eq!((found.allocations, found.deallocations), (2, 1));
            assert_eq!(
                (found.allocated_bytes, found.deallocated_bytes),
                (4000, 3000)
            );
            assert_eq!((found.net_bytes, found.peak_bytes), (1000, 3000));
            drop(kept);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn long_measurements_have_exact_peaks_over_many_events() {
    // Far more than a quantum, up and down, with frees between new peaks.
    let ((), found) = measure(|| {
        let mut held = Vec::with_capacity(4000);
        for round in 0..20 {
            for _ in 0..100 + round {
                held.push(black_box(vec![0u8; 5000]));
            }
            held.truncate(held.len() / 2);
        }
    });
    // The same in arithmetic.
    let (mut blocks, mut most) = (0, 0);
    for round in 0..20 {
        blocks += 100 + round;
        most = most.max(blocks);
        blocks /= 2;
    }
    let list = 4000 * size_of::<Vec<u8>>() as u64;
    assert_eq!(found.peak_bytes, most * 5000 + list);
    assert_eq!(found.net_bytes, 0);
}

#[test]
fn reading_the_figures_allocates_nothing() {
    heap();
    let (_, found) = measure(|| {
        for _ in 0..1000 {
            black_box(heap());
        }
    });
    assert_eq!((found.allocations, found.reallocations), (0, 0));
}

#[test]
fn a_thread_whose_first_act_is_to_free_is_counted() {
    let kept = black_box(vec![0u8; 123_456]);
    let (send, receive) = mpsc::channel::<Vec<u8>>();
    let thread = std::thread::Builder::new().name("frees first".into());
    let freed = thread
        .spawn(move || {
            let bytes = receive.recv().unwrap();
            drop(bytes);
            own_figures("frees first").map(|own| own.net_bytes)
        })
        .unwrap();
    send.send(kept).unwrap();
    let net = freed.join().unwrap().expect("the thread is listed");
    assert!(net < -100_000, "{net}");
}

fn own_figures(name: &str) -> Option<plimsoll::ThreadFigures> {
    plimsoll::threads()
        .into_iter()
        .find(|thread| thread.name == name)
}

#[test]
fn threads_are_listed_with_names_and_their_own_figures_alone() {
    // The second thread takes over the block of the first, and must not show its figures.
    for round in 0..2 {
        let name = format!("worker {round}");
        let gate = Barrier::new(2);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(name.clone());
            let worker = thread.spawn_scoped(scope, || {
                let kept = black_box(vec![0u8; 1_000_000]);
                gate.wait();
                gate.wait();
                drop(kept);
            });
            gate.wait();
            let own = own_figures(&name).expect("the thread is listed");
            gate.wait();
            worker.unwrap().join().unwrap();
            assert!((999_000..1_001_000).contains(&own.net_bytes), "{own:?}");
            assert!(own.allocations < 50, "{own:?}");
        });
    }
}

#[test]
fn what_a_thread_leaves_behind_stays_counted_when_it_is_gone() {
    let left = std::thread::spawn(|| black_box(vec![0u8; 50_000_000]))
        .join()
        .unwrap();
    assert!(heap().live_bytes() >= 50_000_000);
    drop(left);
}

#[test]
fn a_thread_that_has_ended_has_handed_its_block_back() {
    // Another test's threads come and go; these alone would be left in the hundreds.
    for _ in 0..500 {
        std::thread::spawn(|| drop(black_box(vec![0u8; 10])))
            .join()
            .unwrap();
    }
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while heap().threads() > 200 {
        assert!(
            std::time::Instant::now() < patience,
            "{} threads",
            heap().threads()
        );
        std::thread::yield_now();
    }
}

#[test]
fn more_than_a_thousand_threads_at_once_are_each_counted() {
    const THREADS: usize = 1100;
    let here = Arc::new(Barrier::new(THREADS + 1));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let here = Arc::clone(&here);
            std::thread::Builder::new()
                .stack_size(512 * 1024)
                .spawn(move || {
                    let kept = black_box(vec![0u8; 10_000]);
                    here.wait();
                    here.wait();
                    kept
                })
                .unwrap()
        })
        .collect();
    here.wait();
    let full = heap();
    here.wait();
    assert!(full.threads() as usize >= THREADS);
    assert!(full.live_bytes() >= (THREADS * 10_000) as u64);
    for thread in threads {
        drop(thread.join().unwrap());
    }
}

#[test]
fn a_thread_local_that_allocates_in_its_destructor_is_counted() {
    thread_local! {
        static LAST: Last = const { Last(Cell::new(None)) };
    }
    struct Last(Cell<Option<mpsc::Sender<Vec<u8>>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(send) = self.0.take() {
                let _ = send.send(black_box(vec![7u8; 40_000_000]));
            }
        }
    }
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || LAST.with(|last| last.0.set(Some(send))))
        .join()
        .unwrap();
    let sent = receive.recv().unwrap();
    assert!(heap().live_bytes() >= 40_000_000);
    drop(sent);
}

#[cfg(unix)]
#[test]
fn frees_after_the_block_was_handed_back_are_counted_in_the_shared_one() {
    // A pthread key of our own, made after Plimsoll's, whose destructor goes on into the last
    // round: some of its frees come when the thread's block is already gone.
    static KEY: AtomicUsize = AtomicUsize::new(usize::MAX);
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn last(value: *mut libc::c_void) {
        // SAFETY: boxed below, or in the round before.
        drop(unsafe { Box::from_raw(value.cast::<[u8; 1000]>()) });
        if ROUNDS.fetch_add(1, Ordering::Relaxed) < 3 {
            set();
        }
    }
    fn set() {
        let value = Box::into_raw(black_box(Box::new([1u8; 1000])));
        // SAFETY: the key was created before any thread comes here.
        unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed) as _, value.cast()) };
    }
    let mut key = 0;
    // SAFETY: `key` is ours to write, and the destructor does not unwind.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(last)) }, 0);
    KEY.store(key as usize, Ordering::Relaxed);
    let before = heap();
    std::thread::spawn(|| {
        drop(black_box(vec![1u8; 10]));
        set();
    })
    .join()
    .unwrap();
    let after = heap();
    assert_eq!(ROUNDS.load(Ordering::Relaxed), 4);
    // Four boxes made and freed, whoever else allocates meanwhile.
    assert!(after.allocations() - before.allocations() >= 5);
    assert!(after.deallocations() - before.deallocations() >= 5);
}

#[test]
fn figures_are_within_their_ranges_and_totals_never_fall() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    held.push(black_box(vec![0u8; 10 + held.len() % 5000]));
                    if held.len() == 1000 {
                        held.clear();
                    }
                }
            });
        }
        let mut last = heap();
        for _ in 0..50_000 {
            let now = heap();
            let (low, high) = now.live_bytes_range();
            assert!(low <= now.live_bytes() && now.live_bytes() <= high);
            let (low_blocks, high_blocks) = now.live_blocks_range();
            assert!(low_blocks <= now.live_blocks() && now.live_blocks() <= high_blocks);
            assert!(now.allocations() >= last.allocations());
            assert!(now.deallocated_bytes() >= last.deallocated_bytes());
            assert!(now.peak_bytes() >= last.peak_bytes());
            assert!(now.peak_bytes() >= low);
            last = now;
        }
        stop.store(true, Ordering::Relaxed);
    });
}
