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
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// As long as nothing happens. A tenth of what lies between two looks of the monitor's at the parts.
const FRESH: Duration = Duration::from_millis(100);

/// Answers that are on their way at once, at the most, each for any number of clients. Some MiB.
const MOST_UNDER_WAY: usize = 16;

/// What was answered last, and what is on its way.
#[derive(Clone, Default)]
pub(super) struct Details(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    last: Option<Written>,
    under_way: UnderWay,
}

struct Written {
    at: Instant,
    /// So many events there were before.
    events: u64,
    body: Bytes,
}

/// Answers that some client has not taken yet. One who takes a byte now and then holds the memory of a whole
/// answer, and another each time that it asks.
#[derive(Default)]
struct UnderWay(Vec<Bytes>);

impl UnderWay {
    /// Whether there is room for one more.
    fn has_room(&mut self) -> bool {
        // Nobody else has it any more.
        self.0.retain(|body| !body.is_unique());
        self.0.len() < MOST_UNDER_WAY
    }

    fn add(&mut self, body: &Bytes) {
        self.0.push(body.clone());
    }
}

impl Details {
    /// Who comes while it is written waits for it.
    async fn of(&self, admin: &Admin) -> Result<Bytes, Problem> {
        let mut answers = self.0.lock().await;
        let events = admin.monitor.event_count();
        if let Some(last) = &answers.last
            && last.events == events
            && last.at.elapsed() < FRESH
        {
            return Ok(last.body.clone());
        }
        // The old one is not needed any more.
        answers.last = None;
        if !answers.under_way.has_room() {
            let why = "too many answers are on their way to clients that do not take them";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
        }
        let caches = admin.caches.ask().await;
        let at = Instant::now();
        let body = written(&MemoryDetails::of(&admin.monitor, caches))?;
        answers.under_way.add(&body);
        answers.last = Some(Written {
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
    responses(
        (status = 200, body = MemoryDetails),
        (status = 503, body = Problem, description = "Too many answers are on their way.")
    )
)]
pub(super) async fn details(
    State(admin): State<Admin>,
    State(details): State<Details>,
) -> Result<Response, Problem> {
    details.of(&admin).await.map(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_taken_make_room_for_others() {
        let mut under_way = UnderWay::default();
        let bodies: Vec<Bytes> = (0..MOST_UNDER_WAY)
            .map(|number| Bytes::from(vec![number as u8; 100]))
            .collect();
        for body in &bodies {
            assert!(under_way.has_room());
            under_way.add(body);
        }
        assert!(!under_way.has_room());
        // Two clients have the same one: both have to take it.
        let other = bodies[3].clone();
        drop(bodies);
        assert!(under_way.has_room());
        assert_eq!(under_way.0.len(), 1);
        drop(other);
        assert!(under_way.has_room());
        assert!(under_way.0.is_empty());
    }
}
