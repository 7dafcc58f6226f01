//! What the new image's main thread has from the thread that calls `execve`: the signals that it blocks,
//! and the processors that it may run on.
//!
//! The monitor's thread has both from whoever started it, perhaps in a moment in which all signals were
//! blocked, or from a thread that is bound to a processor. The new image is to begin as the main thread
//! of this one is: so both are taken over from there just before, and put back if nothing comes of it.
//! (How it is scheduled, see [`latency`](crate::governor::latency).) Nothing here allocates.
//!
//! The main thread, too, may be in such a moment: the C library blocks all signals while it starts a thread
//! or a process. So what counts is what it blocked whenever it was looked at: when the monitor started, and
//! some times just before.

#[cfg(target_os = "linux")]
use std::time::Duration;

/// Looks just before a restart, and how far they are apart.
#[cfg(target_os = "linux")]
const LOOKS: u32 = 5;
#[cfg(target_os = "linux")]
const APART: Duration = Duration::from_millis(1);

/// The signals that the main thread blocked at one moment, the first in the lowest place.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "nobody can be asked")
)]
pub(super) struct Blocked(u64);

impl Blocked {
    /// What cannot be found out may be anything.
    pub(super) fn by_main_thread() -> Blocked {
        #[cfg(target_os = "linux")]
        return Blocked(blocked(std::process::id()).unwrap_or(u64::MAX));
        #[cfg(not(target_os = "linux"))]
        Blocked(0)
    }
}

/// What the calling thread had before.
#[cfg(target_os = "linux")]
pub(super) struct Inherited {
    blocked: Option<libc::sigset_t>,
    processors: Option<Processors>,
}

/// A set of 8,192 processors: the kernel builds for so many at the most.
#[cfg(target_os = "linux")]
type Processors = [u64; 128];

#[cfg(target_os = "linux")]
impl Inherited {
    /// As the main thread has it, which blocked `before` when it was looked at last; what cannot be found
    /// out stays as it is.
    pub(super) fn from_main_thread(before: Blocked) -> Inherited {
        let main = std::process::id();
        let processors = processors(main as libc::pid_t).and_then(|of_main| {
            let own = processors(0)?;
            run_on(&of_main);
            Some(own)
        });
        let blocked = always_blocked(main, before).and_then(|of_main| block(&set_of(of_main)));
        Inherited {
            blocked,
            processors,
        }
    }

    pub(super) fn put_back(self) {
        if let Some(blocked) = self.blocked {
            block(&blocked);
        }
        if let Some(processors) = self.processors {
            run_on(&processors);
        }
    }
}

/// The processors that a thread may run on, of this process; 0 is the calling one.
#[cfg(target_os = "linux")]
fn processors(thread: libc::pid_t) -> Option<Processors> {
    let mut set: Processors = [0; 128];
    let (size, start) = (size_of_val(&set), set.as_mut_ptr());
    // SAFETY: the kernel writes at most `size` bytes to the set.
    let written = unsafe { libc::syscall(libc::SYS_sched_getaffinity, thread, size, start) };
    (written > 0).then_some(set)
}

#[cfg(target_os = "linux")]
fn run_on(set: &Processors) {
    // SAFETY: the kernel reads `size` bytes of the set.
    unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(set),
            set.as_ptr(),
        )
    };
}

/// Blocks these signals and no others on the calling thread. Answers those that it blocked before.
#[cfg(target_os = "linux")]
fn block(set: &libc::sigset_t) -> Option<libc::sigset_t> {
    // SAFETY: all zero is a valid set; it is written before it is read.
    let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both are sets of this frame's.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, &mut before) };
    (failed == 0).then_some(before)
}

#[cfg(target_os = "linux")]
fn always_blocked(thread: u32, Blocked(before): Blocked) -> Option<u64> {
    let mut always = before & blocked(thread)?;
    for _ in 1..LOOKS {
        if always == 0 {
            break;
        }
        std::thread::sleep(APART);
        always &= blocked(thread)?;
    }
    Some(always)
}

/// What a thread blocks, as the kernel tells it: only a thread itself can ask otherwise.
#[cfg(target_os = "linux")]
fn blocked(thread: u32) -> Option<u64> {
    use std::io::Write;
    let mut path = [0u8; 64];
    write!(&mut path[..63], "/proc/self/task/{thread}/status").ok()?;
    let mut text = [0u8; 4096];
    // SAFETY: the path ends with a zero; the buffer has so many bytes.
    let length = unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        length
    };
    let text = text.get(..usize::try_from(length).ok()?)?;
    parse(text)
}

#[cfg(target_os = "linux")]
fn parse(status: &[u8]) -> Option<u64> {
    let line = status
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"SigBlk:"))?;
    let digits = std::str::from_utf8(line.trim_ascii()).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// Takes an arbitrary status of a thread: answers the signals that it blocks.
#[cfg(all(fuzzing, target_os = "linux"))]
pub fn fuzz_blocked(status: &[u8]) -> Option<u64> {
    parse(status)
}

#[cfg(target_os = "linux")]
fn set_of(bits: u64) -> libc::sigset_t {
    // SAFETY: all zero is a valid set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for place in (0..64).filter(|place| bits >> place & 1 == 1) {
        // SAFETY: a set of this frame's. Signals that are the C library's own are refused.
        unsafe { libc::sigaddset(&mut set, place + 1) };
    }
    set
}

/// Elsewhere another thread's are not to be had.
#[cfg(not(target_os = "linux"))]
pub(super) struct Inherited;

#[cfg(not(target_os = "linux"))]
impl Inherited {
    pub(super) fn from_main_thread(_before: Blocked) -> Inherited {
        Inherited
    }

    pub(super) fn put_back(self) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_kernels_line_is_read() {
        let text = b"Name:\tx\nSigPnd:\t0000000000000001\nSigBlk:\t0000000000004003\nSigIgn:\t0\n";
        assert_eq!(parse(text), Some(0x4003));
        let set = set_of(0x4003);
        // SAFETY: a set that was filled, and numbers of signals.
        let has = |signal: &i32| unsafe { libc::sigismember(&set, *signal) } == 1;
        let numbers: Vec<i32> = (1..=64).filter(has).collect();
        assert_eq!(numbers, [libc::SIGHUP, libc::SIGINT, libc::SIGTERM]);
        for odd in [
            &b""[..],
            b"SigBlk:\n",
            b"SigBlk:\txyz\n",
            b"SigBlk:\t10000000000000000\n",
            b"\xff",
        ] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_thread_takes_over_what_the_main_thread_blocks_at_all_times_and_puts_back_its_own() {
        std::thread::spawn(|| {
            // SAFETY: asks for a number.
            let thread = unsafe { libc::gettid() };
            let own = || blocked(thread as u32).unwrap();
            block(&set_of(u64::MAX)).unwrap();
            let before = own();
            let terminate = 1 << (libc::SIGTERM - 1);
            assert_ne!(before & terminate, 0);
            // The harness's main thread blocks nothing, but for a moment when it starts a test's thread.
            let over = |remembered| {
                let inherited = Inherited::from_main_thread(remembered);
                let taken = own();
                inherited.put_back();
                assert_eq!(own(), before);
                taken
            };
            assert_eq!(over(Blocked(0)), 0);
            let deadline = Instant::now() + Duration::from_secs(20);
            while over(Blocked(u64::MAX)) != 0 {
                assert!(Instant::now() < deadline, "it is not taken over");
                std::thread::yield_now();
            }
            // What is blocked only now counts as little as what was only then.
            assert_eq!(always_blocked(thread as u32, Blocked(0)), Some(0));
            let also = always_blocked(thread as u32, Blocked(terminate));
            assert_eq!(also, Some(terminate));
        })
        .join()
        .unwrap();
    }
}
