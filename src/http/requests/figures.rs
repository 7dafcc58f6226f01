//! What is known of each route, for who asks.

use std::time::Duration;

/// The upper bounds of a route's duration buckets, in seconds: those that OpenTelemetry advises for
/// `http.server.request.duration` (semantic conventions, HTTP metrics). One bucket more has none.
pub const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// One route by its template and method, since the layer was made.
///
/// Durations run from the request's arrival at the layer to the head of its response, in seconds, and
/// are known to two digits; the largest is exact to the microsecond. Bytes are what the request
/// allocated, up to the end of its response's body; those whose client went away included.
///
/// ```no_run
/// use plimsoll::http::BOUNDS;
///
/// # fn told(layer: &plimsoll::http::RequestLayer) {
/// for route in layer.figures() {
///     let buckets = route.buckets.iter().zip(BOUNDS);
///     let fast: u64 = buckets.filter(|(_, most)| *most <= 0.1).map(|(count, _)| count).sum();
///     println!("{} {}: {fast} of {} within 0.1 s", route.method, route.route, route.count);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteFigures {
    /// `GET`, or `OTHER` for a method that HTTP does not define.
    pub method: &'static str,
    /// The template, as `/children/{id}`; `(unmatched)` for what no route matched, `(other)` for those
    /// beyond the 256 that are kept.
    pub route: String,
    /// Requests that were answered, or failed.
    pub count: u64,
    /// Those of them that failed: with a status of 500 or above, with none since the handler panicked
    /// or the service gave an error, or with a body that broke off.
    pub errors: u64,
    /// Requests whose client went away before the head of a response. Not in `count`.
    pub cancelled: u64,
    /// Requests refused while load was shed. Not in `count`.
    pub refused: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// The mean duration, in seconds.
    pub mean: f64,
    /// Half took at most this long, in seconds.
    pub p50: f64,
    /// 95 in 100 took at most this long, in seconds.
    pub p95: f64,
    /// 99 in 100 took at most this long, in seconds.
    pub p99: f64,
    /// The longest, in seconds.
    pub max: f64,
    /// Requests that took longer than the first limit, by default a second, or whose client had waited
    /// for longer when it went away.
    pub slow: u64,
    /// The same of the second limit, by default five seconds.
    pub very_slow: u64,
    /// Bytes allocated by all requests.
    pub allocated_bytes: u64,
    /// Allocations by all requests, reallocations included.
    pub allocations: u64,
    /// Half of the requests allocated at most so many bytes.
    pub allocated_p50: u64,
    /// 99 in 100 allocated at most so many bytes.
    pub allocated_p99: u64,
    /// The most bytes that one allocated.
    pub allocated_max: u64,
    /// The sum of all durations, in seconds.
    pub seconds: f64,
    /// How many requests took at most each of [`BOUNDS`] and more than the one before.
    pub buckets: [u64; BOUNDS.len() + 1],
}

/// The place of a duration in [`RouteFigures::buckets`].
pub(super) fn bucket(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    BOUNDS.partition_point(|&bound| bound < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::from_millis(5)), 0);
        assert_eq!(bucket(Duration::from_micros(5_001)), 1);
        assert_eq!(bucket(Duration::from_secs(10)), 13);
        assert_eq!(bucket(Duration::from_secs(11)), 14);
    }
}
