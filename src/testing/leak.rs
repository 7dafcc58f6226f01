//! Blocks that a piece of code allocates and nobody frees.
//!
//! The scope's own calls, and those of threads that carry it, are seen by an observer, which enters
//! each block with its stack. A free may come from any thread of the process, so while a check is
//! open frees and reallocations of *all* threads are told to [`onlooker`], which crosses the block
//! off. An address is crossed off before it is given back, and entered after it was got: it is never
//! mistaken for the next block there.

use super::carried::{Carried, Shared, within};
use super::sites::Sites;
use super::text::{counted, number};
use super::trace::Trace;
use super::{Unseen, global, unseen};
use crate::allocator::local;
use crate::allocator::scope::{Call, look_away, look_on};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All open checks.
static OPEN: Mutex<Vec<Arc<Ledger>>> = Mutex::new(Vec::new());

/// Waits for nobody who could wait for the caller: what holds a lock here runs unseen, so it never
/// comes here again, and locks nothing else but in the order `OPEN`, then one ledger.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The blocks of one check.
struct Ledger {
    blocks: Mutex<Blocks>,
    /// Nothing is entered any more: threads that carry it may outlive it.
    is_closed: AtomicBool,
    /// [`local::forks`] when it was opened.
    home: u64,
}

impl Ledger {
    /// Not in the child of a fork: another thread of the parent may have held a lock.
    fn is_home(&self) -> bool {
        self.home == local::forks()
    }

    fn enter(&self, blocks: &mut Blocks, address: usize, block: Block) {
        // It may have been closed while the stack was walked.
        if !self.is_closed.load(Ordering::Relaxed) {
            blocks.live.insert(address, block);
        }
    }

    /// Before its end is no longer looked on: what was entered later would be crossed off by nobody.
    fn close(&self) {
        let _blocks = lock(&self.blocks);
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Blocks {
    /// By address.
    live: HashMap<usize, Block>,
    /// Those that are just being reallocated: by which thread, and from which address.
    moving: Vec<(usize, usize, Block)>,
}

impl Blocks {
    /// Where the block stands that this thread is reallocating.
    fn moving(&self) -> Option<usize> {
        let by = thread();
        self.moving.iter().position(|&(thread, ..)| thread == by)
    }
}

struct Block {
    bytes: usize,
    /// What it was before the check, if it is an older one.
    older: usize,
    trace: Trace,
}

impl Block {
    /// An older block that is no larger than it was is no leak.
    fn grown(&self) -> usize {
        self.bytes.saturating_sub(self.older)
    }
}

/// A number for the calling thread.
fn thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

impl Shared for Ledger {
    fn saw(&self, call: Call) {
        if !self.is_home() || self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        // Stacks are walked without the lock, which every thread's frees take: that may wait for the loader's lock,
        // whose owner may be freeing.
        match call {
            Call::Allocated { address, size } => {
                let trace = Trace::here();
                let (bytes, older) = (size, 0);
                let block = Block {
                    bytes,
                    older,
                    trace,
                };
                self.enter(&mut lock(&self.blocks), address.addr(), block);
            }
            // The onlooker enters it again if it is known; if not, it is older than the check. One that shrinks is
            // entered for what it was, should it grow back.
            Call::Moved { to, old, new } => {
                let blocks = lock(&self.blocks);
                // What is known keeps its place, unless it is an older one that begins to be a leak here.
                let is_leak_now = |block: &Block| block.grown() == 0 && new > block.older;
                let moving = blocks.moving().map(|at| &blocks.moving[at].2);
                let is_told = moving.is_none_or(is_leak_now);
                drop(blocks);
                if !is_told {
                    return;
                }
                let trace = Trace::here();
                let mut blocks = lock(&self.blocks);
                if let Some(at) = blocks.moving() {
                    blocks.moving[at].2.trace = trace;
                    return;
                }
                let (bytes, older) = (new, old);
                let block = Block {
                    bytes,
                    older,
                    trace,
                };
                self.enter(&mut blocks, to.addr(), block);
            }
            _ => {}
        }
    }
}

/// Told of frees and reallocations on every thread, unseen.
fn onlooker(call: Call) {
    for ledger in lock(&OPEN).iter() {
        let blocks = &mut *lock(&ledger.blocks);
        match call {
            Call::Allocated { .. } => {}
            Call::Freed { address, .. } => drop(blocks.live.remove(&address.addr())),
            Call::Moving { address } => {
                if let Some(block) = blocks.live.remove(&address.addr()) {
                    blocks.moving.push((thread(), address.addr(), block));
                }
            }
            Call::Moved { to, new, .. } => {
                if let Some(at) = blocks.moving() {
                    let (.., mut block) = blocks.moving.swap_remove(at);
                    block.bytes = new;
                    blocks.live.insert(to.addr(), block);
                }
            }
            Call::Stayed => {
                if let Some(at) = blocks.moving() {
                    let (_, from, block) = blocks.moving.swap_remove(at);
                    blocks.live.insert(from, block);
                }
            }
        }
    }
}

/// What remains after a check.
#[derive(Debug, Default)]
pub(super) struct Remains {
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    sites: Sites,
}

impl Remains {
    pub(super) fn is_nothing(&self) -> bool {
        self.blocks == 0
    }

    /// How much, and from which lines.
    pub(super) fn text(&self) -> String {
        format!(
            "{} with {} bytes not freed\nleft by:\n{}",
            counted(self.blocks, "block"),
            number(self.bytes.into()),
            self.sites.table()
        )
    }
}

/// Runs `work`, and answers what of its blocks is there after it.
pub(super) fn remains<R>(work: impl FnOnce() -> R) -> (R, Unseen<Remains>) {
    /// Closes the check, also when `work` unwinds.
    struct Close<'a>(&'a Arc<Ledger>);
    impl Drop for Close<'_> {
        fn drop(&mut self) {
            if !self.0.is_home() {
                return;
            }
            unseen(|| self.0.close());
            look_away();
            unseen(|| lock(&OPEN).retain(|other| !Arc::ptr_eq(other, self.0)));
        }
    }
    let ledger = Unseen::new(|| {
        let ledger = Arc::new(Ledger {
            blocks: Mutex::default(),
            is_closed: AtomicBool::new(false),
            home: local::forks(),
        });
        lock(&OPEN).push(Arc::clone(&ledger));
        ledger
    });
    look_on(onlooker);
    let close = Close(&ledger);
    let carried = Unseen::new(|| Arc::<Ledger>::clone(&ledger) as Carried);
    let result = within(&carried, work);
    drop(close);
    let remains = Unseen::new(|| {
        let mut remains = Remains::default();
        if !ledger.is_home() {
            return remains;
        }
        let blocks = std::mem::take(&mut *lock(&ledger.blocks));
        for block in blocks.live.into_values() {
            let bytes = block.grown();
            if bytes == 0 {
                continue;
            }
            remains.blocks += 1;
            remains.bytes += bytes as u64;
            remains.sites.add(block.trace, bytes);
        }
        remains
    });
    (result, remains)
}

/// What [`assert_no_leak!`](crate::assert_no_leak) calls.
#[doc(hidden)]
#[track_caller]
pub fn no_leak<R>(work: impl FnOnce() -> R) -> R {
    global::require("assert_no_leak!");
    let (result, remains) = remains(work);
    let complaint = Unseen::new(|| {
        (!remains.is_nothing()).then(|| {
            format!(
                "assert_no_leak!: expected nothing left, found {}",
                remains.text()
            )
        })
    });
    match &*complaint {
        Some(complaint) => panic!("{complaint}"),
        None => result,
    }
}

/// Asserts that what a block of code allocates is freed by its end: every block, by whichever thread.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// plimsoll::assert_no_leak!({
///     let list = vec![1, 2, 3];
///     // Freed by another thread: that is seen.
///     plimsoll::testing::spawn(move || drop(list)).join().unwrap();
/// });
/// ```
///
/// # What is exact
///
/// Blocks that this thread allocates, and threads that carry the check on ([`carry`], [`spawn`]),
/// are known one by one, with their stacks; their frees are seen on every thread of the process,
/// carried or not, if they go through [`Plimsoll`](crate::Plimsoll). A block that was there before
/// and has grown since counts with what it grew by. What a thread allocates that was started without
/// [`spawn`] is not known here, nor what is done in the child of a fork. A free is seen if it comes before the end: join the threads
/// first, by their handles, for the end of a [`std::thread::scope`] does not wait for a thread's own last
/// frees.
///
/// A value that is given back and owns memory is left over, and so is what is made once and kept: a
/// lazy static, a thread-local, a buffer of the standard output. Let the code run once before.
///
/// [`carry`]: crate::testing::carry()
/// [`spawn`]: crate::testing::spawn()
///
/// # Panics
///
/// At the line of the macro, with the lines that allocated what is left (with the feature `testing`);
/// or when [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
///
/// # Cost
///
/// Some microseconds for each allocation in it; and while it runs, frees of all threads of the
/// process take the slow path, some hundred nanoseconds.
#[macro_export]
macro_rules! assert_no_leak {
    ($work:expr $(,)?) => {
        $crate::testing::no_leak(|| $work)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_enters_nothing_more() {
        let ledger = Ledger {
            blocks: Mutex::default(),
            is_closed: AtomicBool::new(false),
            home: local::forks(),
        };
        let allocated = |at| Call::Allocated {
            address: std::ptr::without_provenance_mut(at),
            size: 8,
        };
        ledger.saw(allocated(16));
        ledger.close();
        ledger.saw(allocated(32));
        ledger.saw(Call::Moved {
            to: std::ptr::without_provenance_mut(48),
            old: 8,
            new: 16,
        });
        // Closed while the stack was walked.
        let late = Block {
            bytes: 8,
            older: 0,
            trace: Trace::default(),
        };
        ledger.enter(&mut lock(&ledger.blocks), 64, late);
        let addresses: Vec<_> = lock(&ledger.blocks).live.keys().copied().collect();
        assert_eq!(addresses, [16]);
    }
}
