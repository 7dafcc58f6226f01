//! A service under load that leaks and restarts in place, twenty times: no request fails, none is
//! reset, and the longest that a client waited is printed.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod tothub;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const RESTARTS: usize = 20;
const CLIENTS: u32 = 8;
/// Of each client: 640 a second in all.
const EVERY: Duration = Duration::from_micros(12_500);

#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    failed: AtomicU64,
    longest_micros: AtomicU64,
}

/// One answer, and whether the connection goes on.
fn ask(stream: &mut BufReader<TcpStream>, path: &str) -> std::io::Result<bool> {
    let wrong = |what: &str| std::io::Error::other(what.to_owned());
    write!(
        stream.get_mut(),
        "GET {path} HTTP/1.1\r\nHost: tothub\r\n\r\n"
    )?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(wrong(&format!("answered {line:?}")));
    }
    let (mut length, mut goes_on) = (None, true);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok();
        }
        goes_on &= header != "connection: close";
    }
    let mut body = vec![0; length.ok_or_else(|| wrong("no length"))?];
    stream.read_exact(&mut body)?;
    Ok(goes_on)
}

fn connect(address: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::new(stream))
}

/// Asks again and again, on one connection for as long as the service keeps it, or on a new one
/// each time. Nothing is tried twice.
fn client(address: SocketAddr, keeps: bool, seen: &Seen, over: &AtomicBool) {
    let mut kept = None;
    let begun = Instant::now();
    let mut asked = 0;
    while !over.load(Ordering::Relaxed) {
        let due = EVERY * asked;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        asked += 1;
        let path = if asked % 4 == 0 {
            "/api/settings"
        } else {
            "/health"
        };
        let start = Instant::now();
        let answer = kept
            .take()
            .map_or_else(|| connect(address), Ok)
            .and_then(|mut stream| Ok((ask(&mut stream, path)?, stream)));
        let micros = start.elapsed().as_micros() as u64;
        seen.longest_micros.fetch_max(micros, Ordering::Relaxed);
        match answer {
            Ok((goes_on, stream)) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
                kept = (keeps && goes_on).then_some(stream);
            }
            Err(error) => {
                println!("failed: {error}");
                seen.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn restarts(data: &Path) -> usize {
    let state = std::fs::read_to_string(data.join("plimsoll.state")).unwrap_or_default();
    state
        .lines()
        .filter(|line| line.starts_with("restart "))
        .count()
}

#[test]
fn no_request_fails_over_twenty_restarts_under_load() {
    let data = tothub::filled();
    let mut service = Command::new(tothub::path())
        .args([
            "--scenario",
            "leak",
            "--leak-mib-per-second",
            "100",
            "--limit",
            "256MiB",
        ])
        .args([
            "--cooldown",
            "0",
            "--budget",
            "1000",
            "--port",
            "0",
            "--data",
        ])
        .arg(data.path())
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the service runs");
    let mut out = BufReader::new(service.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("its first line");
    let address: SocketAddr = line
        .trim()
        .rsplit('/')
        .next()
        .unwrap()
        .parse()
        .expect("an address");
    // Its later lines are read, so that it never waits for us.
    let rest = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });

    let (seen, over) = (Seen::default(), AtomicBool::new(false));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (seen, over) = (&seen, &over);
            scope.spawn(move || client(address, number % 2 == 0, seen, over));
        }
        let answered = || seen.answered.load(Ordering::Relaxed);
        let is_shown = || restarts(data.path()) >= RESTARTS && answered() >= 100 * RESTARTS as u64;
        while !is_shown() && begun.elapsed() < Duration::from_secs(240) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // The last of them to its end.
        std::thread::sleep(Duration::from_millis(1500));
        over.store(true, Ordering::Relaxed);
    });
    let seconds = begun.elapsed().as_secs_f64();
    tothub::terminate(&mut service);
    rest.join().unwrap().unwrap();
    let answered = seen.answered.load(Ordering::Relaxed);
    let restarts = restarts(data.path());
    println!(
        "{answered} requests in {seconds:.1} s ({:.0} a second, half of them on connections kept \
         open), {} failed, over {restarts} restarts; the longest that a client waited: {} ms",
        answered as f64 / seconds,
        seen.failed.load(Ordering::Relaxed),
        seen.longest_micros.load(Ordering::Relaxed) / 1000,
    );
    assert_eq!(seen.failed.load(Ordering::Relaxed), 0);
    assert!(restarts >= RESTARTS, "{restarts} restarts");
    assert!(answered >= 100 * RESTARTS as u64, "{answered} answered");
}
