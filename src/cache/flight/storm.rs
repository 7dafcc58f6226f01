//! Flights with more threads than loom comes to the end of, under shuttle: see
//! [`storm`](crate::allocator::storm).

use super::trial::Trial;
use crate::allocator::storm::in_many_orders;
use crate::waiting::Arc;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

#[test]
fn of_five_who_ask_change_and_give_up_none_waits_for_ever_and_none_is_told_of_the_past() {
    in_many_orders(|| {
        let trial = Arc::new(Trial::default());
        let threads: Vec<_> = (0..5)
            .map(|_| {
                let trial = Arc::clone(&trial);
                thread::spawn(move || {
                    for _ in 0..3 {
                        match thread_rng().gen_range(0..6) {
                            0 => trial.give_up(),
                            1 => trial.take_out(),
                            2 => trial.put_in(),
                            3 => trial.clear(),
                            _ => {
                                let before = trial.settled();
                                assert!(trial.ask() >= before);
                            }
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(trial.held().is_none_or(|held| held == trial.source()));
    });
}
