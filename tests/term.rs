//! The service is told to end while it restarts: it ends, and does not come back.
#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod tothub;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Its output, and the first line of it, which says where it listens.
fn first_line(service: &mut Child) -> (BufReader<ChildStdout>, String) {
    let mut out = BufReader::new(service.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("its first line");
    (out, line)
}

/// Waits for its end, which is to come by itself and within this time.
fn ended(mut service: Child, within: Duration) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = service.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > within {
            service.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tells a service that leaks to end so long after a restart has begun, and answers how and after
/// what time it ended, and what it said.
fn told_after(data: &Path, delay: Duration) -> (ExitStatus, Duration, String) {
    let mut service = Command::new(tothub::path())
        .args(["--scenario", "leak", "--leak-mib-per-second", "100"])
        .args(["--limit", "256MiB", "--cooldown", "0", "--port", "0"])
        .arg("--data")
        .arg(data)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the service runs");
    let (mut out, mut said) = first_line(&mut service);
    let address = said.trim().rsplit('/').next().unwrap().to_owned();
    // A connection that is held open, so that there is a drain to speak of.
    let mut held = TcpStream::connect(address).expect("it listens");
    held.write_all(b"GET /health HTTP/1.1\r\nHost: tothub\r\n\r\n")
        .unwrap();
    assert_ne!(held.read(&mut [0; 1000]).unwrap(), 0);

    let mut log = BufReader::new(service.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains(" restarting ") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "ended by itself");
    }
    let rest = std::thread::spawn(move || log.read_to_string(&mut String::new()));
    std::thread::sleep(delay);
    let told = Instant::now();
    // SAFETY: sends a signal to a child that has not been waited for.
    unsafe { libc::kill(service.id() as i32, libc::SIGTERM) };
    let status = ended(service, Duration::from_secs(60));
    let after = told.elapsed();
    rest.join().unwrap().unwrap();
    out.read_to_string(&mut said).unwrap();
    (status, after, said)
}

#[test]
fn a_service_that_is_told_to_end_at_any_moment_of_a_restart_ends() {
    let data = tothub::filled();
    let mut called_off = 0;
    let mut longest = Duration::ZERO;
    // Over the drain, the exec and the start of the new image.
    for step in 0..10 {
        let (status, after, said) = told_after(data.path(), Duration::from_millis(step * 35));
        longest = longest.max(after);
        let images = said.matches("tothub listens").count();
        // At once, where there was no handler yet or any more; by its own end everywhere else.
        if status.signal() != Some(libc::SIGTERM) {
            assert!(status.success(), "{status}: {said}");
            assert!(said.contains("alive after"), "{said}");
            called_off += u32::from(images == 1);
        }
        assert!(images <= 2, "{said}");
    }
    println!("10 services ended, {called_off} of them out of a drain, after at most {longest:?}");
    assert!(called_off >= 3, "too few to show anything");
}

#[test]
fn what_the_process_did_before_the_service_does_not_count() {
    let data = tothub::filled();
    // As `cargo run` does, which becomes the program after it has compiled it.
    let begun = Instant::now();
    let output = Command::new("sh")
        .args(["-c", "sleep 2; exec \"$0\" --for 1 --port 0 --data \"$1\""])
        .arg(tothub::path())
        .arg(data.path())
        .output()
        .expect("a shell");
    let account = String::from_utf8_lossy(&output.stdout);
    let alive = account.split("alive after ").nth(1);
    let alive = alive.and_then(|after| after.split(' ').next()?.parse::<f64>().ok());
    let most = begun.elapsed().as_secs_f64() - 2.0;
    assert!(
        alive.is_some_and(|alive| alive <= most),
        "of {most} s: {account}"
    );
}

#[test]
fn a_service_to_which_nobody_listens_restarts_and_comes_to_its_end() {
    let data = tothub::filled();
    let mut service = Command::new(tothub::path())
        .args(["--scenario", "leak", "--leak-mib-per-second", "100"])
        .args(["--limit", "256MiB", "--cooldown", "0", "--port", "0"])
        .args(["--for", "8", "--data"])
        .arg(data.path())
        .env("RUST_LOG", "warn")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the service runs");
    drop(first_line(&mut service));
    let mut log = String::new();
    let mut said = service.stderr.take().expect("piped");
    said.read_to_string(&mut log).unwrap();
    let status = ended(service, Duration::from_secs(60));
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains(" restarting "), "{log}");
}

#[test]
fn a_request_that_never_ends_keeps_no_service_from_ending() {
    let data = tothub::filled();
    let mut service = Command::new(tothub::path())
        .args(["--port", "0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the service runs");
    let (_out, said) = first_line(&mut service);
    let address = said.trim().rsplit('/').next().unwrap().to_owned();
    let mut held = TcpStream::connect(address).expect("it listens");
    held.write_all(b"GET / HT").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    // SAFETY: sends a signal to a child that has not been waited for.
    unsafe { libc::kill(service.id() as i32, libc::SIGTERM) };
    assert!(ended(service, Duration::from_secs(60)).success());
    drop(held);
}
