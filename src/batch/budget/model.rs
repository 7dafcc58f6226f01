//! The budget under loom: the code that ships, in every interleaving.
//!
//! Run by `tests/models.sh`.
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

/// With three threads to the end takes too long: here with at most three preemptions an execution. What two
/// threads can do is explored to its end.
fn with_three_threads(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn who_waits_is_woken_and_every_permit_comes_back() {
    loom::model(|| {
        let budget = Budget::of(2);
        // One that is larger than the whole.
        let large = user(&budget, 5);
        drop(block_on(budget.acquire(1)));
        large.join().unwrap();
        at_rest(&budget);
    });
}

#[test]
fn of_three_who_contend_everyone_is_woken() {
    with_three_threads(|| {
        let budget = Budget::of(2);
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
            drop(permit);
            drop(block_on(budget.acquire(1)));
            quitting.join().unwrap();
            at_rest(&budget);
        });
    }
}

#[test]
fn a_future_that_is_dropped_while_another_waits_behind_it_loses_nothing() {
    with_three_threads(|| {
        let budget = Budget::of(1);
        let permit = budget.try_acquire(1);
        let quitting = quitter(&budget, 1, 2);
        let user = user(&budget, 1);
        drop(permit);
        quitting.join().unwrap();
        user.join().unwrap();
        at_rest(&budget);
    });
}

#[test]
fn who_waits_is_woken_when_the_budget_grows_or_who_is_before_it_leaves() {
    with_three_threads(|| {
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
