//! What is asked: one handler a route, each with its part of the OpenAPI document.
//!
//! | file | routes |
//! |---|---|
//! | `memory` | `memory-stats`, `leak-analysis`, `optimize`, `drill` |
//! | `details` | `memory-details` |
//! | `restart` | `auto-restart/status`, `config`, `restart` |
//! | `performance` | `performance`, `/metrics` |
//! | `live` | the WebSocket |
//! | `body` | the body of a command |
//! | `document` | the OpenAPI document, and what it says of all routes alike |
//! | `guard` | before and after each: access, security headers, problem details |

mod body;
mod details;
mod document;
mod guard;
mod live;
mod memory;
mod performance;
mod restart;

use self::details::Details;
use super::admin::Admin;
use super::live::Live;
use super::page;
use super::problem::Problem;
use axum::extract::FromRef;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the routes reach.
#[derive(Clone)]
pub(super) struct Surface {
    admin: Admin,
    /// Each router has a stream of its own: that of another may run where the program is stuck.
    live: Live,
    details: Details,
}

impl FromRef<Surface> for Admin {
    fn from_ref(surface: &Surface) -> Admin {
        surface.admin.clone()
    }
}

impl FromRef<Surface> for Details {
    fn from_ref(surface: &Surface) -> Details {
        surface.details.clone()
    }
}

impl FromRef<Surface> for Live {
    fn from_ref(surface: &Surface) -> Live {
        surface.live.clone()
    }
}

/// The routes and their document; the page and the document itself are not in it.
fn documented() -> (Router<Surface>, utoipa::openapi::OpenApi) {
    #[derive(OpenApi)]
    #[openapi(
        info(
            title = "Plimsoll",
            description = "A load line for the heap: what the program holds, what grows, why, what \
                was done about it, and what can be. Bytes are integers, ratios 0 to 1, times in \
                seconds. Errors are problem details (RFC 9457)."
        ),
        components(schemas(Problem))
    )]
    struct Document;

    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(memory::stats))
        .routes(routes!(details::details))
        .routes(routes!(memory::leak_analysis))
        .routes(routes!(memory::optimise))
        .routes(routes!(memory::drill))
        .routes(routes!(restart::status))
        .routes(routes!(restart::config))
        .routes(routes!(restart::restart))
        .routes(routes!(performance::performance))
        .routes(routes!(live::live));
    #[cfg(feature = "prometheus")]
    let router = router.routes(routes!(performance::metrics));
    router.split_for_parts()
}

pub(super) fn router<S: Clone + Send + Sync + 'static>(admin: &Admin) -> Router<S> {
    let surface = Surface {
        live: Live::new(Arc::clone(&admin.monitor)),
        details: Details::default(),
        admin: admin.clone(),
    };
    let (router, document) = documented();
    let document = bytes::Bytes::from(document::whole(&document).to_string());
    router
        .route(
            "/api/system/openapi.json",
            get(async move || json(document.clone())),
        )
        .merge(without_metrics())
        .route("/", get(page::page))
        .route("/assets/{name}", get(page::asset))
        .layer(middleware::from_fn_with_state(admin.clone(), guard::guard))
        .with_state(surface)
}

/// The same where there is nothing else: what is not found is told as a problem, and guarded too.
pub(super) fn alone(admin: &Admin) -> Router {
    let nowhere = async || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "there is no such route; those that there are: openapi.json",
        )
    };
    let nowhere = Router::new()
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(admin.clone(), guard::guard));
    router(admin).fallback_service(nowhere)
}

/// Says why there are none.
fn without_metrics() -> Router<Surface> {
    if cfg!(feature = "prometheus") {
        return Router::new();
    }
    let why = async || {
        let why = "this program was built without the feature `prometheus` of plimsoll";
        Problem::new(StatusCode::NOT_FOUND, why)
    };
    Router::new().route("/metrics", get(why))
}

fn json(body: impl Into<axum::body::Body>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// An answer in JSON.
fn answer(status: StatusCode, answer: &impl serde::Serialize) -> Response {
    match written(answer) {
        Ok(body) => {
            let mut response = json(body);
            *response.status_mut() = status;
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn written(answer: &impl serde::Serialize) -> Result<bytes::Bytes, Problem> {
    serde_json::to_vec(answer)
        .map(bytes::Bytes::from)
        .map_err(|error| {
            tracing::error!(%error, "an answer could not be written");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer could not be written",
            )
        })
}

fn ok(value: &impl serde::Serialize) -> Response {
    answer(StatusCode::OK, value)
}
