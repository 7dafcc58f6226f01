//! Flights under loom: the code that ships, in every interleaving.
//!
//! Run by `tests/models.sh`. A wake-up that is lost shows as a deadlock, which loom reports.

use super::trial::Trial;
use crate::waiting::Arc;
use loom::thread;

/// With three threads to the end takes too long: here with at most so many preemptions an execution.
fn with_three_threads(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn of_two_who_want_a_key_one_makes_it() {
    loom::model(|| {
        let trial = Arc::new(Trial::default());
        let other = Arc::clone(&trial);
        let asking = thread::spawn(move || other.ask());
        assert_eq!((trial.ask(), asking.join().unwrap()), (1, 1));
        assert_eq!((trial.made(), trial.held()), (1, Some(1)));
    });
}

#[test]
fn when_one_gives_up_another_makes_it() {
    with_three_threads(|| {
        let trial = Arc::new(Trial::default());
        let others = [Trial::give_up, |trial: &Trial| assert_eq!(trial.ask(), 1)];
        let others = others.map(|run| {
            let trial = Arc::clone(&trial);
            thread::spawn(move || run(&trial))
        });
        assert_eq!(trial.ask(), 1);
        others.map(|other| other.join().unwrap());
        assert_eq!((trial.made(), trial.held()), (1, Some(1)));
    });
}

#[test]
fn what_was_begun_before_a_change_is_not_held_after_it() {
    for change in [Trial::take_out, Trial::clear, Trial::put_in] {
        loom::model(move || {
            let trial = Arc::new(Trial::default());
            let other = Arc::clone(&trial);
            let asking = thread::spawn(move || other.ask());
            change(&trial);
            assert_eq!(trial.ask(), 2, "who asks after the change");
            asking.join().unwrap();
            assert_eq!(trial.held(), Some(2));
        });
    }
}

#[test]
fn what_is_put_in_stays_whatever_is_being_made() {
    for were_used in [true, false] {
        loom::model(move || {
            let trial = Arc::new(Trial::default());
            if were_used {
                trial.give_up();
            }
            let other = Arc::clone(&trial);
            let asking = thread::spawn(move || other.ask());
            trial.put(9);
            let held = trial.held();
            // A first flight may have begun and landed within.
            assert!(!were_used || held == Some(9));
            asking.join().unwrap();
            assert_eq!(trial.held(), held);
        });
    }
}
