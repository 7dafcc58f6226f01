//! How the thread that crosses the line wakes the one that waits for it.
//!
//! The allocator knows nothing of the monitor: it holds a [`Thread`] that it was given, and unparks
//! it. `Thread::unpark` does not allocate (promised by std since 1.93), takes no lock of ours and
//! waits for nobody.
//!
//! The handle lives in a box behind an atomic pointer. A ringing thread counts itself in
//! [`RINGING`] around its use, and [`uninstall`] waits for that to be zero after it has taken the
//! pointer away, so that the box can be dropped. Both are rare: one ring for each line crossed.

use super::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use once_cell::sync::OnceCell;
use std::thread::Thread;
use std::time::Instant;

static WAITER: AtomicPtr<Thread> = AtomicPtr::new(core::ptr::null_mut());
static RINGING: AtomicU32 = AtomicU32::new(0);
/// When the line was last crossed, in nanoseconds since [`EPOCH`]; 0 when that has been read.
static CROSSED_AT: AtomicU64 = AtomicU64::new(0);
static EPOCH: OnceCell<Instant> = OnceCell::new();

/// Nanoseconds since the first call: a clock that neither allocates nor waits.
pub(crate) fn nanoseconds() -> u64 {
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Somebody waits already: there is one line, and one who waits for it.
#[derive(Debug)]
pub(crate) struct AlreadyInstalled;

/// From now on `waiter` is unparked when the line is crossed.
pub(crate) fn install(waiter: Thread) -> Result<(), AlreadyInstalled> {
    // So that the ringing thread finds it made.
    nanoseconds();
    let waiter = Box::into_raw(Box::new(waiter));
    WAITER
        .compare_exchange(
            core::ptr::null_mut(),
            waiter,
            Ordering::SeqCst,
            Ordering::Relaxed,
        )
        .map(drop)
        .map_err(|_| {
            // SAFETY: the exchange failed, so the pointer is still ours alone.
            drop(unsafe { Box::from_raw(waiter) });
            AlreadyInstalled
        })
}

/// Takes the waiter away and frees it when no thread is ringing any more.
pub(crate) fn uninstall() {
    let waiter = WAITER.swap(core::ptr::null_mut(), Ordering::SeqCst);
    if waiter.is_null() {
        return;
    }
    while RINGING.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    // SAFETY: `install` boxed it. The pointer was taken away before `RINGING` was found zero, so
    // every thread that loaded it has finished with it, and none can load it again.
    drop(unsafe { Box::from_raw(waiter) });
}

/// Called inside an allocation by the thread that crossed the line.
#[cold]
pub(crate) fn ring() {
    RINGING.fetch_add(1, Ordering::SeqCst);
    let waiter = WAITER.load(Ordering::SeqCst);
    if !waiter.is_null() {
        CROSSED_AT.store(nanoseconds().max(1), Ordering::Relaxed);
        // SAFETY: not freed while `RINGING` is above zero, which it was before the load.
        unsafe { (*waiter).unpark() };
    }
    RINGING.fetch_sub(1, Ordering::SeqCst);
}

/// How long ago the line was crossed, in nanoseconds, if it was since the last call.
pub(crate) fn take_crossing() -> Option<u64> {
    let at = CROSSED_AT.swap(0, Ordering::Relaxed);
    (at != 0).then(|| nanoseconds().saturating_sub(at))
}

/// In the child of a fork: the one who waited is not here, nor is anyone who was ringing. The
/// parent's box is left where it is; the child's copy of it is a few dozen bytes.
pub(crate) fn forget_in_child() {
    WAITER.store(core::ptr::null_mut(), Ordering::Relaxed);
    RINGING.store(0, Ordering::Relaxed);
    CROSSED_AT.store(0, Ordering::Relaxed);
}
