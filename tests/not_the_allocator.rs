//! Where `Plimsoll` is not the program's allocator, every assertion says so instead of passing at 0.

use plimsoll::testing::{
    Group, deny_allocations, fail_above, fail_after, fail_nth, sweep_failures,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn says_so<R>(work: impl FnOnce() -> R) {
    let payload = catch_unwind(AssertUnwindSafe(work))
        .err()
        .expect("it should fail");
    let message = payload
        .downcast_ref::<String>()
        .expect("a panic with a message");
    assert!(
        message.contains("`Plimsoll` is not this program's global allocator"),
        "{message}"
    );
}

#[test]
fn no_assertion_passes_at_zero() {
    says_so(|| plimsoll::assert_allocations!(0, {}));
    says_so(|| plimsoll::assert_deallocations!(.., {}));
    says_so(|| plimsoll::assert_reallocations!(.., {}));
    says_so(|| plimsoll::assert_allocated_bytes!(0, {}));
    says_so(|| plimsoll::assert_peak_bytes!(0, {}));
    says_so(|| plimsoll::assert_net_bytes!(0, {}));
    says_so(|| plimsoll::assert_net_blocks!(0, {}));
    says_so(|| plimsoll::assert_heap!(allocations: 0, net_bytes: 0, {}));
    says_so(|| plimsoll::no_alloc!({}));
    says_so(|| plimsoll::assert_no_leak!({}));
    says_so(|| plimsoll::assert_snapshot!("none", {}));
    says_so(|| deny_allocations().end());
    says_so(Group::new);
    says_so(|| fail_after(1));
    says_so(|| fail_nth(1));
    says_so(|| fail_above(1));
    says_so(|| sweep_failures(|| ()));
}

/// Whoever runs benchmarks without it is told, by the exit code for bad input.
#[cfg(feature = "bench")]
#[test]
fn no_benchmark_counts_nothing() {
    let code = plimsoll::bench::main_with(["--bench".into()], |harness| {
        harness.bench("none", |bencher| bencher.iter(|| 1));
    });
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::from(2))
    );
}

/// A monitor says so too, and watches what is resident.
#[cfg(target_os = "linux")]
#[test]
fn a_monitor_watches_resident_memory_alone_and_says_so() {
    use plimsoll::figures::{Roots, Signal};
    use plimsoll::{EventKind, Fault, Level, Monitor};
    use std::time::Duration;

    let tree = tempfile::tempdir().unwrap();
    let proc = tree.path().join("proc");
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal: 1000000 kB\n").unwrap();
    let holds = |kilobytes: u64| {
        let status = format!(
            "VmRSS: {kilobytes} kB\nRssAnon: {kilobytes} kB\nRssFile: 0 kB\nRssShmem: 0 kB\n"
        );
        let beside = proc.join("self/next");
        std::fs::write(&beside, status).unwrap();
        std::fs::rename(beside, proc.join("self/status")).unwrap();
    };
    holds(1_000);
    let monitor = Monitor::builder()
        .limit(1 << 30)
        .interval(Duration::from_millis(10))
        .roots(Roots::new(proc.clone(), tree.path().join("sys")))
        .start()
        .unwrap();
    let mut events = monitor.events();
    let mut wait_for = |what: &str, wanted: &dyn Fn(&EventKind) -> bool| loop {
        let event = events.next_within(Duration::from_secs(20)).expect(what);
        if wanted(&event.kind) {
            break;
        }
    };
    wait_for("the fault", &|kind| {
        matches!(kind, EventKind::Fault(Fault::NotInstalled))
    });
    holds(820_000);
    wait_for("the level", &|kind| {
        matches!(kind, EventKind::Level { to: Level::Restart, pressure, .. }
            if pressure.deciding == Signal::Resident)
    });
    assert_eq!(plimsoll::heap().allocations(), 0);
}
