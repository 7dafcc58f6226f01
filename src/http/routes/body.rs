//! The body of a command: small, in time, and JSON.

use crate::http::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Context;
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
    let bytes = match tokio::time::timeout(PATIENCE, whole(body)).await {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Ok(None)) => return Err(too_large()),
        Ok(Err(error)) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the body breaks off: {error}"),
            ));
        }
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

/// `None` when there is more of it than may be.
async fn whole(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut bytes = Vec::new();
    loop {
        let next = |context: &mut Context<'_>| Pin::new(&mut body).poll_frame(context);
        let frame = match poll_fn(next).await {
            Some(frame) => frame?,
            None => return Ok(Some(bytes)),
        };
        let data = frame.into_data().unwrap_or_default();
        if bytes.len() + data.len() > MOST_BYTES {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
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
