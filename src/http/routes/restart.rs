//! When and how the program restarts; and restarting it.

use super::memory::{permit, refused, wait};
use super::{answer, body, ok};
use crate::governor::{PolicyError, RestartError};
use crate::http::admin::Admin;
use crate::http::answer::restart::{
    AutoRestart, PolicyAnswer, PolicyChange, RestartBegun, changed, named,
};
use crate::http::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::time::Duration;

/// Between the answer and the restart: it may take no longer than a few milliseconds, and the answer is
/// to have left by then.
const LAST_WORD: Duration = Duration::from_millis(100);

/// A look takes a millisecond at the most, and an action does not hold it up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Policy, cooldown, budget, and the last restarts with their cause.
#[utoipa::path(
    get,
    path = "/api/system/auto-restart/status",
    responses((status = 200, body = AutoRestart))
)]
pub(super) async fn status(State(admin): State<Admin>) -> Response {
    ok(&AutoRestart::of(&admin.monitor))
}

/// Changes the policy until the program's next start, and answers the whole new one.
///
/// The body names any of the policy's fields.
#[utoipa::path(
    post,
    path = "/api/system/auto-restart/config",
    request_body = PolicyChange,
    responses(
        (status = 200, body = PolicyAnswer),
        (status = 409, body = Problem, description = "The monitor only observes."),
        (status = 503, body = Problem, description = "Other commands are under way."),
        (status = 422, body = Problem, description = "Fields that make no sense, all of them.")
    )
)]
pub(super) async fn config(
    State(admin): State<Admin>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    let change = body::read(&headers, sent).await?;
    let _permit = permit(&admin)?;
    let _one = admin.changing.lock().await;
    let policy = changed(admin.monitor.policy(), &change).map_err(Problem::fields)?;
    let pending = admin
        .monitor
        .begin_policy(policy)
        .map_err(|error| match error {
            PolicyError::Command(error) => refused(error),
            PolicyError::Faults(faults) => Problem::fields(named(faults)),
        })?;
    wait(&pending, PATIENCE).await.map_err(refused)?;
    Ok(ok(&PolicyAnswer::from(policy)))
}

/// Restarts now, through the drain, whatever the level, the cooldown and the budget.
#[utoipa::path(
    post,
    path = "/api/system/auto-restart/restart",
    responses(
        (status = 202, body = RestartBegun),
        (status = 409, body = Problem, description = "It cannot: no way to restart is set, the \
            monitor only observes, or the program is about to end.")
    )
)]
pub(super) async fn restart(
    State(admin): State<Admin>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    body::expect_none(&headers, sent).await?;
    let monitor = admin.monitor;
    match monitor.why_no_restart() {
        Some(RestartError::Command(error)) => return Err(refused(error)),
        Some(error) => return Err(Problem::new(StatusCode::CONFLICT, error.to_string())),
        None => {}
    }
    let deadline_seconds = monitor.policy().drain_deadline.as_secs_f64();
    tokio::spawn(async move {
        tokio::time::sleep(LAST_WORD).await;
        if let Err(error) = monitor.begin_restart() {
            tracing::error!(%error, "the restart that was asked for did not begin");
        }
    });
    let status = "draining";
    Ok(answer(
        StatusCode::ACCEPTED,
        &RestartBegun {
            status,
            deadline_seconds,
        },
    ))
}
