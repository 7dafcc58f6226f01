//! Listening sockets that outlive the image: handed over by the `LISTEN_FDS` protocol.
//!
//! The protocol is systemd's (`sd_listen_fds(3)`): sockets stand at descriptors from 3 on, and
//! three variables say how many, for which process, and by what names. So a program that can be
//! socket-activated finds them where it looks anyway, with the `listenfd` crate for one.
//!
//! The kernel keeps the queue of connections that nobody has accepted with the socket, so a client
//! that connects between two images waits, and is not refused.

use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Sockets that can be handed over: the protocol sets no bound, memory that is reserved does.
pub(in crate::governor) const MOST: usize = 64;

/// The descriptor at which the protocol begins.
#[cfg(unix)]
const FIRST: i32 = 3;

/// From here on no socket is ever put.
#[cfg(unix)]
pub(super) const ABOVE: i32 = FIRST + MOST as i32;

/// Copies of the sockets, and the variables that go with them.
///
/// Every descriptor that a restart needs is made when a socket is added: whoever has none left by
/// then, or may have few, hears so at the start.
#[cfg(unix)]
pub(in crate::governor) struct Listeners {
    sockets: Vec<Socket>,
    /// `LISTEN_PID=…`, `LISTEN_FDS=…`, `LISTEN_FDNAMES=…`, as `execve` wants them.
    variables: Vec<std::ffi::CString>,
}

/// Both descriptors stand above those of the protocol.
#[cfg(unix)]
struct Socket {
    name: String,
    copy: OwnedFd,
    /// Gives its place to what stands where the socket has to go.
    spare: OwnedFd,
}

#[cfg(unix)]
impl Listeners {
    pub(in crate::governor) fn new() -> Listeners {
        Listeners {
            sockets: Vec::with_capacity(MOST),
            variables: Vec::new(),
        }
    }

    /// Keeps a copy of a socket under a name; one of the same name is replaced, in its place.
    pub(in crate::governor) fn add(
        &mut self,
        name: &str,
        socket: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
            return Err(invalid(format!(
                "the name of a socket is {name:?}: expected 1 to 255 visible ASCII characters \
                 without `:`"
            )));
        }
        let others = self.sockets.iter().filter(|known| known.name != name);
        let count = others.count() + 1;
        if count > MOST {
            return Err(invalid(format!("more than {MOST} sockets to hand over")));
        }
        // Those of before first: they have to make way for one more.
        let above = FIRST + count as i32;
        for known in &mut self.sockets {
            for descriptor in [&mut known.copy, &mut known.spare] {
                if descriptor.as_raw_fd() < above {
                    *descriptor = duplicate(descriptor.as_fd(), above)?;
                }
            }
        }
        let added = Socket {
            name: name.to_owned(),
            copy: duplicate(socket, above)?,
            spare: duplicate(socket, above)?,
        };
        match self.sockets.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = added,
            None => self.sockets.push(added),
        }
        let names: Vec<&str> = self
            .sockets
            .iter()
            .map(|known| known.name.as_str())
            .collect();
        self.variables = [
            // The process keeps its id over `execve`.
            format!("LISTEN_PID={}", std::process::id()),
            format!("LISTEN_FDS={}", self.sockets.len()),
            format!("LISTEN_FDNAMES={}", names.join(":")),
        ]
        .into_iter()
        .filter_map(|variable| std::ffi::CString::new(variable).ok())
        .collect();
        Ok(())
    }

    /// Closes the copies.
    pub(in crate::governor) fn let_go(&mut self) {
        self.sockets.clear();
        self.variables.clear();
    }

    pub(super) fn variables(&self) -> &[std::ffi::CString] {
        &self.variables
    }

    /// Puts the sockets where the protocol wants them. What stands there is kept aside, so that it
    /// can be put back by [`Moved::undo`] should `execve` fail.
    ///
    /// Allocates nothing, and needs no descriptor that is not there. Other threads that use one of
    /// these descriptors meanwhile find a socket instead: the caller goes straight on to `execve`,
    /// which ends them.
    pub(super) fn put_in_place(&self) -> io::Result<Moved<'_>> {
        let mut moved = Moved {
            sockets: &self.sockets,
            count: 0,
            saved: [None; MOST],
        };
        for (index, socket) in self.sockets.iter().enumerate() {
            let place = FIRST + index as i32;
            // SAFETY: asks for a flag. Fails only where nothing stands.
            let flags = unsafe { libc::fcntl(place, libc::F_GETFD) };
            let is_saved = replace(place, socket.spare.as_raw_fd()).is_ok();
            // SAFETY: takes the place of a descriptor that was kept aside; without the flag that
            // would close it in the new image.
            if unsafe { libc::dup2(socket.copy.as_raw_fd(), place) } < 0 {
                let error = io::Error::last_os_error();
                // What stands here stayed, and no copy of it does.
                let _ = replace(socket.copy.as_raw_fd(), socket.spare.as_raw_fd());
                moved.undo();
                return Err(error);
            }
            moved.saved[index] = is_saved.then_some(flags);
            moved.count = index + 1;
        }
        Ok(moved)
    }
}

/// A copy at `least` or above, closed in a new image.
#[cfg(unix)]
fn duplicate(descriptor: BorrowedFd<'_>, least: i32) -> io::Result<OwnedFd> {
    // SAFETY: makes a new descriptor and touches no other.
    match unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) } {
        -1 => {
            let error = io::Error::last_os_error();
            let why = format!("no descriptor from {least} on: see RLIMIT_NOFILE: {error}");
            Err(io::Error::new(error.kind(), why))
        }
        // SAFETY: just made, and nobody else's.
        copy => Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
    }
}

/// Has `to` be what `from` is, closed in a new image.
#[cfg(unix)]
fn replace(from: i32, to: i32) -> io::Result<()> {
    // SAFETY: `to` is a descriptor that is kept for that.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let failed = unsafe { libc::dup3(from, to, libc::O_CLOEXEC) } < 0;
    // SAFETY: likewise; the flag is set before any `execve`.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let failed =
        unsafe { libc::dup2(from, to) < 0 || libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC) < 0 };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What stood at the descriptors of the protocol.
#[cfg(unix)]
pub(super) struct Moved<'a> {
    sockets: &'a [Socket],
    /// So many have been moved.
    count: usize,
    /// The flags of what stood there.
    saved: [Option<i32>; MOST],
}

#[cfg(unix)]
impl Moved<'_> {
    /// Puts back what was there, or closes the copy where nothing was.
    pub(super) fn undo(self) {
        for (index, socket) in self.sockets[..self.count].iter().enumerate() {
            let place = FIRST + index as i32;
            if let Some(flags) = self.saved[index] {
                let _ = replace(socket.spare.as_raw_fd(), place);
                // SAFETY: puts its own flags back: one that is to be inherited may be of use to a later image.
                unsafe { libc::fcntl(place, libc::F_SETFD, flags) };
                // What stood there belongs to the program, which may close it: no copy stays.
                let _ = replace(socket.copy.as_raw_fd(), socket.spare.as_raw_fd());
            } else {
                // SAFETY: the copy that `put_in_place` made.
                unsafe { libc::close(place) };
            }
        }
    }
}

/// Adds a socket under each of these names: what was refused, and the variables that go with the
/// others.
#[cfg(all(unix, fuzzing))]
pub fn fuzz_names(names: &[&str]) -> (Vec<io::Error>, Vec<std::ffi::CString>) {
    let mut listeners = Listeners::new();
    let socket = io::stderr();
    let added = names.iter().map(|name| listeners.add(name, socket.as_fd()));
    let refused = added.filter_map(Result::err).collect();
    (refused, listeners.variables)
}

/// Without `execve` nothing can be handed over.
#[cfg(not(unix))]
pub(in crate::governor) struct Listeners;

#[cfg(not(unix))]
impl Listeners {
    pub(in crate::governor) fn new() -> Listeners {
        let _: fn() -> io::Result<()> = || Ok(());
        Listeners
    }

    pub(in crate::governor) fn let_go(&mut self) {}
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_named_again_keeps_its_place() {
        let mut listeners = Listeners::new();
        let sockets = [0; 3].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        for (name, socket) in ["web", "admin", "web"].iter().zip(&sockets) {
            listeners.add(name, socket.as_fd()).unwrap();
        }
        let names = listeners.variables().last().unwrap();
        assert_eq!(names.to_str(), Ok("LISTEN_FDNAMES=web:admin"));
        let of = |copy: &OwnedFd| std::net::TcpListener::from(copy.try_clone().unwrap());
        let first = of(&listeners.sockets[0].copy).local_addr().unwrap();
        assert_eq!(first, sockets[2].local_addr().unwrap());
    }
}
