//! Waiting for what is under way: a token that the program holds while requests are answered.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Given to the drain hook. The restart waits until it is dropped, or its deadline is over. Then it
/// follows, unless [`Monitor::ending`](crate::Monitor::ending) has called it off or the monitor is
/// being stopped: that is what keeps a program that was told to end from being restarted. A policy that
/// restarts in another way, or no more, calls it off as well, with an event
/// ([`Withheld::PolicyChanged`](crate::Withheld::PolicyChanged)); and the new image may fail to start
/// ([`Fault::ExecFailed`](crate::Fault::ExecFailed)). After either of these the program goes on, and
/// accepts again.
///
/// It may be sent to another thread or task: the hook itself should return soon.
pub struct Drain {
    shared: Arc<Draining>,
    /// Which drain it is for: one that outlives it ends no other.
    number: u64,
}

/// What token and monitor share.
#[derive(Default)]
pub(in crate::governor) struct Draining {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    number: u64,
    deadline: Option<Instant>,
    done: bool,
}

impl Draining {
    /// A drain begins, to last until `deadline` at the most.
    pub(in crate::governor) fn begin(&self, deadline: Instant) {
        let mut state = self.state();
        *state = State {
            number: state.number + 1,
            deadline: Some(deadline),
            done: false,
        };
    }

    /// Waits until the token is dropped, or for this long. Answers whether it is over.
    pub(in crate::governor) fn wait(&self, time: Duration) -> bool {
        let state = self.state();
        if state.done {
            return true;
        }
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0.done
    }

    /// It is over, and the program goes on.
    pub(in crate::governor) fn end(&self) {
        self.state().deadline = None;
    }

    /// Has the one who waits look around.
    pub(in crate::governor) fn look(&self) {
        drop(self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drain {
    pub(in crate::governor) fn new(shared: Arc<Draining>) -> Drain {
        let number = shared.state().number;
        Drain { shared, number }
    }

    /// How long the restart waits at the most, from now; zero when it has been called off.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let state = *self.shared.state();
        let deadline = state.deadline.filter(|_| state.number == self.number);
        deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }

    /// All is answered: the restart follows. The same as dropping it.
    pub fn done(self) {}
}

impl Drop for Drain {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.number == self.number {
            state.done = true;
            drop(state);
            self.shared.changed.notify_all();
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("remaining", &self.remaining())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_its_own_drain_and_no_later_one() {
        let draining = Arc::<Draining>::default();
        let deadline = Instant::now() + Duration::from_secs(3600);
        draining.begin(deadline);
        let late = Drain::new(Arc::clone(&draining));
        draining.begin(deadline);
        let token = Drain::new(Arc::clone(&draining));
        assert_eq!(late.remaining(), Duration::ZERO);
        drop(late);
        assert!(!draining.wait(Duration::ZERO));
        assert!(token.remaining() > Duration::ZERO);
        drop(token);
        assert!(draining.wait(Duration::ZERO));
    }
}
