//! The door: who comes in, who is still inside, and how it is closed for a restart without turning
//! anybody away.
//!
//! First every response says `Connection: close`, while new connections are still taken: who keeps
//! one open for many requests comes back on a new one. Then nobody is let in any more: connections
//! wait in the kernel's queue, which belongs to the socket and goes to the new image with it. When
//! the last one inside has left, the restart follows.

use plimsoll::Drain;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How long one who holds a connection open and asks nothing is waited for, in each half.
const IDLE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Gate {
    /// Connections that came in before and after the first half began.
    inside: [AtomicUsize; 2],
    closing: AtomicBool,
    entry: Mutex<Entry>,
}

#[derive(Default)]
struct Entry {
    shut: bool,
    /// Who waits at the shut door for it to be opened again.
    waker: Option<Waker>,
}

impl Gate {
    /// Whether a response should ask for the connection to be closed.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Empties the house, then lets the restart follow.
    pub async fn close(&self, token: Drain) {
        self.closing.store(true, Ordering::Release);
        self.wait_for(&token, || self.count(0) == 0).await;
        self.entry().shut = true;
        self.wait_for(&token, || self.count(0) + self.count(1) == 0)
            .await;
        token.done();
    }

    /// The restart did not come.
    pub fn open(&self) {
        self.closing.store(false, Ordering::Release);
        let mut entry = self.entry();
        entry.shut = false;
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }

    async fn wait_for(&self, token: &Drain, empty: impl Fn() -> bool) {
        let until = Instant::now() + IDLE.min(token.remaining() / 2);
        while !empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn count(&self, half: usize) -> usize {
        self.inside[half].load(Ordering::Acquire)
    }

    fn entry(&self) -> std::sync::MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener at the gate.
pub struct Guarded {
    pub listener: TcpListener,
    pub gate: Arc<Gate>,
}

impl Guarded {
    /// Under the lock, so that nobody is let in, and not yet counted, when the door is shut.
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Guest, SocketAddr)>> {
        let mut entry = self.gate.entry();
        if entry.shut {
            entry.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let accepted = std::task::ready!(self.listener.poll_accept(context));
        Poll::Ready(accepted.map(|(stream, address)| {
            let half = usize::from(self.gate.is_closing());
            self.gate.inside[half].fetch_add(1, Ordering::AcqRel);
            let gate = Arc::clone(&self.gate);
            (Guest { stream, gate, half }, address)
        }))
    }
}

impl axum::serve::Listener for Guarded {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        loop {
            match std::future::poll_fn(|context| self.poll_accept(context)).await {
                Ok(accepted) => return accepted,
                // The connection is gone already, or there are too many: others will come.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, counted for as long as it is open.
pub struct Guest {
    stream: TcpStream,
    gate: Arc<Gate>,
    half: usize,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.gate.inside[self.half].fetch_sub(1, Ordering::AcqRel);
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
