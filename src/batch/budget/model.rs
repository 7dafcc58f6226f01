//! The budget under loom: the code that ships, in every interleaving.
//!
//! Run with `RUSTFLAGS="--cfg plimsoll_loom" cargo test --release --lib --features batch model`.
//!
//! A lost wake-up shows as a deadlock, which loom reports; a lost permit as bytes that are still held
//! when everyone has gone.

use super::Budget;
use loom::future::block_on;
use loom::thread;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

fn at_rest(budget: &Budget) {
    assert_eq!((budget.held(), budget.waiting()), (0, 0));
}

/// A thread that acquires so much and gives it back.
fn user(budget: &Budget, bytes: u64) -> thread::JoinHandle<()> {
    let budget = budget.clone();
    thread::spawn(move || drop(block_on(budget.acquire(bytes))))
}

/// A thread whose future is polled so many times and dropped, as when a task is cancelled.
fn quitter(budget: &Budget, bytes: u64, polls: usize) -> thread::JoinHandle<()> {
    let budget = budget.clone();
    thread::spawn(move || {
        let mut acquire = pin!(budget.acquire(bytes));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if acquire.as_mut().poll(&mut context).is_ready() {
                return;
            }
        }
    })
}

#[test]
fn everyone_who_waits_is_woken_and_every_permit_comes_back() {
    loom::model(|| {
        let budget = Budget::of(2);
        // Also one that is larger than the whole.
        let users = [user(&budget, 2), user(&budget, 5)];
        drop(block_on(budget.acquire(1)));
        for user in users {
            user.join().unwrap();
        }
        at_rest(&budget);
    });
}

#[test]
fn a_future_that_is_dropped_at_any_await_loses_neither_permit_nor_wake_up() {
    for polls in 1..=2 {
        loom::model(move || {
            let budget = Budget::of(1);
            let permit = budget.try_acquire(1);
            // In front of the user or behind it, granted or not.
            let quitting = quitter(&budget, 1, polls);
            let user = user(&budget, 1);
            drop(permit);
            quitting.join().unwrap();
            user.join().unwrap();
            at_rest(&budget);
        });
    }
}

#[test]
fn who_waits_is_woken_when_the_budget_grows_or_who_is_before_it_leaves() {
    loom::model(|| {
        let budget = Budget::of(2);
        let held = budget.try_acquire(2);
        // Too large for what will be free, and in front of the user for some of the time.
        let quitting = quitter(&budget, 9, 1);
        let user = user(&budget, 1);
        budget.set_size(3);
        quitting.join().unwrap();
        user.join().unwrap();
        drop(held);
        at_rest(&budget);
    });
}
