//! Early wake-ups: the kernel or the service manager says that memory is short, and the monitor
//! looks at once. They are no levels: what is done is judged by the figures, as always.
//!
//! systemd's protocol ([Memory Pressure Handling](https://systemd.io/MEMORY_PRESSURE/)):
//! `MEMORY_PRESSURE_WATCH` names a regular file (a kernel interface, whose news is `POLLPRI`), a
//! FIFO or a socket (whose news are bytes, to be read and dropped); what `MEMORY_PRESSURE_WRITE`
//! holds in Base64 is written to it first; `/dev/null` switches it off. Without the variable we ask
//! the kernel ourselves: `memory.pressure` of our control group, or of the whole machine.

use super::error::StartError;
#[cfg(target_os = "linux")]
use super::event::WakeSource;
use super::shared::Shared;
use crate::figures::Roots;
use std::sync::Arc;
use std::thread::Thread;

#[cfg(target_os = "linux")]
pub(super) use linux::{Wake, sources};

#[cfg(all(target_os = "linux", fuzzing))]
pub use linux::fuzz_parse;

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use crate::governor::environment::variable;
    use crate::governor::event::{EventKind, Fault};
    use crate::governor::local_socket::{Address, connect};
    use crate::governor::shared::join;
    use std::ffi::OsStr;
    use std::fs::{File, OpenOptions};
    use std::io::{self, Read, Seek, Write};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    use std::path::Path;
    use std::time::{Duration, Instant};

    /// A fifth of a second stalled in two: what systemd asks for by default
    /// (`DefaultMemoryPressureThresholdSec=200ms`), in the window of 2 s that needs no privilege.
    const TRIGGER: &[u8] = b"some 200000 2000000\0";

    /// A source that rings again and again is heard this often.
    const PAUSE: Duration = Duration::from_millis(500);

    /// Something to poll.
    pub(in crate::governor) struct Source {
        file: File,
        from: WakeSource,
        /// Its news are bytes, and not `POLLPRI`.
        is_stream: bool,
    }

    /// What a source has to say.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Heard {
        news: bool,
        /// It will never ring again.
        gone: bool,
    }

    /// A file of the kernel's that notifies is quiet once it has been read. News may come between
    /// the reading and the look, but not this often in some microseconds.
    const READINGS: u32 = 3;

    impl Source {
        fn events(&self) -> libc::c_short {
            if self.is_stream {
                libc::POLLIN
            } else {
                libc::POLLPRI
            }
        }

        /// What became of a poll.
        ///
        /// A trigger that is gone, as after its group was removed, or that was never set, answers
        /// `POLLERR` and `POLLPRI` at every poll (`psi_trigger_poll`, `kernfs_fop_poll`). Both
        /// together are also the news of a file that notifies, as `memory.events`
        /// (`kernfs_generic_poll`): that is over when it has been read.
        fn hear(&mut self, found: libc::c_short) -> Heard {
            if self.is_stream {
                return drained(&mut self.file);
            }
            let gone = found & libc::POLLNVAL != 0
                || (found & libc::POLLERR != 0 && !self.is_quiet_when_read());
            Heard {
                news: found & libc::POLLPRI != 0 && !gone,
                gone,
            }
        }

        fn is_quiet_when_read(&mut self) -> bool {
            (0..READINGS).any(|_| {
                let mut polled = asking(self.file.as_raw_fd(), self.events());
                // SAFETY: one description, as it is told.
                read_again(&mut self.file).is_ok()
                    && unsafe { libc::poll(&mut polled, 1, 0) } >= 0
                    && polled.revents & libc::POLLERR == 0
            })
        }
    }

    /// From the beginning: what was news up to now is none any more.
    fn read_again(file: &mut File) -> io::Result<()> {
        file.rewind()?;
        file.read(&mut [0; 512]).map(drop)
    }

    fn asking(fd: i32, events: libc::c_short) -> libc::pollfd {
        libc::pollfd {
            fd,
            events,
            revents: 0,
        }
    }

    /// What to wait on: what the service manager names, or else the kernel's own.
    pub(in crate::governor) fn sources(roots: &Roots) -> Result<Vec<Source>, StartError> {
        let Some(watch) = variable("MEMORY_PRESSURE_WATCH") else {
            return Ok(trigger(roots).into_iter().collect());
        };
        let write = variable("MEMORY_PRESSURE_WRITE").unwrap_or_default();
        named_or_own(roots, Path::new(&watch), write.as_encoded_bytes())
    }

    /// What is named, or the kernel's own where that cannot be used.
    fn named_or_own(roots: &Roots, watch: &Path, write: &[u8]) -> Result<Vec<Source>, StartError> {
        match named(watch, write) {
            Ok(sources) => Ok(sources),
            Err(Refused::Nonsense(error)) => Err(error),
            // As where control groups are read-only: no reason for a service not to start.
            Err(Refused::Io(error)) => {
                let watch = watch.display();
                tracing::warn!(%error, %watch, "MEMORY_PRESSURE_WATCH cannot be used");
                Ok(trigger(roots).into_iter().collect())
            }
        }
    }

    /// Takes arbitrary values of `MEMORY_PRESSURE_WATCH` and `MEMORY_PRESSURE_WRITE`: how many
    /// sources there are then. Writes to what is named, as the protocol has it.
    #[cfg(fuzzing)]
    pub fn fuzz_parse(roots: &Roots, watch: &Path, write: &[u8]) -> Result<usize, StartError> {
        named_or_own(roots, watch, write).map(|sources| sources.len())
    }

    /// Why there is nothing to wait on.
    #[derive(Debug)]
    enum Refused {
        /// A value that cannot be meant.
        Nonsense(StartError),
        /// The system does not allow it, or not yet.
        Io(io::Error),
    }

    impl From<io::Error> for Refused {
        fn from(error: io::Error) -> Refused {
            Refused::Io(error)
        }
    }

    /// The kernel's trigger, of the own group if it has one. Where there is none, there is none.
    fn trigger(roots: &Roots) -> Option<Source> {
        let own = std::fs::read(roots.proc().join("self/cgroup"))
            .ok()
            .and_then(|groups| {
                let mut lines = groups.split(|&byte| byte == b'\n');
                let group = lines.find_map(|line| line.strip_prefix(b"0::/"))?;
                // A name is bytes, not text.
                let folder = roots.sys().join("fs/cgroup").join(OsStr::from_bytes(group));
                Some(folder.join("memory.pressure"))
            });
        let whole = roots.proc().join("pressure/memory");
        own.into_iter().chain([whole]).find_map(|path| {
            let mut file = open(&path, true).ok()?;
            file.write_all(TRIGGER).ok()?;
            Some(Source {
                file,
                from: WakeSource::PressureStall,
                is_stream: false,
            })
        })
    }

    fn open(path: &Path, writes: bool) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(writes)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
    }

    /// What `MEMORY_PRESSURE_WATCH` and `MEMORY_PRESSURE_WRITE` say.
    fn named(path: &Path, write: &[u8]) -> Result<Vec<Source>, Refused> {
        if path == Path::new("/dev/null") {
            return Ok(Vec::new());
        }
        let wrong = |variable, value: &[u8], expected: &str| {
            Refused::Nonsense(StartError::EarlyWake {
                variable,
                value: String::from_utf8_lossy(value).into_owned(),
                expected: expected.to_owned(),
            })
        };
        let watch = |expected| {
            let value = path.as_os_str().as_encoded_bytes();
            wrong("MEMORY_PRESSURE_WATCH", value, expected)
        };
        if !path.is_absolute() {
            return Err(watch(
                "an absolute path to a regular file, a FIFO or a socket, or /dev/null",
            ));
        }
        let text = decode(write).ok_or_else(|| wrong("MEMORY_PRESSURE_WRITE", write, "Base64"))?;
        let kind = std::fs::metadata(path)?.file_type();
        let (mut file, is_stream) = if kind.is_socket() {
            let address = Address::of(path.as_os_str().as_encoded_bytes())
                .ok_or_else(|| watch("a socket whose path is short enough to be connected to"))?;
            (File::from(connect(&address)?), true)
        } else if kind.is_fifo() || kind.is_file() {
            // A FIFO has no end while somebody might write to it, as we might.
            let writes = kind.is_fifo() || !text.is_empty();
            (open(path, writes)?, kind.is_fifo())
        } else {
            return Err(watch("a regular file, a FIFO or a socket"));
        };
        // A FIFO opened for both is its own reader: what we wrote would wake us.
        if !text.is_empty() && !kind.is_fifo() {
            file.write_all(&text)?;
        }
        if !is_stream {
            // What has happened before is no news.
            let _ = read_again(&mut file);
        }
        Ok(vec![Source {
            file,
            from: WakeSource::ServiceManager,
            is_stream,
        }])
    }

    fn decode(text: &[u8]) -> Option<Vec<u8>> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(text).ok()
    }

    /// How often the thread that waits is told to end, at the most.
    const TRIES: u32 = 3;

    /// The thread that waits, named `plimsoll-wake`. Dropping this ends it.
    pub(in crate::governor) struct Wake {
        thread: Option<std::thread::JoinHandle<()>>,
        stop: OwnedFd,
    }

    impl Wake {
        pub(in crate::governor) fn start(
            sources: Vec<Source>,
            shared: Arc<Shared>,
            watch: Thread,
        ) -> io::Result<Wake> {
            // SAFETY: makes a descriptor that is ours.
            let stop = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if stop < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: just made, and nobody else's.
            let stop = unsafe { OwnedFd::from_raw_fd(stop) };
            let stopped = stop.try_clone()?;
            let thread = std::thread::Builder::new()
                .name("plimsoll-wake".to_owned())
                .spawn(move || wait(sources, &stopped, &shared, &watch))?;
            Ok(Wake {
                thread: Some(thread),
                stop,
            })
        }
    }

    impl Drop for Wake {
        fn drop(&mut self) {
            let one = 1u64;
            // The kernel does not refuse it; what stands between, a filter of system calls or a signal, might
            // once, and the thread would wait for ever.
            for _ in 0..TRIES {
                // SAFETY: writes the eight bytes that an eventfd takes.
                if unsafe { libc::write(self.stop.as_raw_fd(), (&raw const one).cast(), 8) } == 8 {
                    break;
                }
            }
            join(self.thread.take());
        }
    }

    fn wait(mut sources: Vec<Source>, stop: &OwnedFd, shared: &Shared, watch: &Thread) {
        loop {
            let mut polled = [asking(stop.as_raw_fd(), libc::POLLIN), asking(-1, 0)];
            if let Some(source) = sources.first() {
                polled[1] = asking(source.file.as_raw_fd(), source.events());
            }
            // SAFETY: two descriptions, as it is told; a negative descriptor is skipped.
            if unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) } < 0 {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                if let Some(source) = sources.first() {
                    tell_lost(shared, source);
                }
                return;
            }
            if polled[0].revents != 0 {
                return;
            }
            let Some(source) = sources.first_mut() else {
                continue;
            };
            let heard = source.hear(polled[1].revents);
            if heard.news {
                shared.early_wake.set(source.from);
                watch.unpark();
            }
            if heard.gone {
                tell_lost(shared, source);
                sources.clear();
                continue;
            }
            // Level-triggered news would come without end.
            pause(stop, PAUSE);
        }
    }

    fn tell_lost(shared: &Shared, source: &Source) {
        let fault = Fault::WakeLost(source.from);
        shared.bus.send(EventKind::Fault(fault));
    }

    /// Reads what is there. It is gone when the other end is.
    fn drained(file: &mut File) -> Heard {
        let mut buffer = [0; 512];
        let mut news = false;
        loop {
            let gone = match file.read(&mut buffer) {
                Ok(0) => true,
                Ok(_) => {
                    news = true;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
            return Heard { news, gone };
        }
    }

    /// Sleeps, unless told to stop.
    fn pause(stop: &OwnedFd, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let mut polled = asking(stop.as_raw_fd(), libc::POLLIN);
            // SAFETY: one description, as it is told.
            if unsafe { libc::poll(&mut polled, 1, left.as_millis() as i32 + 1) } > 0 {
                return;
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::path::PathBuf;

        #[test]
        fn what_makes_no_sense_is_named() {
            let folder = tempfile::tempdir().unwrap();
            let said = |path: PathBuf, write: &str| match named(&path, write.as_bytes()) {
                Err(Refused::Nonsense(error)) => error.to_string(),
                Err(Refused::Io(error)) => error.to_string(),
                Ok(_) => panic!("{}", path.display()),
            };
            let regular = folder.path().join("file");
            std::fs::write(&regular, "").unwrap();
            for (path, write, part) in [
                (PathBuf::from("relative"), "", "absolute path"),
                (folder.path().join("missing"), "", "No such file"),
                (
                    folder.path().to_owned(),
                    "",
                    "regular file, a FIFO or a socket",
                ),
                (regular, "not base64!", "MEMORY_PRESSURE_WRITE"),
            ] {
                let said = said(path, write);
                assert!(said.contains(part), "{said}");
            }
            assert!(named(Path::new("/dev/null"), b"").unwrap().is_empty());
        }

        #[test]
        fn what_is_to_be_written_is_written_first() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let manager = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let sources = named(&path, b"c29tZSAyMDAwMDAgMjAwMDAwMAA=").unwrap();
            assert!(sources[0].is_stream);
            let mut told = [0; 20];
            manager.accept().unwrap().0.read_exact(&mut told).unwrap();
            assert_eq!(told, TRIGGER);
        }

        #[test]
        fn a_socket_that_accepts_nobody_is_not_waited_for() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let _manager = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let address = Address::of(path.as_os_str().as_bytes()).unwrap();
            let queued: Vec<_> = std::iter::from_fn(|| connect(&address).ok()).collect();
            assert!(!queued.is_empty());
            let (answer, answered) = std::sync::mpsc::channel();
            let asking = std::thread::spawn(move || answer.send(named(&path, b"")));
            let refused = answered.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(matches!(
                refused,
                Err(Refused::Io(error)) if error.kind() == io::ErrorKind::WouldBlock
            ));
            asking.join().unwrap().unwrap();
        }

        #[test]
        fn the_own_group_is_asked_whatever_bytes_its_name_has() {
            let tree = tempfile::tempdir().unwrap();
            let roots = Roots::new(tree.path().join("proc"), tree.path().join("sys"));
            let group = roots
                .sys()
                .join("fs/cgroup")
                .join(OsStr::from_bytes(b"a\xffb"));
            std::fs::create_dir_all(roots.proc().join("self")).unwrap();
            std::fs::create_dir_all(&group).unwrap();
            std::fs::write(roots.proc().join("self/cgroup"), b"5:cpu:/\n0::/a\xffb\n").unwrap();
            let file = group.join("memory.pressure");
            std::fs::write(&file, "").unwrap();
            assert!(trigger(&roots).is_some());
            assert_eq!(std::fs::read(&file).unwrap(), TRIGGER);
        }

        fn polled(source: &mut Source) -> Heard {
            let mut polled = asking(source.file.as_raw_fd(), source.events());
            // SAFETY: one description, as it is told.
            unsafe { libc::poll(&mut polled, 1, 0) };
            source.hear(polled.revents)
        }

        #[test]
        fn a_kernel_source_without_a_trigger_is_gone_and_no_news() {
            let path = Path::new("/proc/pressure/memory");
            if !path.exists() {
                return;
            }
            let mut source = named(path, b"").unwrap().remove(0);
            let gone = Heard {
                news: false,
                gone: true,
            };
            assert_eq!(polled(&mut source), gone);
        }

        #[test]
        fn the_last_word_of_a_stream_that_ends_is_heard() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let manager = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let mut source = named(&path, b"").unwrap().remove(0);
            manager.accept().unwrap().0.write_all(b"!").unwrap();
            let last = Heard {
                news: true,
                gone: true,
            };
            assert_eq!(polled(&mut source), last);
        }

        /// `cgroup.events` notifies as `memory.events` does, and can be made to: by a process that
        /// comes into the group and leaves it.
        #[test]
        fn a_file_that_notifies_is_news_each_time_and_not_gone() {
            let Some(group) = EmptyGroup::new() else {
                return;
            };
            let path = group.0.join("cgroup.events");
            let mut source = named(&path, b"").unwrap().remove(0);
            let quiet = Heard {
                news: false,
                gone: false,
            };
            let news = Heard {
                news: true,
                ..quiet
            };
            assert_eq!(polled(&mut source), quiet);
            for _ in 0..2 {
                group.visit();
                assert_eq!(polled(&mut source), news);
                assert_eq!(polled(&mut source), quiet);
            }
            drop(group);
            let gone = Heard {
                news: false,
                gone: true,
            };
            assert_eq!(polled(&mut source), gone);
        }

        /// A control group of version 2 without a process; `None` where none can be made.
        struct EmptyGroup(PathBuf);

        impl EmptyGroup {
            fn new() -> Option<EmptyGroup> {
                let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
                let root = roots
                    .into_iter()
                    .find(|root| root.join("cgroup.procs").exists())?;
                let folder = root.join(format!("plimsoll-wake-{}", std::process::id()));
                std::fs::create_dir(&folder).ok()?;
                Some(EmptyGroup(folder))
            }

            fn visit(&self) {
                let procs = self.0.join("cgroup.procs");
                let status = std::process::Command::new("sh")
                    .args(["-c", "echo 0 > \"$0\""])
                    .arg(procs)
                    .status();
                assert!(status.unwrap().success());
                // The news of the end is told by the kernel when the process is taken apart.
                std::thread::sleep(Duration::from_millis(50));
            }
        }

        impl Drop for EmptyGroup {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir(&self.0);
            }
        }
    }
}

/// Nothing of the kind elsewhere.
#[cfg(not(target_os = "linux"))]
pub(super) struct Wake;

#[cfg(not(target_os = "linux"))]
pub(super) fn sources(_roots: &Roots) -> Result<Vec<()>, StartError> {
    Ok(Vec::new())
}

#[cfg(not(target_os = "linux"))]
impl Wake {
    pub(super) fn start(
        _sources: Vec<()>,
        _shared: Arc<Shared>,
        _watch: Thread,
    ) -> std::io::Result<Wake> {
        Ok(Wake)
    }
}
