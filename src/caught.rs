//! Runs code of the program's where its panic must not come through: on a thread of ours, or in the middle of
//! something.

#[cfg(any(feature = "batch", feature = "cache"))]
use std::any::Any;
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

/// As [`caught`]; but what the first panic carries is kept, to be told when all is done.
#[cfg(any(feature = "batch", feature = "cache"))]
pub(crate) fn kept<R>(
    first: &mut Option<Box<dyn Any + Send>>,
    run: impl FnOnce() -> R,
) -> Option<R> {
    if first.is_some() {
        return caught(run);
    }
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|payload| *first = Some(payload))
        .ok()
}
