//! What the memory is, and what can be done about it now.

use super::{answer, body, ok};
use crate::governor::{CommandError, Drill, Pending};
use crate::http::admin::Admin;
use crate::http::answer::Clock;
use crate::http::answer::event::Row;
use crate::http::answer::leak::LeakAnalysis;
use crate::http::answer::memory::{DrillBegun, MemoryDetails, MemoryStats, Optimised};
use crate::http::problem::{FieldFault, Problem};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::SemaphorePermit;

/// How often an answer that is waited for is looked for.
const STEP: Duration = Duration::from_millis(5);

/// After this long an action hangs. A purge takes some 100 ms a GiB.
const PATIENCE: Duration = Duration::from_secs(30);

/// Heap, allocator, process, limit and level now.
#[utoipa::path(
    get,
    path = "/api/system/memory-stats",
    responses((status = 200, body = MemoryStats))
)]
pub(super) async fn stats(State(admin): State<Admin>) -> Response {
    ok(&MemoryStats::from(admin.monitor.status()))
}

/// Everything that is known: and diagnosis, threads, caches, history, ledger, events and options.
#[utoipa::path(
    get,
    path = "/api/system/memory-details",
    responses((status = 200, body = MemoryDetails))
)]
pub(super) async fn details(State(admin): State<Admin>) -> Response {
    let caches = admin.caches.ask().await;
    ok(&MemoryDetails::of(&admin.monitor, caches))
}

/// The verdict on whether the program leaks.
#[utoipa::path(
    get,
    path = "/api/system/memory/leak-analysis",
    responses((status = 200, body = LeakAnalysis))
)]
pub(super) async fn leak_analysis(State(admin): State<Admin>) -> Response {
    let verdict = admin.monitor.leak_verdict();
    ok(&LeakAnalysis::of(&verdict, Clock::of(&admin.monitor)))
}

/// Carries out the optimising actions now, whatever the level, and answers their ledger rows.
#[utoipa::path(
    post,
    path = "/api/system/memory/optimize",
    responses(
        (status = 200, body = Optimised),
        (status = 409, body = Problem, description = "The monitor only observes."),
        (status = 503, body = Problem, description = "An action hangs, or others wait.")
    )
)]
pub(super) async fn optimise(
    State(admin): State<Admin>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    body::expect_none(&headers, sent).await?;
    let _permit = permit(&admin)?;
    let pending = admin.monitor.begin_optimise().map_err(refused)?;
    let rows = wait(&pending, PATIENCE).await.map_err(refused)?;
    let clock = Clock::of(&admin.monitor);
    let rows = rows.iter().flatten();
    let rows = rows.map(|row| Row::of(row, clock)).collect();
    Ok(ok(&Optimised::new(rows)))
}

/// Begins a drill: pretends a pressure, to see the whole chain run.
///
/// The body names any of `pressure`, 0 to 2 and by default 0.85; `seconds`, above 0 and at most 3600,
/// by default 10; `restart`, whether the restart happens too, by default not.
#[utoipa::path(
    post,
    path = "/api/system/memory/drill",
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 202, body = DrillBegun),
        (status = 409, body = Problem, description = "The monitor does not run."),
        (status = 422, body = Problem, description = "Fields that make no sense, all of them.")
    )
)]
pub(super) async fn drill(
    State(admin): State<Admin>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    let begun = drilled(&body::read(&headers, sent).await?).map_err(Problem::fields)?;
    let mut drill = Drill::new(begun.pressure).lasting(Duration::from_secs_f64(begun.seconds));
    if begun.restart {
        drill = drill.with_restart();
    }
    let _permit = permit(&admin)?;
    admin.monitor.drill(drill).map_err(refused)?;
    Ok(answer(StatusCode::ACCEPTED, &begun))
}

fn drilled(sent: &Value) -> Result<DrillBegun, Vec<FieldFault>> {
    let mut begun = DrillBegun {
        pressure: 0.85,
        seconds: 10.0,
        restart: false,
    };
    let mut faults = Vec::new();
    let mut wrong = |field: &str, value: &Value, expected: &'static str| {
        let (field, value) = (field.to_owned(), value.to_string());
        let expected = expected.into();
        faults.push(FieldFault {
            field,
            value,
            expected,
        });
    };
    let fields = sent.as_object();
    if fields.is_none() {
        wrong("the drill", sent, "an object");
    }
    for (field, value) in fields.into_iter().flatten() {
        let number = value.as_f64();
        match (field.as_str(), number, value.as_bool()) {
            ("pressure", Some(number), _) if (0.0..=2.0).contains(&number) => {
                begun.pressure = number;
            }
            ("pressure", ..) => wrong(field, value, "a ratio from 0 to 2"),
            ("seconds", Some(number), _) if number > 0.0 && number <= 3600.0 => {
                begun.seconds = number;
            }
            ("seconds", ..) => wrong(field, value, "seconds above 0 and at most 3600"),
            ("restart", _, Some(restart)) => begun.restart = restart,
            ("restart", ..) => wrong(field, value, "true or false"),
            _ => wrong(field, value, "no such field"),
        }
    }
    if faults.is_empty() {
        Ok(begun)
    } else {
        Err(faults)
    }
}

/// One of the few commands that may be under way.
pub(super) fn permit(admin: &Admin) -> Result<SemaphorePermit<'_>, Problem> {
    admin.commands.try_acquire().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "other commands are under way: try again when they are done",
        )
    })
}

/// The answer to a command, looked for again and again: nothing here may block a thread.
pub(super) async fn wait<T>(pending: &Pending<T>, most: Duration) -> Result<T, CommandError> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = pending.poll()? {
            return Ok(answer);
        }
        if begun.elapsed() >= most {
            return Err(CommandError::Busy);
        }
        tokio::time::sleep(STEP).await;
    }
}

pub(super) fn refused(error: CommandError) -> Problem {
    let status = match error {
        CommandError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    Problem::new(status, error.to_string())
}
