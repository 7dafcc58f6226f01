//! What a handle asks of the monitor's thread, and why it may not get it.

use super::drill::Drill;
use super::ledger::LedgerRow;
use crossbeam_channel::Sender;
use std::fmt;

/// What a handle asks of the thread.
pub(super) enum Command {
    Optimise(Sender<Vec<LedgerRow>>),
    Restart(Sender<RestartError>),
    Drill(Drill),
    Stop,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The monitor has stopped, or belongs to the process that this one was forked from.
    NotRunning,
    /// It was started to observe only, or as a dry run.
    ObserveOnly,
    /// A cache asked for actions while it was shrinking, or a callback for a restart: the thread that
    /// it ran on cannot wait for itself.
    OnItsOwnThread,
    /// An action hangs, and others wait behind it.
    Busy,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NotRunning => "the monitor does not run in this process",
            CommandError::ObserveOnly => "the monitor was started to observe only",
            CommandError::OnItsOwnThread => {
                "a callback cannot wait for its own thread: expected another thread"
            }
            CommandError::Busy => "the monitor's actions hang",
        })
    }
}

impl std::error::Error for CommandError {}

/// Why a restart that was asked for did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartError {
    /// The monitor does not take the command.
    Command(CommandError),
    /// No way to restart was set.
    NotConfigured,
    /// The program is about to end: see [`Monitor::ending`](crate::Monitor::ending).
    Ending,
    /// It was tried, and the fault that stopped it was reported as an event.
    Failed,
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestartError::Command(error) => error.fmt(f),
            RestartError::NotConfigured => {
                f.write_str("no way to restart is set: expected `restart(…)` on the builder")
            }
            RestartError::Ending => f.write_str("the program is about to end"),
            RestartError::Failed => f.write_str("the restart was tried and failed"),
        }
    }
}

impl std::error::Error for RestartError {}
