//! Panics in what the program gives to the monitor: it goes on, says so, and calls the others.

use super::{played, roles, said, watched};
use plimsoll::{
    CacheStatistics, EventKind, Fault, Level, Monitor, MonitorBuilder, Restart, Shrink,
};
use std::panic::{panic_any, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::span::{Attributes, Id, Record};

/// A payload that panics in turn when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        // Without a message: what is to be seen on the error stream is not this.
        resume_unwind(Box::new("the payload panics as well"));
    }
}

fn builder() -> MonitorBuilder {
    Monitor::builder()
        .limit(roles::LIMIT)
        .interval(Duration::from_millis(10))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn count(monitor: &Monitor, wanted: Fault) -> usize {
    let is_wanted = |kind| matches!(kind, EventKind::Fault(fault) if fault == wanted);
    let events = monitor.recent_events().into_iter();
    events.filter(|event| is_wanted(event.kind)).count()
}

/// A cache whose every answer panics, with a plain message or with a bomb.
struct Broken(bool);

impl Broken {
    fn panics(&self) -> ! {
        if self.0 {
            panic_any(Bomb);
        }
        resume_unwind(Box::new("broken"))
    }
}

impl Shrink for Broken {
    fn name(&self) -> &str {
        self.panics()
    }
    fn bytes(&self) -> u64 {
        self.panics()
    }
    fn shrink(&self, _: Level) -> u64 {
        self.panics()
    }
    fn keeps_cap(&self) -> bool {
        self.panics()
    }
    fn statistics(&self) -> Option<CacheStatistics> {
        self.panics()
    }
}

/// One that counts how often it was asked.
#[derive(Default)]
struct Sound(AtomicU64);

impl Shrink for Sound {
    fn name(&self) -> &str {
        "sound"
    }
    fn bytes(&self) -> u64 {
        7
    }
    fn shrink(&self, _: Level) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed);
        0
    }
}

/// The second cache is asked again and again although the first one panics at everything.
fn ask_beside(with_bomb: bool) {
    let (broken, sound) = (Arc::new(Broken(with_bomb)), Arc::new(Sound::default()));
    let monitor = builder().cache(&broken).cache(&sound).start().unwrap();
    for round in 1..=3 {
        monitor.optimise().unwrap();
        assert!(sound.0.load(Ordering::Relaxed) >= round);
        wait_until("a fault", || {
            count(&monitor, Fault::CachePanicked) as u64 >= round
        });
    }
    let [nameless, named] = monitor.caches().try_into().unwrap();
    let of = |cache: &plimsoll::CacheStatus| (cache.name.clone(), cache.bytes, cache.keeps_cap);
    assert_eq!(of(&nameless), (String::new(), 0, false));
    assert_eq!(of(&named), ("sound".to_owned(), 7, true));
    assert!(monitor.diagnosis().is_some());
    monitor.stop();
}

pub fn caches(_: &Path) {
    ask_beside(false);
}

pub fn bomb_in_cache(_: &Path) {
    ask_beside(true);
}

pub fn bomb_in_callback(_: &Path) {
    let heard = Arc::new(AtomicU64::new(0));
    let count_it = Arc::clone(&heard);
    let monitor = builder()
        .on_event(|_| panic_any(Bomb))
        .on_event(move |_| {
            count_it.fetch_add(1, Ordering::Relaxed);
        })
        .start()
        .unwrap();
    wait_until("a fault", || count(&monitor, Fault::CallbackPanicked) > 0);
    let before = heard.load(Ordering::Relaxed);
    monitor.optimise().unwrap();
    wait_until("news after the panic", || {
        heard.load(Ordering::Relaxed) > before
    });
    monitor.stop();
}

/// A subscriber that panics at everything that a thread of ours has to say.
pub struct BrokenLog;

impl tracing::Subscriber for BrokenLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        let own = std::thread::current();
        if own.name().is_some_and(|name| name.starts_with("plimsoll")) {
            resume_unwind(Box::new("a broken log"));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

pub fn logs(_: &Path) {
    tracing::subscriber::set_global_default(BrokenLog).unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let count_it = Arc::clone(&heard);
    let monitor = builder()
        .on_event(move |_| {
            count_it.fetch_add(1, Ordering::Relaxed);
        })
        .start()
        .unwrap();
    monitor.optimise().unwrap();
    wait_until("news although the log panics", || {
        heard.load(Ordering::Relaxed) > 3
    });
    monitor.stop();
}

/// Ends the process by a restart whose hook panics, long before its deadline.
pub fn drains(folder: &Path) {
    let said_in = folder.to_owned();
    let monitor = builder()
        .restart(Restart::Exit(7))
        .state_file(folder.join("state"))
        .drain(Duration::from_secs(3600), move |_token| {
            roles::say(&said_in, "hook");
            resume_unwind(Box::new("a broken hook"));
        })
        .start()
        .unwrap();
    roles::say(folder, &monitor.restart().to_string());
}

/// What a callback holds panics when it is dropped, at the end of the monitor.
pub fn ends(_: &Path) {
    for _ in 0..2 {
        let bomb = Bomb;
        let monitor = builder()
            .on_event(move |_| {
                std::hint::black_box(&bomb);
            })
            .start()
            .unwrap();
        monitor.optimise().unwrap();
        monitor.stop();
    }
}

fn plays(role: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    played(roles::command(role, folder.path()), folder.path())
}

#[test]
fn a_cache_that_panics_at_every_question_keeps_no_other_from_being_asked() {
    plays("caches");
}

#[test]
fn a_drain_hook_that_panics_does_not_hold_the_restart_up() {
    let folder = tempfile::tempdir().unwrap();
    let output = watched(roles::command("drains", folder.path()));
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    assert_eq!(roles::account(folder.path()), ["hook"]);
    assert_eq!(roles::remembered(folder.path()), 1);
}

#[test]
fn what_a_callback_holds_may_panic_when_it_is_dropped_and_another_monitor_starts() {
    plays("ends");
}

#[test]
fn a_callback_may_panic_with_a_payload_that_panics_as_well() {
    plays("bomb_in_callback");
}

#[test]
fn a_cache_may_panic_with_a_payload_that_panics_as_well() {
    plays("bomb_in_cache");
}

#[test]
fn callbacks_run_although_the_log_panics() {
    plays("logs");
}
