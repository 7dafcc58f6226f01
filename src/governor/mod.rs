//! Levels, actions and the restart; and the monitor's thread that drives them.
//!
//! | file | its one idea |
//! |---|---|
//! | `config` | what the program asks for, checked as a whole |
//! | `monitor` | the program's handle |
//! | `watch` | the thread: look, decide, act, arm, sleep |
//! | `latency` | being run soon after a wake-up |
//! | `level` | states with entries and exits |
//! | `actions` | what can be done |
//! | `ledger` | what was done, and what it gave back |
//! | `restart` | when, how, and what survives |
//! | `event` | what is said about it |
//! | `options` | jemalloc's options, wanted and effective |
//! | `status` | everything in one value |

mod actions;
mod config;
mod event;
mod latency;
mod ledger;
mod level;
mod monitor;
mod options;
mod restart;
mod status;
mod watch;

pub use actions::Shrink;
pub use config::{ConfigFault, MonitorBuilder, StartError};
pub use event::{Event, EventKind, Fault};
pub use ledger::{ActionKind, Held, LedgerRow};
pub use level::{Level, Levels, Threshold};
pub use monitor::{CommandError, Monitor, RestartError};
pub use options::{EffectiveOption, JemallocOptions};
pub use restart::{Restart, RestartRecord, StateError, Withheld};
pub use status::{HeapStatus, LimitStatus, ProcessStatus, Status, Summary, Times};

#[doc(hidden)]
pub use restart::fuzz_parse as fuzz_state;
