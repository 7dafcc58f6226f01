use crate::block;
use crate::panics::panic_of;
use plimsoll::testing::{fail_above, fail_after, fail_nth};
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};

fn tries(bytes: usize) -> bool {
    let mut list = Vec::<u8>::new();
    let got = list.try_reserve_exact(bytes).is_ok();
    std::hint::black_box(&list);
    got
}

#[test]
fn so_many_succeed_and_all_after_them_fail() {
    let failing = fail_after(3);
    let got = [tries(1), tries(1), tries(1), tries(1), tries(1)];
    assert_eq!((failing.seen(), failing.refused()), (5, 2));
    drop(failing);
    assert_eq!(got, [true, true, true, false, false]);
    assert!(tries(1));
}

#[test]
fn one_fails_alone() {
    let failing = fail_nth(1);
    let got = [tries(1), tries(1), tries(1)];
    drop(failing);
    assert_eq!(got, [true, false, true]);
}

#[test]
fn one_within_another_is_counted_by_both() {
    let outer = fail_nth(1);
    let inner = fail_nth(0);
    let got = [tries(1), tries(1), tries(1)];
    assert_eq!((outer.seen(), inner.seen()), (3, 3));
    assert_eq!((outer.refused(), inner.refused()), (1, 1));
    drop(inner);
    drop(outer);
    assert_eq!(got, [false, false, true]);
}

#[test]
fn what_is_too_large_fails() {
    let failing = fail_above(1000);
    let got = [tries(1000), tries(1001), tries(10)];
    let site = failing.first_refused_at();
    drop(failing);
    assert_eq!(got, [true, false, true]);
    assert!(site.unwrap().starts_with("tests/testing/failing.rs:"));
}

#[test]
fn every_way_to_allocate_fails_and_a_refused_reallocation_leaves_the_block() {
    let layout = Layout::from_size_align(64, 16).unwrap();
    // SAFETY: sizes above 0; the block is written before it is read, and freed with its layout.
    unsafe {
        let here = alloc(layout);
        here.write_bytes(7, 64);
        let failing = fail_after(0);
        assert!(alloc(layout).is_null());
        assert!(alloc_zeroed(layout).is_null());
        assert!(alloc(Layout::from_size_align(100, 4096).unwrap()).is_null());
        assert!(realloc(here, layout, 4096).is_null());
        // To shrink cannot fail.
        let smaller = realloc(here, layout, 32);
        assert!(!smaller.is_null());
        drop(failing);
        assert_eq!(std::slice::from_raw_parts(smaller, 32), [7; 32]);
        dealloc(smaller, Layout::from_size_align(32, 16).unwrap());
    }
}

#[test]
fn refused_allocations_are_counted_as_failed_and_as_nothing_else() {
    let ((), found) = plimsoll::measure(|| {
        let failing = fail_after(0);
        assert!(!tries(100));
        drop(failing);
    });
    assert_eq!((found.allocations, found.allocated_bytes), (0, 0));
}

#[test]
fn a_panic_ends_it_and_can_allocate_its_message() {
    let (message, _) = panic_of(|| {
        let _failing = fail_after(0);
        panic!(
            "a message of {} letters, made while allocations fail",
            "many".repeat(0).len() + 7
        )
    });
    assert!(message.starts_with("a message of 7 letters"));
    assert!(tries(100));
}

#[test]
fn other_threads_go_on() {
    // The other is started before: that allocates on this thread.
    std::thread::scope(|scope| {
        let (go, is_go) = std::sync::mpsc::sync_channel::<()>(1);
        let other = scope.spawn(move || {
            is_go.recv().unwrap();
            block(10_000).len()
        });
        let failing = fail_after(0);
        go.send(()).unwrap();
        while !other.is_finished() {
            std::hint::spin_loop();
        }
        drop(failing);
        assert_eq!(other.join().unwrap(), 10_000);
    });
}

#[test]
fn guards_nest_and_the_stricter_one_decides() {
    let outer = fail_above(100);
    let inner = fail_after(1);
    let got = [tries(50), tries(50)];
    drop(inner);
    let later = [tries(50), tries(500)];
    drop(outer);
    assert_eq!(got, [true, false]);
    assert_eq!(later, [true, false]);
    assert!(tries(500));
}
