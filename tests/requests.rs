//! The request layer: what a request allocates is told to the byte, wherever it runs, and measuring
//! it allocates nothing.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use http_body::Frame;
use plimsoll::http::{RequestLayer, RequestSettings, RouteFigures, carry, carry_future};
use plimsoll::{Drill, Level, Measurement, Monitor, Plimsoll, measure};
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::io::Write;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// The process's monitor, for one test at a time: one of them drills it.
fn monitor() -> (Arc<Monitor>, MutexGuard<'static, ()>) {
    static MONITOR: OnceLock<Arc<Monitor>> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let monitor = MONITOR.get_or_init(|| {
        let builder = Monitor::builder().limit(8 << 30);
        let monitor = builder.interval(Duration::from_millis(10)).start();
        Arc::new(monitor.unwrap())
    });
    (Arc::clone(monitor), one)
}

fn by_path(monitor: &Arc<Monitor>) -> RequestLayer {
    RequestLayer::with(Arc::clone(monitor), RequestSettings::default().by_path())
}

fn request(path: &str) -> Request<()> {
    Request::builder().uri(path).body(()).unwrap()
}

/// A response with a header of its own, as most have.
fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// A response with room for headers.
fn with_headers<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().reserve(4);
    response
}

/// What that room takes.
fn header_map() -> Measurement {
    measure(|| drop(with_headers(()))).1
}

fn only(layer: &RequestLayer) -> RouteFigures {
    let mut figures = layer.figures();
    assert_eq!(figures.len(), 1, "{figures:?}");
    figures.remove(0)
}

/// This many bytes, in one allocation.
fn allocate(bytes: usize) {
    drop(black_box(vec![1u8; bytes]));
}

/// To its end on this thread; it never has to wait.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn what_a_handler_allocates_is_told_to_the_byte_over_awaits_and_workers() {
    const REQUESTS: u64 = 400;
    let (monitor, _one) = monitor();
    let layer = by_path(&monitor);
    let moved = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let service = layer.layer(service_fn({
        let moved = Arc::clone(&moved);
        move |_: Request<()>| {
            let moved = Arc::clone(&moved);
            async move {
                let begun_on = std::thread::current().id();
                for step in 0..10 {
                    allocate(1000 + step);
                    tokio::time::sleep(Duration::from_micros(200)).await;
                    let is_elsewhere = std::thread::current().id() != begun_on;
                    moved.fetch_add(u64::from(is_elsewhere), Ordering::Relaxed);
                }
                Ok::<_, Infallible>(with_headers(Body::empty()))
            }
        }
    }));
    runtime.block_on(async {
        let serve = |_| {
            let mut service = service.clone();
            tokio::spawn(async move { drop(service.call(request("/x")).await.unwrap()) })
        };
        for task in (0..REQUESTS).map(serve).collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    let moved = moved.load(Ordering::Relaxed);
    println!(
        "{moved} of {} awaits went on on another worker",
        10 * REQUESTS
    );
    assert!(moved > 0, "no request ran on more than one worker");
    let found = only(&layer);
    assert_eq!((found.count, found.in_flight), (REQUESTS, 0));
    // Ten of 1000 to 1009 bytes, and the response's header map.
    let own = 10 * 1000 + 45 + header_map().allocated_bytes;
    let allocations = 10 + header_map().allocations;
    assert_eq!(found.allocations, REQUESTS * allocations);
    assert_eq!(found.allocated_bytes, REQUESTS * own);
    assert_eq!(found.allocated_max, own);
}

#[test]
fn what_other_threads_and_tasks_do_for_a_request_counts_for_it() {
    let (monitor, _one) = monitor();
    let layer = by_path(&monitor);
    // The difference between two requests that differ in nothing else: a thread's start allocates too.
    let serve = |path: &'static str, bytes: usize| {
        let mut service = layer.layer(service_fn(move |_: Request<()>| async move {
            let deep = carry(move || {
                allocate(bytes);
                // What is carried may carry on.
                let further = carry(move || allocate(bytes));
                std::thread::spawn(further).join().unwrap();
            });
            std::thread::spawn(deep).join().unwrap();
            let task = carry_future(async move {
                allocate(bytes);
                Once::default().await;
                allocate(bytes);
            });
            // The two halves of it on a thread each.
            let mut task = Box::pin(task);
            let context = || Context::from_waker(Waker::noop());
            let half = std::thread::spawn(move || {
                assert!(task.as_mut().poll(&mut context()).is_pending());
                task
            });
            let mut task = half.join().unwrap();
            let rest = std::thread::spawn(move || task.as_mut().poll(&mut context()).is_ready());
            assert!(rest.join().unwrap());
            Ok::<_, Infallible>(with_headers(Body::empty()))
        }));
        drop(run(service.call(request(path))).unwrap());
    };
    serve("/warm", 1);
    serve("/small", 1_000);
    serve("/large", 51_000);
    let figures = layer.figures();
    let of = |path: &str| figures.iter().find(|one| one.route == path).unwrap();
    let (small, large) = (of("/small"), of("/large"));
    assert_eq!(large.allocated_bytes - small.allocated_bytes, 4 * 50_000);
    // Outside a request nothing is carried, and nothing breaks.
    assert_eq!(carry(|| 7)(), 7);
}

/// Waits once.
#[derive(Default)]
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Allocates for every frame.
struct Streaming {
    frames: usize,
}

impl http_body::Body for Streaming {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.frames == 0 {
            return Poll::Ready(None);
        }
        self.frames -= 1;
        allocate(5_000);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"frame")))))
    }
}

#[test]
fn a_body_that_is_made_as_it_is_sent_counts_to_its_end() {
    let (monitor, _one) = monitor();
    let layer = by_path(&monitor);
    let mut service = layer.layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(with_headers(Streaming { frames: 3 }))
    }));
    // So many frames of the next response, and the requests that are under way then.
    let mut take = |most: usize| {
        let answered = run(service.call(request("/x"))).unwrap();
        let mut body = pin!(answered.into_body());
        let context = &mut Context::from_waker(Waker::noop());
        let mut next = || http_body::Body::poll_frame(body.as_mut(), context);
        let taken = (0..most).take_while(|_| matches!(next(), Poll::Ready(Some(Ok(_)))));
        (taken.count(), only(&layer).in_flight)
    };
    assert_eq!(take(9), (3, 0), "noted after the last frame");
    // Who goes away after one frame has had one made.
    assert_eq!(take(1), (1, 1));
    let found = only(&layer);
    assert_eq!((found.count, found.in_flight), (2, 0));
    let maps = 2 * header_map().allocated_bytes;
    assert_eq!(found.allocated_bytes, 3 * 5_000 + 5_000 + maps);
}

#[test]
fn measuring_a_request_allocates_nothing() {
    let (monitor, _one) = monitor();
    let layer = by_path(&monitor);
    let mut service = layer.layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(response(Body::empty()))
    }));
    let bare = {
        let request = request("/x");
        let inner = async || Ok::<_, Infallible>(response(Body::empty()));
        let (_, found) = measure(|| {
            drop(request);
            drop(run(inner()).unwrap());
        });
        found.allocations + found.reallocations
    };
    let mut most = 0;
    for number in 0..2_000 {
        let request = request("/x");
        let (_, found) = measure(|| drop(run(service.call(request)).unwrap()));
        // The first has its route made for it.
        if number > 0 {
            most = most.max(found.allocations + found.reallocations);
        }
    }
    assert_eq!(most, bare, "with the layer, and without");
    assert!(only(&layer).count == 2_000);
}

#[test]
fn every_response_tells_level_and_time() {
    let (monitor, _one) = monitor();
    let layer = RequestLayer::new(Arc::clone(&monitor));
    let app = axum::Router::<()>::new()
        .route(
            "/children/{id}",
            get(async || ([("server-timing", "db;dur=3")], "…")),
        )
        .layer(layer.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        runtime.block_on(app.clone().call(request)).unwrap()
    };
    let answered = ask("/children/5");
    let usage = answered.headers()["x-memory-usage"].to_str().unwrap();
    let percent = usage.strip_prefix("normal;percent=").unwrap();
    assert!(percent.parse::<u32>().unwrap() <= 100, "{usage}");
    let timings: Vec<_> = answered.headers().get_all("server-timing").iter().collect();
    assert_eq!(timings[0], "db;dur=3");
    let own = timings[1].to_str().unwrap().strip_prefix("app;dur=");
    assert!(own.unwrap().parse::<f64>().unwrap() > 0.0);
    drop(answered);
    drop(ask("/children/6"));
    let found = only(&layer);
    assert_eq!((&*found.route, found.count), ("/children/{id}", 2));

    let silent = RequestSettings::default().without_headers().by_path();
    let mut service =
        RequestLayer::with(monitor, silent).layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(response(Body::empty()))
        }));
    let answered = run(service.call(request("/x"))).unwrap();
    assert_eq!(answered.headers().len(), 1);
}

#[test]
fn load_is_shed_but_where_the_program_is_watched() {
    let (monitor, _one) = monitor();
    let settings = RequestSettings::default().retry_after(Duration::from_millis(6_100));
    let settings = settings.exempt("/vital").exempt("/admin");
    let layer = RequestLayer::with(Arc::clone(&monitor), settings);
    let app = axum::Router::<()>::new()
        .route("/work", get(async || "done"))
        .route("/vital", get(async || "done"))
        .route("/health", get(async || "ok"))
        .route("/metrics", get(async || "ok"))
        .nest("/admin", plimsoll::http::router(Arc::clone(&monitor)))
        .layer(layer.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |path: &str| {
        let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let peer: std::net::SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        let info = axum::extract::ConnectInfo(peer);
        request.extensions_mut().insert(info);
        let answered = runtime.block_on(app.clone().call(request)).unwrap();
        let (parts, body) = answered.into_parts();
        let body = runtime.block_on(axum::body::to_bytes(body, 1 << 20));
        (parts, body.unwrap())
    };
    assert_eq!(ask("/work").0.status, StatusCode::OK);
    let drill = Drill::new(0.95).lasting(Duration::from_secs(60));
    monitor.drill(drill).unwrap();
    wait_until(|| monitor.is_shedding());
    let (refused, body) = ask("/work");
    let watched = [
        "/vital",
        "/health",
        "/metrics",
        "/admin",
        "/admin/api/system/memory-stats",
        "/admin/metrics",
    ];
    let watched = watched.map(|path| (path, ask(path).0.status));
    monitor
        .drill(Drill::new(0.0).lasting(Duration::ZERO))
        .unwrap();
    wait_until(|| !monitor.is_shedding() && monitor.level() == Level::Normal);

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "7");
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert_eq!(refused.headers["x-memory-usage"], "critical;percent=95");
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["status"], 503);
    for (path, status) in watched {
        // Without the feature there are no metrics, which is no reason to shed.
        let is_there = path != "/admin/metrics" || cfg!(feature = "prometheus");
        let right = [StatusCode::NOT_FOUND, StatusCode::OK][usize::from(is_there)];
        assert_eq!(status, right, "{path}");
    }
    assert_eq!(ask("/work").0.status, StatusCode::OK);
    let figures = layer.figures();
    let work = figures.iter().find(|one| one.route == "/work").unwrap();
    assert_eq!((work.count, work.refused), (2, 1));
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + use<> {
        let writer = self.clone();
        tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn slow_requests_are_logged_with_what_they_allocated() {
    let (monitor, _one) = monitor();
    let log = Log::default();
    // By what counts as slow, and not by how long the machine takes.
    let served = |slow: Duration, very_slow: Duration, path: &str| {
        let settings = RequestSettings::default().slow(slow).very_slow(very_slow);
        let layer = RequestLayer::with(Arc::clone(&monitor), settings.by_path());
        let mut service = layer.layer(service_fn(async |_: Request<()>| {
            allocate(4_321);
            std::thread::sleep(Duration::from_millis(2));
            let mut response = with_headers(Body::empty());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok::<_, Infallible>(response)
        }));
        tracing::subscriber::with_default(log.subscriber(), || {
            drop(run(service.call(request(path))).unwrap());
        });
        let figures = layer.figures();
        (figures[0].errors, figures[0].slow, figures[0].very_slow)
    };
    let (soon, late) = (Duration::from_millis(1), Duration::from_secs(3_600));
    assert_eq!(served(late, 2 * late, "/quick"), (1, 0, 0));
    assert_eq!(served(soon, late, "/slow"), (1, 1, 0));
    assert_eq!(served(soon, 2 * soon, "/very"), (1, 1, 1));
    let text = log.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, words) in lines.iter().zip([
        [" WARN ", " slow request", "route=\"/slow\""],
        ["ERROR ", "very slow request", "route=\"/very\""],
    ]) {
        for word in words
            .into_iter()
            .chain(["method=\"GET\"", "status=502", "allocated_bytes="])
        {
            assert!(line.contains(word), "{word:?} is not in {line}");
        }
    }
}

/// A second panic while the first unwinds would end the process.
#[test]
#[cfg(panic = "unwind")]
fn a_log_that_panics_at_a_slow_request_ends_nothing() {
    struct BrokenLog;
    impl Write for BrokenLog {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            panic!("a broken log");
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (monitor, _one) = monitor();
    let settings = RequestSettings::default().slow(Duration::from_millis(1));
    let layer = RequestLayer::with(Arc::clone(&monitor), settings.by_path());
    let mut service = layer.layer(service_fn(async |request: Request<()>| {
        std::thread::sleep(Duration::from_millis(2));
        assert_ne!(request.uri().path(), "/panics", "as it is meant to");
        Ok::<_, Infallible>(with_headers(Body::empty()))
    }));
    let log = tracing_subscriber::fmt().with_writer(|| BrokenLog).finish();
    tracing::subscriber::with_default(log, || {
        let panicking = service.call(request("/panics"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(panicking)));
        let why = panicked.map(|_| ()).unwrap_err();
        let why = why.downcast_ref::<String>().unwrap();
        assert!(why.contains("as it is meant to"), "{why}");
        drop(run(service.call(request("/answers"))).unwrap());
    });
    let slow: u64 = layer.figures().iter().map(|route| route.slow).sum();
    assert_eq!(slow, 2);
}

#[test]
fn what_did_not_come_to_its_end_is_told_apart_and_counted_with_what_it_allocated() {
    let (monitor, _one) = monitor();
    let layer = by_path(&monitor);
    let mut service = layer.layer(service_fn(async |request: Request<()>| {
        allocate(1_000_000);
        match request.uri().path() {
            "/panics" => panic!("as it is meant to"),
            "/fails" => Err("as it is meant to"),
            "/breaks" => Ok(with_headers(Breaking)),
            _ => {
                std::future::pending::<()>().await;
                Ok(with_headers(Breaking))
            }
        }
    }));
    let panicking = service.call(request("/panics"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(panicking)));
    assert!(panicked.is_err());
    assert!(run(service.call(request("/fails"))).is_err());
    let broken = run(service.call(request("/breaks"))).unwrap().into_body();
    let context = &mut Context::from_waker(Waker::noop());
    let frame = http_body::Body::poll_frame(pin!(broken), context);
    assert!(matches!(frame, Poll::Ready(Some(Err(_)))));
    let mut waiting = Box::pin(service.call(request("/waits")));
    assert!(waiting.as_mut().poll(context).is_pending());
    let in_flight: Vec<_> = layer.figures().iter().map(|one| one.in_flight).collect();
    assert_eq!(in_flight, [0, 0, 0, 1]);
    drop(waiting);
    let figures = layer.figures();
    let found: Vec<_> = figures
        .iter()
        .map(|one| (&*one.route, one.count, one.errors, one.cancelled))
        .collect();
    let expected = [
        ("/breaks", 1, 1, 0),
        ("/fails", 1, 1, 0),
        ("/panics", 1, 1, 0),
        ("/waits", 0, 0, 1),
    ];
    assert_eq!(found, expected);
    for one in figures {
        assert_eq!(one.in_flight, 0);
        assert!(one.allocated_bytes >= 1_000_000, "{one:?}");
        assert!(one.allocated_max >= 1_000_000, "{one:?}");
    }
    // The thread is in no request any more: nothing is carried.
    let (_, found) = measure(|| drop(carry(|| ())));
    assert_eq!(found.allocations, 0);
}

/// Has nothing to give.
struct Breaking;

impl http_body::Body for Breaking {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("as it is meant to")))
    }
}

#[test]
fn a_client_that_went_away_after_long_has_met_a_slow_request() {
    let (monitor, _one) = monitor();
    let log = Log::default();
    let cancelled = |slow, after| {
        let settings = RequestSettings::default().slow(slow);
        let layer = RequestLayer::with(Arc::clone(&monitor), settings.by_path());
        let mut service = layer.layer(service_fn(async |_: Request<()>| {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        tracing::subscriber::with_default(log.subscriber(), || {
            let waiting = service.call(request("/waits"));
            std::thread::sleep(after);
            drop(waiting);
        });
        let found = only(&layer);
        (found.count, found.cancelled, found.slow)
    };
    let (soon, late) = (Duration::from_millis(1), Duration::from_secs(3_600));
    assert_eq!(cancelled(late, Duration::ZERO), (0, 1, 0));
    assert_eq!(cancelled(soon, 2 * soon), (0, 1, 1));
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in [" WARN ", " slow request", "end=\"cancelled\"", "seconds="] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    assert!(!text.contains("status="), "{text}");
}

#[test]
fn what_is_carried_and_stays_where_it_is_counts_once() {
    let (monitor, _one) = monitor();
    let layer = by_path(&monitor);
    let mut service = layer.layer(service_fn(async |request: Request<()>| {
        let carries = request.uri().path() == "/carries";
        let work = || allocate(100_000);
        match carries {
            true => {
                carry(move || carry(work)())();
                carry_future(async move { work() }).await;
            }
            false => {
                work();
                work();
            }
        }
        Ok::<_, Infallible>(with_headers(Body::empty()))
    }));
    drop(run(service.call(request("/carries"))).unwrap());
    drop(run(service.call(request("/does-not"))).unwrap());
    let figures = layer.figures();
    let more = figures[0].allocated_bytes - figures[1].allocated_bytes;
    // The handle alone.
    assert!(more < 1_000, "{more} of {figures:?}");
}
