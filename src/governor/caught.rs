//! Runs code of the program's on a thread of ours, which must not end by its panic.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What it answers, unless it panics. What it panics with may panic once more when it is dropped: then
/// that is leaked, unless it is a message.
pub(crate) fn caught<R>(run: impl FnOnce() -> R) -> Option<R> {
    let payload = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(answer) => return Some(answer),
        Err(payload) => payload,
    };
    if let Err(another) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // A message's end does not panic; anything else's might.
        if !another.is::<&'static str>() && !another.is::<String>() {
            forget(another);
        }
    }
    None
}
