//! Registered caches: their caps hold while a level lasts and are lifted after it, whenever a cache
//! is registered.
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod truth;

use plimsoll::figures::Roots;
use plimsoll::{Drill, Level, Monitor, MonitorBuilder, Plimsoll, Shrink};
use std::hint::black_box;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use truth::alone;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const MIB: u64 = 1 << 20;

/// Room above what the test binary holds.
const LIMIT: u64 = 400 * MIB;

fn held(bytes: u64) -> Vec<u8> {
    black_box(vec![1u8; bytes as usize])
}

/// Only the heap of the test itself crosses the lines: resident memory is read from a recorded tree,
/// because what other tests have freed may still be there.
fn builder(tree: &tempfile::TempDir) -> MonitorBuilder {
    let proc = tree.path().join("proc");
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal: 1000000 kB\n").unwrap();
    let status = "VmRSS: 1 kB\nRssAnon: 1 kB\nRssFile: 0 kB\nRssShmem: 0 kB\n";
    std::fs::write(proc.join("self/status"), status).unwrap();
    let roots = Roots::new(proc, tree.path().join("sys"));
    Monitor::builder().limit(LIMIT).roots(roots)
}

/// Holds pieces up to a cap that the level sets.
struct Capped(Mutex<(Vec<Vec<u8>>, usize)>);

impl Capped {
    fn fill(&self) -> usize {
        let mut inner = self.0.lock().unwrap();
        while inner.0.len() < inner.1 {
            inner.0.push(vec![0; 1000]);
        }
        inner.0.len()
    }
}

impl Shrink for Capped {
    fn name(&self) -> &str {
        "capped"
    }
    fn bytes(&self) -> u64 {
        self.0.lock().unwrap().0.len() as u64 * 1000
    }
    fn shrink(&self, level: Level) -> u64 {
        let mut inner = self.0.lock().unwrap();
        inner.1 = match level {
            Level::Normal => 100,
            Level::Critical => 50,
            _ => 80,
        };
        let cap = inner.1;
        let freed = inner.0.len().saturating_sub(cap);
        inner.0.truncate(cap);
        freed as u64 * 1000
    }
}

#[test]
fn caches_do_not_refill_while_a_level_lasts_and_do_after_it() {
    let _alone = alone();
    let cache = Arc::new(Capped(Mutex::new((Vec::new(), 100))));
    assert_eq!(cache.fill(), 100);
    let tree = tempfile::tempdir().unwrap();
    let monitor = builder(&tree).cache(&cache).start().unwrap();
    let until = |most: usize| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while cache.fill() != most {
            assert!(Instant::now() < deadline, "never {most}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let first = held(310 * MIB);
    until(80);
    // Over a repetition of the actions.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1200) {
        assert_eq!(cache.fill(), 80);
        std::thread::sleep(Duration::from_millis(10));
    }
    // One that comes later keeps to it as well.
    let late = Arc::new(Capped(Mutex::new((Vec::new(), 100))));
    monitor.register(&late);
    assert_eq!(late.fill(), 80);
    let second = held(60 * MIB);
    until(50);
    drop(second);
    until(80);
    drop(first);
    until(100);
    println!("of 100 pieces: 80 while optimising, 50 while critical, 80 and 100 after");
    drop(monitor);
}

/// Takes its time over what it is told first: until the level is left.
struct Slow {
    monitor: Arc<OnceLock<Monitor>>,
    /// The last level that it was told, once it has done so.
    cap: AtomicU8,
    begun: AtomicU8,
}

impl Shrink for Slow {
    fn name(&self) -> &str {
        "slow"
    }
    fn bytes(&self) -> u64 {
        0
    }
    fn shrink(&self, level: Level) -> u64 {
        if self.begun.fetch_add(1, Ordering::SeqCst) == 0 {
            let monitor = self.monitor.get().unwrap();
            let over = Drill::new(0.0).lasting(Duration::ZERO);
            monitor.drill(over).unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while monitor.level() > Level::Normal {
                assert!(Instant::now() < deadline, "never left");
                std::thread::sleep(Duration::from_millis(5));
            }
            // The monitor has told all caches by then.
            std::thread::sleep(Duration::from_millis(200));
        }
        self.cap.store(level as u8, Ordering::SeqCst);
        0
    }
}

#[test]
fn a_cache_that_is_registered_as_a_level_ends_does_not_keep_its_cap() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = Arc::new(OnceLock::new());
    let cell = Arc::clone(&monitor);
    let monitor = monitor.get_or_init(|| builder(&tree).start().unwrap());
    let drill = Drill::new(0.85).lasting(Duration::from_secs(3600));
    monitor.drill(drill).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while monitor.level() < Level::Restart {
        assert!(Instant::now() < deadline, "never entered");
        std::thread::sleep(Duration::from_millis(1));
    }
    let slow = Arc::new(Slow {
        monitor: cell,
        cap: AtomicU8::new(u8::MAX),
        begun: AtomicU8::new(0),
    });
    // Tells the cache here and now, which ends the level, and itself after that.
    monitor.register(&slow);
    assert_eq!(slow.cap.load(Ordering::SeqCst), Level::Normal as u8);
}
