//! The admin surface on a connection in memory: what a client writes, and what it is answered.

use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use plimsoll::http::Admin;
use plimsoll::{CommandError, Monitor, PolicyError};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

struct Surface {
    monitor: Arc<Monitor>,
    /// Without a token, for who is on this machine.
    open: axum::Router,
    /// With one that nobody knows.
    closed: axum::Router,
    runtime: Runtime,
}

/// It runs dry, so that no command that is well put ends the run.
static SURFACE: LazyLock<Surface> = LazyLock::new(|| {
    let monitor = Monitor::builder().dry_run().start().unwrap();
    let monitor = Arc::new(monitor);
    let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
    let admin = Admin::new(Arc::clone(&monitor));
    let token = format!("{:032x}", std::process::id() ^ 0x5EA5_0A11);
    let closed = admin.clone().token(token).unwrap().router();
    Surface {
        monitor,
        open: admin.router().layer(axum::Extension(ConnectInfo(peer))),
        closed: closed.layer(axum::Extension(ConnectInfo(peer))),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
    }
});

/// Longer than the server has for anything, on a machine that is busy with others as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection that is sent these pieces, each by itself, answers until its end. The client's
/// side ends after the last.
///
/// # Panics
///
/// Where the server does, and where it does not end.
pub fn answer<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    talk(&SURFACE.open, pieces)
}

/// The same of a surface with a token that nobody knows.
///
/// # Panics
///
/// Likewise, and where the policy is another afterwards.
#[allow(dead_code, reason = "each target uses its part")]
pub fn answer_of_the_closed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let monitor = &SURFACE.monitor;
    let before = monitor.policy();
    // Behind what the open surface was told last, which goes on though its client has gone.
    while let Err(error) = monitor.set_policy(before) {
        assert_eq!(error, PolicyError::Command(CommandError::Busy));
    }
    let answer = talk(&SURFACE.closed, pieces);
    assert_eq!(monitor.policy(), before);
    answer
}

fn talk<'a>(router: &axum::Router, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let service = TowerToHyperService::new(router.clone());
    SURFACE.runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades();
        let connection = tokio::spawn(connection);
        let mut answer = Vec::new();
        let talk = async {
            for piece in pieces {
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answer).await;
        };
        let ended = tokio::time::timeout(PATIENCE, talk).await;
        ended.expect("an end soon after the client's");
        let _ = connection.await.expect("no panic");
        answer
    })
}
