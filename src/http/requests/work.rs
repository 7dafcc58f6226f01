//! A request under way, from its arrival to the end of its response's body.

use super::carried::{Carried, inside};
use super::layer::Shared;
use super::route::{End, Outcome};
use super::routes::Place;
use super::tally::Tally;
use crate::caught::caught;
use axum::http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Noted when it is dropped: at the end of the body, or when the client has gone away.
pub(super) struct Work {
    shared: Arc<Shared>,
    place: Place,
    begun: Instant,
    tally: Tally,
    carried: Option<Arc<Carried>>,
    head: Option<Head>,
    /// It did not come to its end by itself.
    has_failed: bool,
}

/// The head of the response.
#[derive(Clone, Copy)]
struct Head {
    status: StatusCode,
    duration: Duration,
}

impl Work {
    pub(super) fn begin(shared: Arc<Shared>, place: Place) -> Work {
        place.route().in_flight.fetch_add(1, Ordering::Relaxed);
        Work {
            shared,
            place,
            begun: Instant::now(),
            tally: Tally::default(),
            carried: None,
            head: None,
            has_failed: false,
        }
    }

    /// Runs a part of it on this thread.
    pub(super) fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        let carried = &mut self.carried;
        // It stays so when the part unwinds.
        self.has_failed = true;
        let result = self.tally.around(|| inside(carried, part));
        self.has_failed = false;
        result
    }

    /// The service or the body gave an error instead of what was to come.
    pub(super) fn fail(mut self) {
        self.has_failed = true;
    }

    /// The response has begun: answers after how long.
    pub(super) fn answered(&mut self, status: StatusCode) -> Duration {
        let duration = self.begun.elapsed();
        self.head = Some(Head { status, duration });
        duration
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let route = self.place.route();
        route.in_flight.fetch_sub(1, Ordering::Relaxed);
        let status = self.head.map(|head| head.status);
        let duration = self
            .head
            .map_or_else(|| self.begun.elapsed(), |head| head.duration);
        let end = match status {
            _ if self.has_failed => End::Failed,
            Some(status) if status.is_server_error() => End::Failed,
            Some(_) => End::Answered,
            None => End::Cancelled,
        };
        if let Some(carried) = &self.carried {
            self.tally.add(carried.tally());
        }
        let settings = &self.shared.settings;
        let outcome = Outcome {
            duration,
            tally: self.tally,
            end,
            is_slow: duration > settings.slow,
            is_very_slow: duration > settings.very_slow,
        };
        route.note(&outcome);
        if outcome.is_slow || outcome.is_very_slow {
            // A handler that panics drops this, and a log that panics then would end the process.
            caught(|| self.tell(&outcome, status));
        }
    }
}

impl Work {
    #[cold]
    fn tell(&self, outcome: &Outcome, status: Option<StatusCode>) {
        let (method, route) = (self.place.method(), self.place.template());
        let (status, end) = (status.map(|status| status.as_u16()), outcome.end.as_str());
        let seconds = outcome.duration.as_secs_f64();
        let Tally { bytes, allocations } = outcome.tally;
        if outcome.is_very_slow {
            tracing::error!(
                method,
                route,
                status,
                end,
                seconds,
                allocated_bytes = bytes,
                allocations,
                "very slow request"
            );
        } else {
            tracing::warn!(
                method,
                route,
                status,
                end,
                seconds,
                allocated_bytes = bytes,
                allocations,
                "slow request"
            );
        }
    }
}
