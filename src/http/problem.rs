//! What is wrong with a request: problem details of RFC 9457, which name the field.

use axum::http::{HeaderValue, StatusCode, header, response};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;

pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What is wrong with a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// No page explains it beyond this text.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// What was wrong, and what was expected.
    detail: Cow<'static, str>,
    /// All fields that are wrong, not only the first.
    errors: Vec<FieldFault>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldFault {
    /// Which, with dots between levels.
    pub(super) field: String,
    /// What it was.
    pub(super) value: String,
    /// What it may be.
    pub(super) expected: Cow<'static, str>,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldFault {
            field,
            value,
            expected,
        } = self;
        write!(f, "`{field}` is {value}: expected {expected}")
    }
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// All faults of the fields of a body, at least one.
    pub(super) fn fields(errors: Vec<FieldFault>) -> Problem {
        let detail = match errors.as_slice() {
            [one] => one.to_string(),
            all => format!("{} fields are wrong", all.len()),
        };
        Problem {
            errors,
            ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    pub(super) fn into_parts(self) -> (response::Parts, Bytes) {
        let json = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"plimsoll\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        (response.into_parts().0, Bytes::from(json))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (parts, body) = self.into_parts();
        Response::from_parts(parts, body.into())
    }
}
