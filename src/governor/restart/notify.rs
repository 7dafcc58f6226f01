//! Telling the service manager: `sd_notify`, on memory that was made ready at the start.
//!
//! The protocol is one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names
//! (`sd_notify(3)`). A restart in place is announced as `RELOADING=1`: after `STOPPING=1` systemd
//! waits for the process to end and then kills it, and this one stays.

#[cfg(unix)]
pub(in crate::governor) use unix::Notifier;

#[cfg(all(unix, fuzzing))]
pub use unix::fuzz_parse;

#[cfg(unix)]
mod unix {
    use crate::governor::environment::variable;
    use crate::governor::local_socket::{Address, socket};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    /// The manager's socket; without one, telling does nothing.
    pub(in crate::governor) struct Notifier(Option<Manager>);

    struct Manager {
        socket: OwnedFd,
        address: Address,
    }

    impl Notifier {
        /// Reads `NOTIFY_SOCKET`. One that cannot be used is an error in words; the caller goes on
        /// without.
        pub(in crate::governor) fn from_environment() -> Result<Notifier, String> {
            match variable("NOTIFY_SOCKET") {
                None => Ok(Notifier(None)),
                Some(name) => Notifier::to(name.as_encoded_bytes()),
            }
        }

        pub(in crate::governor) fn silent() -> Notifier {
            Notifier(None)
        }

        fn to(name: &[u8]) -> Result<Notifier, String> {
            let wrong = || {
                format!(
                    "NOTIFY_SOCKET is {:?}: expected an absolute path, or `@` and a name",
                    String::from_utf8_lossy(name)
                )
            };
            let address = Address::of(name).ok_or_else(wrong)?;
            let socket = socket(libc::SOCK_DGRAM).map_err(|error| error.to_string())?;
            Ok(Notifier(Some(Manager { socket, address })))
        }

        /// The program is up.
        pub(in crate::governor) fn ready(&self) {
            self.tell(format_args!("READY=1"));
        }

        /// A new image follows in this process.
        pub(in crate::governor) fn reloading(&self, within: Duration) {
            let now = monotonic_microseconds();
            let more = within.as_micros();
            self.tell(format_args!(
                "RELOADING=1\nMONOTONIC_USEC={now}\nEXTEND_TIMEOUT_USEC={more}\n\
                 STATUS=restarting in place: memory"
            ));
        }

        /// The process ends.
        pub(in crate::governor) fn stopping(&self, within: Duration) {
            let more = within.as_micros();
            self.tell(format_args!(
                "STOPPING=1\nEXTEND_TIMEOUT_USEC={more}\nSTATUS=ending for a restart: memory"
            ));
        }

        /// The program ends for good. Nothing is told after that.
        pub(in crate::governor) fn ending(&mut self) {
            self.tell(format_args!("STOPPING=1"));
            self.0 = None;
        }

        /// Neither allocates nor waits; a manager that does not listen is none.
        fn tell(&self, message: std::fmt::Arguments<'_>) {
            use std::io::Write;
            let Some(manager) = &self.0 else { return };
            let mut buffer = [0u8; 256];
            let mut rest = &mut buffer[..];
            let _ = rest.write_fmt(message);
            let left = rest.len();
            let length = buffer.len() - left;
            // SAFETY: the buffer has that many bytes, and the address is as long as it says.
            unsafe {
                libc::sendto(
                    manager.socket.as_raw_fd(),
                    buffer.as_ptr().cast(),
                    length,
                    libc::MSG_DONTWAIT | NOSIGNAL,
                    manager.address.as_ptr(),
                    manager.address.length(),
                );
            }
        }
    }

    /// Takes an arbitrary value of `NOTIFY_SOCKET`, and tells nobody.
    #[cfg(fuzzing)]
    pub fn fuzz_parse(name: &[u8]) -> Result<(), String> {
        Notifier::to(name).map(drop)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const NOSIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const NOSIGNAL: libc::c_int = 0;

    fn monotonic_microseconds() -> u64 {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: writes the structure that it is given.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::UnixDatagram;

        #[test]
        fn the_manager_hears_what_is_said() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let manager = UnixDatagram::bind(&path).unwrap();
            let notifier = Notifier::to(path.as_os_str().as_bytes()).unwrap();
            let hear = || {
                let mut buffer = [0; 512];
                let length = manager.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            notifier.ready();
            assert_eq!(hear(), "READY=1");
            notifier.stopping(Duration::from_secs(2));
            let said = hear();
            assert!(
                said.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=2000000\n"),
                "{said}"
            );
            notifier.reloading(Duration::from_secs(2));
            let said = hear();
            assert!(said.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{said}");
            let mut notifier = notifier;
            notifier.ending();
            notifier.ready();
            assert_eq!(hear(), "STOPPING=1");
            manager.set_nonblocking(true).unwrap();
            assert!(manager.recv(&mut [0]).is_err(), "nothing after the end");
        }

        #[test]
        #[cfg(target_os = "linux")]
        fn a_manager_with_an_abstract_name_is_told() {
            use std::os::linux::net::SocketAddrExt;
            let name = format!("plimsoll-test-{}", std::process::id());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
            let manager = UnixDatagram::bind_addr(&address).unwrap();
            Notifier::to(format!("@{name}").as_bytes()).unwrap().ready();
            let mut buffer = [0; 64];
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }

        #[test]
        fn a_socket_that_makes_no_sense_is_named() {
            for wrong in ["", "relative", "/long/".repeat(40).as_str()] {
                let said = Notifier::to(wrong.as_bytes()).err().unwrap();
                assert!(
                    said.contains("NOTIFY_SOCKET") && said.contains("expected"),
                    "{said}"
                );
            }
        }
    }
}

/// There is no such manager elsewhere.
#[cfg(not(unix))]
pub(in crate::governor) struct Notifier;

#[cfg(not(unix))]
impl Notifier {
    pub(in crate::governor) fn from_environment() -> Result<Notifier, String> {
        Ok(Notifier)
    }
    pub(in crate::governor) fn silent() -> Notifier {
        Notifier
    }
    pub(in crate::governor) fn ready(&self) {}
    pub(in crate::governor) fn reloading(&self, _within: std::time::Duration) {}
    pub(in crate::governor) fn stopping(&self, _within: std::time::Duration) {}
    pub(in crate::governor) fn ending(&mut self) {}
}
