//! What the measuring keeps for itself, a scope around it does not see: not made, and not freed.

use crate::block;
use crate::panics::panic_of;
use plimsoll::testing::{
    Group, carry, carry_future, deny_allocations, fail_after, try_sweep_failures,
};
use plimsoll::{assert_allocations, assert_no_leak, assert_snapshot, measure, no_alloc};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Whatever it allocates on this thread it frees.
#[track_caller]
fn leaves_nothing(work: impl Fn()) {
    // What is made once and kept.
    work();
    let ((), found) = measure(work);
    assert_eq!((found.net_blocks(), found.net_bytes), (0, 0), "{found:?}");
}

/// Unwinds from within, without a message.
fn unwound(work: impl FnOnce(fn())) {
    let unwind = || resume_unwind(Box::new(()));
    assert!(catch_unwind(AssertUnwindSafe(|| work(unwind))).is_err());
}

#[test]
fn when_all_is_well() {
    leaves_nothing(|| drop(assert_allocations!(1, { block(10) })));
    leaves_nothing(|| assert_no_leak!({ drop(block(10)) }));
    leaves_nothing(|| no_alloc!({}));
    leaves_nothing(|| {
        drop(assert_snapshot!("a committed one", {
            drop(block(100));
            block(20)
        }));
    });
    leaves_nothing(|| deny_allocations().end());
    leaves_nothing(|| {
        let failing = fail_after(0);
        assert!(Vec::<u8>::new().try_reserve(10).is_err());
        assert!(failing.first_refused_at().is_some());
    });
}

#[test]
fn when_groups_come_and_go() {
    leaves_nothing(|| drop(Group::new()));
    leaves_nothing(|| drop(Group::new().clone()));
    leaves_nothing(|| {
        let group = Group::new();
        group.run(|| drop(block(10)));
        let work = group.carry(|| drop(block(10)));
        drop(group);
        work();
    });
    leaves_nothing(|| Group::new().run(|| drop(carry(|| ()))));
    leaves_nothing(|| Group::new().run(|| carry(|| drop(block(10)))()));
    leaves_nothing(|| Group::new().run(|| drop(carry_future(async {}))));
    let on_a_thread_of_its_own = || {
        let ((), found) = measure(|| {
            let group = Group::new();
            group.run(|| ());
            group.join_thread();
        });
        assert_eq!(found, plimsoll::Measurement::default());
    };
    std::thread::spawn(on_a_thread_of_its_own).join().unwrap();
}

#[test]
fn when_the_work_unwinds() {
    leaves_nothing(|| unwound(|unwind| assert_allocations!(1, { unwind() })));
    leaves_nothing(|| unwound(|unwind| assert_no_leak!({ unwind() })));
    leaves_nothing(|| {
        unwound(|unwind| {
            no_alloc!({
                drop(block(10));
                unwind();
            });
        });
    });
    leaves_nothing(|| unwound(|unwind| assert_snapshot!("a committed one", { unwind() })));
    leaves_nothing(|| {
        unwound(|unwind| {
            let _denied = deny_allocations();
            drop(block(10));
            unwind();
        });
    });
    leaves_nothing(|| {
        unwound(|unwind| {
            let _failing = fail_after(0);
            assert!(Vec::<u8>::new().try_reserve(10).is_err());
            unwind();
        });
    });
    leaves_nothing(|| unwound(|unwind| Group::new().run(unwind)));
    leaves_nothing(|| unwound(|unwind| Group::new().run(|| carry(unwind)())));
}

#[test]
fn when_an_assertion_fails() {
    leaves_nothing(|| drop(panic_of(|| assert_allocations!(2, { drop(block(10)) }))));
    leaves_nothing(|| drop(panic_of(|| drop(assert_no_leak!({ block(10) })))));
    leaves_nothing(|| drop(panic_of(|| no_alloc!({ drop(block(10)) }))));
    leaves_nothing(|| {
        drop(panic_of(|| {
            assert_snapshot!("one that differs", { drop(block(10)) })
        }))
    });
    leaves_nothing(|| {
        drop(panic_of(|| {
            let denied = deny_allocations();
            drop(block(10));
            denied.end();
        }));
    });
    leaves_nothing(|| {
        drop(panic_of(|| {
            let _denied = deny_allocations();
            drop(block(10));
        }));
    });
}

#[test]
fn when_a_sweep_is_over() {
    // Each call is started for by itself, so the first is the one that is measured.
    let ((), found) = measure(|| {
        let swept = try_sweep_failures(|| {
            if Vec::<u8>::new().try_reserve(10).is_err() {
                panic!("found");
            }
        });
        assert_eq!(swept.unwrap_err().findings.len(), 2);
    });
    assert_eq!((found.net_blocks(), found.net_bytes), (0, 0), "{found:?}");
}
