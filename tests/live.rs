//! The live stream: a sample a second and every event, to one client or a thousand, none of whom the
//! monitor waits for.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod client;
mod roles;

use client::stream::{Frame, Stream, handshake};
use client::{get, post};
use plimsoll::http::Admin;
use plimsoll::{Monitor, Plimsoll, Restart, heap};
use roles::{account, command, say};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const CLIENTS: usize = 1_000;

/// Connections that the server takes.
const MOST: usize = 1_200;

/// The code that stands for a restart.
const RESTARTED: i32 = 7;

/// The file that a client makes when it has heard of the restart.
const HEARD: &str = "heard";

/// Of the drain: so long that it ends by what is heard.
const DEADLINE: Duration = Duration::from_secs(100);

/// Not a test: a service that restarts, or a crowd of clients.
#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    match role.as_str() {
        "service" | "prompt" => {
            let builder = Monitor::builder().restart(Restart::Exit(RESTARTED));
            let is_prompt = role == "prompt";
            let heard = folder.join(HEARD);
            let builder = builder.drain(DEADLINE, move |token| {
                while !is_prompt && !heard.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                token.done();
            });
            let admin = Admin::new(builder.start().unwrap());
            let server = admin.serve("127.0.0.1:0").unwrap();
            say(&folder, &server.address().to_string());
            loop {
                std::thread::park();
            }
        }
        _ => {
            let address = std::fs::read_to_string(folder.join("address")).unwrap();
            crowd(address.parse().unwrap(), &folder);
        }
    }
}

/// A thousand clients; then as many as are let in; then tells what they heard.
fn crowd(address: SocketAddr, folder: &Path) {
    allow_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let heard: Arc<Vec<AtomicUsize>> =
        Arc::new((0..CLIENTS).map(|_| AtomicUsize::new(0)).collect());
    runtime.block_on(async {
        for number in 0..CLIENTS {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
                socket
                    .write_all(handshake(address).as_bytes())
                    .await
                    .unwrap();
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(length @ 1..) = socket.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    let samples = text.matches("\"type\":\"sample\"").count();
                    heard[number].fetch_add(samples, Ordering::Relaxed);
                }
            });
        }
        let told = || {
            heard
                .iter()
                .filter(|count| count.load(Ordering::Relaxed) >= 10)
                .count()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while told() < CLIENTS && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        say(folder, &format!("{} heard ten samples", told()));
        // Until the other side has looked.
        let gone = folder.join("enough");
        while !gone.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// As many as the system lets this process have.
fn allow_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads and writes one structure of ours.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max.min(65_536);
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    assert!(
        limit.rlim_cur as usize > 2 * MOST,
        "{} descriptors",
        limit.rlim_cur
    );
}

/// The process's monitor, for one test at a time.
fn monitor() -> (Arc<Monitor>, MutexGuard<'static, ()>) {
    static MONITOR: OnceLock<Arc<Monitor>> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let monitor = MONITOR.get_or_init(|| {
        let builder = Monitor::builder().limit(8 << 30);
        Arc::new(
            builder
                .interval(Duration::from_millis(100))
                .start()
                .unwrap(),
        )
    });
    (Arc::clone(monitor), one)
}

#[test]
fn a_client_hears_who_speaks_then_a_sample_a_second_and_events_as_they_happen() {
    let (monitor, _one) = monitor();
    let server = Admin::new(monitor).serve("127.0.0.1:0").unwrap();
    let mut stream = Stream::open(server.address());
    assert_eq!(stream.protocol.as_deref(), Some("plimsoll"));
    let Frame::Text(hello) = stream.next().unwrap() else {
        panic!("no hello");
    };
    assert_eq!(hello["type"], "hello");
    assert_eq!(hello["image"]["process_id"], std::process::id());
    let details = get(server.address(), "/api/system/memory-details").json();
    assert_eq!(hello["image"], details["image"]);

    let samples: Vec<_> = (0..3).map(|_| stream.next_of("sample")).collect();
    let stats = get(server.address(), "/api/system/memory-stats").json();
    for field in stats.as_object().unwrap().keys() {
        assert!(
            samples[0].get(field).is_some(),
            "`{field}` in {:#}",
            samples[0]
        );
    }
    for field in [
        "parts",
        "leak",
        "is_shedding",
        "is_draining",
        "given_back_bytes",
        "clients",
    ] {
        assert!(
            samples[0].get(field).is_some(),
            "`{field}` in {:#}",
            samples[0]
        );
    }
    let at: Vec<_> = samples
        .iter()
        .map(|one| one["at_unix_seconds"].as_f64().unwrap())
        .collect();
    println!(
        "samples {:.3} and {:.3} s apart",
        at[1] - at[0],
        at[2] - at[1]
    );
    assert!(at[0] < at[1] && at[1] < at[2]);

    let drill = r#"{"pressure": 0.1, "seconds": 0.01}"#;
    let begun = Instant::now();
    let begun_drill = post(server.address(), "/api/system/memory/drill", drill);
    assert_eq!(begun_drill.status, 202, "{begun_drill:?}");
    let event = stream.next_of("event")["event"].clone();
    println!(
        "an event after {:.0} ms",
        begun.elapsed().as_secs_f64() * 1e3
    );
    assert_eq!(event["kind"], "drill");
    assert_eq!(event["words"], "a drill pretends 10 % for 0 s");
}

#[test]
fn a_client_that_talks_is_told_to_listen() {
    let (monitor, _one) = monitor();
    let server = Admin::new(monitor).serve("127.0.0.1:0").unwrap();
    let mut stream = Stream::open(server.address());
    stream.say(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let closed = loop {
        match stream.next().unwrap() {
            Frame::Close(code, reason) => break (code, reason),
            _ => continue,
        }
    };
    assert_eq!(closed, (1008, "clients only listen here".to_owned()));
}

#[test]
fn a_client_that_does_not_take_what_it_is_told_is_dropped_and_others_go_on() {
    let (monitor, _one) = monitor();
    let server = Admin::new(Arc::clone(&monitor))
        .serve("127.0.0.1:0")
        .unwrap();
    let mut quick = Stream::open(server.address());
    let slow = Stream::open(server.address());
    let small: libc::c_int = 1;
    // SAFETY: sets one option of a socket of ours to a number.
    let set = unsafe {
        let size = size_of_val(&small) as libc::socklen_t;
        let value = (&raw const small).cast();
        libc::setsockopt(
            slow.socket().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            value,
            size,
        )
    };
    assert_eq!(set, 0);
    // Events enough to fill what the kernel keeps for a socket.
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(60);
    let mut heard = 0;
    let clients = loop {
        assert!(Instant::now() < deadline, "it is still there");
        for _ in 0..200 {
            let _ = monitor.drill(plimsoll::Drill::new(0.0).lasting(Duration::ZERO));
        }
        let sample = quick.next_of("sample");
        heard += 1;
        if heard > 2 && sample["clients"] == 1 {
            break sample["clients"].clone();
        }
    };
    println!(
        "dropped after {:.1} s; {clients} left",
        begun.elapsed().as_secs_f64()
    );
    drop(slow);
}

/// A service in a process of its own.
fn start(role: &str, folder: &Path) -> (Child, SocketAddr) {
    (command(role, folder).spawn().unwrap(), address(folder))
}

/// Where it serves, once it does.
fn address(folder: &Path) -> SocketAddr {
    let deadline = Instant::now() + Duration::from_secs(20);
    while account(folder).is_empty() {
        assert!(Instant::now() < deadline, "it does not serve");
        std::thread::sleep(Duration::from_millis(10));
    }
    account(folder)[0].parse().unwrap()
}

#[test]
fn who_asks_for_a_restart_is_answered_however_soon_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, address) = start("prompt", folder.path());
    let begun = post(address, "/api/system/auto-restart/restart", "");
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(service.wait().unwrap().code(), Some(RESTARTED));
}

#[test]
fn a_restart_ends_the_stream_with_the_code_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, address) = start("service", folder.path());
    let mut stream = Stream::open(address);
    stream.next_of("sample");
    let begun = post(address, "/api/system/auto-restart/restart", "");
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(begun.json()["deadline_seconds"], 100.0);
    let mut told = false;
    let code = loop {
        match stream.next().unwrap() {
            Frame::Close(code, _) => break code,
            Frame::Text(message) => told |= message["event"]["kind"] == "restarting",
            Frame::Control => {}
        }
    };
    assert_eq!(code, 1012);
    assert!(told, "the event came first");
    std::fs::write(folder.path().join(HEARD), "").unwrap();
    assert_eq!(service.wait().unwrap().code(), Some(RESTARTED));
}

/// The processor time of the monitor's own thread, in seconds.
fn monitors_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stat = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .find(|stat| stat.contains("(plimsoll) "))
        .unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // User and system, the 14th and 15th of all, in hundredths.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_thousand_dashboards_are_told_and_leave_nothing_behind() {
    let (monitor, _one) = monitor();
    allow_descriptors();
    let server = Admin::new(Arc::clone(&monitor))
        .serve("127.0.0.1:0")
        .unwrap();
    let address = server.address();
    // What is made once has been made.
    Stream::open(address).next_of("sample");
    let (live, held) = (heap().live_bytes(), resident());

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("address"), address.to_string()).unwrap();
    let mut crowd = command("crowd", folder.path()).spawn().unwrap();
    let mut listener = Stream::open(address);
    while listener.next_of("sample")["clients"].as_u64().unwrap() < CLIENTS as u64 {}
    let before = monitors_time();
    let begun = Instant::now();
    while account(folder.path()).is_empty() {
        assert!(crowd.try_wait().unwrap().is_none(), "the crowd has gone");
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let crowded = (monitors_time() - before) / seconds * 10.0;
    let (more_live, more_held) = (heap().live_bytes() - live, resident().saturating_sub(held));
    println!(
        "{} KiB of live heap and {} KiB of resident memory a client",
        more_live / CLIENTS as u64 / 1024,
        more_held / CLIENTS as u64 / 1024
    );
    // Three times what was seen.
    assert!(more_live / (CLIENTS as u64) < 32 * 1024, "{more_live}");
    assert_eq!(
        account(folder.path()),
        [format!("{CLIENTS} heard ten samples")]
    );
    // Up to the bound they are let in, and one more is told.
    let mut more: Vec<_> = (CLIENTS + 1..MOST)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut full = TcpStream::connect(address).unwrap();
    full.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut answer = String::new();
    let _ = full.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    more.iter_mut()
        .for_each(|socket| drop(socket.write_all(b"GET /")));
    drop(more);

    std::fs::write(folder.path().join("enough"), "").unwrap();
    let _ = crowd.wait();
    let deadline = Instant::now() + Duration::from_secs(30);
    while listener.next_of("sample")["clients"] != 1 {
        assert!(Instant::now() < deadline, "they are still there");
    }
    let before = monitors_time();
    std::thread::sleep(Duration::from_secs(10));
    let alone = monitors_time() - before;
    println!(
        "the monitor's thread: {crowded:.2} s of processor in 10 s with a thousand, {alone:.2} s without"
    );
    let left = heap().live_bytes() as i64 - live as i64;
    println!("{left} bytes more than before they came");
    assert!(left < 1 << 20, "{left}");
}

#[test]
fn a_server_lets_the_monitor_go_after_the_last_dashboard_has_left() {
    let (monitor, _one) = monitor();
    let before = Arc::strong_count(&monitor);
    let admin = Admin::new(Arc::clone(&monitor));
    let server = admin.serve("127.0.0.1:0").unwrap();
    drop(admin);
    let mut stream = Stream::open(server.address());
    stream.next_of("sample");
    drop(stream);
    server.stop();
    // Who tells sees before long that nobody listens.
    let deadline = Instant::now() + Duration::from_secs(20);
    while Arc::strong_count(&monitor) != before {
        assert!(Instant::now() < deadline, "the monitor is still held");
        std::thread::sleep(Duration::from_millis(5));
    }
}
