//! How the thread that crosses the line wakes the one that waits for it.
//!
//! The allocator knows nothing of the monitor: it holds a [`Thread`](std::thread::Thread) that it was given,
//! and unparks it. `Thread::unpark` does not allocate (promised by std since 1.93), takes no lock of ours and
//! waits for nobody.
//!
//! The handle lives in a box behind an atomic pointer. A ringing thread counts itself around its use, and
//! [`Bell::uninstall`] waits for that count to be zero after it has taken the pointer away, so that the box
//! can be dropped. Both are rare: one ring for each line crossed.

use super::block::maybe_const_fn;
use super::sync::{AtomicPtr, AtomicU32, Ordering, yield_now};

/// Somebody waits already: there is one line, and one who waits for it.
#[derive(Debug)]
pub(crate) struct AlreadyInstalled;

/// What one who waits has left for those who ring.
pub(crate) struct Bell<W> {
    waiter: AtomicPtr<W>,
    ringing: AtomicU32,
}

impl<W: Send + Sync> Bell<W> {
    maybe_const_fn! {
        pub(crate) fn new() -> Bell<W> {
            Bell {
                waiter: AtomicPtr::new(core::ptr::null_mut()),
                ringing: AtomicU32::new(0),
            }
        }
    }

    pub(super) fn install(&self, waiter: W) -> Result<(), AlreadyInstalled> {
        let waiter = Box::into_raw(Box::new(waiter));
        self.waiter
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
    pub(super) fn uninstall(&self) {
        let waiter = self.waiter.swap(core::ptr::null_mut(), Ordering::SeqCst);
        if waiter.is_null() {
            return;
        }
        while self.ringing.load(Ordering::SeqCst) != 0 {
            yield_now();
        }
        // SAFETY: `install` boxed it. The pointer was taken away before the count was found zero, so
        // every thread that loaded it has finished with it, and none can load it again.
        drop(unsafe { Box::from_raw(waiter) });
    }

    /// Wakes whoever waits.
    pub(super) fn ring(&self, wake: impl FnOnce(&W)) {
        self.ringing.fetch_add(1, Ordering::SeqCst);
        let waiter = self.waiter.load(Ordering::SeqCst);
        if !waiter.is_null() {
            // SAFETY: not freed while the count is above zero, which it was before the load.
            wake(unsafe { &*waiter });
        }
        self.ringing.fetch_sub(1, Ordering::SeqCst);
    }

    /// In the child of a fork: the one who waited is not here, nor is anyone who was ringing. The
    /// parent's box is left where it is; the child's copy of it is a few dozen bytes.
    pub(super) fn forget_in_child(&self) {
        self.waiter.store(core::ptr::null_mut(), Ordering::Relaxed);
        self.ringing.store(0, Ordering::Relaxed);
    }
}

#[cfg(not(plimsoll_loom))]
pub(crate) use self::process::{
    forget_in_child, install, nanoseconds, ring, take_crossing, uninstall,
};

#[cfg(not(plimsoll_loom))]
mod process {
    use super::{AlreadyInstalled, Bell, Ordering};
    use crate::allocator::sync::AtomicU64;
    use std::thread::Thread;

    static BELL: Bell<Thread> = Bell::new();
    /// When the line was last crossed, by [`nanoseconds`]; 0 when that has been read.
    static CROSSED_AT: AtomicU64 = AtomicU64::new(0);

    /// Nanoseconds since some moment: a clock that neither allocates nor waits, not even in the child of
    /// a fork that came while another thread asked.
    #[cfg(unix)]
    pub(crate) fn nanoseconds() -> u64 {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is ours to write. POSIX has this clock wherever there are threads.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    /// Nanoseconds since the first call. Nothing forks here.
    #[cfg(not(unix))]
    pub(crate) fn nanoseconds() -> u64 {
        use once_cell::sync::OnceCell;
        use std::time::Instant;
        static FIRST: OnceCell<Instant> = OnceCell::new();
        FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    /// From now on `waiter` is unparked when the line is crossed.
    pub(crate) fn install(waiter: Thread) -> Result<(), AlreadyInstalled> {
        BELL.install(waiter)
    }

    /// Takes the waiter away and frees it when no thread is ringing any more.
    pub(crate) fn uninstall() {
        BELL.uninstall();
    }

    /// Called inside an allocation by the thread that crossed the line.
    #[cold]
    pub(crate) fn ring() {
        BELL.ring(|waiter| {
            CROSSED_AT.store(nanoseconds().max(1), Ordering::Relaxed);
            waiter.unpark();
        });
    }

    /// How long ago the line was crossed, in nanoseconds, if it was since the last call.
    pub(crate) fn take_crossing() -> Option<u64> {
        let at = CROSSED_AT.swap(0, Ordering::Relaxed);
        (at != 0).then(|| nanoseconds().saturating_sub(at))
    }

    /// In the child of a fork, where nobody waits.
    pub(crate) fn forget_in_child() {
        BELL.forget_in_child();
        CROSSED_AT.store(0, Ordering::Relaxed);
    }
}
