//! Assertions on what a block allocates.

use super::expected::Expected;
use super::figure::Figure;
use super::measure::{Measurement, watched};
use super::recorder::Recorder;
use super::text::number;
use super::{Unseen, global};
use std::fmt::Write;
use std::rc::Rc;

/// What the macros call: runs `work`, and panics at the caller's line when a figure is not as
/// expected.
#[doc(hidden)]
#[track_caller]
pub fn check<R>(what: &str, expected: &[(Figure, Expected)], work: impl FnOnce() -> R) -> R {
    global::require(what);
    let recorder = Unseen::new(|| Rc::new(Recorder::default()));
    let (result, found) = watched(Some(Rc::<Recorder>::clone(&recorder)), work);
    let complaint = Unseen::new(|| complain(what, expected, &found, &recorder));
    match &*complaint {
        Some(complaint) => panic!("{complaint}"),
        None => result,
    }
}

fn complain(
    what: &str,
    expected: &[(Figure, Expected)],
    found: &Measurement,
    recorder: &Recorder,
) -> Option<String> {
    let wrong = |(figure, expected): &&(Figure, Expected)| !expected.holds((figure.of)(found));
    let mut complaint = format!("{what}: ");
    let mut wrong = expected.iter().filter(wrong).peekable();
    wrong.peek()?;
    let mut between = "";
    for (figure, expected) in wrong {
        let _ = write!(
            complaint,
            "{between}expected {} {expected}, found {}",
            figure.name,
            number((figure.of)(found))
        );
        between = "\n  and ";
    }
    let _ = write!(complaint, "\n{}", recorder.table());
    Some(complaint)
}

/// Asserts any of the figures of a [`Measurement`], several at once, on what a block allocates on
/// this thread. Gives back the block's value.
///
/// The names are `allocations`, `deallocations`, `reallocations`, `allocated_bytes`,
/// `deallocated_bytes`, `net_bytes`, `net_blocks` and `peak_bytes`, in units of calls, bytes and
/// blocks; each with a number or any form of range, of any integer type. A literal beyond `i32`
/// needs its type: `..=4_000_000_000u64`.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// let words = plimsoll::assert_heap!(
///     allocations: 1,
///     reallocations: ..=2,
///     peak_bytes: ..1024,
///     net_bytes: 0..1024,
///     { "a b c d e".split(' ').collect::<Vec<_>>() }
/// );
/// assert_eq!(words.len(), 5);
/// ```
///
/// The block is the body of a closure: `?` and `return` leave the block, and `.await` is not
/// possible in it (see [`measure_async`](crate::testing::measure_async)). What it gives back is
/// still live when the figures are taken.
///
/// # Panics
///
/// At the line of the macro, when a figure is not as expected, with expected, found, and the lines
/// that allocated most (with the feature `testing`); or when [`Plimsoll`](crate::Plimsoll) is not
/// the program's allocator. A panic in the block goes on.
///
/// # Cost
///
/// Some microseconds for each of the first thousand allocations, whose stack is walked, and some
/// tens of nanoseconds for each after them that is not among the largest.
#[macro_export]
macro_rules! assert_heap {
    ($($figure:ident: $expected:expr),+ , $work:block) => {
        $crate::testing::check(
            "assert_heap!",
            &[$((
                $crate::testing::figure::$figure,
                $crate::testing::Expected::from($expected),
            )),+],
            || $work,
        )
    };
}

/// Makes the macros for one figure each. `$` comes in because a macro cannot write it.
macro_rules! one_figure {
    ($dollar:tt $($(#[$doc:meta])* $name:ident, $text:literal, $figure:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// On this thread, exact whatever other tests do meanwhile. Takes a number or any form of
        /// range, of any integer type, and gives back the block's value.
        ///
        /// # Panics
        ///
        /// At the line of the macro, as [`assert_heap!`](crate::assert_heap) does, which also tells
        /// of blocks and cost.
        #[macro_export]
        macro_rules! $name {
            ($dollar expected:expr, $dollar work:expr $dollar(,)?) => {
                $crate::testing::check(
                    $text,
                    &[(
                        $crate::testing::figure::$figure,
                        $crate::testing::Expected::from($dollar expected),
                    )],
                    || $dollar work,
                )
            };
        }
    )+};
}

one_figure! { $
    /// Asserts how often a block allocates. Reallocations are not among them: see
    /// [`assert_reallocations!`](crate::assert_reallocations).
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// let line = plimsoll::assert_allocations!(..=3, { format!("{} {}", "one", "two") });
    /// assert_eq!(line, "one two");
    /// ```
    assert_allocations, "assert_allocations!", allocations;

    /// Asserts how often a block frees.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// let list = vec![String::from("one"), String::from("two")];
    /// plimsoll::assert_deallocations!(3, { drop(list) });
    /// ```
    assert_deallocations, "assert_deallocations!", deallocations;

    /// Asserts how often a block has the allocator resize what it has.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// // A list whose room was reserved never grows.
    /// plimsoll::assert_reallocations!(0, {
    ///     let mut list = Vec::with_capacity(100);
    ///     list.extend(0..100);
    ///     list
    /// });
    /// ```
    assert_reallocations, "assert_reallocations!", reallocations;

    /// Asserts how many bytes a block requests in all, freed again or not.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// plimsoll::assert_allocated_bytes!(1000..=1100, { vec![0u8; 1000] });
    /// ```
    assert_allocated_bytes, "assert_allocated_bytes!", allocated_bytes;

    /// Asserts the most bytes that a block has live at once, above what was live before it: a memory
    /// budget.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// // Three buffers, one after the other.
    /// plimsoll::assert_peak_bytes!(..=4096, {
    ///     for _ in 0..3 {
    ///         drop(std::hint::black_box(vec![0u8; 4096]));
    ///     }
    /// });
    /// ```
    assert_peak_bytes, "assert_peak_bytes!", peak_bytes;

    /// Asserts how many bytes are live after a block, above what was live before it: below zero when
    /// it freed more than it allocated.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// let kept = plimsoll::assert_net_bytes!(100, { vec![0u8; 100] });
    /// plimsoll::assert_net_bytes!(..0, { drop(kept) });
    /// ```
    assert_net_bytes, "assert_net_bytes!", net_bytes;

    /// Asserts how many blocks are live after a block of code, above what was live before it.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
    /// let list = plimsoll::assert_net_blocks!(1, { (0..100).collect::<Vec<_>>() });
    /// # drop(list);
    /// ```
    assert_net_blocks, "assert_net_blocks!", net_blocks;
}
