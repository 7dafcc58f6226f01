//! Being run soon after a wake-up.
//!
//! When a line is crossed by a thread that keeps its processor busy, the monitor may have to wait
//! for that thread's time slice to end, some milliseconds. Linux from 6.12 on lets a thread ask
//! for shorter slices for itself: it gets no more time, but gets it sooner, and preempts a longer
//! slice when it wakes. That needs no privilege.
//!
//! Scheduling is kept over `execve`, by the thread that calls it, which is the new image's main
//! thread: so whoever restarts puts back first what it found.

/// Shortened slices of one thread, and what they were before.
#[derive(Clone, Copy)]
pub(super) struct ShortSlices {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    before: Option<SchedAttr>,
}

/// Whether threads that this one starts are to have short slices as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// It starts none, or they may: only so can the slices be put back without a privilege.
    Inherit,
    /// They are somebody else's, as those that a callback starts.
    DoNot,
}

/// Has the calling thread run soon after it is woken, for good.
#[cfg(feature = "http")]
pub(crate) fn ask_for_short_slices() {
    ShortSlices::ask(Children::DoNot);
}

/// The least that the kernel grants, in nanoseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SLICE: u64 = 100_000;

/// `struct sched_attr` of the kernel, in its first version.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl SchedAttr {
    /// Of this thread.
    fn read() -> Option<SchedAttr> {
        let mut now = SchedAttr::default();
        let size = size_of::<SchedAttr>() as u32;
        // SAFETY: the kernel writes at most `size` bytes to a structure of that size; 0 means this
        // thread.
        let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &mut now, size, 0) };
        (read == 0).then_some(SchedAttr { size, ..now })
    }

    /// For this thread; where that cannot be had, nothing changes.
    fn write(&self) {
        // SAFETY: the kernel reads `size` bytes of a structure of that size.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, self, 0) };
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl ShortSlices {
    /// Asks for the shortest slices, for the calling thread.
    pub(super) fn ask(children: Children) -> ShortSlices {
        /// `SCHED_FLAG_RESET_ON_FORK`, which only a privilege takes back.
        const RESET_ON_FORK: u64 = 1;

        // Someone who chose a real-time policy for it has it run sooner than this could.
        let before = SchedAttr::read().filter(|now| now.policy == libc::SCHED_OTHER as u32);
        if let Some(before) = before {
            let reset = match children {
                Children::Inherit => 0,
                Children::DoNot => RESET_ON_FORK,
            };
            let short = SchedAttr {
                flags: before.flags | reset,
                runtime: SLICE,
                ..before
            };
            short.write();
        }
        ShortSlices { before }
    }

    /// Has the calling thread, which asked for them, run as before.
    pub(super) fn put_back(self) {
        if let Some(before) = self.before {
            before.write();
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl ShortSlices {
    pub(super) fn ask(_children: Children) -> ShortSlices {
        ShortSlices {}
    }

    pub(super) fn put_back(self) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn now() -> (u64, u64) {
        let now = SchedAttr::read().unwrap();
        (now.flags, now.runtime)
    }

    #[test]
    fn a_thread_that_puts_its_slices_back_runs_as_before() {
        std::thread::spawn(|| {
            let before = now();
            let slices = ShortSlices::ask(Children::Inherit);
            // Kernels before 6.12 know no slices: they tell 0 throughout.
            let asked = if before.1 == 0 {
                0
            } else {
                before.1.min(SLICE)
            };
            assert_eq!(now().1, asked);
            slices.put_back();
            assert_eq!(now(), before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_a_callback_starts_does_not_inherit_them() {
        std::thread::spawn(|| {
            let before = now();
            ShortSlices::ask(Children::DoNot);
            let child = std::thread::spawn(now).join().unwrap();
            assert_eq!(child, before);
        })
        .join()
        .unwrap();
    }
}
