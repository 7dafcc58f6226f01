//! The counting protocol under loom: the code that ships, in every interleaving and with every
//! value that weak memory lets a load see.
//!
//! Run by `tests/models.sh`.
//!
//! Writers register, count, hand back and register again while a reader takes its passes. What it
//! may find is what some order of the writers' steps allows; what stands at the end is exact. All
//! models but one are explored to their end.

use super::block::{Block, Totals};
use super::errand::Errands;
use super::registry::{Bounds, Registry};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

/// Bounds without saturation: negative where the protocol is broken.
fn raw(bounds: &Bounds) -> (i64, i64) {
    let signed = |value: u64| value as i64;
    (
        signed(bounds.first.allocated)
            - signed(bounds.second.deallocated)
            - signed(bounds.second.moving),
        signed(bounds.second.allocated) - signed(bounds.first.deallocated),
    )
}

/// Everything at rest: both passes alike.
fn at_rest(registry: &Registry) -> Totals {
    let bounds = registry.bounds();
    assert_eq!(bounds.first, bounds.second);
    assert_eq!(bounds.second.moving, 0);
    bounds.second
}

/// Starts a thread that registers, allocates once and hands its block back.
fn comes_and_goes(registry: &Arc<Registry>, id: u32, size: u64) -> thread::JoinHandle<()> {
    let registry = Arc::clone(registry);
    thread::spawn(move || {
        let block = registry.take(id, 0).expect("two static blocks");
        block.alloc(size);
        registry.give_back(block);
    })
}

#[test]
fn the_bounds_of_two_passes_hold_while_two_threads_come_and_go() {
    // To its end this one takes too long: here with at most three preemptions an execution. The
    // next one, where one of the two hands back what the other takes, is explored to its end.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let registry = Arc::new(Registry::new());
        let writers = [(1, 100), (2, 10)].map(|(id, size)| comes_and_goes(&registry, id, size));
        let (low, high) = raw(&registry.bounds());
        assert!(low <= high);
        assert!([0, 10, 100, 110].contains(&low) && [0, 10, 100, 110].contains(&high));
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(at_rest(&registry).allocated, 110);
        assert_eq!(registry.owned(), 0);
    });
}

#[test]
fn the_bounds_of_two_passes_hold_while_a_block_changes_its_owner() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        // Both blocks are owned; the first is handed back while the second writer looks for one.
        let (first, _second) = (registry.take(8, 0).unwrap(), registry.take(9, 0).unwrap());
        first.alloc(100);
        let handing_back = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                let own = registry.iter().next().expect("taken above");
                own.free(100);
                registry.give_back(own);
            })
        };
        let taking = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || match registry.take(2, 0) {
                Some(block) => block.alloc(10),
                None => registry.shared.alloc(10),
            })
        };
        let (low, high) = raw(&registry.bounds());
        // Live was some of 0, 10, 100 and 110, and nothing else.
        assert!(low <= high && high <= 110);
        assert!(high >= 0, "a free without its allocation: {high}");
        handing_back.join().unwrap();
        taking.join().unwrap();
        let totals = at_rest(&registry);
        assert_eq!((totals.allocated, totals.deallocated), (110, 100));
    });
}

#[test]
fn a_block_that_is_handed_on_loses_nothing_between_its_owners() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        // One block is taken for good, so that both writers contend for the other; who finds none
        // gets none, as when memory is short.
        let _kept = registry.take(9, 0).expect("two static blocks");
        let writer = |id: u32, size: u64| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || match registry.take(id, 0) {
                Some(block) => {
                    block.alloc(size);
                    block.free(1);
                    registry.give_back(block);
                }
                None => {
                    registry.shared.alloc(size);
                    registry.shared.free(1);
                }
            })
        };
        for writer in [writer(1, 100), writer(2, 10)] {
            writer.join().unwrap();
        }
        let totals = at_rest(&registry);
        assert_eq!((totals.allocated, totals.deallocated), (110, 2));
        assert_eq!(registry.owned(), 1);
    });
}

#[test]
fn no_block_has_two_owners_however_they_are_pushed_and_popped() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        // Both blocks on the stack: pops, pushes and pops again meet there.
        let (first, second) = (registry.take(8, 0).unwrap(), registry.take(9, 0).unwrap());
        registry.give_back(first);
        registry.give_back(second);
        let writer = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                for size in [1, 2] {
                    let block = registry.take(1, 0).expect("two blocks for two threads");
                    block.alloc(size);
                    registry.give_back(block);
                }
            })
        };
        // An owner adds by a load and a store: a second owner would lose one of the two.
        let block = registry.take(2, 0).expect("two blocks for two threads");
        block.alloc(10);
        block.alloc(20);
        writer.join().unwrap();
        registry.give_back(block);
        let totals = at_rest(&registry);
        assert_eq!(totals.allocated, 33);
    });
}

#[test]
fn who_sees_a_free_sees_the_allocation_on_the_other_thread() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let handed_over = Arc::new(AtomicBool::new(false));
        let allocating = {
            let (registry, handed_over) = (Arc::clone(&registry), Arc::clone(&handed_over));
            thread::spawn(move || {
                let block = registry.take(1, 0).unwrap();
                block.alloc(100);
                handed_over.store(true, Ordering::Release);
            })
        };
        let freeing = {
            let (registry, handed_over) = (Arc::clone(&registry), Arc::clone(&handed_over));
            thread::spawn(move || {
                if handed_over.load(Ordering::Acquire) {
                    registry.take(2, 0).unwrap().free(100);
                }
            })
        };
        let (low, high) = raw(&registry.bounds());
        assert!(high >= 0, "a free without its allocation: {high}");
        assert!(low <= 100);
        allocating.join().unwrap();
        freeing.join().unwrap();
        at_rest(&registry);
    });
}

#[test]
fn a_reallocation_is_seen_whole_or_not_at_all() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let writer = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                let block: &Block = registry.take(1, 0).unwrap();
                block.alloc(100);
                block.realloc(100, 150);
                block.alloc(1);
            })
        };
        let (low, high) = raw(&registry.bounds());
        // Live was 0, 100, 150 and 151. Both halves apart would be 250.
        assert!(low <= 151, "the old size still counted: {low}");
        assert!(high >= 0);
        writer.join().unwrap();
        assert_eq!(at_rest(&registry).net(), 151);
    });
}

#[test]
fn per_thread_figures_belong_to_one_owner() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let writer = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                for (id, size) in [(1, 100), (2, 10)] {
                    let block = registry.take(id, 0).unwrap();
                    block.alloc(size);
                    registry.give_back(block);
                }
            })
        };
        for block in registry.iter() {
            if let Some((id, totals)) = block.owner() {
                let size = if id == 1 { 100 } else { 10 };
                assert!(totals.allocated == 0 || totals.allocated == size);
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_thread_that_was_called_runs_the_errand_at_its_next_count() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let errands = Arc::new(Errands::new());
        let block = registry.take(1, 0).unwrap();
        let asking = {
            let (registry, errands) = (Arc::clone(&registry), Arc::clone(&errands));
            thread::spawn(move || errands.call(&registry))
        };
        // Passes the cold path by itself while it is called: what it arms must not undo the call.
        let mut run = 0;
        let mut after = |block: &Block| {
            if block.quantum_reached() {
                block.rearm();
            }
            run += u32::from(errands.take(block, || ()));
        };
        after(block);
        let asked = asking.join().unwrap();
        let is_due = block.alloc_due(1);
        block.alloc(1);
        if is_due {
            after(block);
        }
        assert_eq!(run, 1);
        assert_eq!(errands.done(&registry, asked), (1, 1));
        assert!(!block.alloc_due(1), "the call is over");
    });
}
