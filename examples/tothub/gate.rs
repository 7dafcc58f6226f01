//! The door: who comes in, who is still inside, and how it is closed for a restart without turning
//! anybody away.
//!
//! First every response says `Connection: close`, while new connections are still taken: who keeps
//! one open for many requests comes back on a new one, and who is silent for a while has a chance to
//! hear it. Then nobody is let in any more: connections wait in the kernel's queue, which belongs to
//! the socket and goes to the new image with it. Requests that are under way are answered, whatever
//! time that takes within the deadline; when there is none left, the restart follows. Only those are
//! cut off who hold a connection open and ask nothing.

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use plimsoll::Drain;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How long one who holds a connection open and asks nothing has to hear that it is to be closed: this,
/// and a third of the deadline at the most. Meanwhile the door is open.
const CHANCE: Duration = Duration::from_secs(3);

/// How long one who came in just before the door was shut has to ask.
const FIRST_WORD: Duration = Duration::from_millis(250);

#[derive(Default)]
pub struct Gate {
    /// Connections that came in before and after the first half began.
    inside: [AtomicUsize; 2],
    /// Those of them with a request that has begun to come in and is not yet answered to its end.
    asking: AtomicUsize,
    /// Requests that are being worked at.
    worked_at: AtomicUsize,
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
    /// From now on every response is the last on its connection.
    pub fn announce(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Empties the house, once that is [announced](Self::announce), then lets the restart follow.
    pub async fn close(&self, token: Drain) {
        let until = Instant::now() + CHANCE.min(token.remaining() / 3);
        self.wait_for(&token, || self.count(0) == 0 || Instant::now() >= until)
            .await;
        self.shut();
        let until = Instant::now() + FIRST_WORD;
        self.wait_for(&token, || {
            let is_empty = self.count(0) + self.count(1) == 0;
            is_empty || (!self.is_busy() && Instant::now() >= until)
        })
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

    fn shut(&self) {
        let mut entry = self.entry();
        // Unless it has been opened meanwhile.
        entry.shut = self.is_closing();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Within the deadline, and unless it is opened again.
    async fn wait_for(&self, token: &Drain, is_over: impl Fn() -> bool) {
        while !is_over() && self.is_closing() && !token.remaining().is_zero() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether a request is under way: on the wire, either way, or in work.
    fn is_busy(&self) -> bool {
        self.asking.load(Ordering::Acquire) + self.worked_at.load(Ordering::Acquire) > 0
    }

    fn count(&self, half: usize) -> usize {
        self.inside[half].load(Ordering::Acquire)
    }

    fn entry(&self) -> std::sync::MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who asks: what `axum::serve` knows of a connection through the gate.
#[derive(Clone, Copy)]
pub struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Guarded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guarded>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// Around all work: counts it, and has its response close the connection while the house is emptied.
pub async fn attend(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    if let Some(&ConnectInfo(Peer(peer))) = request.extensions().get() {
        // Where others look for it.
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    let work = Work::begin(gate);
    let mut response = next.run(request).await;
    if work.0.is_closing() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// A request that is being worked at, or was given up.
struct Work(Arc<Gate>);

impl Work {
    fn begin(gate: Arc<Gate>) -> Work {
        gate.worked_at.fetch_add(1, Ordering::AcqRel);
        Work(gate)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.worked_at.fetch_sub(1, Ordering::AcqRel);
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
        let accepted = ready!(self.listener.poll_accept(context));
        Poll::Ready(accepted.map(|(stream, address)| {
            let half = usize::from(self.gate.is_closing());
            self.gate.inside[half].fetch_add(1, Ordering::AcqRel);
            let gate = Arc::clone(&self.gate);
            let guest = Guest {
                stream,
                gate,
                half,
                says: Says::Nothing,
            };
            (guest, address)
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
    says: Says,
}

/// What goes on on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// It is held open, and nothing more.
    Nothing,
    /// Some of a request has come in.
    Asks,
    /// Some of an answer has been written, and may not have been sent yet.
    IsAnswered,
}

impl Guest {
    fn now(&mut self, says: Says) {
        let before = std::mem::replace(&mut self.says, says);
        match (before == Says::Nothing, says == Says::Nothing) {
            (true, false) => self.gate.asking.fetch_add(1, Ordering::AcqRel),
            (false, true) => self.gate.asking.fetch_sub(1, Ordering::AcqRel),
            _ => return,
        };
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.now(Says::Nothing);
        self.gate.inside[self.half].fetch_sub(1, Ordering::AcqRel);
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.now(Says::Asks);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.now(Says::IsAnswered);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.now(Says::IsAnswered);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// What was written is with the kernel, which sends it though the process be another by then.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.says == Says::IsAnswered {
            self.now(Says::Nothing);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
