//! Without the feature `testing` messages tell sizes, and how to have the lines.
#![cfg(not(feature = "testing"))]

use std::panic::{AssertUnwindSafe, catch_unwind};

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

fn message<R>(work: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(work))
        .err()
        .expect("it should fail");
    *payload
        .downcast::<String>()
        .expect("a panic with a message")
}

#[test]
fn a_message_without_lines_tells_how_to_have_them() {
    let block = || std::hint::black_box(vec![1u8; 1000]);
    for (message, what) in [
        (
            message(|| plimsoll::assert_allocations!(0, { block() })),
            "1,000 bytes in 1 call",
        ),
        (
            message(|| plimsoll::no_alloc!({ drop(block()) })),
            "an allocation of 1,000 bytes",
        ),
        (
            message(|| plimsoll::assert_no_leak!({ std::mem::forget(block()) })),
            "1 block with 1,000 bytes",
        ),
    ] {
        assert!(message.contains(what), "{message}");
        assert!(
            message.contains("plimsoll's feature `testing` would tell"),
            "{message}"
        );
    }
}
