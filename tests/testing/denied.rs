use crate::block;
use crate::panics::panic_of;
use plimsoll::no_alloc;
use plimsoll::testing::{allow_allocations, deny_allocations};

#[test]
fn code_that_does_not_allocate_passes_and_gives_its_value() {
    let line = String::from("name=value");
    let found = no_alloc!({ line.split_once('=') });
    assert_eq!(found, Some(("name", "value")));
}

#[test]
fn frees_are_allowed_unless_they_are_forbidden_too() {
    let (one, two) = (block(1), block(2));
    no_alloc!(drop(one));
    let (message, _) = panic_of(|| {
        let denied = deny_allocations().and_frees();
        drop(two);
        denied.end();
    });
    assert!(message.contains("a free of 2 bytes"), "{message}");
}

#[test]
fn a_reallocation_is_an_allocation() {
    let mut list = Vec::<u8>::with_capacity(10);
    list.push(1);
    let (message, _) = panic_of(|| no_alloc!({ list.reserve(1000) }));
    assert!(message.contains("a reallocation of"), "{message}");
}

#[test]
fn what_is_forbidden_succeeds_and_the_panic_comes_at_the_end() {
    let denied = deny_allocations();
    let kept = block(100);
    assert_eq!((kept.len(), denied.violations()), (100, 1));
    let (message, place) = panic_of(|| denied.end());
    assert!(message.contains("an allocation of 100 bytes"), "{message}");
    assert!(place.starts_with("tests/testing/denied.rs:"), "{place}");
}

#[test]
fn a_dropped_guard_panics_and_tells_where_it_was_opened() {
    let (message, _) = panic_of(|| {
        let _denied = deny_allocations();
        drop(block(1));
    });
    assert!(
        message.contains("since tests/testing/denied.rs:"),
        "{message}"
    );
    // By a panic, it leaves that panic alone.
    let (message, _) = panic_of(|| {
        let _denied = deny_allocations();
        drop(block(1));
        panic!("another")
    });
    assert_eq!(message, "another");
}

#[test]
fn allowed_is_allowed_and_no_longer_than_its_closure() {
    no_alloc!({ allow_allocations(|| drop(block(1))) });
    let (message, _) = panic_of(|| {
        no_alloc!({
            allow_allocations(|| drop(block(1)));
            drop(block(2));
        });
    });
    assert!(message.contains("found 1 call"), "{message}");
}

#[test]
fn guards_are_dropped_in_any_order_and_may_be_forgotten() {
    let one = deny_allocations();
    let two = deny_allocations();
    let three = deny_allocations();
    drop(two);
    drop(one);
    drop(block(1));
    assert_eq!(three.violations(), 1);
    panic_of(|| three.end());
    std::thread::spawn(|| {
        std::mem::forget(deny_allocations());
        drop(block(1));
    })
    .join()
    .unwrap();
    no_alloc!({});
}

#[test]
fn a_thread_that_prints_a_backtrace_may_be_watched() {
    // Taking one holds std's lock and allocates: whoever walks the stack then must not want it too.
    let denied = deny_allocations();
    drop(std::hint::black_box(
        std::backtrace::Backtrace::force_capture().to_string(),
    ));
    assert!(denied.violations() > 0);
    panic_of(|| denied.end());
}

#[test]
fn what_is_denied_within_an_allowance_stays_denied() {
    let outer = deny_allocations();
    let inner = allow_allocations(|| {
        drop(block(10));
        let inner = deny_allocations();
        drop(block(20));
        allow_allocations(|| drop(block(30)));
        inner
    });
    assert_eq!((outer.violations(), inner.violations()), (0, 1));
    // And after the allowance has ended.
    drop(block(40));
    allow_allocations(|| drop(block(50)));
    assert_eq!((outer.violations(), inner.violations()), (1, 2));
    panic_of(|| inner.end());
    panic_of(|| outer.end());
}

#[test]
fn what_outlives_the_allowance_that_it_was_made_in_is_subject_to_the_next() {
    let denied = allow_allocations(deny_allocations);
    allow_allocations(|| drop(block(10)));
    assert_eq!(denied.violations(), 0);
    denied.end();
}

#[test]
fn with_aborting_the_process_stops_in_the_allocation() {
    const CHILD: &str = "PLIMSOLL_TEST_ABORTS";
    if std::env::var_os(CHILD).is_some() {
        let by_environment = std::env::var_os("PLIMSOLL_ABORT").is_some();
        let mut denied = deny_allocations();
        if !by_environment {
            // More than are kept.
            (0..4).for_each(|_| drop(block(10)));
            denied = denied.aborting();
        }
        drop(block(4321));
        std::mem::forget(denied);
        return;
    }
    for by_environment in [false, true] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.arg("denied::with_aborting").env(CHILD, "1");
        if by_environment {
            child.env("PLIMSOLL_ABORT", "1");
        }
        let output = child.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            words.contains("found an allocation of 4,321 bytes at tests/testing/main.rs:"),
            "{words}"
        );
    }
}
