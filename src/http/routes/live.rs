//! The live stream's handshake.

use crate::http::live::Live;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;

/// A message a second, and every event, over a WebSocket that only listens.
#[utoipa::path(
    get,
    path = "/api/system/live",
    responses(
        (status = 101, description = "Text frames of JSON with a `type`: `hello` first, then \
            `sample` once a second, and `event` as it happens."),
        (status = 400, body = crate::http::problem::Problem, description = "Not a WebSocket.")
    )
)]
pub(super) async fn live(State(live): State<Live>, upgrade: WebSocketUpgrade) -> Response {
    live.answer(upgrade)
}
