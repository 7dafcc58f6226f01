use crate::libraries::{interner::Interner, record::Records, ring::Ring};
use crate::panics::panic_of;
use plimsoll::testing::{Outcome, sweep_failures, try_sweep_failures};
use std::sync::atomic::{AtomicBool, Ordering};

/// Pushes on whatever happens, as a caller does that goes on after an error.
fn use_ring<const BUG: bool>() {
    let mut ring = Ring::<BUG>::default();
    let mut sum = 0;
    for value in 1..=20 {
        if ring.push(value).is_ok() {
            sum += value;
        }
    }
    assert_eq!(ring.sum(), sum);
}

fn use_interner<const BUG: bool>() {
    let mut interner = Interner::<BUG>::default();
    let names = ["one", "two", "three", "four", "five"];
    let kept = names
        .iter()
        .filter(|name| interner.intern(name).is_ok())
        .count();
    assert_eq!(interner.len(), kept);
}

fn use_records<const BUG: bool>() {
    let mut records = Records::<BUG>::default();
    let values = [Some("640"), None, Some("with a space"), Some("480")];
    let kept = values
        .into_iter()
        .filter(|value| {
            records
                .add("a name that is long enough to grow", *value)
                .is_ok()
        })
        .count();
    assert_eq!(records.lines(), kept);
}

#[test]
fn code_that_reserves_before_it_promises_survives_every_failure() {
    assert!(sweep_failures(use_ring::<false>).runs >= 2 * 4);
    assert!(sweep_failures(use_interner::<false>).runs >= 2 * 7);
    assert!(sweep_failures(use_records::<false>).runs >= 2 * 2);
}

#[test]
fn a_promise_made_before_the_room_was_there_is_found_as_a_panic() {
    let found = try_sweep_failures(use_ring::<true>).unwrap_err();
    assert!(!found.findings.is_empty());
    for finding in &found.findings {
        let Outcome::Panicked(message) = &finding.outcome else {
            panic!("{finding}");
        };
        assert!(
            message.contains("no room for what was promised"),
            "{finding}"
        );
        assert!(
            finding.site.contains("tests/testing/libraries/ring.rs:"),
            "{finding}"
        );
    }
}

#[test]
fn what_is_not_freed_on_the_way_out_is_found_as_a_leak() {
    let found = try_sweep_failures(use_interner::<true>).unwrap_err();
    assert!(!found.findings.is_empty());
    for finding in &found.findings {
        let Outcome::Leaked(what) = &finding.outcome else {
            panic!("{finding}");
        };
        assert!(
            what.contains("tests/testing/libraries/interner.rs:"),
            "{finding}"
        );
    }
}

#[test]
fn an_allocation_of_std_that_cannot_fail_is_found_as_an_abort_with_its_line() {
    let found = try_sweep_failures(use_records::<true>).unwrap_err();
    assert!(!found.findings.is_empty());
    for finding in &found.findings {
        let Outcome::Aborted(last) = &finding.outcome else {
            panic!("{finding}");
        };
        assert!(last.contains("memory allocation of"), "{finding}");
        assert!(
            finding.site.contains("tests/testing/libraries/record.rs:"),
            "{finding}"
        );
    }
}

#[test]
fn who_asks_for_ever_is_stopped() {
    let found = try_sweep_failures(|| while Vec::<u8>::new().try_reserve(1).is_err() {});
    let outcomes: Vec<_> = found
        .unwrap_err()
        .findings
        .into_iter()
        .map(|finding| finding.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Endless]);
}

#[test]
fn several_sweeps_in_a_test_are_told_apart() {
    let runs: Vec<_> = (1..4)
        .map(|blocks| {
            let swept = sweep_failures(|| {
                for _ in 0..blocks {
                    let mut list = Vec::<u8>::new();
                    let _ = list.try_reserve(1);
                    std::hint::black_box(&list);
                }
            });
            swept.runs
        })
        .collect();
    assert_eq!(runs, [2, 4, 6]);
}

#[test]
fn work_that_fails_by_itself_is_not_swept() {
    let (message, _) = panic_of(|| sweep_failures(|| panic!("at any rate")));
    assert!(
        message.contains("even when every allocation succeeds"),
        "{message}"
    );
    assert!(message.contains("at any rate"), "{message}");
}

#[test]
fn nor_is_work_that_ends_its_process_by_itself() {
    let (message, _) = panic_of(|| sweep_failures(|| std::process::exit(7)));
    assert!(message.contains("ends its process even when"), "{message}");
    assert!(message.contains("exit status: 7"), "{message}");
}

#[test]
fn work_that_ends_its_process_the_second_time_is_not_swept_for_ever() {
    let swept = try_sweep_failures(|| {
        static HAS_RUN: AtomicBool = AtomicBool::new(false);
        if HAS_RUN.swap(true, Ordering::Relaxed) {
            std::process::abort();
        }
    });
    let swept = swept.unwrap_err();
    assert_eq!((swept.runs, swept.findings.len()), (0, 1));
    let said = swept.findings[0].to_string();
    assert!(
        said.starts_with("nothing failed: the process ended: "),
        "{said}"
    );
    assert!(matches!(swept.findings[0].outcome, Outcome::Aborted(_)));
}

#[test]
fn what_a_failure_makes_once_and_keeps_is_no_leak() {
    static ONCE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    sweep_failures(|| {
        // The first is refused and the next is not: so it is kept after the first failure of all.
        let mut kept = Vec::new();
        if Vec::<u8>::new().try_reserve(1).is_err() && ONCE.get().is_none() {
            kept.try_reserve_exact(100).unwrap();
            ONCE.set(kept).unwrap();
        }
    });
}

#[test]
fn a_child_that_takes_another_way_is_told_of_with_what_it_was_started_with() {
    if std::env::var_os("PLIMSOLL_SWEEP").is_some() {
        return;
    }
    let (message, _) = panic_of(|| sweep_failures(|| ()));
    let test = "sweeps::a_child_that_takes_another_way_is_told_of_with_what_it_was_started_with";
    let started = format!("`{test} --exact --nocapture --include-ignored`, never came to ");
    assert!(message.contains(&started), "{message}");
}
