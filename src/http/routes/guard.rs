//! Around every route: who may pass, and what every answer carries.

use crate::http::admin::Admin;
use crate::http::problem::{self, Problem};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;

pub(super) async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| *peer);
    let (parts, body) = request.into_parts();
    let mut response = match admin.access.judge(&parts, parts.uri.path(), peer) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    };
    if is_unexplained(&response) {
        response = explained(response);
    }
    protect(response.headers_mut());
    response
}

/// An error of the framework's, in its own words or none.
fn is_unexplained(response: &Response) -> bool {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    is_error && kind != Some(&problem::CONTENT_TYPE)
}

fn explained(response: Response) -> Response {
    let (parts, _) = response.into_parts();
    let detail = match parts.status {
        StatusCode::NOT_FOUND => "there is no such route; those that there are: openapi.json",
        StatusCode::METHOD_NOT_ALLOWED => "the route does not take this method: see `Allow`",
        StatusCode::UPGRADE_REQUIRED | StatusCode::BAD_REQUEST => {
            "the request is not a WebSocket's handshake"
        }
        _ => "the request makes no sense",
    };
    let mut explained = Problem::new(parts.status, detail).into_response();
    for name in [header::ALLOW, header::UPGRADE, header::CONNECTION] {
        if let Some(value) = parts.headers.get(&name) {
            explained.headers_mut().insert(name, value.clone());
        }
    }
    explained
}

/// No other site is to read, frame or guess at anything here.
fn protect(headers: &mut HeaderMap) {
    const FIXED: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
