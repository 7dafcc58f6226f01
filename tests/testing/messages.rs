//! Every assertion fails when it should, at its own line, with a message that is held by a file beside
//! this one. `RENEW_MESSAGES=1` renews them. A line moved in this file moves in them too.

use crate::panics::panic_of;
use plimsoll::testing::{deny_allocations, sweep_failures};
use std::path::Path;

/// Compares a panic with the file of that name.
fn held<R>(name: &str, work: impl FnOnce() -> R) {
    let (message, place) = panic_of(work);
    assert!(place.starts_with("tests/testing/messages.rs:"), "{place}");
    let found = format!("panicked at {place}\n{message}")
        .replace(env!("CARGO_MANIFEST_DIR"), ".")
        // Lines alone tell no path of a generic function.
        .replace("in testing::messages::held", "in held")
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/testing/messages")
        .join(format!("{name}.txt"));
    if std::env::var_os("RENEW_MESSAGES").is_some() {
        std::fs::write(&path, found + "\n").unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found.trim_end(), expected.trim_end(), "{}", path.display());
}

/// A block of so many bytes that the optimiser leaves alone; here, so that its line is held as well.
#[inline(never)]
fn block(bytes: usize) -> Box<[u8]> {
    std::hint::black_box(vec![1u8; bytes].into_boxed_slice())
}

/// Something with lines of its own.
#[inline(never)]
fn work() -> Vec<Box<[u8]>> {
    let mut kept = Vec::with_capacity(4);
    kept.push(block(1000));
    for bytes in [300, 300, 300] {
        kept.push(block(bytes));
    }
    drop(block(5000));
    kept
}

#[test]
fn allocations() {
    held("allocations", || {
        plimsoll::assert_allocations!(..=3, { work() })
    });
}

#[test]
fn deallocations() {
    held("deallocations", || {
        plimsoll::assert_deallocations!(2.., { work() })
    });
}

#[test]
fn reallocations() {
    held("reallocations", || {
        plimsoll::assert_reallocations!(0, {
            let mut list = std::hint::black_box(Vec::<u8>::with_capacity(10));
            list.reserve_exact(100);
            list
        })
    });
}

#[test]
fn allocated_bytes() {
    held("allocated_bytes", || {
        plimsoll::assert_allocated_bytes!(..1000, { work() })
    });
}

#[test]
fn peak_bytes() {
    held("peak_bytes", || {
        plimsoll::assert_peak_bytes!(..=4096, { work() })
    });
}

#[test]
fn net_bytes() {
    held("net_bytes", || plimsoll::assert_net_bytes!(0, { work() }));
}

#[test]
fn net_blocks() {
    held("net_blocks", || {
        plimsoll::assert_net_blocks!(7..=9, { work() })
    });
}

#[test]
fn several_figures() {
    held(
        "several_figures",
        || plimsoll::assert_heap!(allocations: ..=3, reallocations: 0, peak_bytes: 1..2, { work() }),
    );
}

#[test]
fn no_allocation() {
    held("no_allocation", || plimsoll::no_alloc!({ drop(work()) }));
}

#[test]
fn denied_allocations() {
    held("denied_allocations", || {
        let denied = deny_allocations();
        drop(work());
        denied.end();
    });
}

#[test]
fn leak() {
    held("leak", || {
        plimsoll::assert_no_leak!({ std::mem::forget(work()) })
    });
}

#[test]
fn snapshot_differs() {
    held("snapshot_differs", || {
        plimsoll::assert_snapshot!("one that differs", { work() })
    });
}

#[test]
fn snapshot_missing() {
    held("snapshot_missing", || {
        plimsoll::assert_snapshot!("one that is missing", { work() })
    });
}

#[test]
fn snapshot_damaged() {
    held("snapshot_damaged", || {
        plimsoll::assert_snapshot!("one that is damaged", { work() })
    });
}

#[test]
fn sweep() {
    held("sweep", || {
        sweep_failures(|| {
            let mut list = Vec::<u8>::new();
            assert!(list.try_reserve_exact(64).is_ok(), "there is always memory");
            std::hint::black_box(&list);
        })
    });
}
