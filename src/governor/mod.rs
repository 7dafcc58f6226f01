//! Levels, actions and the restart; and the monitor's threads that drive them.
//!
//! | file | its one idea |
//! |---|---|
//! | `config` | what the program asks for, checked as a whole |
//! | `monitor`, `command` | the program's handle, and what it asks |
//! | `claim` | one monitor in a process |
//! | `shared`, `lock` | what handle and threads all reach |
//! | `watch` | the thread that sees: look, have it judged, pass on, arm, sleep; and restarts |
//! | `control` | what to do, as a pure function of what was seen |
//! | `worker`, `owed` | the thread that acts, and what it is still to be told |
//! | `announce` | the thread that tells: log, callbacks, drain |
//! | `wake` | the thread that the kernel or the service manager wakes early |
//! | `latency` | being run soon after a wake-up |
//! | `policy` | the lines, and when and how to restart |
//! | `level` | states with entries and exits |
//! | `diagnosis` | where the memory is, and what can help |
//! | `actions` | what can be done |
//! | `ledger` | what was done, and what it gave back |
//! | `restart` | when, how, and what survives |
//! | `drill` | a pressure that is made up |
//! | `event`, `words`, `error` | what is said about it, and why it did not start |
//! | `history` | the last samples |
//! | `lookout` | what a job sees of the monitor |
//! | `timeline` | what memory was made of, from seconds to weeks back |
//! | `leak` | whether the program leaks |
//! | `options` | jemalloc's options, wanted and effective |
//! | `statistics` | what a cache says of itself |
//! | `status` | everything in one value |

mod actions;
mod announce;
mod claim;
mod command;
mod config;
mod control;
mod diagnosis;
mod drill;
mod environment;
mod error;
mod event;
mod history;
mod latency;
mod leak;
mod ledger;
mod level;
#[cfg(unix)]
mod local_socket;
mod lock;
#[cfg(feature = "batch")]
mod lookout;
mod monitor;
mod options;
mod owed;
mod policy;
mod restart;
mod running;
mod shared;
mod statistics;
mod status;
mod timeline;
mod wake;
mod watch;
mod words;
mod worker;

pub use actions::{Shrink, give_back, on_thread_park};
#[cfg(feature = "http")]
pub(crate) use command::Pending;
pub use command::{CommandError, PolicyError, RestartError};
pub use config::MonitorBuilder;
pub use control::Mode;
pub use diagnosis::{Cause, Diagnosis, Parts, Remedy};
pub use drill::Drill;
pub use error::{ConfigFault, StartError};
pub use event::{Event, EventKind, EventReader, Fault, WakeSource};
pub use history::Sample;
#[cfg(feature = "http")]
pub(crate) use latency::ask_for_short_slices;
pub use leak::LeakNews;
pub use ledger::{ActionKind, Held, LedgerRow, Skipped};
pub use level::{Level, Levels, Threshold};
#[cfg(feature = "http")]
pub(crate) use lock::lock;
#[cfg(feature = "batch")]
pub(crate) use lookout::Lookout;
pub use monitor::Monitor;
pub use options::{EffectiveOption, JemallocOptions};
pub use policy::Policy;
pub use restart::{Drain, Restart, RestartRecord, StateError, Withheld};
#[cfg(feature = "http")]
pub(crate) use shared::spawn;
pub use statistics::{CacheStatistics, Evictions};
pub use status::{
    ActionTotals, CacheStatus, HeapStatus, LimitStatus, ProcessStatus, RestartOutlook, Status,
    Summary, Times,
};
pub use timeline::{Moment, Stretch};

#[cfg(all(fuzzing, feature = "jemalloc"))]
pub use options::fuzz_deployed;
#[cfg(fuzzing)]
pub use restart::fuzz_parse as fuzz_state;
#[cfg(all(target_os = "linux", fuzzing))]
pub use restart::{fuzz_blocked, fuzz_find as fuzz_locks};
#[cfg(all(unix, fuzzing))]
pub use restart::{fuzz_names, fuzz_notify};
#[cfg(all(target_os = "linux", fuzzing))]
pub use wake::fuzz_parse as fuzz_wake;
