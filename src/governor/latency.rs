//! Being run soon after a wake-up.
//!
//! When a line is crossed by a thread that keeps its processor busy, the monitor may have to wait
//! for that thread's time slice to end, some milliseconds. Linux from 6.12 on lets a thread ask
//! for shorter slices for itself: it gets no more time, but gets it sooner, and preempts a longer
//! slice when it wakes. That needs no privilege.

/// Asks for the shortest slices, for the calling thread; where that cannot be had, nothing changes.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn ask_for_short_slices() {
    /// `struct sched_attr` of the kernel, in its first version.
    #[repr(C)]
    #[derive(Default)]
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
    /// The least that the kernel grants, in nanoseconds.
    const SLICE: u64 = 100_000;
    /// Threads that callbacks start do not inherit it (`SCHED_FLAG_RESET_ON_FORK`).
    const RESET_ON_FORK: u64 = 1;

    let mut now = SchedAttr::default();
    let size = size_of::<SchedAttr>() as u32;
    // SAFETY: the kernel writes at most `size` bytes to a structure of that size; 0 means this
    // thread.
    let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &mut now, size, 0) };
    // Someone who chose a real-time policy for it has it run sooner than this could.
    if read != 0 || now.policy != libc::SCHED_OTHER as u32 {
        return;
    }
    let wanted = SchedAttr {
        size,
        flags: RESET_ON_FORK,
        runtime: SLICE,
        ..now
    };
    // SAFETY: the kernel reads `size` bytes of a structure of that size.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &wanted, 0) };
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn ask_for_short_slices() {}
