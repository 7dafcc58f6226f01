//! The admin surface of one program: what it serves, and to whom.

use super::access::{Access, TokenError};
use super::caches::Caches;
use super::requests::RequestLayer;
use super::routes;
use super::server::{ServeError, Server};
use crate::governor::Monitor;
use axum::Router;
use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};

/// Commands that are under way at once. They wait for each other in any case.
const MOST_COMMANDS: usize = 4;

/// The admin surface of a program: endpoints, a live stream, metrics and a dashboard.
///
/// On a thread and a port of its own, so that it answers while the program is stuck:
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let monitor = plimsoll::Monitor::builder().start()?;
/// let _server = plimsoll::http::Admin::new(monitor).serve("127.0.0.1:9090")?;
/// # Ok(())
/// # }
/// ```
///
/// Or inside an application's own axum router, by [`router`](Self::router).
///
/// # Who may ask
///
/// | from | page and assets | reading | commanding |
/// |---|---|---|---|
/// | this machine, no token set | yes | yes | the page itself, by its origin |
/// | anywhere, a [`token`](Self::token) set | yes | with the token | with the token |
/// | elsewhere, no token set | no | no | no |
///
/// "This machine" is a loopback address without a sign of a proxy in between. A request has to name a
/// host that is ours ([`allow_host`](Self::allow_host)), and one that a browser says was caused by
/// another site is refused. A program that is no browser may say that it is the page: where others have
/// accounts on this machine, set a token.
#[derive(Clone)]
#[must_use = "nothing is served until `router` or `serve`"]
pub struct Admin {
    pub(super) monitor: Arc<Monitor>,
    pub(super) requests: Option<RequestLayer>,
    pub(super) access: Access,
    pub(super) caches: Caches,
    pub(super) commands: Arc<Semaphore>,
    /// Held from reading the policy to its change being in force: of two changes none undoes the other.
    pub(super) changing: Arc<Mutex<()>>,
}

impl Admin {
    /// The surface of this monitor: for this machine alone, until a token is set.
    pub fn new(monitor: impl Into<Arc<Monitor>>) -> Admin {
        let monitor = monitor.into();
        Admin {
            caches: Caches::new(Arc::clone(&monitor)),
            monitor,
            requests: None,
            access: Access::default(),
            commands: Arc::new(Semaphore::new(MOST_COMMANDS)),
            changing: Arc::default(),
        }
    }

    /// Shows what this layer measures.
    pub fn requests(mut self, layer: &RequestLayer) -> Admin {
        self.requests = Some(layer.clone());
        self
    }

    /// Asks for `Authorization: Bearer` and this token, of everybody, and only then serves others
    /// than this machine. Compared in constant time.
    ///
    /// To be set wherever a proxy stands in front: those that say nothing of themselves in a header are
    /// taken for this machine, and all whom they ask for with them.
    ///
    /// # Errors
    ///
    /// Less than 16 or more than 256 characters, or any that is not visible ASCII.
    pub fn token(mut self, token: impl Into<String>) -> Result<Admin, TokenError> {
        self.access.set_token(token.into())?;
        Ok(self)
    }

    /// Answers to this name in `Host`, beside loopback names and addresses: what a browser calls the
    /// machine, without a port. A proxy in front has to pass `Host` on as it came, since commands and the
    /// live stream are only taken from a page of the same origin.
    pub fn allow_host(mut self, name: impl Into<String>) -> Admin {
        self.access.allow_host(name.into());
        self
    }

    /// The routes, to nest into an application's own, or to merge where it has none of `/`, `/metrics`,
    /// `/assets/{name}` and those below `/api/system/`: axum panics at two of one path. Without a token they
    /// answer only clients whose loopback address the server tells:
    ///
    /// ```no_run
    /// # async fn run(monitor: plimsoll::Monitor) -> std::io::Result<()> {
    /// use std::net::SocketAddr;
    ///
    /// let app = axum::Router::new().nest("/admin", plimsoll::http::router(monitor));
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    ///
    /// Timeouts of connections and their number are the application's server's; [`serve`](Self::serve)
    /// bounds both.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        routes::router(self)
    }

    /// Serves on a thread of its own, named `plimsoll-http`, with memory of its own, until the server
    /// is dropped: it answers while all other threads are busy, and while no memory is to be had. A
    /// second thread, `plimsoll-caches`, asks the program's caches what they hold, so that one that waits
    /// for a lock holds up nothing.
    ///
    /// `address` is an IP address and a port, as `127.0.0.1:9090` or `[::1]:0`: names are not looked up.
    /// With port 0 the system chooses one, which [`Server::address`] tells.
    ///
    /// # Errors
    ///
    /// An address that cannot be read or listened on; one that others can reach, and no token; no
    /// thread.
    pub fn serve(&self, address: &str) -> Result<Server, ServeError> {
        Server::start(self, address)
    }

    /// [`serve`](Self::serve) on a socket that listens already: one that the service manager opened, or
    /// that the image before this one [handed over](crate::Monitor::hand_over), so that dashboards find
    /// the port open over a restart. [`Monitor::hand_over`](crate::Monitor::hand_over) shows where the new
    /// image finds it, beside the service's own.
    ///
    /// ```no_run
    /// use plimsoll::http::Admin;
    /// use std::net::TcpListener;
    ///
    /// # fn serve(monitor: plimsoll::Monitor, inherited: Option<TcpListener>) -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = match inherited {
    ///     Some(listener) => listener,
    ///     None => TcpListener::bind("127.0.0.1:9090")?,
    /// };
    /// monitor.hand_over("admin", &listener)?;
    /// let server = Admin::new(monitor).serve_on(listener)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A socket that is none of the internet's; one that others can reach, and no token; no thread.
    pub fn serve_on(&self, listener: TcpListener) -> Result<Server, ServeError> {
        Server::on(self, listener)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("monitor", &self.monitor)
            .field("requests", &self.requests)
            .field("has_token", &self.access.has_token())
            .finish_non_exhaustive()
    }
}
