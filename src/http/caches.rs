//! What the program's caches say of themselves.
//!
//! They answer by the program's own code, which may wait for a lock that nobody lets go: that is one
//! of the ways in which a program is stuck. So a thread asks them that has nothing else to do, and the
//! surface waits for it only so long.

use super::reserve;
use crate::caught::caught;
use crate::governor::{CacheStatus, Monitor, ask_for_short_slices, lock, spawn};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// A cache adds up what it holds within microseconds, and a thread is woken within milliseconds; on a
/// machine with too much to do it was seen to take a tenth of a second.
const PATIENCE: Duration = Duration::from_millis(250);

/// Asks the caches of one program.
#[derive(Clone)]
pub(super) struct Caches(Arc<Shared>);

struct Shared {
    monitor: Arc<Monitor>,
    /// Wakes the thread, which ends with it.
    thread: Mutex<Option<Sender<()>>>,
    board: Arc<Board>,
    /// It has been said that one does not answer.
    is_told: AtomicBool,
}

/// Where questions and answers meet.
struct Board {
    /// How many questions there were.
    asked: AtomicU64,
    told: watch::Sender<Told>,
}

#[derive(Default)]
struct Told {
    /// The last question that this answers.
    question: u64,
    caches: Vec<CacheStatus>,
}

/// What they say.
pub(super) struct Said {
    pub(super) caches: Vec<CacheStatus>,
    /// One of them did not answer in time: this is what they said the last time.
    pub(super) is_late: bool,
}

impl Said {
    /// What all of them hold.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.caches.iter().map(|cache| cache.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

impl Caches {
    pub(super) fn new(monitor: Arc<Monitor>) -> Caches {
        Caches(Arc::new(Shared {
            monitor,
            thread: Mutex::new(None),
            board: Arc::new(Board {
                asked: AtomicU64::new(0),
                told: watch::Sender::new(Told::default()),
            }),
            is_told: AtomicBool::new(false),
        }))
    }

    /// Begins the thread, unless it runs: when memory is short it may be too late.
    pub(super) fn begin(&self) {
        self.wake();
    }

    pub(super) async fn ask(&self) -> Said {
        let Shared { board, is_told, .. } = &*self.0;
        let question = board.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut told = board.told.subscribe();
        self.wake();
        let answered = told.wait_for(|told| told.question >= question);
        let is_late = tokio::time::timeout(PATIENCE, answered).await.is_err();
        if is_late && !is_told.swap(true, Ordering::Relaxed) {
            caught(|| {
                tracing::warn!(
                    "a cache does not say in time what it holds: does it wait for a lock?"
                );
            });
        } else if !is_late {
            is_told.store(false, Ordering::Relaxed);
        }
        let caches = told.borrow().caches.clone();
        Said { caches, is_late }
    }

    fn wake(&self) {
        let mut thread = lock(&self.0.thread);
        if thread.is_none() {
            match self.start() {
                Ok(sender) => *thread = Some(sender),
                Err(error) => {
                    caught(|| tracing::warn!(%error, "there is no thread to ask caches on"));
                }
            }
        }
        if let Some(thread) = &*thread {
            // One that waits to be taken stands for this one too.
            let _ = thread.try_send(());
        }
    }

    fn start(&self) -> std::io::Result<Sender<()>> {
        let (sender, wakes) = bounded(1);
        let board = Arc::clone(&self.0.board);
        let monitor = Arc::downgrade(&self.0.monitor);
        let prepare = || {
            reserve::take();
            ask_for_short_slices();
        };
        spawn("plimsoll-caches", prepare, move || {
            board.answer(&wakes, &monitor);
        })?;
        Ok(sender)
    }
}

impl Board {
    fn answer(&self, wakes: &Receiver<()>, monitor: &Weak<Monitor>) {
        while wakes.recv().is_ok() {
            let Some(monitor) = monitor.upgrade() else {
                return;
            };
            // Those that come from now on may be about something that has changed meanwhile.
            let question = self.asked.load(Ordering::Acquire);
            let caches = monitor.caches();
            drop(monitor);
            self.told.send_replace(Told { question, caches });
        }
    }
}
