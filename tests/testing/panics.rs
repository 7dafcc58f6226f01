//! What a closure panics with, and where.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CAUGHT: RefCell<Option<Option<(String, String)>>> = const { RefCell::new(None) };
}

/// A panic's message, and its place as `file:line`.
#[track_caller]
pub fn panic_of<R>(work: impl FnOnce() -> R) -> (String, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let kept = CAUGHT.with_borrow_mut(|caught| {
                let Some(caught) = caught else { return false };
                let message = panic.payload_as_str().unwrap_or("no text").to_string();
                let place = panic.location().unwrap();
                *caught = Some((message, format!("{}:{}", place.file(), place.line())));
                true
            });
            if !kept {
                usual(panic);
            }
        }));
    });
    CAUGHT.set(Some(None));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let caught = CAUGHT.take().flatten();
    assert!(outcome.is_err(), "it should have failed");
    caught.expect("a panic comes with a message")
}
