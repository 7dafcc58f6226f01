//! A thousand tests with exact figures, beside each other. `benches/peers/flakes.sh` runs them 200
//! times, and the same with other counters.

#[macro_use]
mod shape;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

thousand!();

fn exact(number: usize) {
    let truth = shape::truth(number);
    let kept = plimsoll::assert_heap!(
        allocations: truth.allocations,
        deallocations: truth.deallocations,
        reallocations: 0,
        allocated_bytes: truth.bytes,
        net_bytes: truth.net,
        net_blocks: truth.allocations - truth.deallocations,
        peak_bytes: truth.peak,
        { shape::work(number) }
    );
    plimsoll::no_alloc!({ drop(kept) });
    plimsoll::assert_no_leak!({ drop(shape::work(number)) });
    let failing = plimsoll::testing::fail_after(1);
    let got = [1, 2].map(|_| {
        std::hint::black_box(Vec::<u8>::new())
            .try_reserve(number + 1)
            .is_ok()
    });
    drop(failing);
    assert_eq!(got, [true, false]);
}
