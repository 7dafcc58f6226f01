//! Caches under a monitor: at their cap at once, below it while the level lasts, and back after it; and
//! other crates' caches as far as they can.
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod truth;

use plimsoll::cache::adapt::{Closure, Foyer, Lru, Moka, MokaFuture, QuickCache};
use plimsoll::cache::{PressureCache, Weigh};
use plimsoll::figures::Roots;
use plimsoll::{Level, Monitor, Plimsoll, Shrink};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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

/// Only the heap crosses the lines: resident memory is read from a recorded tree.
fn monitor(tree: &tempfile::TempDir) -> Monitor {
    let proc = tree.path().join("proc");
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal: 1000000 kB\n").unwrap();
    let status = "VmRSS: 1 kB\nRssAnon: 1 kB\nRssFile: 0 kB\nRssShmem: 0 kB\n";
    std::fs::write(proc.join("self/status"), status).unwrap();
    let roots = Roots::new(proc, tree.path().join("sys"));
    Monitor::builder()
        .limit(LIMIT)
        .roots(roots)
        .start()
        .unwrap()
}

/// Until this holds; answers how long that took.
fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    begun.elapsed()
}

#[test]
fn a_cap_is_reached_at_once_holds_under_inserts_and_is_gone_after() {
    const ENTRIES: u64 = 40_000;
    let _alone = alone();
    let cache = PressureCache::builder("busy")
        .entries(ENTRIES)
        .weigh(Weigh::Measured)
        .build()
        .unwrap();
    let tree = tempfile::tempdir().unwrap();
    let monitor = monitor(&tree);
    monitor.register(&cache);
    let (is_over, inserted) = (AtomicBool::new(false), AtomicU64::new(0));
    let entries = || cache.statistics().entries;
    std::thread::scope(|scope| {
        // 120,000 inserts a second, of ever new keys.
        scope.spawn(|| {
            let begun = Instant::now();
            let mut number = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                let due = (begun.elapsed().as_secs_f64() * 120_000.0) as u64;
                for _ in 0..due.saturating_sub(number).min(500) {
                    number += 1;
                    cache.insert_with(number, || [number; 8]);
                }
                inserted.store(number, Ordering::Relaxed);
                if due <= number {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        until("full", || entries() > ENTRIES * 9 / 10);
        let (mut worst, mut kept) = (0, Vec::new());
        for (size, level, share) in [
            (310 * MIB, Level::Optimise, 80),
            (50 * MIB, Level::Critical, 50),
        ] {
            kept.push(held(size));
            let cap = ENTRIES * share / 100;
            let noticed = until("noticed", || monitor.level() >= level);
            let reached = until("reached", || entries() <= cap);
            println!(
                "{level:?}: noticed after {noticed:?}, {share} % reached {reached:?} after that"
            );
            let (begun, before) = (Instant::now(), inserted.load(Ordering::Relaxed));
            while begun.elapsed() < Duration::from_millis(1500) {
                let found = entries();
                assert!(found <= cap, "{found} entries of {cap}");
                worst = worst.max(found * 100 / cap);
                std::thread::sleep(Duration::from_micros(200));
            }
            let rate =
                (inserted.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
            println!("{level:?}: at most {worst} % of its cap under {rate:.0} inserts a second");
            assert!(monitor.level() >= level);
        }
        assert_eq!(cache.statistics().share, 0.5);
        drop(kept);
        let lifted = until("lifted", || cache.statistics().share == 1.0);
        let back = until("back", || entries() > ENTRIES * 9 / 10);
        println!("lifted {lifted:?} after the pressure, full {back:?} after that");
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(cache.statistics().evictions.pressure > ENTRIES / 5);
}

#[test]
fn an_older_cap_never_undoes_a_newer_one() {
    let cache = PressureCache::builder("racing")
        .entries(10_000)
        .build()
        .unwrap();
    for number in 0..10_000u64 {
        cache.insert(number, number);
    }
    let (cache, is_over) = (&cache, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        // What the owner sets meanwhile is held to the level as well.
        scope.spawn(move || {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                cache.set_entries(9_000 + number % 1000).unwrap();
                cache.free_bytes(1);
            }
        });
        for _ in 0..20 {
            for (level, share) in [(Level::Optimise, 0.8), (Level::Critical, 0.5)] {
                cache.shrink(level);
                for number in 0..20_000u64 {
                    cache.insert(number, number);
                }
                let found = cache.statistics();
                assert_eq!(found.share, share);
                assert!(found.entries <= (10_000.0 * share) as u64, "{found:?}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_said_to_be_freed_was_freed() {
    let _alone = alone();
    let cache = PressureCache::builder("freeing")
        .bytes(64 << 20)
        .weigh(Weigh::Measured)
        .build()
        .unwrap();
    for number in 0..20_000u64 {
        cache.get_or_insert_with(&number, || vec![0u8; 500 + (number % 2000) as usize]);
    }
    let held = cache.statistics().bytes;
    for wanted in [1, 10_000, 1 << 20, 10 << 20] {
        let before = plimsoll::heap().live_bytes();
        let freed = cache.free_bytes(wanted);
        let truth = before - plimsoll::heap().live_bytes();
        println!("asked for {wanted}, said {freed}, were {truth}");
        assert!(freed >= wanted);
        assert!((freed as f64 / truth as f64 - 1.0).abs() < 0.1);
        // Not much more than was asked for.
        assert!(freed < wanted + held / 25, "{freed}");
    }
    let left = cache.statistics();
    assert!(left.bytes < held && left.entries > 5_000);
    // The room is there again.
    for number in 0..20_000u64 {
        cache.get_or_insert_with(&number, || vec![0u8; 500 + (number % 2000) as usize]);
    }
    assert_eq!(cache.statistics().entries, 20_000);
    // All of it.
    let before = cache.statistics().bytes;
    let all = cache.free_bytes(u64::MAX);
    assert_eq!(cache.statistics().entries, 0);
    assert!(all as f64 > before as f64 * 0.9);
}

/// What an adapter promises: less at once at each level, and what its table says for the rest.
fn adapted(cache: Arc<dyn Shrink>, fill: impl Fn()) -> [u64; 3] {
    fill();
    let whole = cache.bytes();
    assert!(whole > 0);
    assert_eq!(cache.shrink(Level::Normal), 0);
    let mut shares = Vec::new();
    for (level, share) in [(Level::Optimise, 80), (Level::Critical, 50)] {
        let freed = cache.shrink(level);
        assert!(freed > 0, "{} {level:?}", cache.name());
        assert!(
            cache.bytes() * 100 <= whole * share + whole,
            "{}",
            cache.name()
        );
        // Told again, and filled in between.
        fill();
        if cache.keeps_cap() {
            assert!(
                cache.bytes() * 100 <= whole * share + whole,
                "{}",
                cache.name()
            );
        } else {
            cache.shrink(level);
            assert!(
                cache.bytes() * 100 <= whole * share + whole,
                "{}",
                cache.name()
            );
        }
        shares.push(cache.bytes() * 100 / whole);
    }
    cache.shrink(Level::Normal);
    fill();
    let again = cache.bytes() * 100 / whole;
    assert!(again >= 95, "{}: {again} % are back", cache.name());
    println!("{}: {shares:?} %, then {again} %", cache.name());
    [shares[0], shares[1], again]
}

#[test]
fn other_crates_caches_give_way() {
    let _alone = alone();
    let quick = Arc::new(quick_cache::sync::Cache::<u64, Vec<u8>>::new(1000));
    let inner = Arc::clone(&quick);
    adapted(
        Arc::new(QuickCache::new("quick_cache", quick, 1000)),
        move || {
            (0..3000).for_each(|number| inner.insert(number, vec![0; 1000]));
        },
    );

    let lru = Arc::new(Mutex::new(lru::LruCache::new(
        NonZeroUsize::new(1000).unwrap(),
    )));
    let inner = Arc::clone(&lru);
    adapted(Arc::new(Lru::new("lru", lru, 1000)), move || {
        for number in 0..3000u64 {
            inner.lock().unwrap().put(number, vec![0u8; 1000]);
        }
    });

    let foyer = foyer_memory::Cache::<u64, Vec<u8>>::builder(1000)
        .with_shards(2)
        .build();
    let inner = foyer.clone();
    adapted(Arc::new(Foyer::new("foyer", foyer, 1000)), move || {
        (0..3000).for_each(|number| drop(inner.insert(number, vec![0; 1000])));
    });

    let moka = moka::sync::Cache::<u64, Vec<u8>>::builder()
        .max_capacity(1_000_000)
        .weigher(|_, value| value.len() as u32)
        .build();
    let inner = moka.clone();
    let fill = move || {
        (0..3000).for_each(|number| inner.insert(number, vec![0; 1000]));
        inner.run_pending_tasks();
    };
    let moka = Arc::new(Moka::new("moka", moka, 1));
    assert!(!moka.keeps_cap());
    adapted(moka, fill);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let moka = moka::future::Cache::<u64, Vec<u8>>::new(1000);
    let inner = moka.clone();
    let fill = move || {
        runtime.block_on(async {
            for number in 0..3000 {
                inner.insert(number, vec![0; 1000]).await;
            }
            inner.run_pending_tasks().await;
        });
    };
    adapted(Arc::new(MokaFuture::new("moka future", moka, 1000)), fill);

    let pool = Arc::new(Mutex::new((Vec::<Vec<u8>>::new(), 1000usize)));
    let (held, less, inner) = (Arc::clone(&pool), Arc::clone(&pool), Arc::clone(&pool));
    let closure = Closure::new(
        "closure",
        move || held.lock().unwrap().0.len() as u64 * 1000,
        move |level| {
            let mut pool = less.lock().unwrap();
            pool.1 = match level {
                Level::Normal => 1000,
                Level::Critical => 500,
                _ => 800,
            };
            let most = pool.1;
            pool.0.truncate(most);
        },
    );
    adapted(Arc::new(closure), move || {
        let mut pool = inner.lock().unwrap();
        while pool.0.len() < pool.1 {
            pool.0.push(vec![0; 1000]);
        }
    });
}

#[test]
fn shares_that_make_no_sense_are_not_taken() {
    let cache = Arc::new(quick_cache::sync::Cache::<u64, u64>::new(1000));
    (0..1000).for_each(|number| cache.insert(number, number));
    let adapted = QuickCache::new("odd", Arc::clone(&cache), 8).shares(0.0, 2.0);
    adapted.shrink(Level::Optimise);
    assert_eq!(cache.capacity(), 800);
    let adapted = adapted.shares(0.6, 0.3);
    adapted.shrink(Level::Critical);
    assert_eq!(
        cache.capacity(),
        300 / cache.num_shards() as u64 * cache.num_shards() as u64
    );
}
