//! What a cache promises: nothing outlives its time, no limit is exceeded after a call has returned, one
//! caller makes what many want, and what it says it freed was freed.
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]
#![cfg_attr(
    not(panic = "unwind"),
    allow(unused_imports, reason = "of what panics")
)]

mod cache_model;

use cache_model::{Settings, Step};
use plimsoll::cache::{ManualClock, PressureCache, Weigh};
use plimsoll::{Level, Plimsoll, Shrink};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Zipf};
use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 1u16..400).prop_map(|(key, size)| Step::Insert(key, size)),
        2 => (any::<u8>(), 1u16..400, 0u16..200)
            .prop_map(|(key, size, ttl)| Step::InsertFor(key, size, ttl)),
        8 => any::<u8>().prop_map(Step::Get),
        8 => (any::<u8>(), 1u16..400).prop_map(|(key, size)| Step::GetOrInsert(key, size)),
        3 => any::<u8>().prop_map(Step::Remove),
        1 => Just(Step::InvalidateEven),
        1 => Just(Step::Clear),
        4 => (0u16..80).prop_map(Step::Advance),
        1 => Just(Step::Sweep),
        2 => (0u8..4).prop_map(Step::Level),
        1 => any::<u8>().prop_map(Step::Entries),
        1 => (0u16..20_000).prop_map(Step::Bytes),
        1 => (0u16..5_000).prop_map(Step::FreeBytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_answered_is_the_last_and_in_time_and_no_limit_is_exceeded(
        steps in prop::collection::vec(step(), 1..300),
        entries in 0u64..100,
        bytes in 0u64..20_000,
        ttl in 1u64..200,
        scale in prop_oneof![Just(1u64), Just(999)],
        one_shard in any::<bool>(),
    ) {
        let settings = Settings { entries, bytes, ttl, scale, one_shard };
        cache_model::run(settings, steps);
    }
}

/// As by an operator, of a cache that was configured away.
#[test]
fn a_cache_that_is_switched_on_later_holds_what_it_has_room_for() {
    for (entries, bytes) in [(0, 1 << 20), (100, 0), (0, 0)] {
        let cache = PressureCache::builder("later")
            .entries(entries)
            .bytes(bytes)
            .weigh_by(|_: &u64, size: &u64| *size)
            .shards(1)
            .build()
            .unwrap();
        cache.insert(1, 300);
        assert_eq!(cache.get(&1), None);
        cache.set_entries(100).unwrap();
        cache.set_bytes(1 << 20).unwrap();
        (0..100).for_each(|key| cache.insert(key, 300));
        assert_eq!(cache.statistics().entries, 100, "{entries} and {bytes}");
    }
}

#[test]
fn no_limit_is_exceeded_by_many_threads() {
    let cache = PressureCache::builder("many")
        .entries(4000)
        .bytes(200_000)
        .weigh_by(|_: &u64, size: &u64| *size)
        .build()
        .unwrap();
    let (cache, over) = (&cache, &AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            scope.spawn(move || {
                let mut state = thread + 1;
                for _ in 0..60_000 {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    let (key, size) = (state >> 44, 1 + (state >> 33) % 300);
                    cache.get_or_insert_with(&key, || size);
                }
                over.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut level = 0;
        while over.load(Ordering::Relaxed) < 3 {
            level += 1;
            let (lasting, share) = cache_model::LEVELS[level % 4];
            cache.shrink(lasting);
            // Sums of all threads, read while they insert: an insertion is counted before it is let in.
            let found = cache.statistics();
            assert!(found.entries <= (4000.0 * share) as u64, "{found:?}");
            std::thread::yield_now();
        }
    });
    cache.shrink(Level::Normal);
    let found = cache.statistics();
    assert!(found.bytes <= 200_000, "{found:?}");
    let left = found.evictions;
    let left = left.capacity + left.pressure + left.expired + left.replaced + left.removed;
    assert_eq!(found.insertions - left, found.entries);
    assert!(left > 10_000, "{found:?}");
    assert_eq!(
        left,
        found.evictions.capacity + found.evictions.pressure,
        "{found:?}"
    );
    cache.clear();
    assert_eq!(cache.statistics().bytes, 0);
}

#[test]
fn a_small_cache_keeps_what_is_asked_for_often_as_well_as_the_crate_it_stands_on() {
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
    let zipf = Zipf::new(1000.0, 0.99).expect("keys and an exponent");
    let asked: Vec<u64> = (0..100_000)
        .map(|_| zipf.sample(&mut random) as u64)
        .collect();
    for entries in [1, 2, 5, 10, 25, 50, 100, 150] {
        let base = quick_cache::sync::Cache::<u64, u64>::new(entries);
        let cache = PressureCache::<u64, u64>::builder("small")
            .entries(entries as u64)
            .build()
            .expect("it makes sense");
        let (mut of_base, mut own) = (0u32, 0u32);
        for &key in &asked {
            match base.get(&key) {
                Some(_) => of_base += 1,
                None => base.insert(key, key),
            }
            match cache.get(&key) {
                Some(_) => own += 1,
                None => cache.insert(key, key),
            }
        }
        let points = f64::from(own.abs_diff(of_base)) / asked.len() as f64 * 100.0;
        assert!(points <= 1.0, "{entries} entries: {own} hits, {of_base}");
    }
}

#[test]
fn a_cache_of_one_shard_holds_just_what_it_is_made_for() {
    let cache = PressureCache::builder("exact").entries(1000).shards(1);
    let cache = cache.build().unwrap();
    for key in 0..1000 {
        cache.insert(key, ());
    }
    assert!((0..1000).all(|key| cache.contains(&key)));
    cache.insert(1000, ());
    assert_eq!(cache.statistics().entries, 1000);
}

#[test]
fn one_makes_what_many_want() {
    let cache = PressureCache::builder("stampede")
        .entries(10)
        .build()
        .unwrap();
    let (made, together) = (&AtomicU64::new(0), &Barrier::new(8));
    let cache = &cache;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                together.wait();
                let value = cache.get_or_insert_with(&1, || {
                    std::thread::sleep(Duration::from_millis(50));
                    made.fetch_add(1, Ordering::SeqCst)
                });
                assert_eq!(value, 0);
            });
        }
    });
    let found = cache.statistics();
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert_eq!(found.hits + found.misses, 8);
    assert_eq!(found.misses, found.joined + 1);
}

#[test]
#[cfg(panic = "unwind")]
fn when_making_fails_or_panics_the_next_one_makes_it() {
    let cache = PressureCache::builder("failing")
        .entries(10)
        .build()
        .unwrap();
    let failed: Result<u64, &str> = cache.try_get_or_insert_with(&1, || Err("no"));
    assert_eq!(failed, Err("no"));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.get_or_insert_with(&1, || panic!("broken"));
    }));
    assert!(panicked.is_err());
    let cache = &cache;
    std::thread::scope(|scope| {
        // The first one panics while the second waits for it.
        let begun = Arc::new(Barrier::new(2));
        let first = Arc::clone(&begun);
        scope.spawn(move || {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                cache.get_or_insert_with(&1, || {
                    first.wait();
                    std::thread::sleep(Duration::from_millis(50));
                    panic!("broken as well")
                })
            }));
            assert!(panicked.is_err());
        });
        scope.spawn(move || {
            begun.wait();
            assert_eq!(cache.get_or_insert_with(&1, || 7), 7);
        });
    });
    assert_eq!(cache.get(&1), Some(7));
    assert_eq!(cache.statistics().entries, 1);
}

#[tokio::test]
async fn one_future_makes_what_many_want_and_the_next_goes_on_when_it_is_dropped() {
    let cache = PressureCache::builder("async").entries(10).build().unwrap();
    let made = Arc::new(AtomicU64::new(0));
    let dropped = {
        let (cache, made) = (Arc::clone(&cache), Arc::clone(&made));
        tokio::spawn(async move {
            cache
                .get_or_insert_async(&1, async {
                    made.fetch_add(1, Ordering::SeqCst);
                    std::future::pending::<()>().await;
                    0u64
                })
                .await
        })
    };
    while made.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (cache, made) = (Arc::clone(&cache), Arc::clone(&made));
            tokio::spawn(async move {
                cache
                    .get_or_insert_async(&1, async {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        made.fetch_add(1, Ordering::SeqCst)
                    })
                    .await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(made.load(Ordering::SeqCst), 1);
    dropped.abort();
    for waits in waiting {
        assert_eq!(waits.await.unwrap(), 1);
    }
    assert_eq!(made.load(Ordering::SeqCst), 2);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn what_is_too_heavy_is_answered_to_all_who_wait_and_counts_nowhere() {
    let cache = PressureCache::builder("heavy")
        .bytes(1000)
        .weigh_by(|_: &u8, value: &u64| *value)
        .build()
        .unwrap();
    cache.insert(9, 100);
    let mut context = Context::from_waker(Waker::noop());
    let mut is_made = false;
    let made = std::future::poll_fn(|_| match std::mem::replace(&mut is_made, true) {
        true => Poll::Ready(5000),
        false => Poll::Pending,
    });
    let mut first = pin!(cache.get_or_insert_async(&1, made));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let again = || cache.get_or_insert_async(&1, async { panic!("it is made") });
    let mut others = [again(), again(), again()].map(Box::pin);
    for other in &mut others {
        assert!(other.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(5000));
    for other in &mut others {
        assert_eq!(other.as_mut().poll(&mut context), Poll::Ready(5000));
    }
    let found = cache.statistics();
    assert_eq!((found.entries, found.bytes, found.rejected), (1, 100, 1));
    assert_eq!((found.insertions, found.evictions), (1, Default::default()));
}

#[test]
fn what_is_invalidated_while_it_is_made_is_answered_and_not_held() {
    let cache = PressureCache::builder("stale").entries(10).build().unwrap();
    let (invalidated, all) = (&AtomicU64::new(0), &cache);
    for how in 0..3 {
        let answer = cache.get_or_insert_with(&1, || {
            std::thread::scope(|scope| {
                scope.spawn(|| match how {
                    0 => drop(all.invalidate_if(|_, _| true)),
                    1 => all.clear(),
                    _ => drop(all.remove(&1)),
                });
            });
            invalidated.fetch_add(1, Ordering::SeqCst)
        });
        assert_eq!(answer, how);
        assert!(!cache.contains(&1), "{how}");
    }
    assert_eq!(cache.statistics().rejected, 3);
    assert_eq!(cache.statistics().bytes, 0);
}

#[test]
fn what_changes_while_it_is_made_is_newer_than_what_is_made() {
    let cache = PressureCache::builder("changed")
        .entries(10)
        .build()
        .unwrap();
    let all = &cache;
    for change in 0..4 {
        cache.clear();
        let answer = cache.get_or_insert_with(&1, || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    match change {
                        0 => all.insert(1, "new"),
                        1 => drop(all.remove(&1)),
                        2 => drop(all.invalidate_if(|_, _| true)),
                        _ => all.clear(),
                    }
                    // Who asks after the change does not wait for what was begun before it.
                    assert_eq!(all.get_or_insert_with(&1, || "new"), "new");
                });
            });
            "old"
        });
        assert_eq!((answer, cache.get(&1)), ("old", Some("new")));
        // Evicted, it leaves no room for what is old either.
        cache.clear();
        let answer = cache.get_or_insert_with(&1, || {
            all.insert(1, "new");
            all.free_bytes(u64::MAX);
            "old"
        });
        assert_eq!((answer, cache.get(&1)), ("old", None));
    }
}

#[test]
fn who_no_longer_waits_keeps_no_task_alive() {
    struct Task;
    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let cache = PressureCache::builder("cancelled")
        .entries(10)
        .build()
        .unwrap();
    let mut first = pin!(cache.get_or_insert_async(&1, std::future::pending::<u64>()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    let task = Arc::new(Task);
    {
        let waker = Arc::clone(&task).into();
        let mut second = pin!(cache.get_or_insert_async(&1, async { 2 }));
        let mut context = Context::from_waker(&waker);
        for _ in 0..2 {
            assert!(second.as_mut().poll(&mut context).is_pending());
        }
        // The waker here, and the one that is kept.
        assert_eq!(Arc::strong_count(&task), 3);
    }
    assert_eq!(Arc::strong_count(&task), 1);
}

/// What a panic carries, and panics again when it is dropped.
#[cfg(panic = "unwind")]
struct Fuse;

#[cfg(panic = "unwind")]
impl Drop for Fuse {
    fn drop(&mut self) {
        panic!("went off");
    }
}

/// Whether it panicked, with a message: that is, not with a fuse.
#[cfg(panic = "unwind")]
fn told(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err_and(|told| match told.downcast::<&str>() {
        Ok(_) => true,
        Err(fuse) => {
            std::mem::forget(fuse);
            false
        }
    })
}

#[test]
#[cfg(panic = "unwind")]
fn wakers_that_panic_keep_nobody_else_asleep() {
    struct Panics(bool);
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            match self.0 {
                true => panic!("broken waker"),
                false => std::panic::panic_any(Fuse),
            }
        }
    }
    struct Counts(AtomicU64);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let cache = PressureCache::builder("woken").entries(10).build().unwrap();
    let mut is_made = false;
    let made = std::future::poll_fn(|_| match std::mem::replace(&mut is_made, true) {
        true => Poll::Ready(1),
        false => Poll::Pending,
    });
    let mut first = pin!(cache.get_or_insert_async(&1, made));
    let counts = Arc::new(Counts(AtomicU64::new(0)));
    let mut noop = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut noop).is_pending());
    let wakers: [Waker; 4] = [
        Arc::new(Panics(true)).into(),
        Arc::new(Panics(false)).into(),
        Arc::new(Panics(false)).into(),
        Arc::clone(&counts).into(),
    ];
    let mut others = wakers.each_ref().map(|waker| {
        let mut waiting = Box::pin(cache.get_or_insert_async(&1, async { 2 }));
        let is_pending = waiting.as_mut().poll(&mut Context::from_waker(waker));
        assert!(is_pending.is_pending());
        waiting
    });
    assert!(told(|| _ = first.as_mut().poll(&mut noop)));
    assert_eq!(counts.0.load(Ordering::SeqCst), 1);
    for waiting in &mut others {
        assert_eq!(waiting.as_mut().poll(&mut noop), Poll::Ready(1));
    }
}

#[test]
fn what_expires_while_one_waits_for_it_is_made_again() {
    let clock = ManualClock::new();
    let cache = PressureCache::builder("late")
        .entries(10)
        .ttl(Duration::from_secs(60))
        .clock(&clock)
        .build()
        .unwrap();
    let (mut context, mut is_made) = (Context::from_waker(Waker::noop()), false);
    let made = std::future::poll_fn(|_| match std::mem::replace(&mut is_made, true) {
        true => Poll::Ready("first"),
        false => Poll::Pending,
    });
    let mut first = pin!(cache.get_or_insert_async(&1, made));
    let mut second = pin!(cache.get_or_insert_async(&1, async { "second" }));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert_eq!(first.as_mut().poll(&mut context), Poll::Ready("first"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready("second"));
    assert_eq!(cache.get(&1), Some("second"));
}

#[test]
#[cfg(panic = "unwind")]
fn questions_that_panic_take_out_what_they_answered() {
    let cache = PressureCache::builder("asked")
        .entries(100)
        .build()
        .unwrap();
    (0..10).for_each(|key| cache.insert(key, key));
    let has_asked = Cell::new(false);
    assert!(told(|| {
        cache.invalidate_if(|key, _| match (key % 5, has_asked.replace(true)) {
            (_, false) => panic!("the first"),
            (0, true) => std::panic::panic_any(Fuse),
            (_, true) => true,
        });
    }));
    // Which is asked first is the table's to choose.
    let found = cache.statistics();
    assert!([2, 3].contains(&found.entries), "{found:?}");
    assert_eq!(found.evictions.removed, 10 - found.entries);
    assert_eq!((cache.get(&0), cache.get(&5)), (Some(0), Some(5)));
    cache.clear();
    assert_eq!(cache.statistics().bytes, 0);
}

#[test]
#[cfg(panic = "unwind")]
fn a_weigher_that_panics_leaves_the_cache_as_it_was() {
    let cache = PressureCache::builder("odd")
        .bytes(1000)
        .weigh_by(|_: &u8, value: &u64| {
            if *value == 13 {
                panic!("unlucky")
            } else {
                *value
            }
        })
        .build()
        .unwrap();
    cache.insert(1, 100);
    for _ in 0..3 {
        let inserted = catch_unwind(AssertUnwindSafe(|| cache.insert(1, 13)));
        assert!(inserted.is_err());
        let made = catch_unwind(AssertUnwindSafe(|| cache.get_or_insert_with(&2, || 13)));
        assert!(made.is_err());
    }
    assert_eq!(cache.get(&1), Some(100));
    assert_eq!(cache.get_or_insert_with(&2, || 200), 200);
    assert_eq!(cache.statistics().bytes, 300);
}

#[test]
fn with_no_capacity_or_no_time_nothing_is_held_and_nobody_waits() {
    let none = PressureCache::builder("none").entries(0).build().unwrap();
    let brief = PressureCache::builder("brief")
        .entries(10)
        .ttl(Duration::ZERO)
        .build()
        .unwrap();
    for cache in [none, brief] {
        cache.insert(1, 1);
        assert_eq!(cache.get(&1), None);
        let cache = &cache;
        // Each makes its own, at the same time.
        let together = &Barrier::new(3);
        std::thread::scope(|scope| {
            for number in 0..3 {
                scope.spawn(move || {
                    let made = cache.get_or_insert_with(&1, || {
                        together.wait();
                        number
                    });
                    assert_eq!(made, number);
                });
            }
        });
        let found = cache.statistics();
        assert_eq!((found.entries, found.bytes, found.rejected), (0, 0, 4));
    }
}

#[test]
fn ten_thousand_years_are_for_ever() {
    let clock = ManualClock::new();
    let years = Duration::from_secs(10_000 * 365 * 86_400);
    let cache = PressureCache::builder("old")
        .entries(10)
        .ttl(years)
        .clock(&clock)
        .build()
        .unwrap();
    cache.insert(1, 1);
    cache.insert_for(2, 2, Duration::MAX);
    clock.advance(Duration::from_secs(500 * 365 * 86_400));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), Some(2)));
    assert_eq!(cache.sweep(), 0);
    // Nothing says when it was made.
    assert!(cache.ages().is_none());
    // By the system's clock as well, which counts from the start of the machine.
    let cache = PressureCache::builder("older")
        .entries(10)
        .ttl(years)
        .build()
        .unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn ages_are_those_of_entries_with_the_caches_own_time_to_live() {
    let clock = ManualClock::new();
    let cache = PressureCache::builder("aging")
        .entries(10)
        .ttl(Duration::from_secs(100))
        .clock(&clock)
        .build()
        .unwrap();
    assert!(cache.ages().is_none());
    for key in 0..3 {
        cache.insert(key, key);
        cache.insert_for(10 + key, key, Duration::from_secs(1000));
        clock.advance(Duration::from_secs(10));
    }
    let ages = cache.ages().unwrap();
    // Never less than they are, and at most what times are rounded by more.
    let near = |age: Duration, seconds| {
        let over = age.checked_sub(Duration::from_secs(seconds));
        over.is_some_and(|over| over < Duration::from_nanos(1 << 17))
    };
    assert!(near(ages.oldest, 30) && near(ages.mean, 20), "{ages:?}");
}

#[test]
fn by_the_systems_clock_nothing_is_answered_after_its_time() {
    // Above and below a second, where another clock is asked.
    for ttl in [Duration::from_millis(20), Duration::from_millis(1010)] {
        let cache = PressureCache::builder("timed")
            .entries(10)
            .ttl(ttl)
            .build()
            .unwrap();
        for _ in 0..(2000 / ttl.as_millis()).min(20) {
            cache.insert(1, 1);
            let inserted = Instant::now();
            let mut last = None;
            loop {
                let asked = Instant::now();
                if cache.get(&1).is_none() {
                    break;
                }
                last = Some(asked);
            }
            let last = last.map_or(Duration::ZERO, |last| last - inserted);
            // Asked before it was looked up, inserted before that was noted: holds however long this
            // thread does not run.
            assert!(last < ttl, "answered after {last:?} of {ttl:?}");
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_all_named() {
    let error = PressureCache::<u8, u8>::builder("bad")
        .share_at_optimise(0.4)
        .share_at_critical(f64::NAN)
        .shards(0)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cache `bad`: `share_at_critical` is NaN: expected over 0 and at most \
         `share_at_optimise`; `entries` is not set: expected a most number of entries, or of bytes; \
         `shards` is 0: expected at least 1"
    );
    let error = PressureCache::<u8, u8>::builder("bytes")
        .bytes(1000)
        .share_at_optimise(0.0)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cache `bytes`: `share_at_optimise` is 0: expected over 0 and at most 1; \
         `share_at_critical` is 0.5: expected over 0 and at most `share_at_optimise`; \
         `weigh` is not set: expected `Weigh::Measured`, `weigh_by` or `Weigh::Shallow` for a limit \
         of bytes"
    );
    let cache = PressureCache::<u8, u8>::builder("one")
        .entries(1)
        .build()
        .unwrap();
    assert_eq!(
        cache.set_bytes(7).unwrap_err().to_string(),
        "cache `one`: `bytes` is 7: expected a cache that was built with this limit"
    );
}

/// Bytes that are live and stay so while `work` runs on this thread.
fn kept<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let (result, found) = plimsoll::measure(work);
    (result, found.net_bytes.max(0) as u64)
}

#[derive(Clone)]
struct Record {
    name: String,
    tags: Vec<String>,
    scores: HashMap<u32, f64>,
}

fn weighed<V: Clone + Send + Sync + 'static>(what: &str, make: impl Fn(u64) -> V) {
    const ENTRIES: u64 = 500;
    let cache = PressureCache::builder(what)
        .entries(ENTRIES)
        .bytes(1 << 40)
        .weigh(Weigh::Measured)
        .build()
        .unwrap();
    // The table's own memory is there by then.
    for number in 0..ENTRIES {
        cache.get_or_insert_with(&format!("{what} {number:04}"), || make(number));
    }
    let before = cache.statistics();
    assert_eq!(before.entries, ENTRIES);
    let ((), freed) = plimsoll::measure(|| cache.clear());
    let freed = -freed.net_bytes as f64;
    // What stands in the table stays with it.
    let slots = PressureCache::<String, V>::builder("slots")
        .entries(1)
        .weigh(Weigh::Shallow)
        .build()
        .unwrap();
    slots.get_or_insert_with("one", || make(0));
    let weighed = (before.bytes - ENTRIES * slots.statistics().bytes) as f64;
    println!("{what}: weighed {weighed:.0}, freed {freed:.0}");
    assert!((weighed / freed - 1.0).abs() < 0.05, "{what}");
}

#[test]
fn weights_that_are_measured_are_within_5_per_cent_of_the_truth() {
    weighed("a string", |number| format!("{number:0>600}"));
    weighed("a shared page", |number| {
        Arc::<str>::from("x".repeat(100 + number as usize))
    });
    weighed("rows", |number| {
        (0..number % 20)
            .map(|row| (row, format!("row {row} of {number}")))
            .collect::<Vec<(u64, String)>>()
    });
    weighed("a record", |number| Record {
        name: format!("child {number}"),
        tags: (0..number % 7).map(|tag| format!("tag {tag}")).collect(),
        scores: (0..number as u32 % 40).map(|at| (at, 0.5)).collect(),
    });
    weighed("a document", |number| {
        let text = format!(r#"{{"id":{number},"rooms":["owls","foxes"],"notes":{{"a":[1,2,3]}}}}"#);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    });
    let record = Record {
        name: String::new(),
        tags: Vec::new(),
        scores: HashMap::new(),
    };
    black_box((record.name, record.tags, record.scores));
}

#[tokio::test]
async fn weights_are_measured_over_await_points() {
    let cache = PressureCache::builder("awaits")
        .bytes(1 << 20)
        .weigh(Weigh::Measured)
        .build()
        .unwrap();
    let shallow = PressureCache::<u8, Vec<Vec<u8>>>::builder("slot")
        .entries(1)
        .weigh(Weigh::Shallow)
        .build()
        .unwrap();
    shallow.insert(1, Vec::new());
    let parts = cache
        .get_or_insert_async(&1u8, async {
            let mut parts = Vec::with_capacity(2);
            for _ in 0..2 {
                parts.push(vec![0u8; 3000]);
                // What others allocate on this thread meanwhile is not this future's.
                let other = tokio::spawn(async { drop(black_box(vec![0u8; 50_000])) });
                other.await.unwrap();
            }
            parts
        })
        .await;
    let weighed = cache.statistics().bytes - shallow.statistics().bytes;
    let truth = 2 * 3000 + 2 * 24;
    drop(parts);
    // A task's own memory is freed by whoever lets go of it last.
    assert!(
        (truth..truth + 500).contains(&weighed),
        "{weighed} for {truth}"
    );
}

#[test]
fn what_others_still_hold_does_not_count_as_freed() {
    let cache = PressureCache::builder("shared")
        .entries(1000)
        .weigh(Weigh::Measured)
        .build()
        .unwrap();
    let mut held = Vec::new();
    for number in 0..100u64 {
        let page = cache.get_or_insert_with(&number, || Arc::new(vec![0u8; 10_000]));
        if number % 2 == 0 {
            held.push(page);
        }
    }
    let ((), kept) = kept(|| ());
    assert_eq!(kept, 0);
    let freed = cache.free_bytes(2_000_000);
    assert_eq!(cache.statistics().entries, 0);
    assert!((500_000..560_000).contains(&freed), "{freed}");
    assert_eq!(held.len(), 50);
}

#[test]
fn memory_of_what_has_expired_comes_back_by_itself() {
    let ttl = Duration::from_millis(300);
    let caches: Vec<_> = (0..5)
        .map(|number| {
            PressureCache::builder(format!("cache {number}"))
                .entries(10_000)
                .ttl(ttl)
                .build()
                .unwrap()
        })
        .collect();
    let begun = Instant::now();
    for cache in &caches {
        for number in 0..100 {
            cache.get_or_insert_with(&number, || vec![0u8; 1000]);
        }
    }
    let mut held_until = Duration::ZERO;
    let deadline = Instant::now() + Duration::from_secs(20);
    while caches.iter().any(|cache| cache.statistics().entries > 0) {
        held_until = begun.elapsed();
        assert!(Instant::now() < deadline, "never swept");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("a time to live of {ttl:?}: the last was given back after {held_until:?}");
    for cache in &caches {
        assert_eq!(cache.statistics().evictions.expired, 100);
    }
    // One thread for all of them, which ends with the last.
    let sweepers = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let names = threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names
            .filter(|name| name.starts_with("plimsoll-sweep"))
            .count()
    };
    assert_eq!(sweepers(), 1);
}

/// Panics when it is dropped, with something that panics when it is.
#[cfg(panic = "unwind")]
struct Bomb;

#[cfg(panic = "unwind")]
impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Fuse);
    }
}

#[test]
#[cfg(panic = "unwind")]
fn a_value_that_panics_when_it_is_dropped_does_not_keep_others_from_being_swept() {
    let bombs = PressureCache::builder("bombs")
        .entries(4)
        .ttl(Duration::from_millis(20))
        .build()
        .unwrap();
    let others = PressureCache::builder("others")
        .entries(4)
        .ttl(Duration::from_millis(500))
        .build()
        .unwrap();
    bombs.insert(1, Arc::new(Bomb));
    others.insert(1, 1);
    let begun = Instant::now();
    while others.statistics().evictions.expired == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{bombs:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(bombs.statistics().evictions.expired, 1);
}

/// Whatever takes them out comes to its end, and counts what it took.
#[test]
#[cfg(panic = "unwind")]
fn values_that_panic_when_they_are_dropped_leave_a_cache_that_counts() {
    let cache = || {
        let built = PressureCache::builder("bombs").entries(4_000).build();
        let cache = built.unwrap();
        for number in 0..2_000 {
            cache.insert(number, Arc::new(Bomb));
        }
        assert_eq!(cache.statistics().entries, 2_000);
        cache
    };
    let gone = |cache: &PressureCache<u64, Arc<Bomb>>| {
        let statistics = cache.statistics();
        assert_eq!((statistics.entries, statistics.bytes), (0, 0));
        statistics.evictions
    };

    let taken = cache();
    assert_eq!(taken.invalidate_if(|_, _| true), 2_000);
    assert_eq!(gone(&taken).removed, 2_000);

    let cleared = cache();
    cleared.clear();
    assert_eq!(gone(&cleared).removed, 2_000);

    let shrunk = cache();
    shrunk.set_entries(2_000).unwrap();
    shrunk.shrink(Level::Critical);
    let held = shrunk.statistics().entries;
    assert!((1..=1_000).contains(&held), "{held}");
    shrunk.free_bytes(1);
    assert!(shrunk.statistics().entries < held);
    // And up to its limit again.
    shrunk.shrink(Level::Normal);
    for number in 0..10_000 {
        shrunk.insert(number, Arc::new(Bomb));
    }
    let full = shrunk.statistics().entries;
    assert!((1_500..=2_000).contains(&full), "{full}");

    let expired = PressureCache::builder("expired")
        .entries(4_000)
        .ttl(Duration::from_millis(20))
        .build()
        .unwrap();
    for number in 0..51 {
        expired.insert(number, Arc::new(Bomb));
    }
    let begun = Instant::now();
    while gone_by_time(&expired) < 51 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{expired:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(gone(&expired).expired, 51);
    for cache in [taken, cleared, shrunk, expired] {
        drop(cache);
    }
}

/// As above, of values that are no shared ones: whichever way one goes, rejected ones too.
#[test]
#[cfg(panic = "unwind")]
fn a_value_that_is_not_let_in_may_panic_when_it_is_dropped() {
    #[derive(Clone)]
    struct Alone;
    impl Drop for Alone {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let cache = PressureCache::builder("alone").bytes(1_000);
    let cache = cache.weigh_by(|key: &u64, _: &Alone| *key).build().unwrap();
    cache.insert(100, Alone);
    cache.insert(5_000, Alone);
    // What is answered is the caller's.
    std::mem::forget(cache.get_or_insert_with(&6_000, || Alone));
    std::mem::forget(cache.get_or_insert_with(&200, || Alone));
    std::mem::forget(cache.get(&200));
    cache.set_bytes(0).unwrap();
    std::mem::forget(cache.get_or_insert_with(&300, || Alone));
    cache.insert(1, Alone);
    let found = cache.statistics();
    assert_eq!((found.entries, found.bytes, found.rejected), (0, 0, 4));
}

#[cfg(panic = "unwind")]
fn gone_by_time(cache: &PressureCache<u64, Arc<Bomb>>) -> u64 {
    cache.statistics().evictions.expired
}

#[test]
fn a_cache_that_is_dropped_while_it_shrinks_is_dropped_after() {
    let freed = Arc::new(AtomicU64::new(0));
    for _ in 0..20 {
        let drops = Arc::new(AtomicU64::new(0));
        let cache = PressureCache::builder("short")
            .entries(5000)
            .build()
            .unwrap();
        for number in 0..5000u64 {
            cache.insert(number, (Arc::new(number), Dropped(Arc::clone(&drops))));
        }
        let shrinking: Arc<dyn Shrink> = Arc::clone(&cache) as Arc<dyn Shrink>;
        let freed = Arc::clone(&freed);
        let other = std::thread::spawn(move || {
            freed.fetch_add(shrinking.shrink(Level::Critical), Ordering::Relaxed);
        });
        drop(cache);
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 5000);
    }
    assert!(freed.load(Ordering::Relaxed) > 0);
}

/// Counts how often it is dropped.
#[derive(Clone)]
struct Dropped(Arc<AtomicU64>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_value_is_dropped_once() {
    let drops = Arc::new(AtomicU64::new(0));
    let cache = PressureCache::builder("drops")
        .entries(1000)
        .build()
        .unwrap();
    let mut made = 0u64;
    for number in 0..5000u64 {
        cache.insert(number % 3000, Dropped(Arc::clone(&drops)));
        made += 1;
        if number % 500 == 0 {
            cache.shrink(Level::Critical);
            cache.free_bytes(1000);
            cache.shrink(Level::Normal);
        }
        if let Some(clone) = cache.get(&(number / 2)) {
            made += 1;
            drop(clone);
        }
    }
    drop(cache);
    assert_eq!(drops.load(Ordering::Relaxed), made);
}

/// Panics as it is told to: in one of what the cache asks of a key or of a value.
#[cfg(panic = "unwind")]
#[derive(Debug)]
struct Touchy(u64);

#[cfg(panic = "unwind")]
std::thread_local! {
    static TOUCHED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

#[cfg(panic = "unwind")]
impl Touchy {
    /// Once.
    fn touch(how: &'static str) {
        if TOUCHED.get() == Some(how) {
            TOUCHED.set(None);
            std::panic::panic_any(how);
        }
    }
}

#[cfg(panic = "unwind")]
impl Clone for Touchy {
    fn clone(&self) -> Touchy {
        Touchy::touch("clone");
        Touchy(self.0)
    }
}

#[cfg(panic = "unwind")]
impl PartialEq for Touchy {
    fn eq(&self, other: &Touchy) -> bool {
        Touchy::touch("eq");
        self.0 == other.0
    }
}

#[cfg(panic = "unwind")]
impl Eq for Touchy {}

#[cfg(panic = "unwind")]
impl std::hash::Hash for Touchy {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Touchy::touch("hash");
        self.0.hash(state);
    }
}

/// Each comes to whoever asked, and the cache is there for the next, who waits for nobody.
#[test]
#[cfg(panic = "unwind")]
fn keys_and_values_that_panic_leave_the_cache_to_others() {
    let build = || {
        let cache = PressureCache::builder("touchy").entries(100);
        let cache = cache.ttl(Duration::from_secs(3_600)).build().unwrap();
        (0..20).for_each(|key| cache.insert(Touchy(key), Touchy(key)));
        cache
    };
    type Use = fn(&PressureCache<Touchy, Touchy>);
    let uses: [(&str, Use); 9] = [
        ("get", |cache| _ = cache.get(&Touchy(1))),
        ("peek", |cache| _ = cache.contains(&Touchy(1))),
        ("replace", |cache| cache.insert(Touchy(1), Touchy(1))),
        ("insert", |cache| cache.insert(Touchy(99), Touchy(99))),
        ("remove", |cache| _ = cache.remove(&Touchy(1))),
        ("insert_with", |cache| {
            cache.insert_with(Touchy(1), || {
                Touchy::touch("make");
                Touchy(1)
            });
        }),
        ("get_or_insert_with", |cache| {
            _ = cache.get_or_insert_with(&Touchy(98), || {
                Touchy::touch("make");
                Touchy(98)
            });
        }),
        ("get_or_insert_async", |cache| {
            let made = async {
                Touchy::touch("make");
                Touchy(97)
            };
            let made = pin!(cache.get_or_insert_async(&Touchy(97), made));
            let mut context = Context::from_waker(Waker::noop());
            assert!(made.poll(&mut context).is_ready());
        }),
        ("free", |cache| _ = cache.free_bytes(1)),
    ];
    let mut panicked = 0;
    for (name, use_it) in uses {
        for how in ["hash", "eq", "clone", "make"] {
            if (name, how) == ("free", "hash") {
                // The table hashes what it evicts, and counts wrong after that: as documented.
                continue;
            }
            let cache = build();
            TOUCHED.set(Some(how));
            let told = catch_unwind(AssertUnwindSafe(|| use_it(&cache)));
            let is_touched = TOUCHED.take().is_none();
            assert_eq!(told.is_err(), is_touched, "{name} {how}");
            panicked += u32::from(is_touched);
            // Nobody holds a lock or a flight any more.
            use_it(&cache);
            for key in 2..20 {
                let found = cache.get_or_insert_with(&Touchy(key), || Touchy(key));
                assert_eq!(found.0, key, "{name} {how}");
            }
            let held = cache.invalidate_if(|_, _| true);
            assert!((18..=21).contains(&held), "{name} {how}: {held}");
            assert_eq!(cache.statistics().bytes, 0, "{name} {how}");
        }
    }
    assert!(panicked >= 20, "{panicked} of 36");
}
