//! One connection after the other, a bounded number of them at once.

use super::stalled::Stalled;
use crate::caught::caught;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A thousand dashboards, and room for those who ask while they are connected.
const MOST: usize = 1_200;

/// Of the descriptors that the process may have, so that nobody who connects can take them all.
const SHARE: usize = 4;

/// [`MOST`], or less where the process may not open so many files.
fn most() -> usize {
    #[cfg(unix)]
    {
        // SAFETY: all zero is a valid value; it is written before it is read.
        let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
        // SAFETY: writes one structure of ours.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
            let descriptors = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
            return (descriptors / SHARE).clamp(1, MOST);
        }
    }
    MOST
}

/// For a request's head, and for the next one on a connection that is kept.
const HEAD: Duration = Duration::from_secs(5);

/// Of a request's head, and of what is read ahead.
const BUFFER: usize = 16 * 1024;

const MOST_HEADERS: usize = 64;

/// What one too many is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\n\
    connection: close\r\n\r\n";

pub(super) struct Connections {
    listener: TcpListener,
    router: Router,
    places: Arc<Semaphore>,
    http: http1::Builder,
}

impl Connections {
    /// Within a runtime.
    pub(super) fn new(listener: std::net::TcpListener, router: Router) -> io::Result<Connections> {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(MOST_HEADERS)
            .max_buf_size(BUFFER);
        Ok(Connections {
            listener: TcpListener::from_std(listener)?,
            router,
            places: Arc::new(Semaphore::new(most())),
            http,
        })
    }

    pub(super) async fn serve(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                // The client is gone already, or the process has no descriptor left.
                Err(error) => {
                    // Whose log panics is to have a server all the same.
                    caught(|| tracing::debug!(%error, "a connection was not accepted"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn admit(&self, mut stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tokio::spawn(async move {
                let told = stream.write_all(FULL);
                let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
            });
            return;
        };
        let _ = stream.set_nodelay(true);
        let router = self
            .router
            .clone()
            .layer(axum::Extension(ConnectInfo(peer)));
        let service = TowerToHyperService::new(router);
        let connection = self
            .http
            .serve_connection(TokioIo::new(Stalled::new(stream, place)), service)
            .with_upgrades();
        tokio::spawn(async move {
            // What goes wrong here the client has done, or heard.
            let _ = connection.await;
        });
    }
}
