//! How requests are, by route.

use crate::http::requests::{RequestLayer, RouteFigures};
use serde::Serialize;
use utoipa::ToSchema;

/// How requests are, by route.
#[derive(Serialize, ToSchema)]
pub(crate) struct Performance {
    /// Requests that take longer are slow.
    slow_seconds: f64,
    /// Requests that take longer are very slow.
    very_slow_seconds: f64,
    /// Sorted by template and method; empty without a request layer.
    routes: Vec<RoutePerformance>,
}

/// One route since the program's start. Durations in seconds, up to the head of the response.
#[derive(Serialize, ToSchema)]
struct RoutePerformance {
    method: &'static str,
    route: String,
    count: u64,
    /// With a status of 500 or above, a panic, or a body that broke off.
    errors: u64,
    /// Whose client went away before the response; not in `count`.
    cancelled: u64,
    /// While load was shed; not in `count`.
    refused: u64,
    in_flight: u64,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
    /// Those included whose client had waited so long when it went away.
    slow: u64,
    very_slow: u64,
    /// By all requests.
    allocated_bytes: u64,
    allocations: u64,
    /// By one request.
    allocated_p50: u64,
    allocated_p99: u64,
    allocated_max: u64,
}

impl Performance {
    pub(crate) fn of(requests: Option<&RequestLayer>) -> Performance {
        let limits = requests.map(|requests| requests.settings().limits());
        let (slow, very_slow) = limits.unwrap_or_default();
        let routes = requests.map(RequestLayer::figures).unwrap_or_default();
        Performance {
            slow_seconds: slow.as_secs_f64(),
            very_slow_seconds: very_slow.as_secs_f64(),
            routes: routes.into_iter().map(RoutePerformance::from).collect(),
        }
    }
}

impl From<RouteFigures> for RoutePerformance {
    fn from(figures: RouteFigures) -> RoutePerformance {
        RoutePerformance {
            method: figures.method,
            route: figures.route,
            count: figures.count,
            errors: figures.errors,
            cancelled: figures.cancelled,
            refused: figures.refused,
            in_flight: figures.in_flight,
            mean: figures.mean,
            p50: figures.p50,
            p95: figures.p95,
            p99: figures.p99,
            max: figures.max,
            slow: figures.slow,
            very_slow: figures.very_slow,
            allocated_bytes: figures.allocated_bytes,
            allocations: figures.allocations,
            allocated_p50: figures.allocated_p50,
            allocated_p99: figures.allocated_p99,
            allocated_max: figures.allocated_max,
        }
    }
}
