//! Sockets of the machine, by the name that the environment gives: nothing here waits for who listens.

use std::io;
use std::mem::{offset_of, zeroed};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::fd::{FromRawFd, OwnedFd};

/// An address of `AF_UNIX`.
pub(super) struct Address {
    address: libc::sockaddr_un,
    length: libc::socklen_t,
}

impl Address {
    /// Of a path, or of an abstract name behind `@`. `None` when it is neither, or too long.
    pub(super) fn of(name: &[u8]) -> Option<Address> {
        // SAFETY: all zero is a valid address of no family.
        let mut address: libc::sockaddr_un = unsafe { zeroed() };
        if !matches!(name.first(), Some(b'/' | b'@')) || name.len() >= address.sun_path.len() {
            return None;
        }
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (slot, &byte) in address.sun_path.iter_mut().zip(name) {
            *slot = byte as libc::c_char;
        }
        // An abstract name begins with a zero instead of the `@`.
        if name[0] == b'@' {
            address.sun_path[0] = 0;
        }
        let length = offset_of!(libc::sockaddr_un, sun_path) + name.len();
        Some(Address {
            address,
            length: length as libc::socklen_t,
        })
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.address).cast()
    }

    pub(super) fn length(&self) -> libc::socklen_t {
        self.length
    }
}

/// A socket of this kind; on Linux, one that no other program inherits.
pub(super) fn socket(kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: makes a socket.
    match unsafe { libc::socket(libc::AF_UNIX, kind | CLOEXEC, 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: just made, and nobody else's.
        socket => Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
    }
}

/// A stream to who listens there, which does not block. Fails at once where the queue of those who want to
/// be accepted is full: a plain `connect` would wait for that.
#[cfg(target_os = "linux")]
pub(super) fn connect(address: &Address) -> io::Result<OwnedFd> {
    let stream = socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
    // SAFETY: the address is as long as it says.
    let failed = unsafe { libc::connect(stream.as_raw_fd(), address.as_ptr(), address.length()) };
    if failed == 0 {
        Ok(stream)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOEXEC: libc::c_int = libc::SOCK_CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOEXEC: libc::c_int = 0;
