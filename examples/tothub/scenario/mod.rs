//! What the service goes through while it runs: nothing special, a leak, or a load that is healthy
//! however much it looks like a leak at times.
//!
//! Apart from `leak`, which is about surviving, the scenarios are about telling the one from the
//! other. All of them have the same visits; they differ in what becomes of the memory.

mod healthy;
mod leak;
mod random;
mod visits;

use crate::store::Store;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use visits::Visits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    None,
    Leak,
    LeakMap,
    LeakCycle,
    LeakTask,
    LeakConnection,
    LeakLog,
    CacheFill,
    Batch,
    Sawtooth,
    Daily,
    StartUp,
}

impl Scenario {
    /// As they are called on the command line.
    pub const ALL: [(&str, Scenario); 12] = [
        ("none", Scenario::None),
        ("leak", Scenario::Leak),
        ("leak-map", Scenario::LeakMap),
        ("leak-cycle", Scenario::LeakCycle),
        ("leak-task", Scenario::LeakTask),
        ("leak-connection", Scenario::LeakConnection),
        ("leak-log", Scenario::LeakLog),
        ("cache-fill", Scenario::CacheFill),
        ("batch", Scenario::Batch),
        ("sawtooth", Scenario::Sawtooth),
        ("daily", Scenario::Daily),
        ("start-up", Scenario::StartUp),
    ];

    pub fn leaks(self) -> bool {
        use Scenario::{Leak, LeakConnection, LeakCycle, LeakLog, LeakMap, LeakTask};
        matches!(
            self,
            Leak | LeakMap | LeakCycle | LeakTask | LeakConnection | LeakLog
        )
    }
}

/// How much memory a scenario is about.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of `leak`.
    pub leak_mib_per_second: u64,
    /// Of all others: what a leak forgets. A healthy load takes and gives back 90 seconds' worth.
    pub mib_per_minute: u64,
}

/// Starts a scenario on threads of its own, which end with the process.
pub fn start(
    scenario: Scenario,
    rates: Rates,
    duration: Option<Duration>,
    store: &Arc<Store>,
    runtime: tokio::runtime::Handle,
) -> io::Result<()> {
    let visits = Visits::new(Arc::clone(store), rates.mib_per_minute);
    match scenario {
        Scenario::None => Ok(()),
        Scenario::Leak => leak::forgotten::start(rates.leak_mib_per_second),
        Scenario::LeakMap => thread("visits", move || leak::map::run(visits)),
        Scenario::LeakCycle => thread("visits", move || leak::cycle::run(visits)),
        Scenario::LeakTask => thread("visits", move || leak::task::run(visits, &runtime)),
        Scenario::LeakConnection => leak::connection::start(visits),
        Scenario::LeakLog => thread("visits", move || leak::log::run(visits)),
        Scenario::CacheFill => thread("visits", move || healthy::cache_fill::run(visits)),
        Scenario::Batch => healthy::batch::start(visits),
        Scenario::Sawtooth => thread("visits", move || healthy::sawtooth::run(visits)),
        Scenario::Daily => thread("visits", move || healthy::daily::run(visits, duration)),
        Scenario::StartUp => thread("visits", move || healthy::start_up::run(visits)),
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
}
