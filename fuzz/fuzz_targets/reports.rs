//! A report of benchmarks: arbitrary bytes never panic, what is accepted reads back the same, and beside
//! itself nothing of it is worse.
#![no_main]

use plimsoll::bench::{Report, Thresholds, compare};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = Report::parse(bytes) else {
        return;
    };
    let again = report.to_json().expect("every number is finite");
    assert_eq!(
        Report::parse(again.as_bytes()).expect("just written"),
        report
    );
    let comparison = compare(&report, &report, &Thresholds::default());
    assert!(!comparison.is_worse(), "{comparison}");
    assert!(!report.to_string().is_empty());
});
