//! The layer and its settings.

use super::figures::RouteFigures;
use super::headers::Headers;
use super::routes::Routes;
use super::service::RequestService;
use crate::governor::Monitor;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tower::Layer;

/// By these paths a program is watched: they are answered while load is shed. The names are those
/// that orchestrators and load balancers are commonly set to.
const WATCHED_BY: [&str; 8] = [
    "/health",
    "/healthz",
    "/live",
    "/livez",
    "/metrics",
    "/ready",
    "/readyz",
    "/startupz",
];

/// Below it is what the admin surface answers.
const SURFACE: &str = "/api/system/";

/// Who says what a route is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// A template.
    Program,
    /// The path that was asked for.
    Client,
}

/// What a [`RequestLayer`] does.
///
/// ```
/// # use std::sync::Arc;
/// use plimsoll::http::{RequestLayer, RequestSettings};
/// use std::time::Duration;
///
/// # fn layer(monitor: Arc<plimsoll::Monitor>) -> RequestLayer {
/// let settings = RequestSettings::default()
///     .slow(Duration::from_millis(300))
///     .exempt("/internal/health");
/// RequestLayer::with(monitor, settings)
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until they are given to `RequestLayer::with`"]
pub struct RequestSettings {
    pub(super) slow: Duration,
    pub(super) very_slow: Duration,
    pub(super) retry_after: Duration,
    pub(super) exempt: Vec<String>,
    pub(super) headers: bool,
    pub(super) by_path: bool,
}

impl Default for RequestSettings {
    /// Slow from 1 s and very slow from 5 s on, as TotHub's response-time tracking had it.
    fn default() -> RequestSettings {
        RequestSettings {
            slow: Duration::from_secs(1),
            very_slow: Duration::from_secs(5),
            retry_after: Duration::from_secs(5),
            exempt: Vec::new(),
            headers: true,
            by_path: false,
        }
    }
}

impl RequestSettings {
    /// Requests that take longer are logged as warnings; by default a second.
    pub fn slow(mut self, time: Duration) -> RequestSettings {
        self.slow = time;
        self
    }

    /// Requests that take longer are logged as errors; by default five seconds.
    pub fn very_slow(mut self, time: Duration) -> RequestSettings {
        self.very_slow = time;
        self
    }

    /// When a client that was refused may come again, told in whole seconds, rounded up; by default 5.
    pub fn retry_after(mut self, time: Duration) -> RequestSettings {
        self.retry_after = time;
        self
    }

    /// Load is not shed on this route, named by its template. `/health`, `/healthz`, `/live`,
    /// `/livez`, `/ready`, `/readyz`, `/startupz`, `/metrics` and all below `/api/system/` are exempt
    /// as they are, the last two also where they are nested under some prefix (but not with
    /// [`by_path`](Self::by_path), where a client could name any). The dashboard's page is
    /// not, where this layer stands around it: it is named here by where it was nested, as `/admin`.
    pub fn exempt(mut self, route: impl Into<String>) -> RequestSettings {
        self.exempt.push(route.into());
        self
    }

    /// Gives responses neither `X-Memory-Usage` nor `Server-Timing`, as for clients that are not to
    /// know.
    pub fn without_headers(mut self) -> RequestSettings {
        self.headers = false;
        self
    }

    /// Takes the request's path for its route, where there is no axum router: for services whose
    /// paths are few, as gRPC's are.
    pub fn by_path(mut self) -> RequestSettings {
        self.by_path = true;
        self
    }

    /// The limits above which requests are slow and very slow.
    #[must_use]
    pub fn limits(&self) -> (Duration, Duration) {
        (self.slow, self.very_slow)
    }

    pub(super) fn is_exempt(&self, route: &str, named_by: NamedBy) -> bool {
        let is_surface = match named_by {
            // Under whatever prefix it was nested.
            NamedBy::Program => route.contains(SURFACE) || route.ends_with("/metrics"),
            // Who sends any path could have any request exempt.
            NamedBy::Client => route.starts_with(SURFACE),
        };
        is_surface
            || WATCHED_BY.contains(&route)
            || self.exempt.iter().any(|exempt| exempt == route)
    }
}

/// Measures requests, sheds load, and tells both: see the [module](crate::http#requests).
///
/// ```no_run
/// # use std::sync::Arc;
/// # fn app(monitor: Arc<plimsoll::Monitor>) -> axum::Router {
/// use plimsoll::http::{Admin, RequestLayer};
///
/// let requests = RequestLayer::new(Arc::clone(&monitor));
/// axum::Router::new()
///     .route("/children", axum::routing::get(async || "…"))
///     .layer(requests.clone())
///     .merge(Admin::new(monitor).requests(&requests).router())
/// # }
/// ```
///
/// A route's template is known inside the router alone, so the layer is one of the router's own, as
/// here: around the router every request is `(unmatched)`. What is merged after it is not measured.
///
/// # Cost
///
/// Some 0.3 µs for a request and no allocation, once each of its routes has been asked for; see the
/// benchmark `requests`.
#[derive(Clone)]
pub struct RequestLayer {
    pub(super) shared: Arc<Shared>,
}

/// What the layer, its services and the requests under way all reach.
pub(super) struct Shared {
    pub(super) monitor: Arc<Monitor>,
    pub(super) settings: RequestSettings,
    pub(super) routes: Routes,
    pub(super) headers: Headers,
}

impl RequestLayer {
    /// Measures with settings at their defaults, and sheds load as this monitor says.
    pub fn new(monitor: impl Into<Arc<Monitor>>) -> RequestLayer {
        RequestLayer::with(monitor, RequestSettings::default())
    }

    /// [`new`](Self::new) with settings of one's own.
    pub fn with(monitor: impl Into<Arc<Monitor>>, settings: RequestSettings) -> RequestLayer {
        RequestLayer {
            shared: Arc::new(Shared {
                monitor: monitor.into(),
                settings,
                routes: Routes::new(),
                headers: Headers::new(),
            }),
        }
    }

    /// What is known of each route, sorted by template, and by method: `GET`, `POST`, `PUT`, `DELETE` and so
    /// on; what is beyond the kept ones last. Allocates, and reads the histograms
    /// of every route: for a page, not for every request.
    #[must_use]
    pub fn figures(&self) -> Vec<RouteFigures> {
        self.shared.routes.figures()
    }

    /// The settings that are in force.
    pub fn settings(&self) -> &RequestSettings {
        &self.shared.settings
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService::new(inner, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for RequestLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLayer")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_is_watched_by_is_never_shed() {
        let settings = RequestSettings::default().exempt("/");
        for route in [
            "/health",
            "/metrics",
            "/api/system/memory-stats",
            "/admin/api/system/live",
            "/admin/metrics",
            "/",
        ] {
            assert!(settings.is_exempt(route, NamedBy::Program), "{route}");
        }
        for route in [
            "/api/children",
            "/patients/health",
            "/api/systems",
            "(unmatched)",
        ] {
            assert!(!settings.is_exempt(route, NamedBy::Program), "{route}");
        }
        // A client that names its routes itself exempts none.
        for path in ["/work/api/system/x", "/work/metrics"] {
            assert!(!settings.is_exempt(path, NamedBy::Client), "{path}");
        }
        for path in ["/metrics", "/health", "/api/system/live", "/"] {
            assert!(settings.is_exempt(path, NamedBy::Client), "{path}");
        }
    }
}
