//! The surface that people see: endpoints, a live stream, metrics, a dashboard, and the request layer.
//!
//! From nothing to a graph in the browser:
//!
//! ```no_run
//! #[global_allocator]
//! static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let monitor = plimsoll::Monitor::builder().start()?;
//!     let _server = plimsoll::http::serve(monitor, "127.0.0.1:9090")?;
//!     // … and what the program is for.
//!     Ok(())
//! }
//! ```
//!
//! # Routes
//!
//! | route | what |
//! |---|---|
//! | `GET /` | the dashboard |
//! | `GET /api/system/memory-stats` | heap, allocator, process, limit, level |
//! | `GET /api/system/memory-details` | and diagnosis, threads, caches, history, ledger, events, options |
//! | `GET /api/system/memory/leak-analysis` | the verdict |
//! | `POST /api/system/memory/optimize` | carries out the optimising actions, and answers their rows |
//! | `POST /api/system/memory/drill` | pretends a pressure |
//! | `GET /api/system/auto-restart/status` | policy, cooldown, budget, restarts |
//! | `POST /api/system/auto-restart/config` | changes the policy |
//! | `POST /api/system/auto-restart/restart` | restarts, through the drain |
//! | `GET /api/system/performance` | requests by route |
//! | `GET /api/system/live` | WebSocket: a message a second, and every event |
//! | `GET /api/system/openapi.json` | all of this, for programs |
//! | `GET /metrics` | for Prometheus, with the feature `prometheus` |
//!
//! Errors are problem details of RFC 9457. Who may ask is told in [`Admin`](Admin#who-may-ask).
//!
//! # Requests
//!
//! [`RequestLayer`] is a tower layer around the application's own routes: response times and the bytes
//! that requests allocate, by route; slow requests in the log; `X-Memory-Usage` and `Server-Timing`;
//! 503 with `Retry-After` while the monitor sheds load.

// | file | its one idea |
// |---|---|
// | `admin` | the surface of one program |
// | `access` | who may ask, and who may command |
// | `routes` | what is asked |
// | `answer` | what is answered |
// | `problem` | what is wrong with a request |
// | `caches` | what the program's caches say, if they say it in time |
// | `live` | one sample a second, to any number of clients |
// | `page` | the dashboard and its assets |
// | `server` | a thread and a runtime of its own |
// | `reserve` | memory of its own |
// | `requests` | the request layer |

mod access;
mod admin;
mod answer;
mod caches;
mod live;
mod page;
mod problem;
mod requests;
mod reserve;
mod routes;
mod server;

pub use access::TokenError;
pub use admin::Admin;
#[cfg(fuzzing)]
pub use answer::restart::fuzz_parse as fuzz_policy;
pub use requests::{
    BOUNDS, Carry, Measured, RequestFuture, RequestLayer, RequestService, RequestSettings,
    RouteFigures, carry, carry_future,
};
pub use server::{ServeError, Server};

use crate::governor::Monitor;
use std::sync::Arc;

/// The routes of [`Admin`] with all settings at their defaults, to nest into an application's own router, or to
/// merge into one that has none of them (see [`Admin::router`]).
pub fn router<S>(monitor: impl Into<Arc<Monitor>>) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Admin::new(monitor).router()
}

/// Serves [`Admin`] with all settings at their defaults, on a thread and a port of its own, until the
/// [`Server`] is dropped.
///
/// # Errors
///
/// As [`Admin::serve`].
pub fn serve(monitor: impl Into<Arc<Monitor>>, address: &str) -> Result<Server, ServeError> {
    Admin::new(monitor).serve(address)
}
