use crate::block;
use crate::panics::panic_of;
use plimsoll::{
    assert_allocated_bytes, assert_allocations, assert_deallocations, assert_heap,
    assert_net_blocks, assert_net_bytes, assert_peak_bytes, assert_reallocations, measure,
};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn every_figure_is_asserted_and_the_value_given_back() {
    let kept = assert_allocations!(1, { block(100) });
    assert_allocated_bytes!(100..=100, { drop(block(100)) });
    assert_peak_bytes!(..=300, {
        drop(block(300));
        drop(block(200));
    });
    assert_net_bytes!(-100, { drop(kept) });
    assert_eq!(assert_net_blocks!(2, { [block(1), block(2)] }).len(), 2);
    assert_reallocations!(1, {
        let mut list = std::hint::black_box(Vec::<u8>::with_capacity(10));
        list.reserve_exact(1000);
        std::hint::black_box(list)
    });
    assert_deallocations!(..2, { drop(block(9)) });
    let text = assert_heap!(allocations: 1..=1, net_blocks: 1, net_bytes: 5..6, { block(5) });
    assert_eq!(text.len(), 5);
}

#[test]
fn a_range_takes_any_integer_type_and_no_block_needs_braces() {
    let limit: usize = 3;
    assert_allocations!(..=limit, drop(block(1)));
    assert_allocations!(1u8, drop(block(1)));
    assert_allocated_bytes!(..4_000_000_000u64, drop(block(1)));
}

#[test]
fn what_watching_allocates_is_in_no_scope() {
    // The recorder of the inner scope walks and keeps a stack for each of these.
    let (kept, found) = measure(|| {
        assert_allocations!(300, { (0..300).map(|_| block(10)).for_each(drop) });
        block(7)
    });
    assert_eq!((found.allocations, found.deallocations), (301, 300));
    assert_eq!((found.net_bytes, found.peak_bytes), (7, 10));
    drop(kept);
}

#[test]
fn scopes_of_all_kinds_nest_and_each_is_exact() {
    assert_heap!(allocations: 3, net_bytes: 0, peak_bytes: 60, {
        let outer = block(10);
        let denied = plimsoll::testing::deny_allocations();
        assert_eq!(outer.len(), 10);
        denied.end();
        plimsoll::assert_no_leak!({ drop(block(50)) });
        let inner = assert_peak_bytes!(20, { block(20) });
        drop((outer, inner));
    });
}

#[test]
fn a_panic_goes_on_and_closes_its_scope() {
    let (message, _) = panic_of(|| assert_allocations!(0, { panic!("its own") }));
    assert_eq!(message, "its own");
    assert_allocations!(1, { drop(block(1)) });
    let ((), found) = measure(|| drop(block(44)));
    assert_eq!((found.allocations, found.peak_bytes), (1, 44));
}

#[test]
fn other_threads_at_full_speed_change_nothing() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(block(777));
                }
            });
        }
        for round in 1..300 {
            let kept = assert_heap!(allocations: 2, deallocations: 1, net_bytes: round, peak_bytes: round + 50, {
                let kept = block(round);
                drop(block(50));
                kept
            });
            drop(kept);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_million_allocations_are_counted_without_a_stack_for_each() {
    assert_heap!(allocations: 1_000_000, net_bytes: 0, peak_bytes: 8, {
        for _ in 0..1_000_000 {
            drop(block(8));
        }
    });
    // Of calls that are alike a thousand are traced, and of such as are ever larger ten times as many.
    let [alike, larger] = [|_| 8, |place| 1_000 + place].map(|size: fn(usize) -> usize| {
        let (message, _) = panic_of(|| {
            assert_heap!(allocations: 0, {
                for place in 0..20_000 {
                    drop(block(size(place)));
                }
            });
        });
        message
    });
    if cfg!(feature = "testing") {
        assert!(
            alike.contains("and 19,000 smaller calls whose lines were not taken"),
            "{alike}"
        );
        assert!(
            larger.contains("and 10,000 smaller calls whose lines were not taken"),
            "{larger}"
        );
    }
}

#[test]
fn the_process_counts_what_scopes_do_not_see() {
    let before = plimsoll::heap().live_bytes_range();
    let failed = plimsoll::heap().failed_allocations();
    for _ in 0..50 {
        let failing = plimsoll::testing::fail_after(0);
        assert!(Vec::<u8>::new().try_reserve(1 << 20).is_err());
        drop(failing);
        plimsoll::assert_no_leak!({ drop(block(1 << 20)) });
    }
    let after = plimsoll::heap().live_bytes_range();
    // Other tests run beside this one; fifty blocks of a mebibyte would show.
    assert!(after.0.saturating_sub(before.1) < 40 << 20);
    assert!(plimsoll::heap().failed_allocations() >= failed + 50);
}
