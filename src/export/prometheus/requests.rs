//! Requests by route: a bounded number of templates, so a bounded number of series.

use super::family::{Families, In, Labels};
use crate::http::{BOUNDS, RequestLayer, RouteFigures};
use std::fmt;

pub(super) fn encode(families: &mut Families<'_>, layer: &RequestLayer) -> fmt::Result {
    let routes = layer.figures();
    families.histograms(
        "plimsoll_http_request_duration",
        "From a request's arrival at the layer to the head of its response.",
        In::Seconds,
        routes
            .iter()
            .map(|route| (labels(route), (route.seconds, route.count, buckets(route)))),
    )?;
    families.gauges(
        "plimsoll_http_requests_in_flight",
        "Requests under way.",
        In::Number,
        routes.iter().map(|route| (labels(route), route.in_flight)),
    )?;
    type Counter = (&'static str, &'static str, In, fn(&RouteFigures) -> u64);
    let counters: [Counter; 5] = [
        (
            "plimsoll_http_request_errors",
            "Requests answered with a status of 500 or above.",
            In::Number,
            |route| route.errors,
        ),
        (
            "plimsoll_http_requests_refused",
            "Requests refused while load was shed.",
            In::Number,
            |route| route.refused,
        ),
        (
            "plimsoll_http_requests_cancelled",
            "Requests whose client went away before the response.",
            In::Number,
            |route| route.cancelled,
        ),
        (
            "plimsoll_http_request_allocated",
            "Bytes that requests allocated.",
            In::Bytes,
            |route| route.allocated_bytes,
        ),
        (
            "plimsoll_http_request_allocations",
            "Allocations by requests.",
            In::Number,
            |route| route.allocations,
        ),
    ];
    for (name, help, unit, value) in counters {
        families.counters(
            name,
            help,
            unit,
            routes.iter().map(|route| (labels(route), value(route))),
        )?;
    }
    let (slow, very_slow) = layer.settings().limits();
    let over = [slow, very_slow].map(|limit| limit.as_secs_f64().to_string());
    let slow = routes.iter().flat_map(|route| {
        let [method, template] = labels(route);
        [(&over[0], route.slow), (&over[1], route.very_slow)]
            .map(|(over, count)| ([method, template, ("over_seconds", over.as_str())], count))
    });
    families.counters(
        "plimsoll_http_requests_slow",
        "Requests that took longer than so many seconds.",
        In::Number,
        slow,
    )
}

fn labels(route: &RouteFigures) -> Labels<'_, 2> {
    [("method", route.method), ("route", &route.route)]
}

/// One after the other: the library adds them up.
fn buckets(route: &RouteFigures) -> Vec<(f64, u64)> {
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    bounds.zip(route.buckets).collect()
}
