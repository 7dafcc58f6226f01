//! The thousand tests with dhat's testing mode.

#[path = "../../../tests/thousand/shape.rs"]
#[macro_use]
mod shape;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

thousand!();

fn exact(number: usize) {
    let truth = shape::truth(number);
    let profiler = dhat::Profiler::builder().testing().build();
    let kept = shape::work(number);
    let found = dhat::HeapStats::get();
    // Panics by itself, and is not caught, where dhat's own `assert!` would say the same.
    assert_eq!(found.total_blocks, truth.allocations);
    assert_eq!(found.total_bytes, truth.bytes);
    assert_eq!(found.curr_bytes as u64, truth.net);
    assert_eq!(found.max_bytes as u64, truth.peak);
    drop((profiler, kept));
}
