//! jemalloc's decay times while memory is critical: tightened in every arena, and put back however
//! busy the monitor's worker is at the end.
#![cfg(feature = "jemalloc")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod truth;

use plimsoll::{ActionKind, Drill, JemallocOptions, Level, Monitor, Plimsoll, Shrink, figures};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// As it is before: none of the usual values.
const BEFORE: isize = 4321;

/// The default for arenas to come, and then each arena in use.
fn decays() -> Vec<isize> {
    // SAFETY: the value is an `ssize_t`.
    let read = |name: String| unsafe { tikv_jemalloc_ctl::raw::read(name.as_bytes()).unwrap() };
    let arenas = figures::jemalloc_arenas().unwrap();
    let of_arena = (0..arenas.len()).map(|arena| read(format!("arena.{arena}.dirty_decay_ms\0")));
    std::iter::once(read("arenas.dirty_decay_ms\0".to_owned()))
        .chain(of_arena)
        .collect()
}

fn all(wanted: isize) -> bool {
    decays().iter().all(|&decay| decay == wanted)
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) -> f64 {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed().as_secs_f64()
}

/// A cache that hangs as long as it is told to.
#[derive(Default)]
struct Hanging {
    is_told: AtomicBool,
    hangs: AtomicBool,
}

impl Shrink for Hanging {
    fn name(&self) -> &str {
        "hanging"
    }
    fn bytes(&self) -> u64 {
        0
    }
    fn shrink(&self, _: Level) -> u64 {
        while self.is_told.load(Ordering::SeqCst) {
            self.hangs.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
        }
        0
    }
}

fn started(cache: &Arc<Hanging>) -> Monitor {
    let options = JemallocOptions::default().dirty_decay_ms(BEFORE as i64);
    let monitor = Monitor::builder().limit(4 << 30).jemalloc(options);
    let monitor = monitor.cache(cache).start().unwrap();
    assert!(all(BEFORE), "{:?}", decays());
    let drill = Drill::new(0.95).lasting(Duration::from_secs(3600));
    monitor.drill(drill).unwrap();
    monitor
}

/// Ends the drill.
fn release(monitor: &Monitor) {
    let drill = Drill::new(0.0).lasting(Duration::ZERO);
    monitor.drill(drill).unwrap();
    until("normal", || monitor.level() == Level::Normal);
}

#[test]
fn decay_is_tightened_while_memory_is_critical_and_put_back_after() {
    let _alone = truth::alone();
    let begun = Instant::now();
    let monitor = started(&Arc::default());
    until("tight", || all(0));
    let after = begun.elapsed().as_secs_f64();
    assert!(after >= 4.9, "after {after:.1} s: a short peak is let pass");
    println!("decay {BEFORE} ms, 0 ms after {after:.1} s at critical");
    release(&monitor);
    let after = until("as before", || all(BEFORE));
    println!("decay {BEFORE} ms again {after:.2} s after the level was left");
    // The row of an action is written when the action is over.
    let rows = |action| {
        let done = |row: &&plimsoll::LedgerRow| row.action == action && row.skipped.is_none();
        monitor.ledger().iter().filter(done).count()
    };
    until("told", || rows(ActionKind::RestoreDecay) > 0);
    for action in [ActionKind::TightenDecay, ActionKind::RestoreDecay] {
        assert_eq!(rows(action), 1, "{}", action.as_str());
    }
}

/// A large arena is emptied in slices, by a decay of its own.
#[test]
fn a_purge_leaves_decay_times_and_background_threads_as_it_found_them() {
    let _alone = truth::alone();
    let options = JemallocOptions::default()
        .dirty_decay_ms(BEFORE as i64)
        .background_thread(true);
    let monitor = Monitor::builder().limit(4 << 30).jemalloc(options);
    let monitor = monitor.start().unwrap();
    let resident = || figures::jemalloc().unwrap().resident;
    let held: Vec<_> = (0..512)
        .map(|_| std::hint::black_box(vec![1u8; 1 << 20]))
        .collect();
    drop(held);
    let before = resident();
    monitor.optimise().unwrap();
    assert!(resident() + (256 << 20) <= before, "nothing was purged");
    assert!(all(BEFORE), "{:?}", decays());
    assert_eq!(tikv_jemalloc_ctl::background_thread::read(), Ok(true));
}

#[test]
fn decay_is_put_back_although_the_worker_hangs_and_its_queue_is_full() {
    let _alone = truth::alone();
    let cache = Arc::<Hanging>::default();
    let monitor = started(&cache);
    until("tight", || all(0));
    cache.is_told.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        // More than the queue has room for.
        for _ in 0..20 {
            scope.spawn(|| monitor.optimise().is_ok());
        }
        until("hanging", || cache.hangs.load(Ordering::SeqCst));
        release(&monitor);
        std::thread::sleep(Duration::from_millis(100));
        assert!(all(0), "the worker hangs");
        cache.is_told.store(false, Ordering::SeqCst);
    });
    until("as before", || all(BEFORE));
}

/// Starts a monitor while six threads have their first arenas made, and answers the arenas that were
/// left with another decay.
fn missed() -> usize {
    std::thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                (0..number * 400).for_each(|_| std::hint::spin_loop());
                drop(std::hint::black_box(vec![0u8; 100 << 10]));
            });
        }
        let options = JemallocOptions::default().dirty_decay_ms(BEFORE as i64);
        let _monitor = Monitor::builder()
            .limit(4 << 30)
            .jemalloc(options)
            .start()
            .unwrap();
    });
    decays().iter().filter(|&&decay| decay != BEFORE).count()
}

#[test]
fn an_arena_that_is_made_while_the_monitor_starts_gets_its_decay_too() {
    const CHILD: &str = "PLIMSOLL_TEST_MISSED";
    const NAME: &str = "an_arena_that_is_made_while_the_monitor_starts_gets_its_decay_too";
    let _alone = truth::alone();
    if std::env::var_os(CHILD).is_some() {
        std::process::exit(i32::from(missed() != 0));
    }
    // A process makes its arenas once, and one in twenty lost this race.
    let own = std::env::current_exe().unwrap();
    for run in 0..100 {
        let child = std::process::Command::new(&own)
            .args(["--exact", NAME])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "run {run}: {child:?}");
    }
}

/// Who deploys a program decides about each option that the program has not named, and about that alone.
#[test]
fn what_the_deployer_sets_is_left_alone_unless_the_program_names_it() {
    const CHILD: &str = "PLIMSOLL_TEST_DEPLOYED";
    const NAME: &str = "what_the_deployer_sets_is_left_alone_unless_the_program_names_it";
    const LEFT: Option<&str> = Some("left as _RJEM_MALLOC_CONF sets it");
    const OVER: Option<&str> = Some("in place of what _RJEM_MALLOC_CONF sets");
    let _alone = truth::alone();
    if std::env::var_os(CHILD).is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env(CHILD, "1")
            .env(
                "_RJEM_MALLOC_CONF",
                "background_thread:false,dirty_decay_ms:77,muzzy_decay_ms:78",
            )
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    // Each with what is in force at last, and what is said of it.
    for (options, found) in [
        (
            JemallocOptions::default(),
            [("false", LEFT), ("77", LEFT), ("78", LEFT)],
        ),
        (
            JemallocOptions::unchanged(),
            [("false", None), ("77", None), ("78", None)],
        ),
        (
            JemallocOptions::default().dirty_decay_ms(79),
            [("false", LEFT), ("79", OVER), ("78", LEFT)],
        ),
        (
            JemallocOptions::unchanged()
                .background_thread(true)
                .muzzy_decay_ms(80),
            [("true", OVER), ("79", None), ("80", OVER)],
        ),
    ] {
        let monitor = Monitor::builder().limit(4 << 30).jemalloc(options);
        let monitor = monitor.start().unwrap();
        let names = ["background_thread", "dirty_decay_ms", "muzzy_decay_ms"];
        for (name, (effective, remark)) in names.into_iter().zip(found) {
            let mut rows = monitor.jemalloc_options().iter();
            let row = rows.find(|row| row.name == name).unwrap();
            assert_eq!(row.effective.as_deref(), Some(effective), "{row}");
            assert_eq!(row.remark.as_deref(), remark, "{row}");
            assert!(!row.is_ineffective(), "{row}");
        }
    }
}

/// What jemalloc did not take is not taken for what the deployer wants: the default holds, and it is said.
#[test]
fn what_jemalloc_does_not_take_is_not_left_alone() {
    const CHILD: &str = "PLIMSOLL_TEST_MISTAKEN";
    const NAME: &str = "what_jemalloc_does_not_take_is_not_left_alone";
    let _alone = truth::alone();
    if std::env::var_os(CHILD).is_none() {
        // The last name is no UTF-8.
        let variable = b"dirty_decay_ms:5s,muzzy_decay_ms:0x4e,background_thread:yes,\xff:1";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env(CHILD, "1")
            .env("_RJEM_MALLOC_CONF", OsStr::from_bytes(variable))
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    let monitor = Monitor::builder().limit(4 << 30).start().unwrap();
    let texts: Vec<String> = monitor
        .jemalloc_options()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "background_thread: wanted true, effective true (_RJEM_MALLOC_CONF asks for `yes`, which jemalloc did not take)",
            "dirty_decay_ms: wanted 5000, effective 5000 (_RJEM_MALLOC_CONF asks for `5s`, which jemalloc did not take)",
            "muzzy_decay_ms: wanted nothing, effective 78 (left as _RJEM_MALLOC_CONF sets it)",
        ]
    );
}
