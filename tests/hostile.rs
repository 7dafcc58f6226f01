//! 20,000 hostile requests, by a seeded generator: each is refused with the right status, nothing
//! changes, memory stays where it was, and the process goes on.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod client;

use client::get;
use plimsoll::http::Admin;
use plimsoll::{EventKind, Monitor, Plimsoll, heap};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const SEED: u64 = 20_261_124;
const REQUESTS: usize = 20_000;
/// After so many, whatever is made once has been made.
const WARM: usize = 5_000;
const CLIENTS: usize = 4;

const TOKEN: &str = "a-token-that-is-long-enough";

/// The connection was ended without an answer.
const ENDED: u16 = 0;

const READS: [&str; 5] = [
    "/api/system/memory-stats",
    "/api/system/memory-details",
    "/api/system/memory/leak-analysis",
    "/api/system/auto-restart/status",
    "/api/system/performance",
];
const COMMANDS: [&str; 4] = [
    "/api/system/memory/optimize",
    "/api/system/memory/drill",
    "/api/system/auto-restart/config",
    "/api/system/auto-restart/restart",
];

/// A server, and what its own people say.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
    token: bool,
}

/// What is sent, and the statuses of which the answer has to be one.
struct Attack {
    kind: &'static str,
    bytes: Vec<u8>,
    right: &'static [u16],
}

struct Generator(Pcg64);

impl Generator {
    fn any<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.0).unwrap()
    }

    fn word(&mut self, most: usize) -> String {
        let length = self.0.random_range(1..=most);
        (0..length)
            .map(|_| char::from(self.0.random_range(b'!'..=b'~')))
            .collect()
    }

    fn attack(&mut self, target: Target) -> Attack {
        match self.0.random_range(0..20) {
            0 => self.without_right(target),
            1 => self.wrong_token(target),
            2 => self.wrong_host(target),
            3 => self.odd_host(target),
            4 => self.foreign_page(target),
            5 => self.large_body(target),
            6 => self.broken_body(target),
            7 => self.wrong_fields(target),
            8 => self.wrong_kind(target),
            9 => self.wrong_method(target),
            10 => self.path_trick(target),
            11 => self.long_path(target),
            12 => self.odd_path(target),
            13 => self.large_head(target),
            14 => self.garbage(),
            15 => self.other_protocol(),
            16 => self.smuggled(target),
            17 => self.odd_handshake(target),
            18 => self.odd_frames(target),
            _ => self.proxied(target),
        }
    }

    /// A request of somebody who may, but for what `line` and `more` ask.
    fn request(&self, target: Target, line: &str, more: &str, body: &str) -> Vec<u8> {
        let address = target.address;
        let right = if target.token {
            format!("Authorization: Bearer {TOKEN}\r\n")
        } else if line.starts_with("GET") {
            String::new()
        } else {
            format!("Origin: http://{address}\r\n")
        };
        format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{right}{more}\r\n{body}"
        )
        .into_bytes()
    }

    fn json(&self, target: Target, path: &str, body: &str) -> Vec<u8> {
        let more = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.request(target, &format!("POST {path}"), &more, body)
    }

    /// Nothing that says who it is.
    fn without_right(&mut self, target: Target) -> Attack {
        let address = target.address;
        let line = match target.token {
            true => format!("{} {}", self.any(&["GET", "POST"]), self.any(&READS)),
            false => format!("POST {}", self.any(&COMMANDS)),
        };
        let bytes = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        attack("without right", bytes, &[401])
    }

    fn wrong_token(&mut self, target: Target) -> Attack {
        let path = self.any(&COMMANDS);
        let said = match self.0.random_range(0..5) {
            0 => format!("Bearer {}", self.word(40)),
            1 => format!("Basic {TOKEN}"),
            2 => format!("Bearer {}x", TOKEN),
            3 => "Bearer".to_owned(),
            _ => format!("Bearer {}", "t".repeat(self.0.random_range(1..4_000))),
        };
        let address = target.address;
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: {said}\r\n\r\n"
        );
        attack("wrong token", bytes, &[401])
    }

    fn wrong_host(&mut self, target: Target) -> Attack {
        let host = match self.0.random_range(0..4) {
            0 => "evil.example".to_owned(),
            1 => format!("localhost.{}.example", self.0.random_range(0..1000)),
            2 => format!("127.0.0.1.nip.example:{}", target.address.port()),
            _ => format!("x{}", self.0.random_range(0..1_000_000)),
        };
        let path = self.any(&READS);
        let bytes = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        attack("wrong host", bytes, &[421])
    }

    fn odd_host(&mut self, target: Target) -> Attack {
        let address = target.address;
        let head = match self.0.random_range(0..4) {
            0 => format!("GET / HTTP/1.1\r\nHost: {address}\r\nHost: {address}\r\n"),
            1 => "GET / HTTP/1.0\r\n".to_owned(),
            2 => format!("GET http://evil.example/ HTTP/1.1\r\nHost: {address}\r\n"),
            _ => "GET / HTTP/1.1\r\nConnection: close\r\n".to_owned(),
        };
        attack(
            "odd host",
            format!("{head}Connection: close\r\n\r\n"),
            &[400],
        )
    }

    fn foreign_page(&mut self, target: Target) -> Attack {
        let line = match self.0.random_bool(0.5) {
            true => format!("GET {}", self.any(&READS)),
            false => format!("POST {}", self.any(&COMMANDS)),
        };
        let port = target.address.port();
        let said = match self.0.random_range(0..5) {
            0 => "Origin: http://evil.example".to_owned(),
            1 => "Origin: null".to_owned(),
            2 => format!("Origin: http://127.0.0.1:{}", port ^ 1),
            3 => "Sec-Fetch-Site: cross-site".to_owned(),
            _ => "Sec-Fetch-Site: same-site".to_owned(),
        };
        let address = target.address;
        let bytes = format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n{said}\r\n\r\n"
        );
        attack("foreign page", bytes, &[403])
    }

    fn large_body(&mut self, target: Target) -> Attack {
        let path = self.any(&COMMANDS);
        let size = self.0.random_range(16_385..60_000);
        let body = "x".repeat(size);
        let bytes = if self.0.random_bool(0.5) {
            self.json(target, path, &body)
        } else {
            let more = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
            let chunked = format!("{size:x}\r\n{body}\r\n0\r\n\r\n");
            self.request(target, &format!("POST {path}"), more, &chunked)
        };
        attack("large body", bytes, &[413])
    }

    fn broken_body(&mut self, target: Target) -> Attack {
        let body = match self.0.random_range(0..5) {
            0 => "{".to_owned(),
            1 => "[".repeat(self.0.random_range(200..8_000)),
            2 => "{\"cooldown_seconds\": 1e}".to_owned(),
            3 => format!(
                "{{\"restart\": \"{}",
                self.any(&["\\ud800\"}", "\u{1}\"}", "exec"])
            ),
            _ => format!("}}{}", self.word(50)),
        };
        attack("broken body", self.json(target, COMMANDS[2], &body), &[400])
    }

    fn wrong_fields(&mut self, target: Target) -> Attack {
        let (path, body) = match self.0.random_range(0..8) {
            0 => (
                2,
                format!("{{\"{}\": 1}}", self.0.random_range(0..1_000_000)),
            ),
            1 => (2, "{\"cooldown_seconds\": -1}".to_owned()),
            2 => (2, "{\"levels\": {\"critical\": {\"enter\": 9}}}".to_owned()),
            3 => (2, "{\"budget_per_hour\": 1e99}".to_owned()),
            4 => (2, "[1, 2, 3]".to_owned()),
            5 => (1, "{\"pressure\": 1e300, \"seconds\": -5}".to_owned()),
            6 => (1, "{\"restart\": \"yes\"}".to_owned()),
            _ => (0, "{\"now\": true}".to_owned()),
        };
        attack(
            "wrong fields",
            self.json(target, COMMANDS[path], &body),
            &[422],
        )
    }

    fn wrong_kind(&mut self, target: Target) -> Attack {
        let kind = self.any(&[
            "text/plain",
            "application/x-www-form-urlencoded",
            "",
            "json",
        ]);
        let more = format!("Content-Type: {kind}\r\nContent-Length: 2\r\n");
        let line = format!("POST {}", COMMANDS[2]);
        attack(
            "wrong kind",
            self.request(target, &line, &more, "{}"),
            &[415],
        )
    }

    fn wrong_method(&mut self, target: Target) -> Attack {
        let method = self.any(&["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW", "POST"]);
        let path = self.any(&READS);
        let bytes = self.request(target, &format!("{method} {path}"), "", "");
        attack("wrong method", bytes, &[405])
    }

    fn path_trick(&mut self, target: Target) -> Attack {
        let path = self.any(&[
            "/../api/system/memory-stats",
            "/api/system/../system/memory-stats",
            "/api/system/%2e%2e/memory-stats",
            "//api/system/memory-stats",
            "/api//system/memory-stats",
            "/api/system/memory-stats/",
            "/api/system/memory-stats%00",
            "/API/SYSTEM/MEMORY-STATS",
            "/assets/../../../etc/passwd",
            "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "/assets/",
            "/assets/dashboard.js",
            "/.git/config",
            "/api/system/memory-stats;x=1",
        ]);
        let bytes = self.request(target, &format!("GET {path}"), "", "");
        attack("path trick", bytes, &[404])
    }

    fn long_path(&mut self, target: Target) -> Attack {
        let length = self.0.random_range(1_000..12_000);
        let line = format!("GET /{}", "a".repeat(length));
        attack("long path", self.request(target, &line, "", ""), &[404])
    }

    fn odd_path(&mut self, target: Target) -> Attack {
        let path = self.any(&[
            "/\0", "/ /", "/a b", "\\", "api", "", "/\u{e9}", "http://", "/\t",
        ]);
        let bytes = self.request(target, &format!("GET {path}"), "", "");
        // What has bytes above ASCII in it is a path, and none of ours.
        attack("odd path", bytes, &[400, 404])
    }

    fn large_head(&mut self, target: Target) -> Attack {
        let more = match self.0.random_range(0..3) {
            0 => "X-A: b\r\n".repeat(self.0.random_range(65..200)),
            1 => format!(
                "X-A: {}\r\n",
                "b".repeat(self.0.random_range(17_000..60_000))
            ),
            _ => format!(
                "X-{}: b\r\n",
                "A".repeat(self.0.random_range(17_000..60_000))
            ),
        };
        let bytes = self.request(target, "GET /api/system/memory-stats", &more, "");
        attack("large head", bytes, &[431, 400])
    }

    fn garbage(&mut self) -> Attack {
        let length = self.0.random_range(1..2_000);
        let mut bytes: Vec<u8> = (0..length).map(|_| self.0.random()).collect();
        bytes.extend(b"\r\n\r\n");
        Attack {
            kind: "garbage",
            bytes,
            right: &[400, 431, ENDED],
        }
    }

    fn other_protocol(&mut self) -> Attack {
        let said = self.any(&[
            "GET /\r\n\r\n",
            "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n",
            "SSH-2.0-client\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n",
            "EHLO there\r\n\r\n",
        ]);
        attack("other protocol", said.to_owned(), &[400, 505, ENDED])
    }

    /// Two lengths, or none that is one.
    fn smuggled(&mut self, target: Target) -> Attack {
        let inner = "GET /api/system/memory-stats HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let more = match self.0.random_range(0..5) {
            0 => "Content-Length: 5\r\nContent-Length: 6\r\n",
            1 => "Content-Length: -1\r\n",
            2 => "Content-Length: 0x10\r\n",
            3 => "Transfer-Encoding: chunked, identity\r\n",
            // The chunks count, and they are none.
            _ => "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        };
        let line = format!("POST {}", COMMANDS[2]);
        let bytes = self.request(target, &line, more, inner);
        Attack {
            kind: "smuggled",
            bytes,
            right: &[400],
        }
    }

    fn handshake(&self, target: Target, more: &str) -> Vec<u8> {
        let upgrade = "Upgrade: websocket\r\n";
        let mut bytes = self.request(
            target,
            "GET /api/system/live",
            &format!("{upgrade}{more}"),
            "",
        );
        // Not `close`, and of the same length for the simplest of reasons: it is replaced.
        let text = String::from_utf8(std::mem::take(&mut bytes)).unwrap();
        text.replace("Connection: close", "Connection: Upgrade")
            .into_bytes()
    }

    fn odd_handshake(&mut self, target: Target) -> Attack {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let more = match self.0.random_range(0..4) {
            0 => String::new(),
            1 => key.to_owned(),
            2 => format!("{key}Sec-WebSocket-Version: 12\r\n"),
            _ => "Sec-WebSocket-Version: 13\r\n".to_owned(),
        };
        let mut bytes = self.handshake(target, &more);
        // Kept open otherwise.
        bytes.extend(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        Attack {
            kind: "odd handshake",
            bytes,
            right: &[400],
        }
    }

    /// A stream that is let in, and then says what it must not: it is ended.
    fn odd_frames(&mut self, target: Target) -> Attack {
        let more = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
        let mut bytes = self.handshake(target, more);
        let mask = [1, 2, 3, 4];
        match self.0.random_range(0..7) {
            // Not masked; a text; one too large; a reserved opcode; reserved bits; a close of one byte.
            0 => bytes.extend([0x81, 2, b'h', b'i']),
            1 => bytes.extend([&[0x81, 0x82][..], &mask, b"hi"].concat()),
            2 => bytes.extend([&[0x82, 0xff][..], &[0x7f; 8], &mask].concat()),
            3 => bytes.extend([&[0x83, 0x80][..], &mask].concat()),
            4 => bytes.extend([&[0xf1, 0x80][..], &mask].concat()),
            5 => bytes.extend([&[0x88, 0x81][..], &mask, b"x"].concat()),
            // A flood of pings.
            _ => (0..500).for_each(|_| bytes.extend([&[0x89, 0x80][..], &mask].concat())),
        }
        Attack {
            kind: "odd frames",
            bytes,
            right: &[101],
        }
    }

    /// Through a proxy nobody is on this machine; with a token that is no matter, so it is wrong.
    fn proxied(&mut self, target: Target) -> Attack {
        let address = target.address;
        let by = self.any(&[
            "X-Forwarded-For: 192.0.2.1",
            "X-Forwarded-Proto: https",
            "Via: 1.1 proxy",
            "Forwarded: for=192.0.2.1",
            "X-Real-IP: ::1",
        ]);
        let path = self.any(&READS);
        let bytes =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{by}\r\n\r\n");
        attack("proxied", bytes, if target.token { &[401] } else { &[403] })
    }
}

fn attack(kind: &'static str, bytes: impl Into<Vec<u8>>, right: &'static [u16]) -> Attack {
    Attack {
        kind,
        bytes: bytes.into(),
        right,
    }
}

/// The status of the first answer, once the server has ended the connection.
fn carry_out(target: Target, attack: &Attack) -> Result<u16, String> {
    let mut stream = TcpStream::connect(target.address).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // Who is refused in the middle of a body may not take the rest.
    let _ = stream.write_all(&attack.bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                if answer.len() < 64 {
                    answer.extend_from_slice(&buffer[..length.min(64)]);
                }
                // An answer is there, and the server waits for us to end.
                if answer.len() >= 12 && attack.right != [101] {
                    let _ = stream.shutdown(Shutdown::Write);
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(format!("{}: {error}", attack.kind)),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    match status {
        Some(status) => status.parse().map_err(|_| text.into_owned()),
        None if answer.is_empty() => Ok(ENDED),
        None => Err(format!("{}: {text:?}", attack.kind)),
    }
}

type Found = BTreeMap<&'static str, BTreeMap<u16, usize>>;

/// So many attacks, by several clients at once.
fn assault(targets: [Target; 2], from: usize, to: usize, found: &mut Found) {
    let next = AtomicUsize::new(from);
    let client = || {
        let mut found = Found::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= to {
                return found;
            }
            // Each by a generator of its own, so that it can be told by its number.
            let mut generator = Generator(Pcg64::seed_from_u64(SEED + number as u64));
            let target = targets[number % 2];
            let attack = generator.attack(target);
            let status = carry_out(target, &attack)
                .unwrap_or_else(|error| panic!("number {number}, {}: {error}", attack.kind));
            assert!(
                attack.right.contains(&status),
                "number {number}, {} (token {}): {status} instead of {:?}\n{}",
                attack.kind,
                target.token,
                attack.right,
                String::from_utf8_lossy(&attack.bytes[..attack.bytes.len().min(400)])
            );
            *found
                .entry(attack.kind)
                .or_default()
                .entry(status)
                .or_default() += 1;
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            let part = client
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (kind, statuses) in part {
                for (status, count) in statuses {
                    *found.entry(kind).or_default().entry(status).or_default() += count;
                }
            }
        }
    });
}

/// The process's monitor, for one test at a time.
fn monitor() -> (Arc<Monitor>, MutexGuard<'static, ()>) {
    static MONITOR: OnceLock<Arc<Monitor>> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let monitor =
        MONITOR.get_or_init(|| Arc::new(Monitor::builder().limit(8 << 30).start().unwrap()));
    (Arc::clone(monitor), one)
}

/// The heap when nothing is under way any more: the least of some looks.
fn settled() -> u64 {
    let looks = (0..100).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        heap().live_bytes()
    });
    looks.min().unwrap_or(0)
}

#[test]
fn each_is_refused_and_nothing_changes() {
    let (monitor, _one) = monitor();
    let open = Admin::new(Arc::clone(&monitor))
        .serve("127.0.0.1:0")
        .unwrap();
    let shut = Admin::new(Arc::clone(&monitor)).token(TOKEN).unwrap();
    let shut = shut.serve("127.0.0.1:0").unwrap();
    let targets = [(&open, false), (&shut, true)].map(|(server, token)| Target {
        address: server.address(),
        token,
    });
    let before = (monitor.policy(), monitor.level(), monitor.restarts().len());

    let begun = Instant::now();
    let mut found = Found::new();
    assault(targets, 0, WARM, &mut found);
    let warm = settled();
    assault(targets, WARM, REQUESTS, &mut found);
    let after = settled();
    println!(
        "{REQUESTS} requests in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    for (kind, statuses) in &found {
        println!("  {kind:16} {statuses:?}");
    }
    let grown = after as i64 - warm as i64;
    println!("live heap: {warm} after {WARM}, {after} after {REQUESTS}: {grown:+}");

    let now = (monitor.policy(), monitor.level(), monitor.restarts().len());
    assert_eq!(now, before);
    assert!(monitor.ledger().is_empty() && !monitor.is_shedding());
    let commanded = monitor.recent_events().into_iter().find(|event| {
        let kind = &event.kind;
        matches!(
            kind,
            EventKind::Policy(_) | EventKind::Drill(_) | EventKind::Restarting(_)
        )
    });
    assert!(commanded.is_none(), "{commanded:?}");
    let total: usize = found.values().flat_map(BTreeMap::values).sum();
    assert_eq!(total, REQUESTS);
    assert_eq!(found.len(), 20, "a kind of attack was never tried");
    // Ten bytes a request would be 150,000.
    assert!(grown < 100_000, "the heap has grown by {grown} bytes");
    assert_eq!(get(open.address(), READS[0]).status, 200);
}

/// Who takes his time is not waited for, and holds nobody up.
#[test]
fn the_slow_are_ended_and_others_are_answered_meanwhile() {
    let (monitor, _one) = monitor();
    let server = Admin::new(monitor).serve("127.0.0.1:0").unwrap();
    let address = server.address();
    let origin = format!("Origin: http://{address}\r\n");
    let half = format!(
        "POST {} HTTP/1.1\r\nHost: {address}\r\n{origin}",
        COMMANDS[2]
    );
    let body = format!("{half}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{");
    let slow = |bytes: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    };
    let begun = Instant::now();
    let mut waiting: Vec<_> = (0..40)
        .flat_map(|_| [slow(&half), slow(&body), slow("")])
        .collect();
    assert_eq!(get(address, READS[0]).status, 200);
    let mut told = BTreeMap::<_, usize>::new();
    for stream in &mut waiting {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let status = text.get(9..12).unwrap_or("none").to_owned();
        *told.entry(status).or_default() += 1;
    }
    println!(
        "{told:?}, all ended after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let ended: usize = told
        .iter()
        .filter(|(status, _)| ["408", "none"].contains(&&***status))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(ended, 120, "{told:?}");
    assert!(told["408"] >= 40, "{told:?}");
}
