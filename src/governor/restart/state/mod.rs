//! What survives a restart: the last few, and what the program held after its start, in a small
//! text file.
//!
//! It is replaced as a whole: written beside, flushed to the disk, and renamed over the old one,
//! so a process killed at any moment leaves the old file or the new one. A file that does not read
//! back in every part is set aside and reported, and never believed in part; nor is one that
//! belongs to another user, is a symbolic link, or tells of a day to come. One of those that cannot
//! even be set aside, as in a folder like `/tmp`, is left alone: the program runs, and does not
//! restart, because its budget could not be kept.
//!
//! A lock on a file beside keeps a second process out. It is the kernel's and ends with the
//! process, however that ends, so there is no stale one.
//!
//! | file | its one idea |
//! |---|---|
//! | `kept` | what is remembered, and when it is written down |
//! | `record` | one restart |
//! | `text` | how it is written, and read back in every part |
//! | `files` | whom to believe, and how a file is replaced |
//! | `scribe` | the thread that writes it, and how long that is waited for |
//! | `lock` | who is kept out |
//! | `error` | what is wrong with a state file |

mod error;
mod files;
mod kept;
mod lock;
mod record;
mod scribe;
mod text;

pub use error::StateError;
pub(in crate::governor) use kept::State;
#[cfg(all(target_os = "linux", fuzzing))]
pub use lock::fuzz_find;
pub use record::RestartRecord;
pub(in crate::governor) use record::unix_seconds;
pub(in crate::governor) use text::MOST_ROWS;
#[cfg(fuzzing)]
pub use text::fuzz_parse;
