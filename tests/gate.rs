//! The example's door while a restart drains: what is under way is answered, however long that takes
//! within the deadline, and who only holds a connection open does not hold up the restart.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

#[allow(dead_code, reason = "the part of it that a failed restart needs")]
#[path = "../examples/tothub/gate.rs"]
mod gate;

mod client;
mod roles;
mod tothub;

use axum::Router;
use axum::routing::get;
use gate::{Gate, Guarded};
use plimsoll::{Monitor, Plimsoll, Restart};
use roles::{account, command, say};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tothub::{Service, wait_until};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// How long the slow request takes: longer than an idle connection is waited for.
const SLOW: Duration = Duration::from_secs(5);

/// Of the drain: so long that what ends before half of it did not end by it.
const DEADLINE: Duration = Duration::from_secs(100);

/// The code that stands for a restart.
const RESTARTED: i32 = 7;

/// Not a test: the service.
#[test]
fn role() {
    if let Some((_, folder)) = roles::own() {
        serve(&folder);
    }
}

fn serve(folder: &Path) {
    static MONITOR: OnceLock<Monitor> = OnceLock::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let gate = Arc::new(Gate::default());
    let (closing, handle) = (Arc::clone(&gate), runtime.handle().clone());
    let monitor = Monitor::builder()
        .restart(Restart::Exit(RESTARTED))
        .drain(DEADLINE, move |token| {
            let gate = Arc::clone(&closing);
            gate.announce();
            handle.spawn(async move { gate.close(token).await });
        })
        .start()
        .unwrap();
    MONITOR.set(monitor).unwrap();
    let slow = async || {
        tokio::time::sleep(SLOW).await;
        "slow"
    };
    let restart = async || {
        std::thread::spawn(|| MONITOR.get().unwrap().restart());
        "begun"
    };
    let layer = axum::middleware::from_fn_with_state(Arc::clone(&gate), gate::attend);
    let router = Router::new()
        .route("/quick", get(async || "quick"))
        .route("/slow", get(slow))
        .route("/restart", get(restart))
        .layer(layer);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        say(folder, &listener.local_addr().unwrap().to_string());
        axum::serve(Guarded { listener, gate }, router)
            .await
            .unwrap();
    });
}

struct Client(TcpStream);

impl Client {
    fn new(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Client(stream)
    }

    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn ask(&mut self, path: &str) {
        self.say(&format!("GET /{path} HTTP/1.1\r\nHost: gate\r\n\r\n"));
    }

    /// Up to the end of an answer with this body.
    fn hear(&mut self, body: &str) -> String {
        let mut heard = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let length = self.0.read(&mut buffer).unwrap_or(0);
            heard.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&heard).into_owned();
            if text.ends_with(&format!("\r\n\r\n{body}")) {
                assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                return text;
            }
            assert_ne!(length, 0, "cut off after {text:?}");
        }
    }
}

const LAST: &str = "connection: close";

#[test]
fn what_is_under_way_is_answered_and_what_is_idle_does_not_hold_up_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = command("serve", folder.path()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let address = loop {
        if let Some(address) = account(folder.path()).into_iter().next() {
            break address;
        }
        assert!(Instant::now() < deadline, "does not listen");
        std::thread::sleep(Duration::from_millis(5));
    };
    let client = || Client::new(&address);
    // One for ever idle, one that is for a while, one in work, one that has not said all.
    let (mut idle, mut pausing, mut slow, mut halting) = (client(), client(), client(), client());
    for client in [&mut idle, &mut pausing] {
        client.ask("quick");
        assert!(!client.hear("quick").contains(LAST));
    }
    slow.ask("slow");
    halting.say("GET /quick HT");
    std::thread::sleep(Duration::from_millis(100));

    let begun = Instant::now();
    let mut asking = client();
    asking.ask("restart");
    asking.hear("begun");
    // The door is still open, and who comes in is told.
    wait_until(|| {
        let mut late = client();
        late.ask("quick");
        late.hear("quick").contains(LAST)
    });
    pausing.ask("quick");
    assert!(pausing.hear("quick").contains(LAST), "told to come back");
    std::thread::sleep(Duration::from_millis(3600).saturating_sub(begun.elapsed()));
    // Now it is shut, and what had begun goes on all the same.
    assert!(service.try_wait().unwrap().is_none());
    halting.say("TP/1.1\r\nHost: gate\r\n\r\n");
    assert!(halting.hear("quick").contains(LAST));
    assert!(slow.hear("slow").contains(LAST));

    let status = service.wait().unwrap();
    let after = begun.elapsed();
    println!(
        "restarted {:.2} s after it began, of 100 s",
        after.as_secs_f64()
    );
    assert_eq!(status.code(), Some(RESTARTED));
    assert!(after < DEADLINE / 2, "{after:?}");
    assert_eq!(idle.0.read(&mut [0; 10]).unwrap_or(0), 0);
}

#[test]
fn who_is_only_idle_is_cut_off_long_before_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = command("serve", folder.path()).spawn().unwrap();
    while account(folder.path()).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let address = account(folder.path()).remove(0);
    let mut idle = Client::new(&address);
    idle.ask("quick");
    idle.hear("quick");
    let begun = Instant::now();
    let mut asking = Client::new(&address);
    asking.ask("restart");
    asking.hear("begun");
    assert_eq!(service.wait().unwrap().code(), Some(RESTARTED));
    let after = begun.elapsed();
    println!(
        "restarted {:.2} s after it began, of 100 s",
        after.as_secs_f64()
    );
    assert!(after >= Duration::from_secs(3) && after < DEADLINE / 2);
}

/// Whoever operates the service takes restarts out of the policy while it drains for one.
#[test]
fn a_restart_that_is_called_off_opens_the_door_again() {
    let data = tothub::filled();
    let service = Service::start(data.path(), &["--interval-ms", "50"]);
    let address = service.address.to_string();
    let come_in = || {
        let mut client = Client::new(&address);
        client.ask("health");
        client.hear("ok\n").contains(LAST)
    };
    assert!(!come_in());
    // Both came in before. Who has not said all keeps the drain from its end, which is ten seconds away.
    let (mut halting, mut operator) = (Client::new(&address), Client::new(&address));
    halting.say("GET /hea");
    let begun = client::post(service.address, "/api/system/auto-restart/restart", "");
    assert_eq!(begun.status, 202, "{begun:?}");
    wait_until(come_in);

    let never = r#"{"restart": null}"#;
    operator.say(&format!(
        "POST /api/system/auto-restart/config HTTP/1.1\r\nHost: {address}\r\n\
         Origin: http://{address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{never}",
        never.len()
    ));
    wait_until(|| !come_in());
    halting.say("lth HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert!(!halting.hear("ok\n").contains(LAST));
    let status = client::get(service.address, "/api/system/auto-restart/status").json();
    assert_eq!(status["restarts"], serde_json::json!([]), "{status}");
    assert_eq!(
        status["policy"]["restart"],
        serde_json::Value::Null,
        "{status}"
    );
}
