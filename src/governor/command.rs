//! What a handle asks of the monitor's thread, and why it may not get it.

use super::drill::Drill;
use super::error::ConfigFault;
use super::ledger::LedgerRow;
use super::policy::Policy;
#[cfg(feature = "http")]
use crossbeam_channel::TryRecvError;
use crossbeam_channel::{Receiver, Sender};
use std::fmt;

/// What a round of actions came to, those that were due. Not a `Vec`: the worker makes it, and may have
/// no memory to be had.
pub(crate) type Rows = [Option<LedgerRow>; 4];

/// What a handle asks of the thread.
pub(super) enum Command {
    Optimise(Sender<Rows>),
    Restart(Sender<RestartError>),
    Drill(Drill),
    Policy(Policy, Sender<()>),
}

/// An answer that has not come yet, for who must not wait for it: an asynchronous task.
pub(crate) struct Pending<T>(pub(super) Receiver<T>);

#[cfg(feature = "http")]
impl<T> Pending<T> {
    /// The answer, if it is there; the error when none will come.
    pub(crate) fn poll(&self) -> Result<Option<T>, CommandError> {
        match self.0.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(CommandError::Busy),
        }
    }
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The monitor has stopped, or belongs to the process that this one was forked from.
    NotRunning,
    /// It was started to observe only; or, of a restart, as a dry run.
    ObserveOnly,
    /// A cache asked for actions while it was shrinking, or a callback for a restart: the thread that
    /// it ran on cannot wait for itself.
    OnItsOwnThread,
    /// Sixteen commands wait already; or, of actions, one hangs and others wait behind it, or all of them took
    /// longer than a minute, and go on.
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
            CommandError::Busy => {
                "the monitor has too much to do: sixteen commands wait, or an action hangs"
            }
        })
    }
}

impl std::error::Error for CommandError {}

/// Why a policy was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The monitor does not take the command.
    Command(CommandError),
    /// Settings that make no sense, all of them.
    Faults(Vec<ConfigFault>),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Command(error) => error.fmt(f),
            PolicyError::Faults(faults) => ConfigFault::list(faults, f),
        }
    }
}

impl std::error::Error for PolicyError {}

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
