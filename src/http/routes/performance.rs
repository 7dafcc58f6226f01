//! How requests are; and everything, for Prometheus.

use super::ok;
use crate::http::admin::Admin;
use crate::http::answer::performance::Performance;
use axum::extract::State;
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
