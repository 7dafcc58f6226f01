//! One sample a second, and every event, to any number of clients.
//!
//! A task makes each message once, for all: it begins with the first client and ends after the last.
//! It hands them to a bounded queue, which never waits for anybody: a client that does not keep up is
//! dropped, and comes again.
//!
//! ```text
//! monitor ─► task: a message each ─► queue ─► client ─► socket
//!            100 ms for events                └ 5 s for a frame, or it is dropped
//! ```

use super::answer::Clock;
use super::answer::event::EventAnswer;
use super::answer::live::{Message, Sample};
use super::answer::memory::Image;
use crate::governor::{EventKind, EventReader, Monitor, lock};
use axum::extract::ws::{self, CloseFrame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{self, error::RecvError};

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often events are looked for.
const STEP: Duration = Duration::from_millis(100);

/// Messages that wait for a client: minutes of samples, and more than all events that a reader of the
/// monitor's can have before it, so that a burst of them drops nobody who listens.
const MOST_WAITING: usize = 512;

/// A frame that is not taken within this time was sent to nobody.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients say nothing but pongs and a close, and pings if they like: this many bytes.
const MOST_SAID: usize = 1024;

/// Pings and pongs from one client between two messages to it.
const MOST_CONTROL: u32 = 16;

/// The live stream of one monitor.
#[derive(Clone)]
pub(super) struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    monitor: Arc<Monitor>,
    /// While the task runs. It ends under this lock when there is nobody left, so that a client either
    /// finds it running for good or begins it anew.
    sender: Mutex<Option<broadcast::Sender<News>>>,
}

/// What all clients are told.
#[derive(Clone)]
enum News {
    Text(Utf8Bytes),
    /// The program restarts: this is the last.
    Restarts,
}

impl Live {
    pub(super) fn new(monitor: Arc<Monitor>) -> Live {
        Live {
            shared: Arc::new(Shared {
                monitor,
                sender: Mutex::new(None),
            }),
        }
    }

    pub(super) fn answer(&self, upgrade: WebSocketUpgrade) -> Response {
        let shared = Arc::clone(&self.shared);
        upgrade
            .protocols(["plimsoll"])
            .max_message_size(MOST_SAID)
            .max_frame_size(MOST_SAID)
            // Memory that each client costs, whether it uses it or not.
            .read_buffer_size(MOST_SAID)
            .write_buffer_size(0)
            .max_write_buffer_size(256 * 1024)
            .on_upgrade(async move |socket| {
                let news = shared.subscribe();
                serve(&shared.monitor, socket, news).await;
            })
    }
}

impl Shared {
    /// Within a runtime, which then also runs the task.
    fn subscribe(self: &Arc<Self>) -> broadcast::Receiver<News> {
        let mut sender = lock(&self.sender);
        if let Some(sender) = sender.as_ref() {
            return sender.subscribe();
        }
        let (news, receiver) = broadcast::channel(MOST_WAITING);
        *sender = Some(news.clone());
        tokio::spawn(Arc::clone(self).tell(news));
        receiver
    }

    /// Tells what there is to tell until nobody listens.
    async fn tell(self: Arc<Self>, news: broadcast::Sender<News>) {
        /// Another may begin if this one ends in any other way, as when its runtime does.
        struct Ended(Option<Arc<Shared>>);
        impl Drop for Ended {
            fn drop(&mut self) {
                if let Some(shared) = &self.0 {
                    *lock(&shared.sender) = None;
                }
            }
        }
        let mut ended = Ended(Some(Arc::clone(&self)));
        let mut events = Unheard::from_now(&self.monitor);
        let mut next = Instant::now();
        loop {
            for event in events.by_ref() {
                let answer = Box::new(EventAnswer::of(&event, Clock::of(&self.monitor)));
                let _ = news.send(text(&Message::Event { event: answer }));
                if matches!(event.kind, EventKind::Restarting(_)) {
                    let _ = news.send(News::Restarts);
                }
            }
            if Instant::now() >= next {
                let sample = Sample::of(&self.monitor, news.receiver_count());
                let _ = news.send(text(&Message::Sample(Box::new(sample))));
                next = (next + INTERVAL).max(Instant::now());
            }
            tokio::time::sleep(STEP).await;
            let mut sender = lock(&self.sender);
            if news.receiver_count() == 0 {
                *sender = None;
                drop(sender);
                // Another may have begun since.
                ended.0 = None;
                return;
            }
        }
    }
}

/// Events from now on.
struct Unheard(EventReader);

impl Unheard {
    fn from_now(monitor: &Monitor) -> Unheard {
        let mut events = monitor.events();
        // Those before are among the details that a page asks for first.
        while events.try_next().is_some() {}
        Unheard(events)
    }
}

impl Iterator for Unheard {
    type Item = crate::governor::Event;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.try_next()
    }
}

fn text(message: &Message) -> News {
    News::Text(written(message))
}

fn written(message: &Message) -> Utf8Bytes {
    Utf8Bytes::from(serde_json::to_string(message).unwrap_or_default())
}

/// One client, to its end.
async fn serve(monitor: &Monitor, mut socket: WebSocket, mut news: broadcast::Receiver<News>) {
    let image = Image::of(monitor);
    let hello = written(&Message::Hello { image });
    if send(&mut socket, ws::Message::Text(hello)).await.is_err() {
        return;
    }
    let mut control = 0;
    loop {
        tokio::select! {
            told = news.recv() => {
                control = 0;
                let sent = match told {
                    Ok(News::Text(text)) => send(&mut socket, ws::Message::Text(text)).await,
                    Ok(News::Restarts) | Err(RecvError::Closed) => {
                        return close(socket, close_code::RESTART, "the program restarts").await;
                    }
                    Err(RecvError::Lagged(_)) => {
                        return close(socket, close_code::POLICY, "too slow").await;
                    }
                };
                if sent.is_err() {
                    return;
                }
            }
            said = socket.recv() => match said {
                Some(Ok(ws::Message::Ping(_) | ws::Message::Pong(_))) if control < MOST_CONTROL => {
                    control += 1;
                }
                Some(Ok(ws::Message::Close(_))) | Some(Err(_)) | None => return,
                Some(Ok(_)) => {
                    return close(socket, close_code::POLICY, "clients only listen here").await;
                }
            }
        }
    }
}

async fn send(socket: &mut WebSocket, message: ws::Message) -> Result<(), ()> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    };
    let _ = send(&mut socket, ws::Message::Close(Some(frame))).await;
}
