//! The monitor: levels, events, actions, and what it says when it cannot start.

mod truth;

use plimsoll::figures::{LimitReader, ProcessFigures, Roots, Signal};
use plimsoll::{
    ActionKind, CommandError, Drill, EventKind, Fault, Level, Levels, Monitor, MonitorBuilder,
    Plimsoll, Policy, PolicyError, Restart, RestartError, Shrink, StartError, Threshold,
    WakeSource, Withheld, heap,
};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};
use truth::alone;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const MIB: u64 = 1 << 20;

/// Room above what the test binary holds, on either figure.
const LIMIT: u64 = 400 * MIB;

fn held(bytes: u64) -> Vec<u8> {
    black_box(vec![1u8; bytes as usize])
}

/// A builder with lines that only the heap of the test itself crosses: resident memory is read from
/// a recorded tree, because what other tests have freed may still be there.
fn builder() -> MonitorBuilder {
    static TREE: LazyLock<tempfile::TempDir> = LazyLock::new(|| recorded_machine(&[]));
    Monitor::builder().limit(LIMIT).roots(roots(&TREE))
}

/// `/proc` and `/sys` of a machine with 1 GB and a process with 1 kB, and these files.
fn recorded_machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let base = [
        ("proc/meminfo", "MemTotal: 1000000 kB\n"),
        (
            "proc/self/status",
            "VmRSS: 1 kB\nRssAnon: 1 kB\nRssFile: 0 kB\nRssShmem: 0 kB\n",
        ),
    ];
    for (path, text) in base.iter().chain(files) {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    tree
}

fn roots(tree: &tempfile::TempDir) -> Roots {
    Roots::new(tree.path().join("proc"), tree.path().join("sys"))
}

fn wait_for(monitor: &Monitor, what: &str, mut seen: impl FnMut(&EventKind) -> bool) {
    let mut events = monitor.events();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(event) = events.next_until(deadline) {
        if seen(&event.kind) {
            return;
        }
    }
    panic!("no event: {what}");
}

fn entered(level: Level) -> impl FnMut(&EventKind) -> bool {
    move |kind| matches!(kind, EventKind::Level { from, to, .. } if *to == level && from < to)
}

fn left_to(level: Level) -> impl FnMut(&EventKind) -> bool {
    move |kind| matches!(kind, EventKind::Level { from, to, .. } if *to == level && from > to)
}

#[test]
fn levels_are_entered_as_the_heap_grows_and_left_as_it_shrinks() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    assert_eq!(monitor.level(), Level::Normal);
    let first = held(310 * MIB);
    wait_for(&monitor, "optimise", entered(Level::Optimise));
    let second = held(60 * MIB);
    wait_for(&monitor, "critical", entered(Level::Critical));
    assert_eq!(monitor.level(), Level::Critical);
    drop(second);
    drop(first);
    wait_for(&monitor, "normal", left_to(Level::Normal));
    assert_eq!(monitor.level(), Level::Normal);
    let summary = monitor.summary();
    assert!(summary.entered(Level::Optimise) >= 1);
    assert_eq!(summary.entered(Level::Critical), 1);
    assert!(summary.reaction.count >= 1, "woken by the crossing thread");
}

#[test]
fn a_monitor_that_starts_above_a_line_says_so_at_once() {
    let _alone = alone();
    let kept = held(350 * MIB);
    let monitor = builder().start().unwrap();
    wait_for(&monitor, "restart level", |kind| {
        matches!(
            kind,
            EventKind::Level {
                from: Level::Normal,
                to: Level::Restart,
                ..
            }
        )
    });
    drop(kept);
}

#[test]
fn a_crossing_wakes_the_monitor_although_its_interval_is_an_hour() {
    let _alone = alone();
    let monitor = builder()
        .interval(Duration::from_secs(3600))
        .start()
        .unwrap();
    std::thread::sleep(Duration::from_millis(50));
    // In steps that no single publication shows, on two threads.
    let (full, done) = (Barrier::new(3), Barrier::new(3));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let pieces: Vec<_> = (0..155_000).map(|_| black_box(vec![1u8; 1000])).collect();
                full.wait();
                done.wait();
                drop(pieces);
            });
        }
        full.wait();
        wait_for(&monitor, "optimise", entered(Level::Optimise));
        done.wait();
    });
    assert!(monitor.summary().reaction.count >= 1);
}

/// Holds half of what it is asked for when asked to shrink.
struct Hoard(Mutex<Vec<Vec<u8>>>);

impl Shrink for Hoard {
    fn name(&self) -> &str {
        "hoard"
    }
    fn bytes(&self) -> u64 {
        self.0.lock().unwrap().len() as u64 * MIB
    }
    fn shrink(&self, _: Level) -> u64 {
        let mut pieces = self.0.lock().unwrap();
        let keep = pieces.len() / 2;
        (pieces.drain(keep..).count() as u64) * MIB
    }
}

#[test]
fn caches_shrink_and_the_ledger_says_what_that_gave_back() {
    let _alone = alone();
    let hoard = Arc::new(Hoard(Mutex::new((0..310).map(|_| held(MIB)).collect())));
    let monitor = builder().cache(&hoard).start().unwrap();
    wait_for(&monitor, "normal again", left_to(Level::Normal));
    // The level falls as soon as the memory is free, which is before the row says so.
    wait_for(
        &monitor,
        "caches shrunk",
        |kind| matches!(kind, EventKind::Action(row) if row.action == ActionKind::ShrinkCaches),
    );
    let rows = monitor.ledger();
    let shrunk = rows
        .iter()
        .find(|row| row.action == ActionKind::ShrinkCaches)
        .unwrap();
    assert_eq!(shrunk.skipped, None);
    assert!(shrunk.given_back_bytes >= 150 * MIB, "{shrunk:?}");
    assert!(shrunk.before.heap_bytes > shrunk.after.heap_bytes);
    // Settled figures follow.
    let deadline = Instant::now() + Duration::from_secs(20);
    while monitor.ledger()[0].settled.is_none() {
        assert!(Instant::now() < deadline, "never settled");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(hoard);
}

#[test]
#[cfg(panic = "unwind")]
fn every_callback_runs_although_one_panics_and_that_is_reported() {
    let _alone = alone();
    let (before, after) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counting = |seen: &Arc<AtomicU64>| {
        let seen = Arc::clone(seen);
        move |_: &plimsoll::Event| {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    let monitor = builder()
        .on_event(counting(&before))
        .on_event(|_| std::panic::resume_unwind(Box::new("a broken callback")))
        .on_event(counting(&after))
        .start()
        .unwrap();
    wait_for(&monitor, "a fault", |kind| {
        matches!(kind, EventKind::Fault(Fault::CallbackPanicked))
    });
    assert!(monitor.optimise().is_ok(), "the monitor goes on");
    monitor.stop();
    let [before, after] = [before, after].map(|seen| seen.load(Ordering::Relaxed));
    assert!(
        before >= 2 && before == after,
        "{before} before it, {after} after it"
    );
}

#[test]
fn a_callback_may_allocate_ask_for_figures_and_register_caches() {
    let _alone = alone();
    let called = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&called);
    let monitor = builder()
        .on_event(move |event| {
            if matches!(event.kind, EventKind::Level { .. }) {
                drop(black_box(vec![0u8; 10_000]));
                assert!(heap().live_bytes() > 0);
                flag.store(true, Ordering::Relaxed);
            }
        })
        .start()
        .unwrap();
    let kept = held(310 * MIB);
    wait_for(&monitor, "an action", |kind| {
        matches!(kind, EventKind::Action(_))
    });
    assert!(called.load(Ordering::Relaxed));
    drop(kept);
}

#[test]
fn a_callback_may_have_actions_carried_out_and_a_cache_that_shrinks_may_not() {
    let _alone = alone();
    struct Asking(std::sync::Weak<OnceLock<Monitor>>, OnceLock<CommandError>);
    impl Shrink for Asking {
        fn name(&self) -> &str {
            "asking"
        }
        fn bytes(&self) -> u64 {
            0
        }
        fn shrink(&self, _: Level) -> u64 {
            if let Some(cell) = self.0.upgrade()
                && let Some(error) = cell.get().and_then(|monitor| monitor.optimise().err())
            {
                let _ = self.1.set(error);
            }
            0
        }
    }
    let monitor = Arc::new(OnceLock::<Monitor>::new());
    // Weakly: a callback that held its own monitor would keep it for ever.
    let (own, answer) = (Arc::downgrade(&monitor), Arc::new(OnceLock::new()));
    let asking = Arc::new(Asking(own.clone(), OnceLock::new()));
    let answered = Arc::clone(&answer);
    let started = builder()
        .cache(&asking)
        .on_event(move |event| {
            if let EventKind::Drill(_) = event.kind
                && let Some(cell) = own.upgrade()
                && let Some(monitor) = cell.get()
            {
                let rows = monitor.optimise().map(|rows| rows.len());
                let _ = answered.set((rows, monitor.restart()));
            }
        })
        .start()
        .unwrap();
    monitor.set(started).unwrap();
    let monitor = monitor.get().unwrap();
    monitor.drill(plimsoll::Drill::new(0.1)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while answer.get().is_none() {
        assert!(Instant::now() < deadline, "hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = RestartError::Command(CommandError::OnItsOwnThread);
    assert_eq!(answer.get(), Some(&(Ok(4), refused)));
    assert_eq!(asking.1.get(), Some(&CommandError::OnItsOwnThread));
}

#[test]
fn optimise_answers_its_rows_and_observe_only_refuses() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    let rows = monitor.optimise().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.signal == Signal::Command));
    assert_eq!(monitor.restart(), RestartError::NotConfigured);
    monitor.stop();

    let cache = Arc::new(Told::default());
    let monitor = builder()
        .observe_only()
        .cache(&cache)
        .restart(Restart::Exit(7))
        .interval(Duration::from_millis(10))
        .start()
        .unwrap();
    assert_eq!(monitor.optimise().unwrap_err(), CommandError::ObserveOnly);
    let refused = RestartError::Command(CommandError::ObserveOnly);
    assert_eq!(monitor.restart(), refused);
    let policy = monitor.set_policy(Policy::default()).unwrap_err();
    assert_eq!(policy, PolicyError::Command(CommandError::ObserveOnly));
    let kept = held(380 * MIB);
    wait_for(&monitor, "critical", entered(Level::Critical));
    // It looks on, and does nothing about it.
    let seen = monitor.history().last().unwrap().at;
    let later = || monitor.history().last().unwrap().at > seen + Duration::from_millis(500);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !later() {
        assert!(Instant::now() < deadline, "it does not look");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(monitor.ledger().is_empty() && !monitor.is_shedding());
    assert_eq!(*cache.0.lock().unwrap(), None);
    drop(kept);
}

#[test]
fn there_is_one_monitor_and_another_after_it_has_stopped() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    assert!(matches!(builder().start(), Err(StartError::AlreadyRunning)));
    monitor.stop();
    for _ in 0..20 {
        builder().start().unwrap().stop();
    }
}

#[test]
fn absurd_settings_are_all_named_with_their_values() {
    let _alone = alone();
    let said = Monitor::builder()
        .limit(0)
        .levels(Levels {
            optimise: Threshold {
                enter: 80.0,
                leave: 0.7,
            },
            ..Levels::default()
        })
        .start()
        .unwrap_err()
        .to_string();
    assert!(said.contains("`limit` is 0"), "{said}");
    assert!(said.contains("`levels.optimise` is enter 80"), "{said}");
    // And nothing of it stays behind.
    builder().start().unwrap();
}

#[test]
fn a_limit_that_makes_no_sense_stops_the_start_and_names_the_file() {
    let _alone = alone();
    let limit = "sys/fs/cgroup/app/memory.max";
    let tree = recorded_machine(&[
        ("proc/self/cgroup", "0::/app\n"),
        (
            "proc/self/mountinfo",
            "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        ),
        (limit, "lots\n"),
    ]);
    let roots = roots(&tree);
    let said = Monitor::builder()
        .roots(roots.clone())
        .start()
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("memory.max") && said.contains("\"lots\""),
        "{said}"
    );

    // With the file mended it starts, and reads limit and resident memory from the tree.
    std::fs::write(tree.path().join(limit), "500000000\n").unwrap();
    let monitor = Monitor::builder().roots(roots).start().unwrap();
    assert_eq!(monitor.limit().bytes, 500_000_000);
    assert_eq!(monitor.status().process.unwrap().anonymous_bytes, 1024);
}

#[test]
fn reading_process_and_limit_again_allocates_nothing() {
    let _alone = alone();
    let mut limits = LimitReader::new(Roots::default(), None).unwrap();
    limits.read().unwrap();
    let roots = Roots::default();
    let ((), found) = plimsoll::measure(|| {
        for _ in 0..100 {
            black_box(limits.read().unwrap());
            black_box(ProcessFigures::read(&roots).unwrap());
        }
    });
    assert_eq!((found.allocations, found.reallocations), (0, 0));
}

fn withheld(wanted: fn(&Withheld) -> bool) -> impl FnMut(&EventKind) -> bool {
    move |kind| matches!(kind, EventKind::RestartWithheld(why) if wanted(why))
}

/// Restarts as soon as it is allowed to, and never comes to it in these tests.
fn restarting() -> MonitorBuilder {
    builder()
        .restart(Restart::Exit(7))
        .sustained(Duration::ZERO)
        .interval(Duration::from_millis(10))
}

#[test]
fn without_a_state_file_the_first_restart_waits_for_the_cooldown() {
    let _alone = alone();
    let monitor = restarting().restart_horizon(Duration::MAX).start().unwrap();
    monitor.ready();
    std::thread::sleep(Duration::from_millis(50));
    let kept = held(350 * MIB);
    wait_for(
        &monitor,
        "cooldown",
        withheld(|why| matches!(why, Withheld::Cooldown { .. })),
    );
    assert_eq!(monitor.summary().restarts_withheld, 1);
    drop(kept);
}

#[test]
fn a_figure_that_does_not_grow_is_no_reason_to_restart() {
    let _alone = alone();
    let monitor = restarting().start().unwrap();
    monitor.ready();
    std::thread::sleep(Duration::from_millis(50));
    let kept = held(340 * MIB);
    wait_for(
        &monitor,
        "time remains",
        withheld(|why| matches!(why, Withheld::TimeRemains { .. })),
    );
    drop(kept);
}

#[test]
fn below_the_line_nothing_is_withheld_any_more_though_the_level_lasts() {
    let _alone = alone();
    let monitor = restarting().start().unwrap();
    monitor.ready();
    std::thread::sleep(Duration::from_millis(50));
    let kept = held(300 * MIB);
    let above = held(40 * MIB);
    wait_for(
        &monitor,
        "time remains",
        withheld(|why| matches!(why, Withheld::TimeRemains { .. })),
    );
    assert!(monitor.restart_outlook().withheld.is_some());
    drop(above);
    let deadline = Instant::now() + Duration::from_secs(20);
    while monitor.restart_outlook().withheld.is_some() {
        assert!(Instant::now() < deadline, "still withheld");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(monitor.level(), Level::Restart);
    drop(kept);
}

#[test]
fn a_start_above_the_line_says_that_the_threshold_is_too_low() {
    let _alone = alone();
    let kept = held(340 * MIB);
    let monitor = restarting().start().unwrap();
    wait_for(
        &monitor,
        "threshold too low",
        withheld(|why| matches!(why, Withheld::ThresholdTooLow { .. })),
    );
    drop(kept);
}

#[test]
fn a_dry_run_decides_everything_and_does_nothing() {
    let _alone = alone();
    let hoard = Arc::new(Hoard(Mutex::new((0..100).map(|_| held(MIB)).collect())));
    let monitor = restarting()
        .dry_run()
        .cache(&hoard)
        .cooldown(Duration::ZERO)
        .restart_horizon(Duration::MAX)
        .start()
        .unwrap();
    monitor.ready();
    std::thread::sleep(Duration::from_millis(50));
    let kept = held(240 * MIB);
    wait_for(
        &monitor,
        "dry run",
        withheld(|why| matches!(why, Withheld::DryRun)),
    );
    assert_eq!(hoard.bytes(), 100 * MIB);
    let rows = monitor.ledger();
    assert!(rows.len() >= 4);
    let passed = |row: &plimsoll::LedgerRow| row.skipped.is_some();
    assert!(rows.iter().all(passed), "{rows:?}");
    assert!(!monitor.is_shedding());
    drop(kept);
}

#[test]
fn a_drill_runs_the_whole_chain_and_ends() {
    let _alone = alone();
    let hoard = Arc::new(Hoard(Mutex::new((0..8).map(|_| held(MIB)).collect())));
    let monitor = restarting()
        .cache(&hoard)
        .cooldown(Duration::ZERO)
        .start()
        .unwrap();
    let drill = plimsoll::Drill::new(0.92).lasting(Duration::from_secs(3600));
    monitor.drill(drill).unwrap();
    wait_for(&monitor, "critical", entered(Level::Critical));
    let told = monitor.status().utilization;
    assert_eq!((told.heap, told.deciding), (0.92, Signal::Drill));
    wait_for(&monitor, "shedding", |kind| {
        matches!(kind, EventKind::Shedding(true))
    });
    wait_for(
        &monitor,
        "withheld",
        withheld(|why| matches!(why, Withheld::Drill)),
    );
    assert!(hoard.bytes() < 8 * MIB, "the actions are real");
    let over = plimsoll::Drill::new(0.0).lasting(Duration::ZERO);
    monitor.drill(over).unwrap();
    wait_for(&monitor, "normal", left_to(Level::Normal));
    wait_for(&monitor, "no shedding", |kind| {
        matches!(kind, EventKind::Shedding(false))
    });
    assert!(!monitor.is_shedding());
    assert!(monitor.status().utilization.heap < 0.5, "it is over");
}

#[test]
fn a_drill_ends_by_itself_when_its_time_is_over() {
    let _alone = alone();
    let monitor = builder().observe_only().start().unwrap();
    let drill = plimsoll::Drill::new(0.92).lasting(Duration::from_millis(100));
    monitor.drill(drill).unwrap();
    wait_for(&monitor, "drill", |kind| {
        matches!(kind, EventKind::Drill(_))
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while monitor.status().utilization.deciding == Signal::Drill || monitor.level() > Level::Normal
    {
        assert!(Instant::now() < deadline, "it lasts");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_callback_that_hangs_keeps_neither_actions_nor_levels_from_happening() {
    let _alone = alone();
    let (hanging, free) = crossbeam_channel::bounded::<()>(0);
    let monitor = builder()
        .on_event(move |_| {
            let _ = free.recv();
        })
        .start()
        .unwrap();
    let kept = held(370 * MIB);
    wait_for(&monitor, "critical", entered(Level::Critical));
    wait_for(&monitor, "an action", |kind| {
        matches!(kind, EventKind::Action(_))
    });
    drop(kept);
    wait_for(&monitor, "normal", left_to(Level::Normal));
    drop(hanging);
}

#[test]
fn tothubs_settings_are_one_call() {
    let _alone = alone();
    let monitor = Monitor::tothub().limit(LIMIT).start().unwrap();
    let levels = monitor.levels();
    let lines = [levels.optimise, levels.restart, levels.critical];
    assert_eq!(lines.map(|line| line.enter), [0.75, 0.80, 0.90]);
    let policy = monitor.policy();
    assert_eq!(policy.horizon, Duration::MAX);
    assert_eq!(policy.check_interval, Duration::from_secs(60));
    assert_eq!(policy.cooldown, Duration::from_secs(300));
    let deadline = Instant::now() + Duration::from_secs(20);
    while monitor.history().is_empty() {
        assert!(Instant::now() < deadline, "no sample");
    }
}

/// The level that it was last told.
#[derive(Default)]
struct Told(Mutex<Option<Level>>);

impl Shrink for Told {
    fn name(&self) -> &str {
        "told"
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn shrink(&self, level: Level) -> u64 {
        *self.0.lock().unwrap() = Some(level);
        0
    }
}

#[test]
fn a_monitor_that_is_shared_is_stopped_by_any_of_its_holders() {
    let _alone = alone();
    let cache = Arc::new(Told::default());
    let monitor = Arc::new(builder().cache(&cache).start().unwrap());
    let mut events = monitor.events();
    let kept = held(380 * MIB);
    wait_for(&monitor, "critical", entered(Level::Critical));
    let shared = Arc::clone(&monitor);
    std::thread::spawn(move || shared.stop()).join().unwrap();

    assert!(!monitor.is_running());
    assert_eq!(monitor.level(), Level::Normal);
    assert!(!monitor.is_shedding());
    assert_eq!(monitor.optimise().unwrap_err(), CommandError::NotRunning);
    let refused = RestartError::Command(CommandError::NotRunning);
    assert_eq!(monitor.restart(), refused);
    while events.next().is_some() {}
    assert!(events.is_over());
    assert_eq!(*cache.0.lock().unwrap(), Some(Level::Normal));

    // What is left of the first touches nothing of the second.
    let second = builder().start().unwrap();
    wait_for(&second, "critical again", entered(Level::Critical));
    monitor.stop();
    drop(monitor);
    assert!(second.is_running());
    assert!(matches!(builder().start(), Err(StartError::AlreadyRunning)));
    drop(kept);
    wait_for(&second, "normal", left_to(Level::Normal));
}

#[cfg(unix)]
#[test]
fn the_child_of_a_fork_has_no_monitor_until_it_starts_one() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    // SAFETY: the child starts a monitor of its own, stops it and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_eq!(monitor.optimise().unwrap_err(), CommandError::NotRunning);
            let own = builder().start().unwrap();
            let kept = held(310 * MIB);
            wait_for(&own, "optimise in the child", entered(Level::Optimise));
            drop(kept);
            own.stop();
        }));
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(fine.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        "the child failed"
    );
    assert!(monitor.optimise().is_ok(), "the parent's goes on");
}

#[cfg(feature = "jemalloc")]
#[test]
fn jemallocs_options_are_read_back() {
    let _alone = alone();
    let monitor = builder()
        .jemalloc(plimsoll::JemallocOptions::default().dirty_decay_ms(2500))
        .start()
        .unwrap();
    let option = |name: &str| {
        let options = monitor.jemalloc_options();
        options
            .iter()
            .find(|option| option.name == name)
            .unwrap()
            .clone()
    };
    assert_eq!(option("dirty_decay_ms").effective.as_deref(), Some("2500"));
    assert_eq!(option("muzzy_decay_ms").effective.as_deref(), Some("0"));
    let background = option("background_thread");
    assert_eq!(background.effective.as_deref(), Some("true"));
    assert!(!background.is_ineffective());
}

#[cfg(feature = "jemalloc")]
#[test]
fn jemallocs_figures_are_in_order_and_a_purge_takes_the_dirty_pages() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    let pieces: Vec<_> = (0..20_000).map(|_| black_box(vec![1u8; 8000])).collect();
    let full = plimsoll::figures::jemalloc().unwrap();
    assert!(full.allocated >= 20_000 * 8000);
    assert!(full.allocated <= full.active && full.active <= full.resident);
    drop(pieces);
    monitor.optimise().unwrap();
    let purged = plimsoll::figures::jemalloc().unwrap();
    assert!(purged.resident < full.resident - 100 * MIB);
    assert!(purged.read_at > full.read_at);
    let arenas = plimsoll::figures::jemalloc_arenas().unwrap();
    assert_eq!(arenas.len(), purged.arenas as usize);
    assert!(arenas.iter().map(|arena| arena.allocated).sum::<u64>() > 0);
}

#[cfg(all(feature = "serde", feature = "jemalloc"))]
#[test]
fn the_status_serialises_as_the_contract_says() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    let status = serde_json::to_value(monitor.status()).unwrap();
    for (group, fields) in [
        (
            "heap",
            "live_bytes live_blocks allocations deallocations peak_bytes threads",
        ),
        (
            "allocator",
            "allocated active resident mapped retained metadata dirty",
        ),
        ("process", "resident_bytes anonymous_bytes"),
        ("limit", "bytes"),
    ] {
        for field in fields.split(' ') {
            assert!(status[group][field].is_u64(), "{group}.{field} in {status}");
        }
    }
    assert_eq!(status["limit"]["source"], "configured");
    assert!(status["utilization"]["heap"].as_f64().unwrap() < 1.0);
    assert!(status["utilization"]["resident"].is_f64());
    assert!(["heap", "resident"].contains(&status["utilization"]["deciding"].as_str().unwrap()));
    assert_eq!(status["level"], "normal");
    assert!(status["uptime_seconds"].is_f64());
    let whole = serde_json::to_value(plimsoll::heap()).unwrap();
    assert!(whole["live_bytes"].as_u64() >= whole["live_bytes_range"][0].as_u64());
    assert!(whole["allocations"].as_u64().unwrap() > whole["live_blocks"].as_u64().unwrap());
    let verdict = serde_json::to_value(monitor.leak_verdict()).unwrap();
    assert_eq!(verdict["judgement"], "insufficient");
    assert!(verdict["advice"].is_array(), "{verdict}");
}

/// What a program writes to its log.
#[cfg(feature = "serde")]
#[test]
fn every_event_serialises_with_its_kind_beside_it() {
    let _alone = alone();
    let monitor = builder().start().unwrap();
    let mut events = monitor.events();
    let drill = Drill::new(0.8).lasting(Duration::from_millis(1));
    monitor.drill(drill).unwrap();
    monitor.optimise().unwrap();
    monitor.set_policy(Policy::default()).unwrap();
    monitor.stop();
    let mut seen = std::collections::BTreeMap::new();
    for event in events.by_ref() {
        let json = serde_json::to_value(event).expect("no event that JSON cannot hold");
        assert!(json["uptime_seconds"].is_f64(), "{json}");
        assert_eq!(json["sequence"], event.sequence);
        let kind = json["kind"].as_str().unwrap().to_owned();
        seen.insert(kind, json["what"].clone());
    }
    assert_eq!(seen["started"]["limit"]["source"], "configured");
    assert_eq!(seen["drill"]["duration_seconds"], 0.001);
    assert_eq!(seen["policy"]["cooldown_seconds"], 300.0);
    assert!(seen["action"]["given_back_bytes"].is_u64());
    assert!(seen["diagnosis"]["anonymous_bytes"].is_u64());
    let others = [
        EventKind::Shedding(true),
        EventKind::RestartWithheld(Withheld::Falling),
        EventKind::RestartWithheld(Withheld::Cooldown {
            remaining: Duration::from_secs(3),
        }),
        EventKind::Lost { events: 3 },
        EventKind::Fault(Fault::ExecFailed(2)),
        EventKind::EarlyWake(WakeSource::PressureStall),
    ];
    let others = others.map(|kind| serde_json::to_string(&kind).unwrap());
    assert_eq!(
        others,
        [
            r#"{"kind":"shedding","what":true}"#,
            r#"{"kind":"restart_withheld","what":"falling"}"#,
            r#"{"kind":"restart_withheld","what":{"cooldown":{"remaining_seconds":3.0}}}"#,
            r#"{"kind":"lost","what":{"events":3}}"#,
            r#"{"kind":"fault","what":{"exec_failed":2}}"#,
            r#"{"kind":"early_wake","what":"pressure_stall"}"#,
        ]
    );
}
