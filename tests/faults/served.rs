//! No thread or no descriptor is to be had for what stands beside the monitor: the admin surface, and caches.

use super::callbacks::BrokenLog;
use super::calls::all_of;
use super::threads::{held, wait_for};
use super::{client, played, roles, shim};
use client::get;
use plimsoll::batch::{Batches, InBatches};
use plimsoll::cache::PressureCache;
use plimsoll::http::{Admin, ServeError, Server};
use plimsoll::{Drill, Level, Monitor, Shrink};
use roles::say;
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn serve(monitor: &Arc<Monitor>) -> Result<Server, ServeError> {
    Admin::new(Arc::clone(monitor)).serve("127.0.0.1:0")
}

/// Each thread that a server asks for is refused in turn. Without the one that answers there is no server;
/// without the one that asks caches there is, and it is started when somebody asks.
pub fn server_threads(folder: &Path) {
    let cache = PressureCache::<u64, u64>::builder("asked").entries(10);
    let cache = cache.build().unwrap();
    let built = Monitor::builder().cache(&cache).start().unwrap();
    let monitor = Arc::new(built);
    // What is made once has been made.
    serve(&monitor).unwrap().stop();
    let deadline = Instant::now() + Duration::from_secs(20);
    while all_of("/proc/self/task")
        .iter()
        .any(|name| name.trim() == "plimsoll-caches")
    {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
    let before = held();
    let wanted = &shim::faults().create_nth;
    let (mut refused, mut served) = (0, 0);
    for nth in 1.. {
        wanted.store(nth, Ordering::SeqCst);
        let outcome = serve(&monitor);
        let is_over = wanted.swap(0, Ordering::SeqCst) > 0;
        match outcome {
            Ok(server) => {
                // A thread that comes late answers the next question.
                let deadline = Instant::now() + Duration::from_secs(60);
                let details = || get(server.address(), "/api/system/memory-details").json();
                while details()["caches"][0]["name"] != "asked" {
                    assert!(Instant::now() < deadline, "{nth}");
                }
                served += 1;
            }
            Err(ServeError::Thread(error)) => {
                assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
        wait_for(before);
        if is_over {
            break;
        }
    }
    say(folder, &format!("{refused} refused, {served} served"));
}

/// The thread that sweeps is refused to the first cache, and started for the next.
pub fn no_sweeper(folder: &Path) {
    let wanted = &shim::faults().create_nth;
    let cache = |name: &str| {
        let builder = PressureCache::builder(name).entries(10);
        builder.ttl(Duration::from_millis(20)).build().unwrap()
    };
    let refused = || {
        wanted.store(1, Ordering::SeqCst);
        let first = cache("first");
        assert_eq!(wanted.load(Ordering::SeqCst), 0, "it asked for a thread");
        first
    };
    let first = refused();
    first.insert(1, 1);
    std::thread::sleep(Duration::from_millis(60));
    // Who asks is told the truth all the same.
    assert_eq!(first.get(&1), None);
    first.insert(2, 2);
    let next = cache("next");
    let deadline = Instant::now() + Duration::from_secs(60);
    while first.statistics().evictions.expired < 2 {
        assert!(Instant::now() < deadline, "{first:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(next.shrink(Level::Critical), 0);
    say(folder, "swept");
}

fn processor_time() -> Duration {
    // SAFETY: all zero is a valid account, which is filled.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: likewise.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut used) }, 0);
    let of = |time: libc::timeval| {
        Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
    };
    of(used.ru_utime) + of(used.ru_stime)
}

/// A client comes while the process has no descriptor left, and is answered when it has one again; though the
/// log panics at it.
pub fn no_descriptor(folder: &Path) {
    tracing::subscriber::set_global_default(BrokenLog).unwrap();
    let monitor = Arc::new(Monitor::builder().start().unwrap());
    let server = serve(&monitor).unwrap();
    let address = server.address();
    // For the client itself.
    let spare = File::open("/dev/null").unwrap();
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: reads the structure that it is given.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    drop(spare);
    let waiting = TcpStream::connect(address).unwrap();
    let begun = processor_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = processor_time() - begun;
    // It waits between its tries: a whole second is what one that spins would take.
    assert!(used < Duration::from_millis(500), "{used:?}");
    drop(taken);
    assert_eq!(get(address, "/api/system/memory-stats").status, 200);
    drop(waiting);
    say(folder, "answered");
}

/// The child of a fork has none of the parent's threads, and what they did for it is done otherwise or not at all:
/// nothing in it waits for them.
pub fn forked(folder: &Path) {
    let ttl_cache = |name: &str| {
        let builder = PressureCache::builder(name).entries(10);
        builder.ttl(Duration::from_millis(20)).build().unwrap()
    };
    let first = ttl_cache("first");
    first.insert(1, 1);
    let monitor = Arc::new(Monitor::builder().cache(&first).start().unwrap());
    let server = serve(&monitor).unwrap();
    let address = server.address();
    assert_eq!(get(address, "/api/system/memory-details").status, 200);
    let batches = Batches::builder()
        .monitor(&monitor)
        .pause_while(Level::Optimise);
    let batches = batches.build().unwrap();
    // A level that the child must not wait for to end.
    let long = Drill::new(0.77).lasting(Duration::from_secs(3_600));
    monitor.drill(long).unwrap();
    while monitor.level() == Level::Normal {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut held = Some(server);
    // SAFETY: the child runs code of this crate and of the test alone, which has no lock of another thread's.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(held.take());
        let next = ttl_cache("next");
        next.insert(1, 1);
        let deadline = Instant::now() + Duration::from_secs(60);
        while next.statistics().evictions.expired < 1 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        say(
            folder,
            &format!("swept {}", next.statistics().evictions.expired),
        );
        let job = (0..50).in_batches(&batches).run(|_: &mut Vec<u64>| ());
        say(folder, &format!("worked {}", job.unwrap().items));
        // SAFETY: ends the child, and runs nothing of the harness's.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(get(address, "/api/system/memory-stats").status, 200);
    drop(held);
}

#[test]
fn in_the_child_of_a_fork_nothing_waits_for_a_thread_of_the_parents() {
    let folder = tempfile::tempdir().unwrap();
    let command = roles::command("forked", folder.path());
    assert_eq!(played(command, folder.path()), ["swept 1", "worked 50"]);
}

#[test]
fn a_server_that_is_refused_a_thread_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command("server_threads", folder.path()) {
        let account = played(command, folder.path());
        // The one that asks caches, and then the one that answers.
        assert_eq!(account, ["1 refused, 2 served"]);
    }
}

#[test]
fn a_cache_without_a_thread_to_sweep_it_tells_nothing_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command("no_sweeper", folder.path()) {
        assert_eq!(played(command, folder.path()), ["swept"]);
    }
}

#[test]
fn a_client_that_comes_when_no_descriptor_is_left_is_answered_later() {
    let folder = tempfile::tempdir().unwrap();
    let command = roles::command("no_descriptor", folder.path());
    assert_eq!(played(command, folder.path()), ["answered"]);
}
