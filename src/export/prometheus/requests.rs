//! Requests by route: a bounded number of templates, so a bounded number of series.

use super::family::{Families, In, Labels};
use crate::http::{BOUNDS, RequestLayer, RouteFigures};
use std::fmt;
use std::time::Duration;

pub(super) fn encode(families: &mut Families<'_>, layer: &RequestLayer) -> fmt::Result {
    by_route(families, &layer.figures(), layer.settings().limits())
}

/// `limits` are the times from which a request is slow, and very slow.
fn by_route(
    families: &mut Families<'_>,
    routes: &[RouteFigures],
    limits: (Duration, Duration),
) -> fmt::Result {
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
            "Requests that failed: a status of 500 or above, a panic, or a body that broke off.",
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
    let over = <[Duration; 2]>::from(limits).map(|limit| limit.as_secs_f64().to_string());
    let slow = routes.iter().flat_map(|route| {
        let [method, template] = labels(route);
        let counts = [(&over[0], route.slow), (&over[1], route.very_slow)];
        // With both limits the same it would be one series twice, which spoils the whole scrape.
        let limits = if over[0] == over[1] { 1 } else { 2 };
        counts
            .into_iter()
            .take(limits)
            .map(move |(over, count)| ([method, template, ("over_seconds", over.as_str())], count))
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

#[cfg(test)]
mod tests {
    use super::super::family::written;
    use super::*;

    fn route(route: &str) -> RouteFigures {
        let mut buckets = [0; BOUNDS.len() + 1];
        buckets[0] = 2;
        buckets[1] = 3;
        buckets[BOUNDS.len()] = 1;
        RouteFigures {
            method: "GET",
            route: route.to_owned(),
            count: 6,
            errors: 21,
            cancelled: 22,
            refused: 23,
            in_flight: 24,
            mean: 0.0,
            p50: 0.0,
            p95: 0.0,
            p99: 0.0,
            max: 0.0,
            slow: 25,
            very_slow: 26,
            allocated_bytes: 27,
            allocations: 28,
            allocated_p50: 0,
            allocated_p99: 0,
            allocated_max: 0,
            seconds: 12.5,
            buckets,
        }
    }

    #[test]
    fn a_buckets_sample_holds_all_that_took_at_most_so_long() {
        let limits = (Duration::from_millis(500), Duration::from_secs(5));
        let text = written(move |families| by_route(families, &[route("/a")], limits));
        let of = r#"method="GET",route="/a""#;
        for sample in [
            format!("request_duration_seconds_bucket{{le=\"0.005\",{of}}} 2"),
            format!("request_duration_seconds_bucket{{le=\"0.01\",{of}}} 5"),
            format!("request_duration_seconds_bucket{{le=\"10.0\",{of}}} 5"),
            format!("request_duration_seconds_bucket{{le=\"+Inf\",{of}}} 6"),
            format!("request_duration_seconds_count{{{of}}} 6"),
            format!("request_duration_seconds_sum{{{of}}} 12.5"),
            format!("request_errors_total{{{of}}} 21"),
            format!("requests_cancelled_total{{{of}}} 22"),
            format!("requests_refused_total{{{of}}} 23"),
            format!("requests_in_flight{{{of}}} 24"),
            format!("requests_slow_total{{{of},over_seconds=\"0.5\"}} 25"),
            format!("requests_slow_total{{{of},over_seconds=\"5\"}} 26"),
            format!("request_allocated_bytes_total{{{of}}} 27"),
            format!("request_allocations_total{{{of}}} 28"),
        ] {
            let line = format!("\nplimsoll_http_{sample}\n");
            assert!(text.contains(&line), "{sample} is not in\n{text}");
        }
    }

    #[test]
    fn two_limits_that_are_the_same_are_one_series() {
        let limits = (Duration::from_secs(5), Duration::from_secs(5));
        let text = written(move |families| by_route(families, &[route("/a"), route("/b")], limits));
        let slow = |line: &&str| line.starts_with("plimsoll_http_requests_slow_total{");
        assert_eq!(text.lines().filter(slow).count(), 2, "{text}");
    }

    #[test]
    fn a_hostile_route_stays_inside_its_label() {
        let hostile = "/\"} 1\nplimsoll_level 3 # \\";
        let limits = (Duration::from_secs(1), Duration::from_secs(5));
        let text = written(move |families| by_route(families, &[route(hostile)], limits));
        let label = r#"route="/\"} 1\nplimsoll_level 3 # \\""#;
        assert!(text.contains(label), "{text}");
        let own = |line: &str| line.starts_with('#') || line.starts_with("plimsoll_http_");
        assert!(text.lines().all(own), "{text}");
    }
}
