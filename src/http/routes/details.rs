//! Everything that is known, written once for many.
//!
//! Dashboards ask for it whenever something happens, all of them at once. A thousand copies of some
//! hundred KiB would be what a program that is short of memory needs least, so who asks at nearly the
//! same time gets the same bytes.

use super::{json, written};
use crate::http::admin::Admin;
use crate::http::answer::memory::MemoryDetails;
use crate::http::problem::Problem;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// As long as nothing happens. A tenth of what lies between two looks of the monitor's at the parts.
const FRESH: Duration = Duration::from_millis(100);

/// What was answered last.
#[derive(Clone, Default)]
pub(super) struct Details(Arc<Mutex<Option<Written>>>);

struct Written {
    at: Instant,
    /// So many events there were before.
    events: u64,
    body: Bytes,
}

impl Details {
    /// Who comes while it is written waits for it.
    async fn of(&self, admin: &Admin) -> Result<Bytes, Problem> {
        let mut last = self.0.lock().await;
        let events = admin.monitor.event_count();
        if let Some(last) = &*last
            && last.events == events
            && last.at.elapsed() < FRESH
        {
            return Ok(last.body.clone());
        }
        // The old one is not needed any more.
        *last = None;
        let caches = admin.caches.ask().await;
        let at = Instant::now();
        let body = written(&MemoryDetails::of(&admin.monitor, caches))?;
        *last = Some(Written {
            at,
            events,
            body: body.clone(),
        });
        Ok(body)
    }
}

/// Everything that is known: and diagnosis, threads, caches, history, ledger, events and options.
///
/// At most a tenth of a second old, and never older than the last event.
#[utoipa::path(
    get,
    path = "/api/system/memory-details",
    responses((status = 200, body = MemoryDetails))
)]
pub(super) async fn details(
    State(admin): State<Admin>,
    State(details): State<Details>,
) -> Result<Response, Problem> {
    details.of(&admin).await.map(json)
}
