//! Allocation figures that are kept in a file beside the test and compared with.

mod compare;
mod file;

use self::file::{Kept, Trouble};
use super::measure::watched;
use super::recorder::Recorder;
use super::{Unseen, global};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What [`assert_snapshot!`](crate::assert_snapshot) calls, with the folder of the user's crate.
#[doc(hidden)]
#[track_caller]
pub fn snapshot<R>(krate: &str, name: &str, work: impl FnOnce() -> R) -> R {
    global::require("assert_snapshot!");
    let recorder = Unseen::new(|| Rc::new(Recorder::default()));
    let (result, found) = watched(Some(Rc::<Recorder>::clone(&recorder)), work);
    let complaint = Unseen::new(|| {
        let renew = std::env::var_os("PLIMSOLL_UPDATE").is_some_and(|value| value == "1");
        let outcome = path(krate, name).and_then(|path| {
            if renew {
                file::renew(&path, &found)
            } else {
                hold(&path, &found)
            }
        });
        outcome.err().map(|trouble| {
            let table = match trouble {
                Trouble::Differs { .. } => recorder.table(),
                _ => String::new(),
            };
            format!("assert_snapshot!(\"{name}\"): {trouble}{table}")
        })
    });
    match &*complaint {
        Some(complaint) => panic!("{complaint}"),
        None => result,
    }
}

/// `tests/snapshots/NAME.heap` in the crate's folder.
fn path(krate: &str, name: &str) -> Result<PathBuf, Trouble> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_. ".contains(letter);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(Trouble::Name);
    }
    let folder = Path::new(krate).join("tests").join("snapshots");
    Ok(folder.join(format!("{name}.heap")))
}

fn hold(path: &Path, found: &super::Measurement) -> Result<(), Trouble> {
    let kept = Kept::read(path, found)?;
    compare::compare(path, &kept, found)
}

/// Asserts that a block allocates as a file says, on this thread: all figures of
/// [`Measurement`](crate::Measurement), or those that the file has. Gives back the block's value.
///
/// ```no_run
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// let words = plimsoll::assert_snapshot!("split a line", {
///     "a b c".split(' ').collect::<Vec<_>>()
/// });
/// ```
///
/// The file is `tests/snapshots/split a line.heap` in the folder of the crate (`CARGO_MANIFEST_DIR`),
/// to be committed with the test:
///
/// ```text
/// # Allocation figures. Renewed by PLIMSOLL_UPDATE=1; ranges are kept while they hold.
/// allocations = 1
/// allocated_bytes = 64
/// peak_bytes = ..=100
/// ```
///
/// A figure is a number or a range, which one writes by hand: `3`, `..=100`, `10..20`, `64..`. A figure
/// whose line is taken out is not compared. `PLIMSOLL_UPDATE=1 cargo test` writes a file that is missing,
/// and in one that is there renews what no longer holds; comments, ranges that hold, and left-out lines
/// stay as they are. A name has letters, digits, spaces, `-`, `_` and `.`, with which it does
/// not begin.
///
/// # Panics
///
/// At the line of the macro, with a diff and the lines that allocated most, when a figure differs; when
/// the file is missing, damaged (which line, and what it should be) or cannot be read or written; when
/// the name is none of these; when [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
///
/// # Cost
///
/// As [`assert_heap!`](crate::assert_heap), and a small file read.
#[macro_export]
macro_rules! assert_snapshot {
    ($name:expr, $work:expr $(,)?) => {
        $crate::testing::snapshot(env!("CARGO_MANIFEST_DIR"), $name, || $work)
    };
}
