//! Waiting for what is under way: a token that the program holds while requests are answered.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Given to the drain hook. The restart waits until it is dropped, or its deadline is over.
///
/// It may be sent to another thread or task: the hook itself should return soon.
pub struct Drain {
    shared: Arc<Draining>,
}

/// What token and monitor share.
#[derive(Default)]
pub(in crate::governor) struct Draining {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    deadline: Option<Instant>,
    done: bool,
}

impl Draining {
    /// A drain begins, to last until `deadline` at the most.
    pub(in crate::governor) fn begin(&self, deadline: Instant) {
        *self.state() = State {
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

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drain {
    pub(in crate::governor) fn new(shared: Arc<Draining>) -> Drain {
        Drain { shared }
    }

    /// How long the restart waits at the most, from now.
    pub fn remaining(&self) -> Duration {
        let deadline = self.shared.state().deadline;
        deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }

    /// All is answered: the restart follows. The same as dropping it.
    pub fn done(self) {}
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.shared.state().done = true;
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("remaining", &self.remaining())
            .finish()
    }
}
