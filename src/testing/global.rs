//! Whether there is anything to count.

use crate::allocator::local::is_counting;

/// Panics, for what is called `what`, when [`Plimsoll`](crate::Plimsoll) is not the program's
/// allocator: every figure would be zero, and every assertion hold.
#[track_caller]
pub(super) fn require(what: &str) {
    assert!(
        is_counting(),
        "{what} counts nothing: `Plimsoll` is not this program's global allocator. Each test file \
         and each program needs its own, for instance:\n\n    \
         #[global_allocator]\n    \
         static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();\n"
    );
}
