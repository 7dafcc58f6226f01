//! What the request layer adds to a request: time and allocations, beside the same service without it.
//!
//! ```sh
//! cargo bench --features full --bench requests
//! ```
#![allow(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use plimsoll::http::{RequestLayer, RequestSettings};
use plimsoll::{Monitor, Plimsoll, measure};
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// Of each side, in turn.
const ROUNDS: usize = 101;
const REQUESTS: u32 = 10_000;

async fn handler(_: Request<()>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::empty());
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the handler does not wait"),
    }
}

fn request() -> Request<()> {
    let uri = axum::http::Uri::from_static("/children");
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    request
}

#[inline(never)]
fn round<S, B>(service: &mut S) -> Duration
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        let answered = run(service.call(black_box(request())));
        drop(black_box(answered));
    }
    begun.elapsed() / REQUESTS
}

fn main() {
    let monitor = match Monitor::builder().start() {
        Ok(monitor) => monitor,
        Err(error) => return println!("no monitor: {error}"),
    };
    let layer = RequestLayer::with(monitor, RequestSettings::default().by_path());
    let mut bare = service_fn(handler);
    let mut layered = layer.layer(service_fn(handler));
    let mut added = Vec::new();
    let mut alone = Vec::new();
    for number in 0..ROUNDS {
        let (without, with) = if number % 2 == 0 {
            let without = round(&mut bare);
            (without, round(&mut layered))
        } else {
            let with = round(&mut layered);
            (round(&mut bare), with)
        };
        alone.push(without.as_nanos() as i64);
        added.push(with.as_nanos() as i64 - without.as_nanos() as i64);
    }
    let allocations = |counted: plimsoll::Measurement| counted.allocations + counted.reallocations;
    let (_, without) = measure(|| round(&mut bare));
    let (_, with) = measure(|| round(&mut layered));
    added.sort_unstable();
    alone.sort_unstable();
    let of = |all: &[i64], share: f64| all[(share * (all.len() - 1) as f64) as usize];
    println!(
        "bare service   {:>5} ns a request (median of {ROUNDS} rounds of {REQUESTS}; {} to {})",
        of(&alone, 0.5),
        of(&alone, 0.05),
        of(&alone, 0.95),
    );
    println!(
        "layer adds     {:>5} ns a request (median; {} to {} in 90 of 100 rounds)",
        of(&added, 0.5),
        of(&added, 0.05),
        of(&added, 0.95),
    );
    println!(
        "allocations    {} in {REQUESTS} requests without, {} with",
        allocations(without),
        allocations(with)
    );
}
