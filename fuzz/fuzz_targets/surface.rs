//! The admin surface: arbitrary bytes on a connection never panic, every answer is HTTP, and nothing
//! changes.
#![no_main]

use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use plimsoll::Monitor;
use plimsoll::http::Admin;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

struct Surface {
    monitor: Arc<Monitor>,
    router: axum::Router,
    runtime: Runtime,
}

/// It only observes, so that no command that is well put ends the run.
static SURFACE: LazyLock<Surface> = LazyLock::new(|| {
    let monitor = Monitor::builder().observe_only().start().unwrap();
    let monitor = Arc::new(monitor);
    let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
    let router = Admin::new(Arc::clone(&monitor)).router();
    Surface {
        monitor,
        router: router.layer(axum::Extension(ConnectInfo(peer))),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
    }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let surface = &*SURFACE;
    let before = surface.monitor.policy();
    let service = TowerToHyperService::new(surface.router.clone());
    let answer = surface.runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades();
        let connection = tokio::spawn(connection);
        let mut answer = Vec::new();
        let talk = async {
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answer).await;
        };
        // A live stream has no end of its own.
        let _ = tokio::time::timeout(Duration::from_millis(200), talk).await;
        connection.abort();
        if let Err(error) = connection.await {
            assert!(!error.is_panic(), "{error}");
        }
        answer
    });
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{answer:?}"
    );
    assert_eq!(surface.monitor.policy(), before);
});
