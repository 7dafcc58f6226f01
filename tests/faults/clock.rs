//! The clock on the wall jumps, by years, both ways, while the monitor runs.

use super::{played, roles, shim};
use plimsoll::{Event, EventKind, EventReader, Fault, Monitor, Restart, Withheld};
use roles::{LIMIT, fill, remembered, say, wait_for};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

const YEAR: i64 = 365 * 24 * 3600;

fn set_ahead(years: i64) {
    let before = SystemTime::now();
    shim::faults()
        .clock_shift
        .store(years * YEAR, Ordering::SeqCst);
    assert_ne!(
        before.elapsed().is_err(),
        years > 0,
        "the shim has no effect"
    );
}

fn cooling(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::RestartWithheld(Withheld::Cooldown { .. })
    )
}

fn start(folder: &Path, cooldown: Duration) -> (Monitor, EventReader) {
    roles::started(
        Monitor::builder()
            .limit(LIMIT)
            .interval(Duration::from_millis(10))
            .restart(Restart::Exec)
            .sustained(Duration::ZERO)
            .restart_horizon(Duration::MAX)
            .cooldown(cooldown)
            .state_file(folder.join("state")),
    )
}

/// Restarts when asked; then is in its cooldown, whatever the clock says that is behind; then the
/// clock is ahead, and the cooldown over; then the clock is right again, and the file of the future.
pub fn clock(folder: &Path) {
    let images = roles::account(folder).len();
    let (monitor, mut events) = start(folder, Duration::from_secs(300));
    say(folder, &format!("{} known", monitor.restarts().len()));
    let kept = fill(0.85);
    match images {
        0 => {
            // In time: without a file before, the start counts as a restart, but not for this one.
            let _ = monitor.restart();
        }
        1 => {
            wait_for(&mut events, cooling);
            for years in [-10, -70] {
                set_ahead(years);
                // It is as old as this image is.
                let remaining = monitor.restart_outlook().cooldown_remaining.as_secs();
                assert!((1..=300).contains(&remaining), "{remaining} s");
                std::thread::sleep(Duration::from_millis(100));
            }
            let history = monitor.history();
            let is_in_order = history.is_sorted_by(|before, after| before.at < after.at);
            let year = Duration::from_secs(365 * 24 * 60 * 60);
            assert!(is_in_order && history.last().unwrap().at < year);
            assert!(!monitor.leak_verdict().is_leak());
            assert_eq!(remembered(folder), 1);
            set_ahead(10);
            // The restart follows by itself.
            wait_for(&mut events, |_| false);
        }
        _ => {
            let is_aside =
                |event: &Event| matches!(event.kind, EventKind::Fault(Fault::StateSetAside));
            wait_for(&mut events, is_aside);
            // Nothing is known, so it waits as if the start had been a restart.
            wait_for(&mut events, cooling);
        }
    }
    drop(kept);
}

/// A clock that was set back does not keep a cooldown from ending.
pub fn stuck_clock(folder: &Path) {
    let is_first = roles::account(folder).is_empty();
    say(folder, "image");
    let (monitor, _) = start(folder, Duration::from_secs(2));
    if is_first {
        let _ = monitor.restart();
    }
    set_ahead(-10);
    std::thread::sleep(Duration::from_secs(3));
    let outlook = monitor.restart_outlook();
    assert_eq!(outlook.cooldown_remaining, Duration::ZERO, "{outlook:?}");
}

#[test]
fn a_clock_that_jumps_ends_a_cooldown_or_begins_it_and_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command("clock", folder.path()) {
        let account = played(command, folder.path());
        assert_eq!(account, ["0 known", "1 known", "0 known"]);
        assert!(folder.path().join("state.damaged").exists());
    }
}

#[test]
fn a_cooldown_ends_in_its_time_although_the_clock_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command("stuck_clock", folder.path()) {
        let account = played(command, folder.path());
        assert_eq!(account, ["image", "image"]);
    }
}
