//! One request from its beginning to the head of its response.

use super::body::Measured;
use super::headers::{MEMORY_USAGE, SERVER_TIMING};
use super::layer::{NamedBy, Shared};
use super::routes::UNMATCHED;
use super::work::Work;
use crate::http::problem::Problem;
use axum::extract::MatchedPath;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tower::Service;

/// A service whose requests are measured: made by [`RequestLayer`](super::RequestLayer).
#[derive(Clone)]
pub struct RequestService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> RequestService<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> RequestService<S> {
        RequestService { inner, shared }
    }
}

impl<S: fmt::Debug> fmt::Debug for RequestService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, Q, B> Service<Request<Q>> for RequestService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Measured<B>>;
    type Error = S::Error;
    type Future = RequestFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> RequestFuture<S::Future> {
        let shared = &self.shared;
        let settings = &shared.settings;
        let matched = request.extensions().get::<MatchedPath>();
        let (name, named_by) = match matched {
            Some(path) => (path.as_str(), NamedBy::Program),
            None if settings.by_path => (request.uri().path(), NamedBy::Client),
            None => (UNMATCHED, NamedBy::Program),
        };
        let (template, is_exempt) = shared
            .routes
            .template(name, |name| settings.is_exempt(name, named_by));
        let sheds = shared.monitor.is_shedding() && !is_exempt;
        let place = shared.routes.place(template, request.method());
        if sheds {
            place.route().refused.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(shared);
            let shared = Some(shared);
            return RequestFuture {
                state: State::Refused { shared },
            };
        }
        let mut work = Work::begin(Arc::clone(shared), place);
        let inner = work.run(|| self.inner.call(request));
        let work = Some(work);
        RequestFuture {
            state: State::Served { inner, work },
        }
    }
}

pin_project! {
    /// A request under way.
    #[must_use = "a future does nothing until it is polled"]
    pub struct RequestFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Served {
            #[pin]
            inner: F,
            work: Option<Work>,
        },
        Refused { shared: Option<Arc<Shared>> },
    }
}

impl<F, B, E> Future for RequestFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Measured<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Served { inner, work } => {
                let Some(under_way) = work else {
                    return Poll::Pending;
                };
                let mut response = match ready!(under_way.run(|| inner.poll(context))) {
                    Ok(response) => response,
                    Err(error) => {
                        if let Some(work) = work.take() {
                            work.fail();
                        }
                        return Poll::Ready(Err(error));
                    }
                };
                let duration = under_way.answered(response.status());
                let shared = under_way.shared();
                if shared.settings.headers {
                    let headers = response.headers_mut();
                    headers.insert(MEMORY_USAGE, shared.usage());
                    // The handler may have told timings of its own.
                    headers.append(SERVER_TIMING, shared.headers.timing(duration));
                }
                let work = work.take();
                Poll::Ready(Ok(response.map(|body| Measured::served(body, work))))
            }
            Projected::Refused { shared } => match shared.take() {
                Some(shared) => Poll::Ready(Ok(shared.refusal())),
                None => Poll::Pending,
            },
        }
    }
}

impl<F> fmt::Debug for RequestFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFuture").finish_non_exhaustive()
    }
}

impl Shared {
    fn usage(&self) -> HeaderValue {
        let (level, share) = (self.monitor.level(), self.monitor.last_utilization());
        self.headers.usage(level, share)
    }

    fn refusal<B>(&self) -> Response<Measured<B>> {
        let problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the service is short of memory and refuses new work: try again later",
        );
        let (mut parts, body) = problem.into_parts();
        let seconds = self.settings.retry_after.as_secs_f64().ceil() as u64;
        let headers = &mut parts.headers;
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        if self.settings.headers {
            headers.insert(MEMORY_USAGE, self.usage());
        }
        Response::from_parts(parts, Measured::refused(body))
    }
}
