//! Batches where nothing is counted: Plimsoll is not the global allocator here.

use plimsoll::batch::{Batches, Budget, InBatches};

fn sizes(batches: &Batches) -> Vec<usize> {
    let mut sizes = Vec::new();
    let job = (0..1000).map(|_| vec![0u8; 1000]).in_batches(batches);
    let done = job.run(|batch| sizes.push(batch.len())).unwrap();
    assert_eq!(done.items, 1000);
    sizes
}

#[test]
fn batches_follow_the_guess_or_else_the_count() {
    assert_eq!(plimsoll::heap().allocations(), 0);
    let guessed = Batches::builder().budget(100_000).item_bytes(1000);
    assert_eq!(sizes(&guessed.build().unwrap()), [100; 10]);
    assert_eq!(sizes(&Batches::default()), [256, 256, 256, 232]);
    let counted = Batches::builder().most_items(500).build().unwrap();
    assert_eq!(sizes(&counted), [500, 500]);
}

/// Where no size is known, a batch of many items says nothing of memory.
#[test]
fn a_batch_of_as_many_items_as_there_are_is_no_buffer_of_that_size() {
    let batches = Batches::builder().most_items(usize::MAX).build().unwrap();
    let items = (0u64..).take_while(|&item| item < 1000);
    let mut sizes = Vec::new();
    let job = items.in_batches(&batches);
    let done = job.run(|batch| sizes.push((batch.len(), batch.capacity())));
    assert_eq!(done.unwrap().items, 1000);
    let &[(1000, capacity)] = &*sizes else {
        panic!("{sizes:?}");
    };
    assert!(capacity < 4096, "{capacity}");
}

#[test]
fn a_budget_needs_no_counters() {
    let budget = Budget::new(10).unwrap();
    let permit = budget.try_acquire(10).unwrap();
    assert!(budget.try_acquire(1).is_none());
    drop(permit);
    assert_eq!(budget.free(), 10);
}

#[cfg(feature = "rayon")]
#[test]
fn work_in_parallel_comes_to_its_end() {
    use plimsoll::batch::{ForEachWithin, Measured};
    let budget = Budget::new(10).unwrap();
    let job = (0..1000u64).for_each_within(&budget, &Batches::default(), Measured, |_| ());
    assert_eq!(job.unwrap().items, 1000);
}
