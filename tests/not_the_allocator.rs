//! Where `Plimsoll` is not the program's allocator, every assertion says so instead of passing at 0.

use plimsoll::testing::{
    Group, deny_allocations, fail_above, fail_after, fail_nth, sweep_failures,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn says_so<R>(work: impl FnOnce() -> R) {
    let payload = catch_unwind(AssertUnwindSafe(work))
        .err()
        .expect("it should fail");
    let message = payload
        .downcast_ref::<String>()
        .expect("a panic with a message");
    assert!(
        message.contains("`Plimsoll` is not this program's global allocator"),
        "{message}"
    );
}

#[test]
fn no_assertion_passes_at_zero() {
    says_so(|| plimsoll::assert_allocations!(0, {}));
    says_so(|| plimsoll::assert_deallocations!(.., {}));
    says_so(|| plimsoll::assert_reallocations!(.., {}));
    says_so(|| plimsoll::assert_allocated_bytes!(0, {}));
    says_so(|| plimsoll::assert_peak_bytes!(0, {}));
    says_so(|| plimsoll::assert_net_bytes!(0, {}));
    says_so(|| plimsoll::assert_net_blocks!(0, {}));
    says_so(|| plimsoll::assert_heap!(allocations: 0, net_bytes: 0, {}));
    says_so(|| plimsoll::no_alloc!({}));
    says_so(|| plimsoll::assert_no_leak!({}));
    says_so(|| plimsoll::assert_snapshot!("none", {}));
    says_so(|| deny_allocations().end());
    says_so(Group::new);
    says_so(|| fail_after(1));
    says_so(|| fail_nth(1));
    says_so(|| fail_above(1));
    says_so(|| sweep_failures(|| ()));
}
