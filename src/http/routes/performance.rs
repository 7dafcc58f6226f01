//! How requests are; and everything, for Prometheus.

use super::ok;
#[cfg(feature = "prometheus")]
use crate::export::prometheus::{CONTENT_TYPE, Exporter};
use crate::http::admin::Admin;
use crate::http::answer::performance::Performance;
use axum::extract::State;
#[cfg(feature = "prometheus")]
use axum::http::{HeaderValue, header};
#[cfg(feature = "prometheus")]
use axum::response::IntoResponse;
use axum::response::Response;

/// Response times and allocated bytes, by route.
#[utoipa::path(
    get,
    path = "/api/system/performance",
    responses((status = 200, body = Performance))
)]
pub(super) async fn performance(State(admin): State<Admin>) -> Response {
    ok(&Performance::of(admin.requests.as_ref()))
}

/// All figures, for Prometheus.
#[cfg(feature = "prometheus")]
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, body = String, content_type = CONTENT_TYPE))
)]
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    let said = admin.caches.ask().await;
    // What is not known is left out.
    let caches = match said.is_late {
        true => Vec::new(),
        false => said.caches,
    };
    let exporter = Exporter::new(admin.monitor).with_caches(caches);
    let exporter = match &admin.requests {
        Some(layer) => exporter.requests(layer),
        None => exporter,
    };
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], exporter.scrape()).into_response()
}
