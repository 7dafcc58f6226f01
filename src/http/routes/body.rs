//! The body of a command: small, in time, and JSON.

use crate::http::problem::Problem;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::time::Duration;

/// A policy in full takes 500 bytes.
const MOST_BYTES: usize = 16 * 1024;

/// A command is sent in one piece: who takes longer holds up a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body's value; an empty object where there is no body.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
    let told = headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is too large: expected at most {MOST_BYTES} bytes"),
        )
    };
    if told.is_some_and(|length| length > MOST_BYTES as u64) {
        return Err(too_large());
    }
    let bytes = match tokio::time::timeout(PATIENCE, to_bytes(body, MOST_BYTES)).await {
        Ok(Ok(bytes)) => bytes,
        // Too many, or cut off, which nobody hears.
        Ok(Err(_)) => return Err(too_large()),
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come: expected it within 5 s",
            ));
        }
    };
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is {kind:?}: expected application/json"),
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not JSON: {error}"),
        )
    })
}

/// For commands that have none.
pub(super) async fn expect_none(headers: &HeaderMap, body: Body) -> Result<(), Problem> {
    match read(headers, body).await? {
        Value::Object(fields) if fields.is_empty() => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this command takes no fields: expected an empty body or an empty object",
        )),
    }
}
