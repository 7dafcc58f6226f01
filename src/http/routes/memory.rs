//! What the memory is, and what can be done about it now.

use super::{answer, body, ok};
use crate::governor::{CommandError, Drill, Pending};
use crate::http::admin::Admin;
use crate::http::answer::Clock;
use crate::http::answer::drill::{DrillAsked, DrillBegun, asked};
use crate::http::answer::event::Row;
use crate::http::answer::leak::LeakAnalysis;
use crate::http::answer::memory::{MemoryStats, Optimised};
use crate::http::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
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
/// The body names any of the fields.
#[utoipa::path(
    post,
    path = "/api/system/memory/drill",
    request_body = DrillAsked,
    responses(
        (status = 202, body = DrillBegun),
        (status = 409, body = Problem, description = "The monitor does not run."),
        (status = 503, body = Problem, description = "Other commands are under way."),
        (status = 422, body = Problem, description = "Fields that make no sense, all of them.")
    )
)]
pub(super) async fn drill(
    State(admin): State<Admin>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    let begun = asked(&body::read(&headers, sent).await?).map_err(Problem::fields)?;
    let mut drill = Drill::new(begun.pressure).lasting(Duration::from_secs_f64(begun.seconds));
    if begun.restart {
        drill = drill.with_restart();
    }
    let _permit = permit(&admin)?;
    admin.monitor.drill(drill).map_err(refused)?;
    Ok(answer(StatusCode::ACCEPTED, &begun))
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
