//! Why a monitor could not start.

use super::restart::StateError;
use crate::figures::FigureError;
use std::error::Error;
use std::fmt;

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigFault {
    /// Which.
    pub setting: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigFault {
            setting,
            value,
            expected,
        } = self;
        write!(f, "`{setting}` is {value}: expected {expected}")
    }
}

impl ConfigFault {
    /// All of them in one line.
    pub(crate) fn list(faults: &[ConfigFault], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in faults.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}{fault}")?;
        }
        Ok(())
    }
}

/// Why a monitor could not start.
#[non_exhaustive]
pub enum StartError {
    /// Settings that make no sense, all of them.
    Config(Vec<ConfigFault>),
    /// A limit or a figure could not be read.
    Figures(FigureError),
    /// The state file could not be used.
    State(StateError),
    /// The program's own name or arguments could not be found, which a restart by
    /// [`Restart::Exec`](crate::Restart::Exec) needs.
    Image(std::io::Error),
    /// The process has a monitor already: there is one line, and one who watches it.
    AlreadyRunning,
    /// `MEMORY_PRESSURE_WATCH` or `MEMORY_PRESSURE_WRITE` makes no sense.
    EarlyWake {
        /// Which.
        variable: &'static str,
        /// What it was set to.
        value: String,
        /// What was expected, or what the system said.
        expected: String,
    },
    /// The system gave no thread.
    Thread(std::io::Error),
}

/// In words as well: it is what a `main` that answers this error prints.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(faults) => ConfigFault::list(faults, f),
            StartError::Figures(error) => error.fmt(f),
            StartError::State(error) => error.fmt(f),
            StartError::Image(error) => write!(f, "the program cannot be found again: {error}"),
            StartError::AlreadyRunning => f.write_str("this process has a monitor already"),
            StartError::EarlyWake {
                variable,
                value,
                expected,
            } => write!(f, "`{variable}` is {value:?}: expected {expected}"),
            StartError::Thread(error) => write!(f, "no thread for the monitor: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Theirs are this error's words already.
            StartError::Figures(error) => error.source(),
            StartError::State(error) => error.source(),
            StartError::Image(error) | StartError::Thread(error) => Some(error),
            _ => None,
        }
    }
}
