//! What is wrong with a state file.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What is wrong with a state file.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// It could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It was not written by this program, or not to its end.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stood there, shortened.
        found: String,
        /// What should have stood there.
        expected: &'static str,
    },
    /// It is not a file that this process may believe.
    Distrusted {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Another process uses it.
    InUse {
        /// The file.
        path: PathBuf,
        /// The id of the process; 0 when it is in another namespace.
        process_id: u32,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Io { path, error } => write!(f, "state file {}: {error}", path.display()),
            StateError::Damaged {
                path,
                line,
                found,
                expected,
            } => write!(
                f,
                "state file {}, line {line}: found {found:?}, expected {expected}",
                path.display()
            ),
            StateError::Distrusted {
                path,
                found,
                expected,
            } => write!(
                f,
                "state file {}: is {found}, expected {expected}",
                path.display()
            ),
            StateError::InUse { path, process_id } => write!(
                f,
                "state file {} is in use by process {process_id}: expected one for each process",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StateError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
