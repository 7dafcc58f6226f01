//! What can go wrong when a figure is read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A figure that cannot be had, with the file and what stood in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum FigureError {
    /// The file could not be read.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file holds something else than expected.
    Malformed {
        /// The file, or `configured limit`.
        path: PathBuf,
        /// What stood there, shortened.
        found: String,
        /// What should have.
        expected: &'static str,
    },
    /// The file lacks a field.
    Missing {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// This operating system has no such files; only recorded ones can be read here.
    Unsupported {
        /// Its name, as [`std::env::consts::OS`] has it.
        system: &'static str,
    },
}

impl FigureError {
    pub(crate) fn io(path: &Path, error: io::Error) -> FigureError {
        FigureError::Io {
            path: path.to_owned(),
            error,
        }
    }

    pub(crate) fn malformed(path: &Path, found: &[u8], expected: &'static str) -> FigureError {
        let found = found.trim_ascii();
        let shown = &found[..found.len().min(60)];
        FigureError::Malformed {
            path: path.to_owned(),
            found: String::from_utf8_lossy(shown).into_owned(),
            expected,
        }
    }

    pub(crate) fn missing(path: &Path, field: &'static str) -> FigureError {
        FigureError::Missing {
            path: path.to_owned(),
            field,
        }
    }
}

impl fmt::Display for FigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FigureError::Io { path, error } => {
                write!(f, "{}: {error}; expected a readable file", path.display())
            }
            FigureError::Malformed {
                path,
                found,
                expected,
            } => write!(
                f,
                "{}: found {found:?}, expected {expected}",
                path.display()
            ),
            FigureError::Missing { path, field } => {
                write!(f, "{}: expected a field `{field}`", path.display())
            }
            FigureError::Unsupported { system } => {
                write!(f, "found the operating system {system:?}, expected Linux")
            }
        }
    }
}

impl std::error::Error for FigureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FigureError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
