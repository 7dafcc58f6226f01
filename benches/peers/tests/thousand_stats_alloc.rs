//! The thousand tests with stats_alloc's `Region`.

#[path = "../../../tests/thousand/shape.rs"]
#[macro_use]
mod shape;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

thousand!();

fn exact(number: usize) {
    let truth = shape::truth(number);
    let region = Region::new(HEAP);
    let kept = shape::work(number);
    let found = region.change();
    assert_eq!(found.allocations as u64, truth.allocations);
    assert_eq!(found.deallocations as u64, truth.deallocations);
    assert_eq!(found.bytes_allocated as u64, truth.bytes);
    assert_eq!(
        (found.bytes_allocated - found.bytes_deallocated) as u64,
        truth.net
    );
    drop(kept);
}
