//! What the monitor's threads and its handle all reach.

use super::actions::Caches;
use super::diagnosis::Diagnosis;
use super::event::{Bus, EarlyWake};
use super::history::History;
use super::ledger::Ledger;
use super::lock::lock;
use super::policy::Policy;
use super::restart::{Draining, Listeners, Notifier, RestartRecord, Withheld};
use super::status::Summary;
use super::timeline::Timeline;
use crate::figures::Limit;
use crate::trend::Verdict;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How long the end of the monitor waits for a thread: one that hangs in the program's own code is
/// left behind.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the threads and the handles all reach.
pub(super) struct Shared {
    pub(super) started: Instant,
    /// The same by the clock on the wall.
    pub(super) started_at: SystemTime,
    pub(super) level: AtomicU8,
    /// The pressure at the last look, in thousandths.
    pub(super) pressure: AtomicU32,
    /// Of that, what a drill makes up, while it decides; else 0.
    pub(super) drilled: AtomicU32,
    pub(super) bus: Bus,
    /// Behind a lock that is held for a copy of two words.
    pub(super) limit: Mutex<Limit>,
    pub(super) policy: Mutex<Policy>,
    /// Why a restart that is due does not happen.
    pub(super) withheld: Mutex<Option<Withheld>>,
    pub(super) caches: Caches,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) summary: Mutex<Summary>,
    pub(super) history: Mutex<History>,
    pub(super) timeline: Mutex<Timeline>,
    pub(super) leak: Mutex<Verdict>,
    pub(super) diagnosis: Mutex<Option<Diagnosis>>,
    pub(super) restarts: Mutex<Vec<RestartRecord>>,
    pub(super) listeners: Mutex<Listeners>,
    pub(super) notifier: Mutex<Notifier>,
    pub(super) draining: Arc<Draining>,
    pub(super) early_wake: EarlyWake,
    pub(super) is_ready: AtomicBool,
    pub(super) draining_now: AtomicBool,
    pub(super) shedding: AtomicBool,
    /// Set once: there is no restart any more.
    pub(super) ending: AtomicBool,
    /// The monitor's threads are to end.
    pub(super) stopped: AtomicBool,
}

impl Shared {
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// No restart from now on, and none that waits for what is under way: nothing is handed over, and
    /// what the program closes is closed.
    pub(super) fn call_off_restarts(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.draining.look();
        lock(&self.listeners).let_go();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    pub(super) fn shed(&self, on: bool) {
        self.shedding.store(on, Ordering::Release);
    }
}

/// Starts a thread, and waits until it has prepared itself and come to its work: a program may have no memory
/// left in the next moment.
pub(crate) fn spawn(
    name: &str,
    prepare: impl FnOnce() + Send + 'static,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let (begun, beginning) = crossbeam_channel::bounded::<()>(1);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn(move || {
        prepare();
        // What a thread needs to wait at a channel is made when it first does, and kept.
        let (_sender, nothing) = crossbeam_channel::bounded::<()>(1);
        let _ = nothing.recv_timeout(Duration::from_millis(1));
        let _ = begun.send(());
        run();
    })?;
    let _ = beginning.recv();
    Ok(thread)
}

/// Waits for a thread's end, unless it is the caller, or hangs.
pub(super) fn join(thread: Option<JoinHandle<()>>) {
    let Some(thread) = thread else { return };
    if thread.thread().id() == std::thread::current().id() {
        return;
    }
    let begun = Instant::now();
    while !thread.is_finished() {
        if begun.elapsed() >= PATIENCE {
            let name = thread.thread().name().unwrap_or_default();
            tracing::error!(thread = name, "a callback or a cache hangs: left behind");
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let _ = thread.join();
}
