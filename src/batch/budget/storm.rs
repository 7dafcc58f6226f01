//! The budget with more users than loom comes to the end of, under shuttle: see
//! [`storm`](crate::allocator::storm).

use super::Budget;
use crate::allocator::storm::in_many_orders;
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

/// The whole; what is asked for goes beyond it.
const WHOLE: u64 = 5;

/// Asks, holds, gives back; or loses its patience at an await, as a task that is cancelled.
fn uses(budget: &Budget) {
    for _ in 0..2 {
        let bytes = thread_rng().gen_range(0..WHOLE + 3);
        if thread_rng().gen_bool(0.3) {
            let mut acquire = pin!(budget.acquire(bytes));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..thread_rng().gen_range(1..3) {
                if acquire.as_mut().poll(&mut context).is_ready() {
                    break;
                }
            }
        } else {
            let permit = block_on(budget.acquire(bytes));
            thread::yield_now();
            drop(permit);
        }
    }
}

/// A wake-up that is lost shows as a deadlock, which shuttle reports.
#[test]
fn of_five_who_contend_while_it_is_resized_everyone_is_woken_and_every_permit_comes_back() {
    in_many_orders(|| {
        let budget = Budget::of(WHOLE);
        let users: Vec<_> = (0..5)
            .map(|_| {
                let budget = budget.clone();
                thread::spawn(move || uses(&budget))
            })
            .collect();
        for size in [1, WHOLE, 2] {
            budget.set_size(size);
            thread::yield_now();
        }
        for user in users {
            user.join().unwrap();
        }
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
    });
}
