//! The counting protocol with more threads and more steps than loom comes to the end of, under shuttle: the
//! code that ships, in thousands of random orders.
//!
//! Run by `tests/models.sh`. A random order that fails prints its seed, for `SHUTTLE_RANDOM_SEED`; one of few
//! preemptions its schedule, for `shuttle::replay`.

use super::alarm::Bell;
use super::block::Block;
use super::errand::Errands;
use super::registry::Registry;
use super::total::Total;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Arc;
use shuttle::thread;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Orders of each kind.
const ORDERS: usize = 3_000;

/// One more than the preemptions of an order of the second kind, which are in places drawn by lot: a fault
/// that takes so many is found with a known probability (Burckhardt et al., *A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs*, ASPLOS 2010).
const DEPTH: usize = 4;

pub(crate) fn in_many_orders(model: fn()) {
    shuttle::check_random(model, ORDERS);
    shuttle::check_pct(model, ORDERS, DEPTH);
}

/// What is live from the beginning to the end.
const LASTING: u64 = 1_000;

/// A thread's whole life, twice: some blocks, one of which moves, all of them freed.
fn lives(registry: &Registry, id: u32) {
    for _ in 0..2 {
        let size = thread_rng().gen_range(1..100);
        let work = |block: &Block| {
            block.alloc(size);
            block.realloc(size, size + 1);
            block.free(size + 1);
        };
        match registry.take(id, 0) {
            Some(block) => {
                work(block);
                registry.give_back(block);
            }
            None => {
                registry.shared.alloc(size);
                registry.shared.free(size);
            }
        }
    }
}

#[test]
fn the_bounds_hold_while_five_threads_come_and_go_and_chunks_are_made() {
    in_many_orders(|| {
        let registry = Arc::new(Registry::new());
        let lasting = registry.take(1, 0).expect("a static block");
        lasting.alloc(LASTING);
        let threads: Vec<_> = (2..7)
            .map(|id| {
                let registry = Arc::clone(&registry);
                thread::spawn(move || lives(&registry, id))
            })
            .collect();
        let mut before = (0, 0);
        for _ in 0..3 {
            let bounds = registry.bounds();
            let (low, high) = bounds.live_bytes();
            // A block that is moved counts with both of its sizes at the most.
            assert!(low <= LASTING + 5 * 200, "{low}");
            assert!((LASTING..=LASTING + 10 * 200).contains(&high), "{high}");
            assert!(low <= high, "{low} to {high}");
            let sums = (bounds.first.allocated, bounds.first.deallocated);
            assert!(
                before.0 <= sums.0 && before.1 <= sums.1,
                "{before:?}, {sums:?}"
            );
            before = (bounds.second.allocated, bounds.second.deallocated);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let bounds = registry.bounds();
        assert_eq!(bounds.first, bounds.second);
        assert_eq!(bounds.live_bytes(), (LASTING, LASTING));
        assert_eq!(registry.owned(), 1);
    });
}

#[test]
fn every_thread_that_lives_comes_to_the_errand_of_everyone_who_asks() {
    in_many_orders(|| {
        let registry = Arc::new(Registry::new());
        let errands = Arc::new(Errands::new());
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let (registry, errands) = (Arc::clone(&registry), Arc::clone(&errands));
                thread::spawn(move || errands.call(&registry))
            })
            .collect();
        let counting: Vec<_> = (1..4)
            .map(|id| {
                let (registry, errands) = (Arc::clone(&registry), Arc::clone(&errands));
                thread::spawn(move || {
                    let block = registry.take(id, errands.last()).expect("memory");
                    errands.catch_up(block);
                    let block = core::ptr::from_ref(block).addr();
                    count(&registry, &errands, block);
                    block
                })
            })
            .collect();
        let blocks: Vec<_> = counting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let asked: Vec<_> = asking
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        // Each counts once more, as whoever was called while it did nothing.
        for block in blocks {
            count(&registry, &errands, block);
        }
        for number in asked {
            assert_eq!(errands.done(&registry, number), (3, 3), "{number}");
        }
    });
}

/// Counts a few times, and does what is due, as the allocator does.
fn count(registry: &Registry, errands: &Errands, block: usize) {
    let own = |one: &&Block| core::ptr::from_ref(*one).addr() == block;
    let block = registry.iter().find(own).expect("it was taken");
    for _ in 0..3 {
        let is_due = block.alloc_due(1);
        block.alloc(1);
        if is_due {
            if block.quantum_reached() {
                block.rearm();
            }
            errands.take(block, || ());
        }
    }
}

/// Every order of all steps: what these words are accessed by is sequentially consistent, as shuttle's are.
#[test]
fn who_grows_over_the_line_rings_once_whether_before_it_is_armed_or_after() {
    shuttle::check_dfs(
        || {
            let total = Arc::new(Total::new());
            let rings = Arc::new(AtomicU32::new(0));
            let growing: Vec<_> = [60, 50]
                .into_iter()
                .map(|bytes| {
                    let (total, rings) = (Arc::clone(&total), Arc::clone(&rings));
                    thread::spawn(move || {
                        rings.fetch_add(u32::from(total.publish(bytes)), Ordering::Relaxed);
                    })
                })
                .collect();
            let from = total.now();
            rings.fetch_add(u32::from(total.arm(from, 55)), Ordering::Relaxed);
            for thread in growing {
                thread.join().unwrap();
            }
            let has_grown = total.now() - from >= 55;
            assert_eq!(
                rings.load(Ordering::Relaxed),
                u32::from(has_grown),
                "{from}"
            );
        },
        None,
    );
}

#[test]
fn nobody_rings_for_one_who_has_gone() {
    /// Says when it is dropped.
    struct Waiter(Arc<AtomicBool>);
    impl Drop for Waiter {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    in_many_orders(|| {
        let bell = Arc::new(Bell::new());
        let ringing: Vec<_> = (0..3)
            .map(|_| {
                let bell = Arc::clone(&bell);
                thread::spawn(move || {
                    bell.ring(|waiter: &Waiter| {
                        thread::yield_now();
                        assert!(!waiter.0.load(Ordering::Relaxed), "it has gone");
                    });
                })
            })
            .collect();
        for _ in 0..2 {
            let gone = Arc::new(AtomicBool::new(false));
            bell.install(Waiter(Arc::clone(&gone)))
                .expect("nobody waits");
            thread::yield_now();
            bell.uninstall();
            assert!(gone.load(Ordering::Relaxed));
        }
        for thread in ringing {
            thread.join().unwrap();
        }
    });
}
