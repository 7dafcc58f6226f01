//! The routes.

use crate::pages::Key;
use crate::store::CHILDREN;
use crate::{App, admin, gate, report};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use plimsoll::http::carry;
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/api/children", get(children))
        .route("/api/staff", get(staff))
        .route("/api/attendance", get(attendance))
        .route("/api/settings", get(settings))
        .route("/api/reports/nightly", post(nightly))
        .layer(app.requests.clone())
        .merge(admin(&app).router())
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&app.gate),
            gate::attend,
        ))
        .with_state(app)
}

type Fields = Query<HashMap<String, String>>;

async fn children(State(app): State<Arc<App>>, Query(fields): Fields) -> Result<Response, Problem> {
    let pages = |limit| CHILDREN.div_ceil(limit);
    let limit = whole(&fields, "limit", 50, 1, 500)?;
    let page = whole(&fields, "page", 1, 1, pages(limit))?;
    let key = Key { page, limit };
    let json = match app.pages.get(key) {
        Some(json) => json,
        None => {
            let from = Arc::clone(&app);
            let items = reading(move || from.store.children((page - 1) * limit, limit)).await?;
            let body = json!({ "items": items, "total": CHILDREN, "page": page, "limit": limit });
            let json = body.to_string();
            app.pages.put(key, json.clone());
            json
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

async fn staff(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    items(reading(move || app.store.staff()).await?)
}

async fn attendance(
    State(app): State<Arc<App>>,
    Query(fields): Fields,
) -> Result<Response, Problem> {
    let date = fields.get("date").map_or("", String::as_str).to_owned();
    if !is_date(&date) {
        return Err(Problem::field("date", &date, "a day, as 2026-06-15"));
    }
    items(reading(move || app.store.attendance(&date)).await?)
}

async fn settings(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    items(reading(move || app.store.settings()).await?)
}

async fn nightly(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let report = reading(move || report::nightly(&app.store)).await?;
    Ok(Json(report).into_response())
}

fn items<T: Serialize>(items: Vec<T>) -> Result<Response, Problem> {
    let total = items.len();
    Ok(Json(json!({ "items": items, "total": total })).into_response())
}

/// Runs a query where it may wait for the disk, on account of the request.
async fn reading<T: Send + 'static>(
    query: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(carry(query)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Problem::internal(error.to_string())),
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}

fn whole(
    fields: &HashMap<String, String>,
    name: &'static str,
    default: u32,
    least: u32,
    most: u32,
) -> Result<u32, Problem> {
    let Some(value) = fields.get(name) else {
        return Ok(default);
    };
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Problem::field(
            name,
            value,
            &format!("a whole number from {least} to {most}"),
        )),
    }
}

/// A day that the calendar has, as `2026-06-15`.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return false;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse().unwrap_or(0);
    let year: u32 = number(0..4);
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days = match number(5..7) {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&number(8..10))
}

/// What is wrong with a request, or with us.
pub struct Problem {
    status: StatusCode,
    body: serde_json::Value,
}

impl Problem {
    fn field(name: &str, value: &str, expected: &str) -> Problem {
        Problem {
            status: StatusCode::BAD_REQUEST,
            body: json!({ "field": name, "value": value, "expected": expected }),
        }
    }

    fn internal(detail: String) -> Problem {
        tracing::error!(detail, "a request failed");
        Problem {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: json!({ "detail": "the request failed; see the log" }),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
