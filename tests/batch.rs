//! Batches, pauses, budgets and work in parallel, by what a user is promised.
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod truth;

use futures_util::{StreamExt, stream};
use plimsoll::batch::{
    Batches, BatchesBuilder, Budget, ForEachWithin, InBatches, Measured, Passed, Pause, Paused,
    Progress, Purge, Reason, StreamInBatches,
};
use plimsoll::figures::Roots;
use plimsoll::{Drill, Level, Monitor, MonitorBuilder, Plimsoll, Restart, measure};
use proptest::prelude::*;
use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use truth::alone;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Room above what the test binary holds.
const LIMIT: u64 = 400 * MIB;

/// Only the heap of the test itself and drills cross the lines: see `caches.rs`.
fn watched(tree: &tempfile::TempDir) -> MonitorBuilder {
    let proc = tree.path().join("proc");
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal: 1000000 kB\n").unwrap();
    let status = "VmRSS: 1 kB\nRssAnon: 1 kB\nRssFile: 0 kB\nRssShmem: 0 kB\n";
    std::fs::write(proc.join("self/status"), status).unwrap();
    let roots = Roots::new(proc, tree.path().join("sys"));
    Monitor::builder().limit(LIMIT).roots(roots)
}

fn release(monitor: &Monitor) {
    let drill = Drill::new(0.0).lasting(Duration::ZERO);
    monitor.drill(drill).unwrap();
    until("left", || monitor.level() == Level::Normal);
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// From now on, until it is [released](release).
fn drill(monitor: &Monitor, pressure: f64) {
    let drill = Drill::new(pressure).lasting(Duration::from_secs(3600));
    monitor.drill(drill).unwrap();
    // It may be at a lower level already, by what there was before.
    let level = monitor.levels().next(Level::Normal, pressure);
    until("entered", || monitor.level() >= level);
}

fn of(budget: u64) -> BatchesBuilder {
    Batches::builder().budget(budget)
}

fn text(bytes: u64) -> String {
    "x".repeat(bytes as usize)
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    future.poll(&mut context).is_ready()
}

fn runtime() -> tokio::runtime::Runtime {
    // No timer and no I/O: none is needed.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
}

// Batches of an iterator.

#[test]
fn a_job_over_many_items_holds_a_batch_at_a_time() {
    let ((), found) = measure(|| {
        let batches = of(MIB).build().unwrap();
        let rows = (0..200_000u64).map(|id| format!("{id:0>100}"));
        let mut sum = 0;
        let done = rows
            .in_batches(&batches)
            .run(|rows| sum += rows.iter().map(|row| row.len() as u64).sum::<u64>())
            .unwrap();
        assert_eq!((done.items, sum), (200_000, 20_000_000));
        println!("{done:?}");
    });
    // Collected they would be 24 MB. One item more than the budget, and what the job itself needs.
    assert!(found.peak_bytes < MIB + 16 * KIB, "{}", found.peak_bytes);
    println!("at most {} bytes held", found.peak_bytes);
}

#[test]
fn what_the_work_takes_makes_batches_smaller() {
    let batches = of(MIB).build().unwrap();
    let mut sizes = Vec::with_capacity(1000);
    let mut most = 0;
    (0..20_000u64)
        .in_batches(&batches)
        .run(|batch| {
            let ((), found) = measure(|| {
                black_box(batch.iter().map(|_| text(KIB)).collect::<Vec<_>>());
            });
            most = most.max(found.peak_bytes);
            sizes.push(batch.len());
        })
        .unwrap();
    let largest = sizes.iter().copied().max().unwrap();
    println!("up to {largest} items of 1 KiB of work each, at most {most} bytes");
    assert!((800..=1024).contains(&largest));
    assert!(most <= MIB);
}

#[test]
fn items_that_are_suddenly_large_are_over_the_budget_by_one_at_the_most() {
    let batches = of(MIB).build().unwrap();
    let sizes = (0..5000).map(|at| if at < 4000 { 10 } else { 200 * KIB });
    let mut most = 0;
    sizes
        .map(text)
        .in_batches(&batches)
        .run(|batch| {
            let held: usize = batch.iter().map(|item| item.capacity() + 24).sum();
            most = most.max(held as u64);
        })
        .unwrap();
    println!("a batch held {most} bytes at the most");
    assert!(most <= MIB + 200 * KIB + 24);
}

#[test]
fn an_item_that_is_larger_than_the_budget_runs_alone() {
    let batches = of(64 * KIB).build().unwrap();
    let mut sizes = Vec::new();
    (0..5)
        .map(|_| text(MIB))
        .in_batches(&batches)
        .run(|batch| sizes.push(batch.len()))
        .unwrap();
    assert_eq!(sizes, [1; 5]);
}

#[test]
fn work_that_fails_loses_nothing_and_repeats_nothing() {
    let batches = of(KIB).most_items(10).build().unwrap();
    let mut seen = Vec::new();
    let mut job = Some((0..100).in_batches(&batches));
    let mut failures = 0;
    while let Some(part) = job.take() {
        let ended = part.try_run(|batch| {
            while !batch.is_empty() {
                let item = batch.remove(0);
                seen.push(item);
                if item % 7 == 3 {
                    return Err(item);
                }
            }
            Ok(())
        });
        match ended {
            Ok(done) => assert_eq!(done.items, 100),
            Err(stopped) => {
                failures += 1;
                let Reason::Failed(item) = stopped.reason else {
                    panic!("{stopped}");
                };
                assert_eq!(stopped.done.items, item + 1);
                assert!(stopped.resume.left_over().iter().all(|&left| left > item));
                job = Some(stopped.resume);
            }
        }
    }
    assert_eq!(seen, (0..100).collect::<Vec<u64>>());
    assert_eq!(failures, 14);
}

#[test]
fn the_rest_of_a_stopped_job_is_everything_that_was_not_done() {
    let batches = of(KIB).build().unwrap();
    let stopped = (0..100).in_batches(&batches).try_run(|batch| {
        if batch.contains(&50) {
            batch.retain(|&item| item >= 50);
            return Err(());
        }
        Ok(())
    });
    let rest: Vec<i32> = stopped.unwrap_err().resume.into_rest().collect();
    assert_eq!(rest, (50..100).collect::<Vec<_>>());
}

#[test]
fn as_an_iterator_it_gives_its_batches_away() {
    let batches = of(KIB).build().unwrap();
    let mut job = (0..1000u64).in_batches(&batches);
    let mut items = Vec::new();
    for batch in job.by_ref() {
        items.extend(batch.unwrap());
    }
    assert_eq!(items, (0..1000).collect::<Vec<_>>());
    assert_eq!(job.done().items, 1000);
    assert!(job.next().is_none());
}

#[test]
fn nothing_at_all_is_no_batch() {
    let done = std::iter::empty::<String>()
        .in_batches(&Batches::default())
        .run(|_| panic!("a batch of nothing"));
    assert_eq!(done.unwrap().items, 0);
}

// Pauses and stops.

#[test]
fn a_job_pauses_while_memory_is_short_and_goes_on_after_it() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let progress = Progress::with_len(1000);
    let batches = of(KIB)
        .monitor(&monitor)
        .pause_while(Level::Optimise)
        .purge(Purge::WhenPausing)
        .progress(&progress)
        .build()
        .unwrap();
    assert_eq!(progress.message(), "not started");
    drill(&monitor, 0.85);
    let seen = std::thread::scope(|scope| {
        let job = scope.spawn(|| {
            (0..1000u64).in_batches(&batches).run(|_| {
                assert_eq!(monitor.level(), Level::Normal);
            })
        });
        until("paused", || progress.paused().is_some());
        let seen = (progress.paused(), progress.message(), progress.position());
        std::thread::sleep(Duration::from_millis(300));
        release(&monitor);
        let done = job.join().unwrap().unwrap();
        assert_eq!(done.items, 1000);
        assert!(done.paused >= Duration::from_millis(300), "{done:?}");
        seen
    });
    assert!(matches!(seen.0, Some(Paused::Level(level)) if level >= Level::Optimise));
    assert!(seen.1.starts_with("paused: memory is at "), "{}", seen.1);
    assert_eq!((seen.2, progress.position()), (0, 1000));
    assert_eq!((progress.len(), progress.pauses()), (Some(1000), 1));
    assert!(progress.is_finished() && progress.paused().is_none());
    assert!(progress.paused_for() >= Duration::from_millis(300));
}

#[test]
fn after_the_longest_hold_one_item_goes_and_then_the_next_hold_begins() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let batches = Batches::builder()
        .monitor(&monitor)
        .pause_while(Level::Optimise)
        .longest_hold(Duration::from_millis(100))
        .item_bytes(1)
        .build()
        .unwrap();
    drill(&monitor, 0.95);
    let mut sizes = Vec::new();
    let begun = Instant::now();
    let done = (0..5u64)
        .in_batches(&batches)
        .run(|batch| sizes.push(batch.len()))
        .unwrap();
    assert_eq!(sizes, [1; 5]);
    // One hold before each, and one before the end is found.
    let all = Duration::from_millis(600);
    assert!(begun.elapsed() >= all && done.paused >= all, "{done:?}");
}

#[test]
fn it_stops_after_the_longest_hold_when_told_to_and_goes_on_later() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let batches = of(KIB)
        .monitor(&monitor)
        .pause_while(Level::Optimise)
        .longest_hold(Duration::from_millis(50))
        .stop_after_hold(true)
        .build()
        .unwrap();
    drill(&monitor, 0.85);
    let stopped = (0..10u64).in_batches(&batches).run(|_| ()).unwrap_err();
    assert!(matches!(stopped.reason, Reason::HeldTooLong(level) if level >= Level::Optimise));
    assert!(
        stopped
            .to_string()
            .starts_with("stopped after 0 items: memory is still at ")
    );
    release(&monitor);
    assert_eq!(stopped.resume.run(|_| ()).unwrap().items, 10);
}

#[test]
fn a_stop_under_pressure_says_what_was_done_and_goes_on_from_there() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let batches = of(KIB)
        .monitor(&monitor)
        .stop_at(Level::Critical)
        .build()
        .unwrap();
    let mut seen = Vec::new();
    let stopped = (0..1000u64)
        .in_batches(&batches)
        .run(|batch| {
            seen.append(batch);
            if seen.len() > 100 {
                drill(&monitor, 0.95);
                until("critical", || monitor.level() == Level::Critical);
            }
        })
        .unwrap_err();
    assert_eq!(stopped.reason, Reason::Level(Level::Critical));
    assert_eq!(stopped.done.items, seen.len() as u64);
    assert_eq!(batches.progress().message(), "stopped");
    release(&monitor);
    let done = stopped.resume.run(|batch| seen.append(batch)).unwrap();
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    assert_eq!(done.items, 1000);
    assert!(batches.progress().is_finished());

    // As an iterator: the error, then the end, then on.
    drill(&monitor, 0.95);
    until("critical", || monitor.level() == Level::Critical);
    let mut job = (0..10u64).in_batches(&batches);
    assert_eq!(
        job.next().unwrap().unwrap_err().reason,
        Reason::Level(Level::Critical)
    );
    assert!(job.next().is_none());
    release(&monitor);
    assert_eq!(job.map(|batch| batch.unwrap().len()).sum::<usize>(), 10);
}

#[test]
fn a_pause_ends_and_a_job_stops_when_the_program_is_about_to_end() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let paused = of(KIB).monitor(&monitor).pause_while(Level::Optimise);
    let goes_on = paused.clone().build().unwrap();
    let stops = paused.stop_when_ending(true).build().unwrap();
    let mut pause = Pause::new(&monitor, Level::Optimise).unwrap();
    drill(&monitor, 0.85);
    std::thread::scope(|scope| {
        let on = scope.spawn(|| (0..10u64).in_batches(&goes_on).run(|_| ()));
        let off = scope.spawn(|| {
            (0..10u64)
                .in_batches(&stops)
                .run(|_| ())
                .map_err(|it| it.reason)
        });
        let waits = scope.spawn(|| pause.wait());
        std::thread::sleep(Duration::from_millis(50));
        monitor.ending();
        assert_eq!(on.join().unwrap().unwrap().items, 10);
        assert_eq!(off.join().unwrap().unwrap_err(), Reason::Ending);
        assert_eq!(waits.join().unwrap(), Passed::Ending);
    });
}

/// A drill asks for a restart, which drains until the job has stopped for it, and is called off then.
#[test]
fn a_job_stops_for_a_restart_that_drains() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let (asked, drains) = std::sync::mpsc::channel();
    let monitor = watched(&tree)
        .restart(Restart::Exit(7))
        .state_file(tree.path().join("state"))
        .sustained(Duration::ZERO)
        .cooldown(Duration::ZERO)
        .interval(Duration::from_millis(10))
        .drain(Duration::from_secs(60), move |token| {
            asked.send(token).unwrap()
        })
        .start()
        .unwrap();
    monitor.ready();
    let of = || of(KIB).monitor(&monitor);
    let stops = of().stop_when_ending(true).build().unwrap();
    let goes_on = of().build().unwrap();
    let lasting = Drill::new(0.85).lasting(Duration::from_secs(60));
    monitor.drill(lasting.with_restart()).unwrap();
    let token = drains.recv_timeout(Duration::from_secs(20)).unwrap();
    let stopped = (0..10u64).in_batches(&stops).run(|_| ()).unwrap_err();
    assert_eq!(stopped.reason, Reason::Restarting);
    assert_eq!(
        (0..10u64).in_batches(&goes_on).run(|_| ()).unwrap().items,
        10
    );
    monitor.ending();
    drop(token);
    monitor.stop();
}

#[test]
fn a_monitor_that_has_stopped_holds_nobody_up() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let batches = of(KIB)
        .monitor(&monitor)
        .pause_while(Level::Optimise)
        .build()
        .unwrap();
    drill(&monitor, 0.95);
    monitor.stop();
    let done = (0..1000u64).in_batches(&batches).run(|_| ()).unwrap();
    assert_eq!((done.items, done.paused), (1000, Duration::ZERO));
}

#[test]
fn a_pause_of_ones_own_ends_with_the_level_or_lets_a_trickle_through() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let hold = Duration::from_millis(60);
    let pause = Pause::new(&monitor, Level::Optimise).unwrap();
    let mut pause = pause.longest_hold(hold).unwrap();
    assert_eq!(pause.wait(), Passed::Free);
    drill(&monitor, 0.85);
    assert!(matches!(pause.wait(), Passed::Trickle(level) if level >= Level::Optimise));
    let runtime = runtime();
    let mut trickles = 1;
    while let Passed::Trickle(_) = runtime.block_on(pause.wait_async()) {
        trickles += 1;
        if trickles == 2 {
            release(&monitor);
        }
    }
    assert_eq!(trickles, 2);
    assert!(pause.paused() >= hold * 2);
}

#[test]
fn little_room_makes_batches_small_and_every_job_comes_to_its_end() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let batches = of(64 * MIB)
        .monitor(&monitor)
        .item_bytes(KIB)
        .build()
        .unwrap();
    let largest = |items: u64| {
        let mut largest = 0;
        let job = (0..items).map(|_| text(KIB)).in_batches(&batches);
        let done = job.run(|batch| largest = largest.max(batch.len())).unwrap();
        assert_eq!(done.items, items);
        largest
    };
    let roomy = largest(100_000);
    // 300 MiB is the line of optimise: 10 MiB of room are left, at the most; a quarter is 2560 items.
    let held = black_box(vec![1u8; (290 * MIB) as usize]);
    let tight = largest(20_000);
    drop(held);
    println!("{roomy} items a batch, with little room {tight}");
    assert_eq!(roomy, 8192);
    assert!(tight <= 2560, "{tight}");
    // No room at all: one by one.
    drill(&monitor, 0.9);
    assert_eq!(largest(100), 1);
}

// Streams.

#[test]
fn a_stream_is_walked_in_batches_of_a_budget() {
    let rows = stream::iter((0..200_000u64).map(|id| format!("{id:0>100}")));
    let batches = of(MIB).build().unwrap();
    let ((), found) = measure(|| {
        let job = rows.in_batches(&batches).run(async |rows| {
            black_box(rows.len());
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(job).unwrap().items, 200_000);
    });
    assert!(found.peak_bytes < MIB + 32 * KIB, "{}", found.peak_bytes);
}

#[test]
fn a_job_over_a_stream_can_be_spawned() {
    let runtime = runtime();
    let rows = stream::iter(0..1000u64);
    let total = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&total);
    let job = async move {
        let batches = Batches::default();
        rows.in_batches(&batches)
            .run(async |mut batch| {
                tokio::task::yield_now().await;
                sum.fetch_add(batch.drain(..).sum::<u64>(), Ordering::Relaxed);
            })
            .await
            .map(|done| done.items)
    };
    assert_eq!(runtime.block_on(runtime.spawn(job)).unwrap().unwrap(), 1000);
    assert_eq!(total.load(Ordering::Relaxed), 499_500);
}

#[test]
fn as_a_stream_it_gives_its_batches_away() {
    let batches = of(KIB).build().unwrap();
    let chunks = stream::iter(0..1000u64).in_batches(&batches);
    let chunks: Vec<Vec<u64>> = runtime().block_on(chunks.map(Result::unwrap).collect());
    assert!(chunks.len() > 5);
    assert_eq!(chunks.concat(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn items_that_trickle_in_are_passed_on() {
    let batches = Batches::builder()
        .linger(Duration::from_millis(10))
        .item_bytes(1)
        .build()
        .unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let items = stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    let mut chunks = items.in_batches(&batches);
    runtime().block_on(async {
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!(chunks.next().await.unwrap().unwrap(), [1, 2]);
        sender.send(3).unwrap();
        drop(sender);
        assert_eq!(chunks.next().await.unwrap().unwrap(), [3]);
        assert!(chunks.next().await.is_none());
    });
}

#[test]
fn a_stream_pauses_and_stops_like_an_iterator() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let paused = of(KIB)
        .monitor(&monitor)
        .pause_while(Level::Optimise)
        .longest_hold(Duration::from_millis(60));
    let trickles = paused.clone().build().unwrap();
    let stops = paused.stop_after_hold(true).build().unwrap();
    drill(&monitor, 0.85);
    runtime().block_on(async {
        let sizes = Mutex::new(Vec::new());
        let done = stream::iter(0..3u64)
            .in_batches(&trickles)
            .run(async |batch| sizes.lock().unwrap().push(batch.len()))
            .await;
        assert_eq!(done.unwrap().items, 3);
        assert_eq!(*sizes.lock().unwrap(), [1; 3]);
        let mut chunks = stream::iter(0..3u64).in_batches(&stops);
        let error = chunks.next().await.unwrap().unwrap_err();
        assert!(matches!(error.reason, Reason::HeldTooLong(_)));
        assert!(chunks.next().await.is_none());
    });
    release(&monitor);
}

#[test]
fn work_on_a_stream_that_fails_loses_nothing() {
    let batches = of(KIB).build().unwrap();
    let job = stream::iter(0..100u64).in_batches(&batches);
    runtime().block_on(async {
        let failed = job.try_run(async |mut batch| {
            while let Some(item) = batch.pop() {
                if item == 60 {
                    batch.push(item);
                    return Err("no");
                }
            }
            Ok(())
        });
        let stopped = failed.await.unwrap_err();
        assert_eq!(stopped.reason, Reason::Failed("no"));
        let left: Vec<u64> = stopped.resume.left_over().to_vec();
        let (first, rest) = stopped.resume.into_rest();
        assert_eq!(first, left);
        let rest: Vec<u64> = rest.collect().await;
        assert_eq!(stopped.done.items, 100 - (first.len() + rest.len()) as u64);
        assert!(first.contains(&60));
    });
}

// Budgets.

#[test]
fn a_budget_is_never_exceeded_but_by_one_that_is_larger_and_runs_alone() {
    let budget = Budget::new(100).unwrap();
    let at_work = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..8u64)
        .map(|seed| {
            let (budget, at_work) = (budget.clone(), Arc::clone(&at_work));
            std::thread::spawn(move || {
                for step in 0..300u64 {
                    let bytes = (seed * 37 + step * 61) % 140;
                    let permit = budget.acquire_blocking(bytes);
                    let now = at_work.fetch_add(bytes, Ordering::SeqCst) + bytes;
                    assert!(now <= 100 || now == bytes, "{now} with {bytes}");
                    std::hint::spin_loop();
                    at_work.fetch_sub(bytes, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!((budget.held(), budget.waiting()), (0, 0));
}

#[test]
fn large_requests_are_not_overtaken() {
    let budget = Budget::new(10).unwrap();
    let held = budget.try_acquire(5).unwrap();
    let mut large = pin!(budget.acquire(8));
    assert!(!poll_once(large.as_mut()));
    assert!(budget.try_acquire(1).is_none(), "somebody waits");
    let mut small = pin!(budget.acquire(1));
    assert!(!poll_once(small.as_mut()));
    drop(held);
    // Both were granted as they stood: 8 and 1 of 10.
    assert_eq!((budget.held(), budget.waiting()), (9, 0));
    assert!(poll_once(large) && poll_once(small));
}

#[test]
fn a_request_that_goes_away_makes_room_for_those_behind_it() {
    let budget = Budget::new(10).unwrap();
    let held = budget.try_acquire(5).unwrap();
    let mut large = Box::pin(budget.acquire(8));
    assert!(!poll_once(large.as_mut()));
    let mut small = pin!(budget.acquire(2));
    assert!(!poll_once(small.as_mut()));
    drop(large);
    assert!(poll_once(small));
    drop(held);
    assert_eq!(budget.held(), 0);
}

#[test]
fn a_budget_shrinks_and_grows_while_permits_are_held() {
    let budget = Budget::new(100).unwrap();
    let mut held = budget.try_acquire(80).unwrap();
    budget.resize(50).unwrap();
    assert_eq!((budget.size(), budget.held(), budget.free()), (50, 80, 0));
    let mut next = pin!(budget.acquire(30));
    assert!(!poll_once(next.as_mut()));
    held.shrink_to(20);
    assert_eq!((budget.held(), held.bytes()), (50, 20));
    assert!(poll_once(next));
    let mut last = pin!(budget.acquire(40));
    assert!(!poll_once(last.as_mut()));
    budget.resize(60).unwrap();
    assert!(poll_once(last));
    drop(held);
    assert_eq!(budget.free(), 60);
}

#[test]
fn a_thread_waits_for_bytes_as_long_as_it_wants() {
    let budget = Budget::new(10).unwrap();
    let held = budget.try_acquire(10).unwrap();
    let short = Duration::from_millis(20);
    assert!(budget.acquire_within(1, short).is_none());
    assert_eq!(budget.waiting(), 0);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| budget.acquire_within(1, Duration::MAX).is_some());
        until("waiting", || budget.waiting() == 1);
        drop(held);
        assert!(waits.join().unwrap());
    });
    assert_eq!(budget.held(), 0);
}

#[test]
fn a_panic_gives_its_permit_back() {
    let budget = Budget::new(10).unwrap();
    let theirs = budget.clone();
    let panicked = std::thread::spawn(move || {
        let _permit = theirs.acquire_blocking(10);
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert_eq!(budget.held(), 0);
}

/// What can happen to a budget.
#[derive(Clone, Debug)]
enum Step {
    Ask(u64),
    Poll(usize),
    Cancel(usize),
    GiveBack(usize),
    Resize(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..150u64).prop_map(Step::Ask),
        any::<usize>().prop_map(Step::Poll),
        any::<usize>().prop_map(Step::Cancel),
        any::<usize>().prop_map(Step::GiveBack),
        (1..150u64).prop_map(Step::Resize),
    ];
    proptest::collection::vec(step, 0..100)
}

/// Against a model that is a list: who asked, in order, and who was granted.
#[test]
fn a_budget_grants_in_order_what_fits_and_nothing_else() {
    let mut runner = proptest::test_runner::TestRunner::default();
    let (waits, cancels) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&steps(), |steps| {
        let budget = Budget::new(100).unwrap();
        let mut size = 100u64;
        let mut waiting: Vec<(u64, std::pin::Pin<Box<plimsoll::batch::Acquire>>)> = Vec::new();
        let mut permits = Vec::new();
        // Of the model: what waits, by the order of asking, and what is held, seen or not.
        let mut held: u64 = 0;
        let mut granted = 0;
        for step in steps {
            match step {
                Step::Ask(bytes) => {
                    let mut acquire = Box::pin(budget.acquire(bytes));
                    let mut context = Context::from_waker(Waker::noop());
                    if let Poll::Ready(permit) = acquire.as_mut().poll(&mut context) {
                        prop_assert!(granted == waiting.len(), "it overtook");
                        prop_assert!(held == 0 || held + bytes <= size);
                        prop_assert_eq!(permit.bytes(), bytes);
                        held += bytes;
                        permits.push(permit);
                    } else {
                        waits.set(waits.get() + 1);
                        waiting.push((bytes, acquire));
                    }
                }
                Step::Poll(at) if !waiting.is_empty() => {
                    let at = at % waiting.len();
                    let mut context = Context::from_waker(Waker::noop());
                    let polled = waiting[at].1.as_mut().poll(&mut context);
                    let is_ready = polled.is_ready();
                    prop_assert_eq!(is_ready, at < granted);
                    if let Poll::Ready(permit) = polled {
                        granted -= 1;
                        drop(waiting.remove(at));
                        permits.push(permit);
                    }
                }
                Step::Cancel(at) if !waiting.is_empty() => {
                    let at = at % waiting.len();
                    let (bytes, acquire) = waiting.remove(at);
                    cancels.set(cancels.get() + 1);
                    if at < granted {
                        granted -= 1;
                        held -= bytes;
                    }
                    drop(acquire);
                }
                Step::GiveBack(at) if !permits.is_empty() => {
                    let at = at % permits.len();
                    let permit = permits.swap_remove(at);
                    held -= permit.bytes();
                    drop(permit);
                }
                Step::Resize(bytes) => {
                    size = bytes;
                    budget.resize(bytes).unwrap();
                }
                _ => {}
            }
            while let Some((bytes, _)) = waiting.get(granted) {
                if held > 0 && held + bytes > size {
                    break;
                }
                held += bytes;
                granted += 1;
            }
            prop_assert_eq!(budget.held(), held);
            prop_assert_eq!(budget.waiting(), waiting.len() - granted);
        }
        drop((waiting, permits));
        prop_assert_eq!((budget.held(), budget.waiting()), (0, 0));
        Ok(())
    });
    outcome.unwrap();
    let (waits, cancels) = (waits.get(), cancels.get());
    assert!(
        waits > 100 && cancels > 10,
        "{waits} waited, {cancels} gave up"
    );
}

// In parallel.

fn pool(threads: usize) -> rayon_core::ThreadPool {
    rayon_core::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
}

#[test]
fn work_in_parallel_stays_within_the_budget() {
    let budget = Budget::new(100).unwrap();
    let (at_work, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = (0..2000u64)
        .for_each_within(
            &budget,
            &Batches::default(),
            |item: &u64| item % 60,
            |item| {
                let now = at_work.fetch_add(item % 60, Ordering::SeqCst) + item % 60;
                most.fetch_max(now, Ordering::SeqCst);
                at_work.fetch_sub(item % 60, Ordering::SeqCst);
            },
        )
        .unwrap();
    assert_eq!(done.items, 2000);
    assert!(most.into_inner() <= 100);
    assert_eq!(budget.held(), 0);
}

#[test]
fn what_items_take_is_found_out_and_work_stays_within_the_budget() {
    let _alone = alone();
    let budget = Budget::new(8 * MIB).unwrap();
    let (at_work, most) = (AtomicU64::new(0), AtomicU64::new(0));
    pool(4).install(|| {
        (0..200)
            .for_each_within(&budget, &Batches::default(), Measured, |_| {
                let now = at_work.fetch_add(3 * MIB, Ordering::SeqCst) + 3 * MIB;
                most.fetch_max(now, Ordering::SeqCst);
                drop(black_box(vec![1u8; (3 * MIB) as usize]));
                at_work.fetch_sub(3 * MIB, Ordering::SeqCst);
            })
            .unwrap()
    });
    let most = most.into_inner();
    println!("at most {most} bytes at work");
    assert!(most < 9 * MIB, "{most}");
}

#[test]
fn a_pool_of_one_thread_that_feeds_itself_comes_to_the_end() {
    let budget = Budget::new(10).unwrap();
    let done = pool(1).install(|| {
        (0..500u64)
            .for_each_within(&budget, &Batches::default(), |_: &u64| 7, |_| ())
            .unwrap()
    });
    assert_eq!(done.items, 500);
}

#[test]
fn jobs_inside_jobs_over_the_same_budget_come_to_the_end() {
    for threads in [1, 2, 4] {
        let budget = Budget::new(10).unwrap();
        let inner = AtomicUsize::new(0);
        let settings = Batches::default();
        pool(threads).install(|| {
            (0..20u64)
                .for_each_within(
                    &budget,
                    &settings,
                    |_: &u64| 10,
                    |_| {
                        // The item holds the whole budget; also from other threads of the pool.
                        rayon_core::join(
                            || nested(&budget, &settings, &inner),
                            || nested(&budget, &settings, &inner),
                        );
                    },
                )
                .unwrap()
        });
        assert_eq!(inner.into_inner(), 20 * 2 * 5);
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
    }
    fn nested(budget: &Budget, settings: &Batches, inner: &AtomicUsize) {
        (0..5u64)
            .for_each_within(
                budget,
                settings,
                |_: &u64| 6,
                |_| {
                    inner.fetch_add(1, Ordering::Relaxed);
                },
            )
            .unwrap();
    }
}

#[test]
fn a_job_waits_for_a_task_that_holds_the_budget() {
    let budget = Budget::new(10).unwrap();
    let held = budget.try_acquire(10).unwrap();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| {
            (0..10u64).for_each_within(&budget, &Batches::default(), |_: &u64| 5, |_| ())
        });
        until("waiting", || budget.waiting() == 1);
        drop(held);
        assert_eq!(job.join().unwrap().unwrap().items, 10);
    });
}

#[test]
fn work_that_panics_gives_every_permit_back_and_begins_nothing_more() {
    let budget = Budget::new(10).unwrap();
    for in_pool in [false, true] {
        let run = || {
            // Without end: that it comes back shows that it stops.
            (0u64..).for_each_within(
                &budget,
                &Batches::default(),
                |_: &u64| 3,
                |item| {
                    if item == 100 {
                        std::panic::resume_unwind(Box::new("on purpose"));
                    }
                },
            )
        };
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if in_pool { pool(2).install(run) } else { run() }
                .map(|done| done.items)
                .ok()
        }));
        assert!(caught.is_err());
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
    }
}

#[test]
fn a_stop_in_parallel_finishes_what_was_begun_and_keeps_the_rest() {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).start().unwrap();
    let batches = Batches::builder()
        .monitor(&monitor)
        .stop_at(Level::Optimise)
        .build()
        .unwrap();
    let budget = Budget::new(10).unwrap();
    let is_drilled = AtomicBool::new(false);
    let seen = Mutex::new(Vec::new());
    let work = |item: u64| {
        seen.lock().unwrap().push(item);
        if item == 20 && !is_drilled.swap(true, Ordering::SeqCst) {
            drill(&monitor, 0.85);
        }
    };
    let stopped = (0..10_000_000u64)
        .for_each_within(&budget, &batches, |_: &u64| 4, work)
        .unwrap_err();
    assert!(matches!(stopped.reason, Reason::Level(_)));
    assert_eq!(stopped.done.items as usize, seen.lock().unwrap().len());
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    let mut rest = stopped.resume;
    assert_eq!(rest.next(), Some(seen.len() as u64));
    assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>());
    release(&monitor);
}

// Settings.

#[test]
fn settings_that_make_no_sense_are_all_named_with_what_was_expected() {
    let error = Batches::builder()
        .budget(0)
        .most_items(0)
        .item_bytes(0)
        .room_share(1.5)
        .longest_hold(Duration::ZERO)
        .linger(Duration::MAX)
        .pause_while(Level::Optimise)
        .stop_at(Level::Normal)
        .stop_when_ending(true)
        .build()
        .unwrap_err();
    let named: Vec<_> = error.faults().iter().map(|fault| fault.setting).collect();
    assert_eq!(
        named,
        [
            "budget",
            "most_items",
            "item_bytes",
            "room_share",
            "longest_hold",
            "linger",
            "pause_while",
            "stop_at",
            "stop_at",
            "stop_when_ending",
        ]
    );
    let text = error.to_string();
    assert!(
        text.contains("`budget` is 0: expected at least 1 byte"),
        "{text}"
    );
    assert!(
        text.contains("`room_share` is 1.5: expected above 0, up to 1"),
        "{text}"
    );
    for share in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(
            Batches::builder().room_share(share).build().is_err(),
            "{share}"
        );
    }
    let ten_thousand_years = Duration::from_secs(10_000 * 365 * 86_400);
    let error = Batches::builder().longest_hold(ten_thousand_years).build();
    assert!(error.unwrap_err().to_string().contains("1 ms to 24 hours"));
    let error = Batches::builder().stop_after_hold(true).build();
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("`pause_while` beside it")
    );
    let error = Budget::new(0).unwrap_err();
    assert_eq!(error.to_string(), "`budget` is 0: expected at least 1 byte");
    let budget = Budget::new(1).unwrap();
    assert!(budget.resize(0).is_err() && budget.size() == 1);
}

#[test]
fn extreme_settings_work() {
    let batches = of(u64::MAX)
        .most_items(usize::MAX)
        .item_bytes(u64::MAX)
        .room_share(f64::MIN_POSITIVE)
        .longest_hold(Duration::from_secs(86_400))
        .build()
        .unwrap();
    assert_eq!(
        (0..100u64).in_batches(&batches).run(|_| ()).unwrap().items,
        100
    );
    let none = of(1).most_items(1).build().unwrap();
    assert_eq!(
        [(); 10]
            .into_iter()
            .in_batches(&none)
            .run(|_| ())
            .unwrap()
            .items,
        10
    );
    let budget = Budget::new(u64::MAX).unwrap();
    let first = budget.try_acquire(u64::MAX).unwrap();
    assert!(budget.try_acquire(1).is_none());
    drop(first);
    assert_eq!(budget.free(), u64::MAX);
}

/// By what jemalloc has resident.
#[cfg(feature = "jemalloc")]
#[test]
fn what_was_freed_is_given_back() {
    let _alone = alone();
    let churn = || {
        let held = (0..64).map(|_| black_box(vec![1u8; MIB as usize]));
        drop(held.collect::<Vec<_>>());
    };
    // What can be given back by now, in bytes; and it is.
    let left = || {
        let resident = || plimsoll::figures::jemalloc().unwrap().resident;
        let before = resident();
        assert!(plimsoll::give_back());
        before.saturating_sub(resident())
    };
    left();
    churn();
    let (freed, none) = (left(), left());
    assert!(freed >= 48 * MIB && none <= MIB, "{freed}, and then {none}");

    let left_by = |purge| {
        let batches = of(MIB).purge(purge).build().unwrap();
        let job = (0..20).map(|_| text(KIB)).in_batches(&batches);
        assert_eq!(job.run(|_| churn()).unwrap().items, 20);
        left()
    };
    assert!(left_by(Purge::Never) >= 48 * MIB);
    assert!(left_by(Purge::EveryBatch) <= 16 * MIB);

    // Before a pause, of which the monitor has no part: it only observes.
    let tree = tempfile::tempdir().unwrap();
    let monitor = watched(&tree).observe_only().start().unwrap();
    let left_by = |purge| {
        let batches = of(MIB)
            .monitor(&monitor)
            .pause_while(Level::Optimise)
            .purge(purge)
            .build()
            .unwrap();
        churn();
        drill(&monitor, 0.85);
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                until("paused", || batches.progress().paused().is_some());
                release(&monitor);
            });
            (0..10u64).in_batches(&batches).run(|_| ()).unwrap()
        });
        assert!(done.paused > Duration::ZERO, "{done:?}");
        left()
    };
    assert!(left_by(Purge::Never) >= 48 * MIB);
    assert!(left_by(Purge::WhenPausing) <= 16 * MIB);
}

#[test]
#[cfg(panic = "unwind")]
fn a_waker_that_panics_keeps_nobody_from_a_grant() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("broken waker");
        }
    }
    struct Counts(AtomicU64);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    // Also while the holder of the permit unwinds, where a second panic would end the process.
    for unwinds in [false, true] {
        let budget = Budget::new(2).unwrap();
        let held = budget.try_acquire(2).unwrap();
        let counts = Arc::new(Counts(AtomicU64::new(0)));
        let wakers: [Waker; 2] = [Arc::new(Panics).into(), Arc::clone(&counts).into()];
        let mut waiting = wakers.each_ref().map(|waker| {
            let mut waiting = Box::pin(budget.acquire(1));
            let polled = waiting.as_mut().poll(&mut Context::from_waker(waker));
            assert!(polled.is_pending());
            waiting
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = held;
            if unwinds {
                panic!("the holder");
            }
        }));
        let told = ended.unwrap_err().downcast_ref::<&str>().copied();
        let first = if unwinds {
            "the holder"
        } else {
            "broken waker"
        };
        assert_eq!(told, Some(first));
        assert_eq!(counts.0.load(Ordering::SeqCst), 1);
        assert_eq!((budget.waiting(), budget.free()), (0, 0));
        let mut noop = Context::from_waker(Waker::noop());
        for waiting in &mut waiting {
            assert!(waiting.as_mut().poll(&mut noop).is_ready());
        }
    }
}

/// Whatever of the program's panics, in whichever kind of job: what was taken is given back, and the same budget
/// and settings serve the next one.
#[test]
#[cfg(panic = "unwind")]
fn a_job_whose_items_weights_or_work_panic_leaves_nothing_taken() {
    fn panics<T>(run: impl FnOnce() -> T) {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let why = ended.err().expect("it panics");
        assert_eq!(why.downcast_ref::<&str>(), Some(&"on purpose"));
    }
    fn on_purpose() -> ! {
        std::panic::panic_any("on purpose")
    }
    let budget = Budget::new(10).unwrap();
    let batches = Batches::builder().most_items(7).build().unwrap();
    let items = || (0..1_000u64).map(|item| if item == 100 { on_purpose() } else { item });
    let weight = |item: &u64| if *item == 100 { on_purpose() } else { 3 };
    for in_pool in [false, true] {
        let within = |run: &(dyn Fn() + Sync)| if in_pool { pool(2).install(run) } else { run() };
        panics(|| {
            within(&|| {
                _ = items()
                    .for_each_within(&budget, &batches, |_: &u64| 3, |_| ())
                    .is_ok()
            })
        });
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
        panics(|| {
            within(&|| {
                _ = (0..1_000)
                    .for_each_within(&budget, &batches, weight, |_| ())
                    .is_ok()
            })
        });
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
    }
    panics(|| items().in_batches(&batches).run(|_| ()).is_ok());
    panics(|| {
        (0..50)
            .in_batches(&batches)
            .run(|_: &mut Vec<u64>| on_purpose())
            .is_ok()
    });
    let try_run = |work: fn(&mut Vec<u64>) -> Result<(), ()>| {
        (0..50).in_batches(&batches).try_run(work).is_ok()
    };
    panics(|| try_run(|_| on_purpose()));
    panics(|| {
        drop(now(stream::iter(items())
            .in_batches(&batches)
            .run(async |_| ())))
    });
    panics(|| {
        let numbers = stream::iter(0..50u64).in_batches(&batches);
        drop(now(numbers.run(async |_| on_purpose())));
    });
    let done = (0..50)
        .in_batches(&batches)
        .run(|_: &mut Vec<u64>| ())
        .unwrap();
    assert_eq!(done.items, 50);
    let work = |_| ();
    let done = (0..50u64).for_each_within(&budget, &batches, |_: &u64| 3, work);
    assert_eq!(done.unwrap().items, 50);
}

/// A future that has nothing to wait for.
#[cfg(panic = "unwind")]
fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
