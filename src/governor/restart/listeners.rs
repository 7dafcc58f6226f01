//! Listening sockets that outlive the image: handed over by the `LISTEN_FDS` protocol.
//!
//! The protocol is systemd's (`sd_listen_fds(3)`): sockets stand at descriptors from 3 on, and
//! three variables say how many, for which process, and by what names. So a program that can be
//! socket-activated finds them where it looks anyway, with the `listenfd` crate for one.
//!
//! The kernel keeps the queue of connections that nobody has accepted with the socket, so a client
//! that connects between two images waits, and is not refused.

use std::io;

/// Sockets that can be handed over: the protocol sets no bound, memory that is reserved does.
pub(in crate::governor) const MOST: usize = 64;

/// The descriptor at which the protocol begins.
#[cfg(unix)]
const FIRST: i32 = 3;

/// Copies of the sockets, and the variables that go with them.
#[cfg(unix)]
pub(in crate::governor) struct Listeners {
    sockets: Vec<(String, std::os::fd::OwnedFd)>,
    /// `LISTEN_PID=…`, `LISTEN_FDS=…`, `LISTEN_FDNAMES=…`, as `execve` wants them.
    variables: Vec<std::ffi::CString>,
}

#[cfg(unix)]
impl Listeners {
    pub(in crate::governor) fn new() -> Listeners {
        Listeners {
            sockets: Vec::with_capacity(MOST),
            variables: Vec::new(),
        }
    }

    /// Keeps a copy of a socket under a name; one of the same name is replaced.
    pub(in crate::governor) fn add(
        &mut self,
        name: &str,
        socket: std::os::fd::BorrowedFd<'_>,
    ) -> io::Result<()> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
            return Err(invalid(format!(
                "the name of a socket is {name:?}: expected 1 to 255 visible ASCII characters \
                 without `:`"
            )));
        }
        let copy = socket.try_clone_to_owned()?;
        self.sockets.retain(|(known, _)| known != name);
        if self.sockets.len() == MOST {
            return Err(invalid(format!("more than {MOST} sockets to hand over")));
        }
        self.sockets.push((name.to_owned(), copy));
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
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

    pub(super) fn variables(&self) -> &[std::ffi::CString] {
        &self.variables
    }

    /// Puts the sockets where the protocol wants them. What stands there is kept aside, so that it
    /// can be put back by [`Moved::undo`] should `execve` fail.
    ///
    /// Allocates nothing. Other threads that use one of these descriptors meanwhile find a socket
    /// instead: the caller goes straight on to `execve`, which ends them.
    pub(super) fn put_in_place(&self) -> io::Result<Moved> {
        use std::os::fd::AsRawFd;
        let mut moved = Moved {
            saved: [-1; MOST],
            count: self.sockets.len(),
        };
        let above = FIRST + MOST as i32;
        let mut sources = [-1; MOST];
        for (index, (_, socket)) in self.sockets.iter().enumerate() {
            // Our copies may themselves stand where another has to go.
            sources[index] = duplicate(socket.as_raw_fd(), above)?;
            // -1 where nothing stands.
            moved.saved[index] = duplicate(FIRST + index as i32, above).unwrap_or(-1);
        }
        for (index, &source) in sources[..moved.count].iter().enumerate() {
            // SAFETY: takes the place of a descriptor that was kept aside; without the flag that
            // would close it in the new image.
            if unsafe { libc::dup2(source, FIRST + index as i32) } < 0 {
                let error = io::Error::last_os_error();
                moved.undo();
                return Err(error);
            }
            // SAFETY: a copy of our own making.
            unsafe { libc::close(source) };
        }
        Ok(moved)
    }
}

/// A copy at `least` or above, closed in a new image.
#[cfg(unix)]
fn duplicate(descriptor: i32, least: i32) -> io::Result<i32> {
    // SAFETY: makes a new descriptor and touches no other.
    match unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, least) } {
        -1 => Err(io::Error::last_os_error()),
        copy => Ok(copy),
    }
}

/// What stood at the descriptors of the protocol.
#[cfg(unix)]
pub(super) struct Moved {
    saved: [i32; MOST],
    count: usize,
}

#[cfg(unix)]
impl Moved {
    pub(super) fn undo(self) {
        for (index, &saved) in self.saved[..self.count].iter().enumerate() {
            let place = FIRST + index as i32;
            // SAFETY: puts back what was there, or closes the copy where nothing was. What is put
            // back is closed in a later image, as descriptors of a Rust program are.
            unsafe {
                if saved < 0 {
                    libc::close(place);
                } else {
                    libc::dup2(saved, place);
                    libc::fcntl(place, libc::F_SETFD, libc::FD_CLOEXEC);
                    libc::close(saved);
                }
            }
        }
    }
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
}
