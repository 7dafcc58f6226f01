//! How jobs end: at their last item whatever memory does by then, in a panic, or because nobody wants
//! them any more; and what they say of it.

mod truth;

use futures_util::{StreamExt, stream};
use plimsoll::batch::{
    Batches, Budget, ForEachWithin, InBatches, Passed, Pause, Progress, StreamInBatches,
};
use plimsoll::{Drill, Level, Monitor, Plimsoll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use truth::alone;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// From now on memory is critical.
fn press(monitor: &Monitor) {
    let drill = Drill::new(0.95).lasting(Duration::from_secs(3600));
    monitor.drill(drill).unwrap();
    until("critical", || monitor.level() == Level::Critical);
}

/// And now it is not.
fn release(monitor: &Monitor) {
    let drill = Drill::new(0.0).lasting(Duration::ZERO);
    monitor.drill(drill).unwrap();
    until("normal", || monitor.level() == Level::Normal);
}

fn watched() -> Monitor {
    let interval = Duration::from_millis(50);
    Monitor::builder()
        .limit(1 << 40)
        .interval(interval)
        .observe_only()
        .start()
        .unwrap()
}

/// Ten items are one batch, and its end is known when it is given.
fn at_once(monitor: &Monitor) -> Batches {
    Batches::builder()
        .item_bytes(1)
        .monitor(monitor)
        .stop_at(Level::Critical)
        .build()
        .unwrap()
}

#[test]
fn a_job_whose_last_item_is_done_is_not_stopped() {
    let _alone = alone();
    let monitor = watched();
    let job = (0..10).in_batches(&at_once(&monitor));
    let done = job.run(|batch| {
        assert_eq!(batch.len(), 10);
        press(&monitor);
    });
    assert_eq!(done.unwrap().items, 10);
    drop(monitor);

    let monitor = watched();
    let batches = at_once(&monitor);
    let mut job = (0..10).in_batches(&batches);
    assert_eq!(job.next().unwrap().unwrap().len(), 10);
    press(&monitor);
    assert!(job.next().is_none());
    assert!(batches.progress().is_finished());
}

#[test]
fn nor_is_a_stream() {
    let _alone = alone();
    let monitor = watched();
    let runtime = runtime();
    runtime.block_on(async {
        let job = stream::iter(0..10).in_batches(&at_once(&monitor));
        let done = job.run(async |batch| {
            assert_eq!(batch.len(), 10);
            press(&monitor);
        });
        assert_eq!(done.await.unwrap().items, 10);
    });
    drop(monitor);

    let monitor = watched();
    let mut job = stream::iter(0..10).in_batches(&at_once(&monitor));
    runtime.block_on(async {
        assert_eq!(job.next().await.unwrap().unwrap().len(), 10);
        press(&monitor);
        assert!(job.next().await.is_none());
    });
}

/// What was waited before it was interrupted is for the level that lasted then, and not for the next.
#[test]
fn a_hold_that_is_interrupted_is_over_with_its_level() {
    const HOLD: Duration = Duration::from_millis(400);
    let _alone = alone();
    let monitor = watched();
    let pause = Pause::new(&monitor, Level::Critical).unwrap();
    let mut pause = pause.longest_hold(HOLD).unwrap();
    press(&monitor);
    let runtime = runtime();
    runtime.block_on(async {
        // On a slow machine it may be over: then there is nothing to forget.
        let _ = tokio::time::timeout(HOLD * 3 / 4, pause.wait_async()).await;
    });
    release(&monitor);
    assert_eq!(pause.wait(), Passed::Free);
    let before = pause.paused();
    press(&monitor);
    assert_eq!(pause.wait(), Passed::Trickle(Level::Critical));
    let paused = pause.paused() - before;
    assert!(paused >= HOLD, "{paused:?}");
}

#[test]
fn an_item_that_waits_while_another_panics_is_not_begun() {
    let budget = Budget::new(1).unwrap();
    let begun = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let job = (0..).for_each_within(
            &budget,
            &Batches::default(),
            |_: &u64| 1,
            |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                until("waited for", || budget.waiting() == 1);
                resume_unwind(Box::new("on purpose"));
            },
        );
        job.map(|done| done.items).ok()
    }));
    assert!(caught.is_err());
    assert_eq!(begun.into_inner(), 1);
    assert_eq!((budget.held(), budget.waiting()), (0, 0));
}

#[test]
fn a_batch_of_as_many_items_as_there_are_is_no_buffer_of_that_size() {
    let settings = Batches::builder().item_bytes(8).budget(u64::MAX);
    let batches = settings.most_items(usize::MAX).build().unwrap();
    // How many come nobody can tell.
    let items = || (0u64..).take_while(|&item| item < 1000);
    let done = items().in_batches(&batches).run(|_| ());
    assert_eq!(done.unwrap().items, 1000);
    let runtime = runtime();
    let job = stream::iter(items()).in_batches(&batches);
    let done = runtime.block_on(job.run(async |_| ()));
    assert_eq!(done.unwrap().items, 1000);
}

#[test]
fn a_job_that_nobody_wants_any_more_has_stopped() {
    let _alone = alone();
    let job = |monitor: &Monitor| {
        let progress = Progress::new();
        let batches = Batches::builder()
            .monitor(monitor)
            .pause_while(Level::Optimise)
            .progress(&progress)
            .build()
            .unwrap();
        (progress, batches)
    };
    let monitor = watched();
    let (progress, batches) = job(&monitor);
    drop((0..10).in_batches(&batches));
    assert_eq!(progress.message(), "not started");

    let mut half = (0..10).in_batches(&batches);
    assert!(half.next().is_some());
    assert_eq!(progress.message(), "running");
    drop(half);
    assert_eq!(progress.message(), "stopped");

    let (progress, batches) = job(&monitor);
    let run = || {
        (0..10)
            .in_batches(&batches)
            .run(|_| resume_unwind(Box::new("on purpose")))
    };
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    assert_eq!(progress.message(), "stopped");

    // One of two that tell of themselves in one place: it is the last that ends that says how.
    let (progress, batches) = job(&monitor);
    let mut first = (0..10).in_batches(&batches);
    let second = (0..10).in_batches(&batches);
    assert!(first.next().is_some());
    assert_eq!(second.run(|_| ()).unwrap().items, 10);
    assert_eq!(progress.message(), "running");
    drop(first);
    assert_eq!(progress.message(), "stopped");

    // Cancelled while it pauses.
    let (progress, batches) = job(&monitor);
    press(&monitor);
    let runtime = runtime();
    runtime.block_on(async {
        let run = stream::iter(0..10).in_batches(&batches).run(async |_| ());
        let patience = Duration::from_millis(50);
        assert!(tokio::time::timeout(patience, run).await.is_err());
    });
    assert_eq!(progress.pauses(), 1);
    assert_eq!(progress.message(), "stopped");
}
