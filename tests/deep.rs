//! Sixteen gibibytes on the heap: every figure, in every shape in which it is told, is beyond what 32
//! bits hold, and right.
//!
//! With `PLIMSOLL_LONG=1` and 18 GiB to be had every page is touched, and the resident memory is the
//! kernel's own figure; otherwise one gibibyte is, and the resident memory is made up.
#![cfg(all(target_os = "linux", feature = "http", feature = "prometheus"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod client;
mod roles;

use client::get;
use plimsoll::export::prometheus::Exporter;
use plimsoll::figures::Roots;
use plimsoll::http::{Admin, RequestLayer};
use plimsoll::{EventKind, HeapFigures, Level, Monitor, Plimsoll, Restart, Withheld, heap};
use roles::{run, say};
use serde_json::Value;
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Sizes and how many, from the smallest: together 16 GiB and a little.
const BLOCKS: [(usize, usize); 7] = [
    (100, 2_684_355),
    (KIB, 256 * KIB),
    (64 * KIB, 8 * KIB),
    (MIB + 1, 1024),
    (5 * MIB - 7, 420),
    (256 * MIB, 16),
    (GIB, 8),
];

/// Touched from the smallest on, where not all of it is.
const TOUCHED: usize = GIB;

/// So that the heap is at four fifths of it: a level, and with it all that is said of one.
const LIMIT: u64 = 20 * GIB as u64;

/// For what the monitor and the server have themselves, and what a thread has not told yet.
const SLACK: u64 = 64 * MIB as u64;

fn total() -> u64 {
    BLOCKS
        .iter()
        .map(|(size, count)| (size * count) as u64)
        .sum()
}

fn is_long() -> bool {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    std::env::var_os("PLIMSOLL_LONG").is_some_and(|value| value == "1")
        && available.is_some_and(|available| available > 18 * MIB)
}

struct Blocks(Vec<(*mut u8, usize)>);

impl Blocks {
    fn allocate(&mut self, touched: usize) {
        let mut left = touched;
        for (size, count) in BLOCKS {
            for _ in 0..count {
                // SAFETY: sizes are above 0.
                let start = black_box(unsafe { alloc(layout(size)) });
                assert!(!start.is_null(), "no memory for {size} bytes");
                for at in (0..size.min(left)).step_by(4096) {
                    // SAFETY: within the block.
                    unsafe { start.add(at).write(1) };
                }
                left -= size.min(left);
                self.0.push((start, size));
            }
        }
    }

    fn free(&mut self) {
        for (start, size) in self.0.drain(..) {
            // SAFETY: allocated with this layout and not freed.
            unsafe { dealloc(start, layout(size)) };
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).unwrap()
}

/// What differs between two readings of a program that has been quiet: bytes, blocks, allocations,
/// frees, allocated and freed bytes.
fn between(before: &HeapFigures, after: &HeapFigures) -> [i64; 6] {
    let figures = |heap: &HeapFigures| {
        [
            heap.live_bytes(),
            heap.live_blocks(),
            heap.allocations(),
            heap.deallocations(),
            heap.allocated_bytes(),
            heap.deallocated_bytes(),
        ]
    };
    let (before, after) = (figures(before), figures(after));
    std::array::from_fn(|at| after[at] as i64 - before[at] as i64)
}

/// A reading when the harness, on its own thread, has come to rest.
fn at_rest() -> HeapFigures {
    loop {
        let before = heap();
        std::thread::sleep(Duration::from_millis(100));
        let after = heap();
        if between(&before, &after) == [0; 6] {
            return after;
        }
    }
}

/// All of the heap, and not much more.
fn assert_deep(what: &str, bytes: impl Into<Option<u64>>) {
    let bytes = bytes
        .into()
        .unwrap_or_else(|| panic!("{what} is no number"));
    let right = total()..total() + SLACK;
    assert!(right.contains(&bytes), "{what}: {bytes} not in {right:?}");
}

/// The same of what is resident: what the allocator rounds up, and its bookkeeping, is in it.
fn assert_resident(what: &str, bytes: u64) {
    let right = total()..total() + 4 * SLACK;
    assert!(right.contains(&bytes), "{what}: {bytes} not in {right:?}");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Words for people have the same figure where `around` says `_`, to a tenth of a GiB.
fn assert_says(words: &str, around: &str, bytes: u64) {
    let figure = format!("{:.1} GiB", bytes as f64 / GIB as f64);
    let said = around.replace('_', &figure);
    assert!(words.contains(&said), "no `{said}` in `{words}`");
}

/// A metric's value.
fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .trim();
    value.parse::<f64>().unwrap() as u64
}

// ---- the role --------------------------------------------------------------------------------

/// Not a test: what the other process runs.
#[test]
fn role() {
    let Some((_, folder)) = roles::own() else {
        return;
    };
    let count = BLOCKS.iter().map(|(_, count)| count).sum();
    let mut blocks = Blocks(Vec::with_capacity(count));
    let long = is_long();
    let before = at_rest();
    blocks.allocate(if long { usize::MAX } else { TOUCHED });
    let full = at_rest();
    let (bytes, count) = (total() as i64, count as i64);
    assert_eq!(between(&before, &full), [bytes, count, count, 0, bytes, 0]);
    assert!(full.peak_bytes() >= full.live_bytes());
    assert!(full.peak_bytes() < full.live_bytes() + 256 * KIB as u64);

    let (_, measured) = plimsoll::measure(|| {
        let size = 5 * GIB;
        // SAFETY: above 0, and freed with the layout that it was allocated with.
        unsafe { dealloc(black_box(alloc(layout(size))), layout(size)) };
    });
    assert_eq!(
        (
            measured.allocated_bytes,
            measured.net_bytes,
            measured.peak_bytes
        ),
        (5 * GIB as u64, 0, 5 * GIB as u64)
    );
    let resident = told(&folder, long);
    let full = at_rest();
    blocks.free();
    let empty = at_rest();
    assert_eq!(between(&full, &empty), [-bytes, -count, 0, count, 0, bytes]);
    say(
        &folder,
        &format!(
            "{bytes} bytes in {count} blocks, {resident} bytes resident{}",
            if long { "" } else { " (made up)" }
        ),
    );
}

/// With a monitor over it: every way in which it is told. Answers the resident bytes.
fn told(folder: &Path, long: bool) -> u64 {
    let roots = if long {
        Roots::default()
    } else {
        recorded(folder)
    };
    let monitor = Monitor::builder()
        .limit(LIMIT)
        .roots(roots)
        .interval(Duration::from_millis(50))
        .restart(Restart::Exec)
        .sustained(Duration::ZERO)
        .dry_run()
        .start()
        .unwrap();
    let monitor = Arc::new(monitor);
    let mut events = monitor.events();
    monitor.ready();
    until("at its level", || monitor.level() == Level::Restart);
    until("told", || {
        monitor.last_parts().is_some() && !monitor.history().is_empty()
    });

    let status = monitor.status();
    assert_deep("status", status.heap.live_bytes);
    assert!(status.heap.peak_bytes >= total());
    assert_eq!(status.limit.bytes, LIMIT);
    let share = status.heap.live_bytes as f64 / LIMIT as f64;
    assert!(
        (status.utilization.heap - share).abs() < 0.001,
        "{status:?}"
    );
    let process = status.process.expect("readable");
    assert_resident("anonymous", process.anonymous_bytes);
    assert!(process.resident_bytes >= process.anonymous_bytes);
    for sample in monitor.history() {
        assert_deep("history", sample.held.heap_bytes);
    }
    assert_deep("parts", monitor.last_parts().unwrap().live_heap_bytes);
    for moment in monitor
        .timeline()
        .iter()
        .flat_map(|stretch| &stretch.moments)
    {
        assert_deep("timeline", moment.parts.live_heap_bytes);
    }
    let diagnosis = monitor.diagnosis().unwrap();
    assert_deep("diagnosis", diagnosis.live_heap_bytes);
    let words = diagnosis.to_string();
    assert_says(&words, "live heap _,", diagnosis.live_heap_bytes);
    assert!(diagnosis.resident_bytes >= total(), "{words}");
    assert_says(&words, "_ resident:", diagnosis.resident_bytes);
    until("withheld", || {
        match events.try_next().map(|event| event.kind) {
            Some(EventKind::RestartWithheld(
                why @ Withheld::ThresholdTooLow { baseline_bytes, .. },
            )) => {
                assert_resident("withheld", baseline_bytes);
                assert_says(&why.to_string(), "it holds _ after", baseline_bytes);
                true
            }
            Some(EventKind::Diagnosis(found)) => {
                assert_deep("diagnosis of an event", found.live_heap_bytes);
                false
            }
            _ => false,
        }
    });

    let requests = RequestLayer::new(Arc::clone(&monitor));
    let percent = (100.0 * monitor.last_utilization()).round();
    assert!((80.0..82.0).contains(&percent), "{percent}");
    assert_eq!(header(&requests), format!("restart;percent={percent}"));

    let admin = Admin::new(Arc::clone(&monitor)).requests(&requests);
    let server = admin.serve("127.0.0.1:0").unwrap();
    let stats = get(server.address(), "/api/system/memory-stats").json();
    assert_deep("JSON", stats["heap"]["live_bytes"].as_u64());
    assert_eq!(stats["limit"]["bytes"].as_u64(), Some(LIMIT));
    assert!(
        stats["heap"]["peak_bytes"].as_u64() >= Some(total()),
        "{stats}"
    );
    for figure in ["allocated", "active", "mapped"] {
        let bytes = stats["allocator"][figure].as_u64();
        assert!(bytes >= Some(total()), "{figure} in {stats}");
    }
    let details = get(server.address(), "/api/system/memory-details").json();
    assert_deep(
        "JSON of the diagnosis",
        details["diagnosis"]["live_heap_bytes"].as_u64(),
    );
    // The 5 GiB that came and went, and the bookkeeping of this test, are in its allocated bytes.
    assert_deep(
        "JSON of the thread",
        details["threads"][0]["net_bytes"].as_u64(),
    );
    let words = details["diagnosis"]["words"].as_str().unwrap();
    let live = details["diagnosis"]["live_heap_bytes"].as_u64().unwrap();
    assert_deep("diagnosis in JSON", live);
    assert_says(words, "live heap _,", live);
    let history = details["history"].as_array().unwrap().iter();
    let bins: Vec<&Value> = history
        .flat_map(|columns| columns["live_heap_bytes"].as_array().unwrap())
        .collect();
    assert!(!bins.is_empty());
    bins.iter()
        .for_each(|bin| assert_deep("JSON of the history", bin.as_u64()));

    for text in [
        Exporter::new(Arc::clone(&monitor)).scrape(),
        get(server.address(), "/metrics").body,
    ] {
        assert_deep("metric", metric(&text, "plimsoll_heap_live_bytes "));
        assert!(metric(&text, "plimsoll_heap_peak_bytes ") >= total());
        assert!(metric(&text, "plimsoll_heap_allocated_bytes_total ") >= total() + 5 * GIB as u64);
        let part = "plimsoll_memory_bytes{part=\"live_heap\"} ";
        assert_deep("metric of the part", metric(&text, part));
        let limit = "plimsoll_limit_bytes{source=\"configured\"} ";
        assert_eq!(metric(&text, limit), LIMIT);
    }
    server.stop();
    monitor.stop();
    drop((requests, admin));
    process.anonymous_bytes
}

/// Resident memory as that of a program that has touched all.
fn recorded(folder: &Path) -> Roots {
    let proc = folder.join("proc");
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal: 67108864 kB\n").unwrap();
    let anonymous = (total() + MIB as u64) / KIB as u64;
    let status = format!(
        "VmRSS: {} kB\nRssAnon: {anonymous} kB\nRssFile: 1024 kB\nRssShmem: 0 kB\n",
        anonymous + 1024
    );
    std::fs::write(proc.join("self/status"), status).unwrap();
    Roots::new(proc, folder.join("sys"))
}

/// What a request is answered in `X-Memory-Usage`.
fn header(requests: &RequestLayer) -> String {
    let inner = tower::service_fn(async |_: axum::http::Request<()>| {
        let body = axum::body::Body::empty();
        Ok::<_, std::convert::Infallible>(axum::http::Response::new(body))
    });
    let service = tower::Layer::layer(requests, inner);
    let request = axum::http::Request::builder().uri("/").body(()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(tower::ServiceExt::oneshot(service, request));
    answer.unwrap().headers()["x-memory-usage"]
        .to_str()
        .unwrap()
        .to_owned()
}

// ---- the test --------------------------------------------------------------------------------

#[test]
fn sixteen_gibibytes_are_told_to_the_byte_in_every_shape() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("deep", folder.path());
    println!("{}", account.join("\n"));
    assert_eq!(account.len(), 1, "{account:?}");
}
