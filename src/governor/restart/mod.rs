//! Restarting before the kernel kills: when, how, and what the next image has to know.
//!
//! | file | its one idea |
//! |---|---|
//! | `withheld` | may it happen now? |
//! | `state` | what survives: the last restarts and what the program starts with, in a small file |
//! | `drain` | what is under way is answered first |
//! | `listeners` | sockets that go to the new image |
//! | `notify` | the service manager is told |
//! | `signals` | a request to end at the last moment is not lost |
//! | `exec` | how: a new image in the same process, an exit, an abort |

mod drain;
mod exec;
mod inherited;
mod listeners;
mod notify;
mod signals;
mod state;
mod withheld;

pub use drain::Drain;
pub(super) use drain::Draining;
pub(super) use exec::Image;
pub(super) use listeners::Listeners;
pub(super) use notify::Notifier;
pub(super) use signals::Caught;
pub(super) use state::{MOST_ROWS, State, unix_seconds};
pub use state::{RestartRecord, StateError};
pub use withheld::Withheld;
pub(super) use withheld::{cooldown_left, in_last_hour, judge, spent};

#[cfg(all(target_os = "linux", fuzzing))]
pub use inherited::fuzz_blocked;
#[cfg(all(unix, fuzzing))]
pub use listeners::fuzz_names;
#[cfg(all(unix, fuzzing))]
pub use notify::fuzz_parse as fuzz_notify;
#[cfg(all(target_os = "linux", fuzzing))]
pub use state::fuzz_find;
#[cfg(fuzzing)]
pub use state::fuzz_parse;

/// How to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Restart {
    /// The same program anew in the same process: same id, same arguments, same environment. No
    /// second process stands beside the first, so no memory is needed for it. Unix only.
    Exec,
    /// Ends the process at once with this exit code, from 0 to 255, for a supervisor that starts it again.
    /// Destructors and exit handlers do not run.
    Exit(i32),
    /// Ends the process with `SIGABRT`, for a core dump.
    Abort,
}
