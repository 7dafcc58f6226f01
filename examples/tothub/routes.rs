//! The routes.

use crate::caches::{Page, Pages};
use crate::report::Report;
use crate::store::{CHILDREN, PRESENT_A_DAY, SETTINGS, STAFF};
use crate::{App, admin, gate};
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, TryStreamExt, stream};
use plimsoll::batch::StreamInBatches;
use plimsoll::http::carry;
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/api/children", get(children))
        .route("/api/children/export", get(export))
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
    let page = page(&fields, CHILDREN)?;
    let (store, children) = (Arc::clone(&app.store), &app.caches.children);
    listed(children, (), page, move || {
        let items = store.children(page.before(), page.limit)?;
        Ok((items, CHILDREN))
    })
    .await
}

async fn staff(State(app): State<Arc<App>>, Query(fields): Fields) -> Result<Response, Problem> {
    let page = page(&fields, STAFF)?;
    let store = Arc::clone(&app.store);
    listed(&app.caches.staff, (), page, move || {
        Ok((store.staff(page.before(), page.limit)?, STAFF))
    })
    .await
}

async fn attendance(
    State(app): State<Arc<App>>,
    Query(fields): Fields,
) -> Result<Response, Problem> {
    let date = fields.get("date").map_or("", String::as_str).to_owned();
    if !is_date(&date) {
        return Err(Problem::field("date", &date, "a day, as 2026-06-15"));
    }
    let page = page(&fields, PRESENT_A_DAY)?;
    let (store, day) = (Arc::clone(&app.store), date.clone());
    listed(&app.caches.attendance, date, page, move || {
        let items = store.attendance(&day, page.before(), page.limit)?;
        Ok((items, store.present(&day)?))
    })
    .await
}

async fn settings(State(app): State<Arc<App>>, Query(fields): Fields) -> Result<Response, Problem> {
    let page = page(&fields, SETTINGS)?;
    let store = Arc::clone(&app.store);
    listed(&app.caches.settings, (), page, move || {
        Ok((store.settings(page.before(), page.limit)?, SETTINGS))
    })
    .await
}

/// A page of a list, from its cache or from the database: one request asks, others wait for its answer.
async fn listed<Q, T>(
    pages: &Pages<Q>,
    query: Q,
    page: Page,
    read: impl FnOnce() -> rusqlite::Result<(Vec<T>, u32)> + Send + 'static,
) -> Result<Response, Problem>
where
    Q: Hash + Eq + Clone + Send + Sync + 'static,
    T: Serialize + Send + 'static,
{
    let Page { number, limit } = page;
    let body = reading(move || {
        let (items, total) = read()?;
        let body = json!({ "items": items, "total": total, "page": number, "limit": limit });
        Ok(Bytes::from(body.to_string()))
    });
    let json = pages.try_get_or_insert_async(&(query, page), body).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// The page that is asked for, of a list that has at most so many rows.
fn page(fields: &HashMap<String, String>, rows: u32) -> Result<Page, Problem> {
    let limit = whole(fields, "limit", 50, 1, 500)?;
    let number = whole(fields, "page", 1, 1, rows.div_ceil(limit))?;
    Ok(Page { number, limit })
}

/// All children as lines of JSON, a batch of them at a time: a client that reads slowly holds up nothing
/// but its own answer.
async fn export(State(app): State<Arc<App>>) -> Response {
    let store = Arc::clone(&app.store);
    let children = stream::try_unfold(0, move |last| {
        let store = Arc::clone(&store);
        async move {
            let some = reading(move || store.children(last, 500)).await?;
            let next = some.last().map(|child| child.id);
            Ok::<_, Problem>(
                next.map(|next| (stream::iter(some.into_iter().map(Ok::<_, Problem>)), next)),
            )
        }
    });
    let lines = children
        .try_flatten()
        .in_batches(&app.batches)
        .map(|batch| {
            let mut lines = Vec::new();
            for child in batch.map_err(std::io::Error::other)? {
                let child = child.map_err(|_| std::io::Error::other("the database failed"))?;
                serde_json::to_writer(&mut lines, &child)?;
                lines.push(b'\n');
            }
            Ok::<_, std::io::Error>(Bytes::from(lines))
        });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (head, Body::from_stream(lines)).into_response()
}

async fn nightly(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    // Held where it is made, which goes on though its client has gone.
    let made = tokio::task::spawn_blocking(carry(move || {
        let _one = app.reports.try_acquire().ok()?;
        Some(Report::in_batches(&app.store, &app.batches))
    }));
    match made.await {
        Ok(Some(Ok((report, _)))) => Ok(Json(report).into_response()),
        Ok(Some(Err(error))) if error.is_for_now() => Err(Problem::later(error.to_string())),
        Ok(Some(Err(error))) => Err(Problem::internal(error.to_string())),
        Ok(None) => {
            let why = "as many reports as may be are being made";
            Err(Problem::later(why.to_owned()))
        }
        Err(error) => Err(Problem::internal(error.to_string())),
    }
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

    /// For want of memory: worth another try.
    fn later(detail: String) -> Problem {
        tracing::warn!(detail, "a request is put off");
        Problem {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body: json!({ "detail": detail, "retry_after_seconds": 60 }),
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
