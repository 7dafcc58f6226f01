//! The surface on a thread, a runtime and memory of its own.
//!
//! The application's runtime may be stuck, its threads busy, its heap at the limit: this thread
//! shares none of that. It has short time slices, so that it runs soon after a request comes; an arena
//! of its own with free pages in it, so that it needs no memory that others have taken; and bounds on
//! everything that a client can use up.
//!
//! | what | bound |
//! |---|---|
//! | connections | 1,200, or a quarter of the files that the process may open; one more is told 503 |
//! | a request's head | 16 KiB, 64 headers, 5 s |
//! | a request's body | 16 KiB, 5 s |
//! | an answer that nobody takes | 128 KiB in the kernel, 10 s without a byte |
//!
//! | file | its one idea |
//! |---|---|
//! | `mod` | the thread's beginning and end |
//! | `connections` | one connection after the other |
//! | `stalled` | an answer that nobody takes |

mod connections;
mod stalled;

use self::connections::Connections;
use super::admin::Admin;
use super::{reserve, routes};
use crate::allocator::local;
use crate::governor::ask_for_short_slices;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// What the kernel keeps for a client that does not take it, in bytes; it takes twice that. By itself
/// it would keep megabytes, for each of a thousand.
const SEND_BUFFER: usize = 64 * 1024;

/// A running server. Dropping it stops it.
#[must_use = "the server stops when this is dropped"]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// [`local::forks`] when it started.
    home: u64,
}

/// Why nothing is served.
#[non_exhaustive]
pub enum ServeError {
    /// The address is not an IP address and a port.
    Address {
        /// What was given.
        given: String,
    },
    /// Others than this machine can reach the address, and no token is set.
    TokenRequired {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// Nothing can listen there.
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system gave no thread, or no way to wait for connections.
    Thread(io::Error),
}

/// In words as well: it is what a `main` that answers this error prints.
impl fmt::Debug for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Address { given } => write!(
                f,
                "the address is {given:?}: expected an IP address and a port, as 127.0.0.1:9090"
            ),
            ServeError::TokenRequired { address } => write!(
                f,
                "others can reach {address}: expected a loopback address, or a token by \
                 `Admin::token`"
            ),
            ServeError::Bind { address, error } => write!(f, "cannot listen on {address}: {error}"),
            ServeError::Thread(error) => write!(f, "no thread to serve on: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Bind { error, .. } | ServeError::Thread(error) => Some(error),
            _ => None,
        }
    }
}

/// Whoever can reach it needs a token.
fn may_serve(admin: &Admin, address: SocketAddr) -> Result<(), ServeError> {
    if address.ip().to_canonical().is_loopback() || admin.access.has_token() {
        return Ok(());
    }
    Err(ServeError::TokenRequired { address })
}

impl Server {
    /// Listens on an address first.
    pub(super) fn start(admin: &Admin, given: &str) -> Result<Server, ServeError> {
        let address: SocketAddr = given.parse().map_err(|_| ServeError::Address {
            given: given.to_owned(),
        })?;
        may_serve(admin, address)?;
        let listener =
            TcpListener::bind(address).map_err(|error| ServeError::Bind { address, error })?;
        Server::on(admin, listener)
    }

    pub(super) fn on(admin: &Admin, listener: TcpListener) -> Result<Server, ServeError> {
        let address = listener.local_addr().map_err(|error| ServeError::Bind {
            address: SocketAddr::from(([0; 4], 0)),
            error,
        })?;
        may_serve(admin, address)?;
        let bind = |error| ServeError::Bind { address, error };
        listener.set_nonblocking(true).map_err(bind)?;
        // Those that are accepted inherit it.
        socket2::SockRef::from(&listener)
            .set_send_buffer_size(SEND_BUFFER)
            .map_err(bind)?;

        let (stop, stopped) = oneshot::channel();
        let (begun, beginning) = std::sync::mpsc::sync_channel(1);
        let admin = admin.clone();
        admin.caches.begin();
        let thread = std::thread::Builder::new()
            .name("plimsoll-http".to_owned())
            .spawn(move || {
                // Before anything is allocated that is to stay.
                reserve::take();
                ask_for_short_slices();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(begun.send(Err(error))),
                };
                runtime.block_on(async move {
                    match Connections::new(listener, routes::alone(&admin)) {
                        Ok(connections) => {
                            let _ = begun.send(Ok(()));
                            tokio::select! {
                                () = connections.serve() => {}
                                // Also when the handle is gone.
                                _ = stopped => {}
                            }
                        }
                        Err(error) => drop(begun.send(Err(error))),
                    }
                });
            })
            .map_err(ServeError::Thread)?;
        let server = Server {
            address,
            stop: Some(stop),
            thread: Some(thread),
            home: local::forks(),
        };
        match beginning.recv() {
            Ok(Ok(())) => Ok(server),
            Ok(Err(error)) => Err(ServeError::Thread(error)),
            Err(_) => Err(ServeError::Thread(io::Error::other("the thread ended"))),
        }
    }

    /// Where it listens: with port 0 asked for, the one that it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, and waits for its thread to end. Open connections are cut off.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.home != local::forks() {
            // The thread is the parent's: there is nothing to stop or to join here.
            std::mem::forget((self.stop.take(), self.thread.take()));
            return;
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
