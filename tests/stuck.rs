//! The surface answers while the program cannot: while all its threads spin, and while no memory is to
//! be had.
#![cfg(all(target_os = "linux", feature = "http", feature = "jemalloc"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod client;
mod group;
mod roles;
mod skip;

use client::{get, post};
use plimsoll::http::Admin;
use plimsoll::{Level, Monitor, Plimsoll, Shrink, heap};
use roles::{MIB, account, command, say};
use skip::skip;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// Four for each of two processors.
const SPINNING: usize = 8;

/// Twice as many as jemalloc has arenas for two processors: none is left with something free in it.
const TAKING: usize = 16;

/// Above what the process has when it begins to take everything.
const ROOM: u64 = 256 * MIB;

/// Not a test: the program that is stuck.
#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    let limit = if role == "group" { None } else { Some(8 << 30) };
    let builder = Monitor::builder().interval(Duration::from_millis(100));
    let monitor = match limit {
        Some(bytes) => builder.limit(bytes),
        None => builder,
    };
    let cache = Arc::new(Guarded(Mutex::new(7)));
    let server = Admin::new(monitor.cache(&cache).start().unwrap());
    let server = server.serve("127.0.0.1:0").unwrap();
    say(&folder, &server.address().to_string());
    // What comes after may not allocate any more.
    let account = OpenOptions::new().append(true).open(folder.join("account"));
    let mut account = account.unwrap();
    match role.as_str() {
        "spin" => spin(),
        // Until it is killed.
        "locked" => std::mem::forget(cache.0.lock().unwrap()),
        "full" => fill_up(),
        "group" => fill_the_group(&folder),
        _ => {}
    }
    account.write_all(b"stuck\n").unwrap();
    // Until it is killed, and without an allocation of its own.
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn spin() {
    for number in 0..SPINNING {
        std::thread::spawn(move || {
            let mut mixed = number as u64;
            loop {
                // Also in the allocator.
                drop(black_box(vec![mixed; 16]));
                for _ in 0..1_000 {
                    mixed = black_box(
                        mixed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1),
                    );
                }
            }
        });
    }
}

/// A cache behind a lock.
struct Guarded(Mutex<u64>);

impl Shrink for Guarded {
    fn name(&self) -> &str {
        "guarded"
    }
    fn bytes(&self) -> u64 {
        *self.0.lock().unwrap()
    }
    fn shrink(&self, _: Level) -> u64 {
        0
    }
}

/// Takes all the address space there is, from several threads, in large blocks and then in small ones,
/// and keeps it.
fn fill_up() {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap();
    let most = pages * 4096 + ROOM;
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // Threads have their stacks before there is no room for any.
    let done = Arc::new(AtomicUsize::new(0));
    let begin = Arc::new(std::sync::Barrier::new(TAKING + 1));
    for _ in 0..TAKING {
        let (done, begin) = (Arc::clone(&done), Arc::clone(&begin));
        std::thread::spawn(move || {
            begin.wait();
            begin.wait();
            take_everything();
            done.fetch_add(1, Ordering::SeqCst);
            loop {
                // It goes on asking, as a program does that handles refusals.
                let mut more: Vec<u8> = Vec::new();
                let _ = black_box(more.try_reserve_exact(1 << 20));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
    begin.wait();
    // SAFETY: reads one structure, and changes a limit of this process alone.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    begin.wait();
    while done.load(Ordering::SeqCst) < TAKING {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(heap().failed_allocations() > 0);
}

fn take_everything() {
    for size in [4 * MIB as usize, 256 << 10, 16 << 10, 2_048, 512, 64, 16] {
        loop {
            let mut block: Vec<u8> = Vec::new();
            if block.try_reserve_exact(size).is_err() {
                break;
            }
            std::mem::forget(block);
        }
    }
}

/// Holds nearly all that the control group allows, with pages behind it.
fn fill_the_group(folder: &Path) {
    let limit = std::fs::read_to_string(folder.join("limit")).unwrap();
    let limit: usize = limit.parse().unwrap();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    while resident() < limit - (3 << 20) {
        kept.push(vec![1; 256 << 10]);
    }
    std::mem::forget(kept);
}

struct Stuck {
    child: Child,
    address: SocketAddr,
}

impl Stuck {
    fn wait_for(mut child: Child, folder: &Path) -> Stuck {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let [line, _stuck] = account(folder).as_slice() {
                let address = line.parse().unwrap();
                return Stuck { child, address };
            }
            if let Some(status) = child.try_wait().unwrap() {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                panic!("it ended with {status}: {said}");
            }
            assert!(Instant::now() < deadline, "it does not serve");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks again and again, and tells how long answers took: on a machine with other things to do they
    /// take as long as they take. One that does not come within 30 s fails.
    fn ask(&self, what: &str, times: usize, ask: impl Fn(SocketAddr) -> client::Answer) {
        let mut took: Vec<_> = (0..times)
            .map(|_| {
                let begun = Instant::now();
                let answer = ask(self.address);
                assert_eq!(answer.status, 200, "{what}: {answer:?}");
                begun.elapsed()
            })
            .collect();
        took.sort_unstable();
        let milliseconds = |share: f64| {
            let place = (share * (took.len() - 1) as f64) as usize;
            took[place].as_secs_f64() * 1e3
        };
        println!(
            "{what:16} {times} times: median {:.2} ms, 99 in 100 within {:.2} ms, longest {:.2} ms",
            milliseconds(0.5),
            milliseconds(0.99),
            milliseconds(1.0)
        );
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const STATS: &str = "/api/system/memory-stats";

#[test]
fn it_answers_while_all_threads_spin() {
    let folder = tempfile::tempdir().unwrap();
    let child = command("spin", folder.path()).spawn().unwrap();
    let stuck = Stuck::wait_for(child, folder.path());
    stuck.ask("memory-stats", 500, |address| get(address, STATS));
}

/// What the cache holds is all that nobody can tell.
#[test]
fn it_answers_while_a_cache_waits_for_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let child = command("locked", folder.path()).spawn().unwrap();
    let stuck = Stuck::wait_for(child, folder.path());
    let details = get(stuck.address, "/api/system/memory-details");
    assert_eq!(details.json()["caches_are_late"], true, "{details:?}");
    for path in ["/api/system/memory-details", "/metrics"] {
        let address = stuck.address;
        let waits = std::thread::spawn(move || get(address, path).status);
        stuck.ask("memory-stats", 20, |address| get(address, STATS));
        let status = waits.join().unwrap();
        let is_there = path != "/metrics" || cfg!(feature = "prometheus");
        assert_eq!(status, if is_there { 200 } else { 404 }, "{path}");
    }
}

#[test]
fn it_answers_while_no_memory_is_to_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let child = command("full", folder.path()).spawn().unwrap();
    let mut stuck = Stuck::wait_for(child, folder.path());
    let failed = |stats: &client::Answer| stats.json()["heap"]["failed_allocations"].as_u64();
    let before = failed(&get(stuck.address, STATS)).unwrap();
    assert!(before > 0, "nothing was refused");
    stuck.ask("memory-stats", 200, |address| get(address, STATS));
    for path in [
        "/api/system/memory-details",
        "/api/system/memory/leak-analysis",
        "/api/system/auto-restart/status",
        "/api/system/performance",
        "/",
    ] {
        stuck.ask(path.rsplit('/').next().unwrap(), 50, |address| {
            get(address, path)
        });
    }
    stuck.ask("optimize", 10, |address| {
        post(address, "/api/system/memory/optimize", "")
    });
    stuck.ask("memory-stats", 200, |address| get(address, STATS));
    let after = failed(&get(stuck.address, STATS)).unwrap();
    assert!(after > before, "the program was refused nothing meanwhile");
    assert!(stuck.child.try_wait().unwrap().is_none(), "it has ended");
}

#[test]
fn it_answers_at_the_limit_of_a_control_group() {
    const LIMIT: u64 = 96 * MIB;
    let group = match group::Group::new("stuck", LIMIT) {
        Ok(group) => group,
        Err(why) => {
            skip(format!("no memory control group can be made here: {why}"));
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("limit"), LIMIT.to_string()).unwrap();
    let child = group.start(&mut command("group", folder.path()));
    let mut stuck = Stuck::wait_for(child, folder.path());
    let stats = get(stuck.address, STATS).json();
    println!("{} of {LIMIT} resident", stats["process"]["resident_bytes"]);
    stuck.ask("memory-stats", 200, |address| get(address, STATS));
    stuck.ask("memory-details", 20, |address| {
        get(address, "/api/system/memory-details")
    });
    assert!(stuck.child.try_wait().unwrap().is_none(), "it was killed");
    assert_eq!(group.kills(), 0);
}
