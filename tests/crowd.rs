//! Ten thousand threads at once, a million one after the other, and sixty-four that never rest while
//! somebody reads as fast as they can: every figure is right, and what counts them stays small.
//!
//! `PLIMSOLL_LONG=1` has the million be a million and not 50,000, and the sixty-four run for ten
//! minutes and not for ten seconds.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod mapped;
mod pieces;
mod roles;
mod truth;

use pieces::each::{Each, own};
use pieces::{Grown, Piece, Random, framed};
use plimsoll::{HeapFigures, Monitor, Plimsoll, heap};
use roles::{run, say};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use truth::assert_exact;

#[global_allocator]
static HEAP: Plimsoll<Each> = Plimsoll::wrap(Each);

fn is_long() -> bool {
    std::env::var_os("PLIMSOLL_LONG").is_some_and(|value| value == "1")
}

/// Of one thread's counters: the README says so.
const BLOCK: usize = 256;
/// Blocks for which nothing is mapped.
const FIRST: usize = 32;

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let spawned = Builder::new().stack_size(64 << 10).spawn(work);
    spawned.expect("a thread")
}

/// A reading when the harness, on its own thread, has come to rest.
fn at_rest() -> HeapFigures {
    loop {
        let before = heap();
        std::thread::sleep(Duration::from_millis(200));
        let after = heap();
        let calls = |heap: &HeapFigures| (heap.allocations(), heap.deallocations());
        if calls(&before) == calls(&after) {
            return after;
        }
    }
}

fn number(path: &str) -> Option<usize> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The figure in kB of a line of `/proc/self/status`.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.expect("the line").trim_start_matches(':').trim();
    line.trim_end_matches(" kB").trim().parse().unwrap()
}

// ---- the roles -------------------------------------------------------------------------------

/// Not a test: what the other processes run.
#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    match role.as_str() {
        "alive" => alive(&folder),
        "passing" => passing(&folder),
        "restless" => restless(&folder),
        other => panic!("no such role: {other}"),
    }
}

/// As many as the system lets there be, with room for others: a thread takes four mappings, its stack
/// and that of its signals with a guard below each.
fn allowed(wanted: usize) -> usize {
    let running = std::fs::read_to_string("/proc/loadavg").unwrap();
    let running = running.split(['/', ' ']).nth(4);
    let running: usize = running.unwrap().parse().expect("threads that there are");
    let left = |path| number(path).map_or(usize::MAX, |most| most.saturating_sub(running + 500));
    [
        left("/proc/sys/kernel/threads-max"),
        left("/proc/sys/kernel/pid_max"),
        number("/proc/sys/vm/max_map_count").map_or(usize::MAX, |most| (most - 1000) / 4),
        number("/sys/fs/cgroup/pids.max").unwrap_or(usize::MAX),
    ]
    .into_iter()
    .fold(wanted, usize::min)
}

/// What one of the ten thousand said of itself when it came to rest.
#[derive(Default)]
struct Told {
    thread_id: AtomicU64,
    allocated: AtomicU64,
    freed: AtomicU64,
}

struct Crowd {
    gate: Barrier,
    told: Vec<Told>,
    /// One piece each, for whoever comes by.
    slots: Vec<Mutex<Option<Piece>>>,
    done: AtomicUsize,
}

fn alive(folder: &Path) {
    const WANTED: usize = 10_000;
    let threads = allowed(WANTED);
    let (before, mapped_before) = (at_rest(), mapped::count());
    let crowd = Arc::new(Crowd {
        gate: Barrier::new(threads + 1),
        told: (0..threads).map(|_| Told::default()).collect(),
        slots: (0..threads).map(|_| Mutex::new(None)).collect(),
        done: AtomicUsize::new(0),
    });
    let running: Vec<_> = (0..threads)
        .map(|number| {
            let crowd = Arc::clone(&crowd);
            spawn(move || one_of_many(number, &crowd))
        })
        .collect();
    crowd.gate.wait();

    // All hold what they have, and nothing runs.
    assert_exact();
    let full = heap();
    assert_eq!(full.threads() as usize, threads + before.threads() as usize);
    let figures = plimsoll::threads();
    assert_eq!(figures.len(), full.threads() as usize);
    let mut by_id: HashMap<_, _> = figures.iter().map(|one| (one.thread_id, one)).collect();
    for told in &crowd.told {
        let id = told.thread_id.load(Ordering::SeqCst) as u32;
        let figures = by_id.remove(&id).expect("each is there once");
        let found = (figures.allocated_bytes, figures.deallocated_bytes);
        let truth = [&told.allocated, &told.freed].map(|figure| figure.load(Ordering::SeqCst));
        assert_eq!(found, truth.into(), "{figures:?}");
        assert_eq!(figures.net_bytes, truth[0] as i64 - truth[1] as i64);
    }
    let ours = mapped::since(mapped_before);
    // One page at the end of each chunk, and the one that a chunk begins with.
    let most = (full.threads() as usize - FIRST) * BLOCK + ours.mappings * 2 * 4096;
    let least = (full.threads() as usize - FIRST) * BLOCK;
    assert!((least..=most).contains(&ours.resident), "{ours:?}");
    assert!(ours.bytes < 2 * least + 2 * FIRST * BLOCK, "{ours:?}");

    crowd.gate.wait();
    let (mut readings, mut grown) = (0u64, Grown::default());
    while crowd.done.load(Ordering::SeqCst) < threads {
        grown.see(&framed(heap));
        readings += 1;
    }
    crowd.gate.wait();
    assert_exact();
    crowd.gate.wait();
    running
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_exact();
    assert_eq!(heap().threads(), before.threads());
    assert_eq!(mapped::since(mapped_before), ours, "nobody needs more");
    drop(by_id);
    drop((figures, crowd));
    assert_exact();
    assert_eq!(heap().live_bytes(), before.live_bytes());
    say(
        folder,
        &format!(
            "{threads} threads at once{}: {} bytes of counters mapped, {} resident, {:.0} a thread; {readings} \
             readings while they worked",
            if threads < WANTED {
                " (the system allows no more)"
            } else {
                ""
            },
            ours.bytes,
            ours.resident,
            ours.resident as f64 / (threads - FIRST) as f64,
        ),
    );
}

fn one_of_many(number: usize, crowd: &Crowd) {
    let mut random = Random::new(number as u64);
    let threads = crowd.slots.len();
    let mut held = [
        Piece::new(
            1 + number % 997,
            1 << (number % 7),
            number.is_multiple_of(2),
        ),
        Piece::new(16, 8, false),
    ];
    held[1].resize(1 + random.below(4000));
    drop(Piece::new(33, 1, true));
    *crowd.slots[number].lock().unwrap() = Some(Piece::new(100, 8, false));
    let told = &crowd.told[number];
    // SAFETY: no arguments, no effect.
    let id = unsafe { libc::gettid() };
    told.thread_id.store(id as u64, Ordering::SeqCst);
    let (allocated, freed) = own();
    told.allocated.store(allocated, Ordering::SeqCst);
    told.freed.store(freed, Ordering::SeqCst);
    crowd.gate.wait();
    crowd.gate.wait();
    for _ in 0..20 {
        let mut piece = Piece::new(random.size(), 8, random.below(2) == 0);
        piece.resize(1 + random.below(2000));
        let other = crowd.slots[random.below(threads)]
            .lock()
            .unwrap()
            .replace(piece);
        drop(other);
    }
    crowd.done.fetch_add(1, Ordering::SeqCst);
    crowd.gate.wait();
    crowd.gate.wait();
}

thread_local! {
    /// Freed, and followed by one more allocation, when the thread is already ending.
    static LAST: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

struct LastWords(Option<Piece>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0 = Some(Piece::new(55, 8, true));
    }
}

const SPAWNERS: usize = 8;
const AT_ONCE: usize = 8;

/// So many threads by each spawner, some at once; a piece goes from each to the next.
fn pass(each: usize) {
    let spawner = |_| {
        spawn(move || {
            let mut held: Vec<Piece> = Vec::new();
            let mut left = each;
            while left > 0 {
                let batch = left.min(AT_ONCE);
                left -= batch;
                let running: Vec<_> = (0..batch)
                    .map(|number| {
                        let from_another = held.pop();
                        spawn(move || {
                            // The first thing that it does is to free.
                            drop(from_another);
                            LAST.set(Some(LastWords(Some(Piece::new(77, 8, false)))));
                            let mut piece = Piece::new(10 + number, 8, false);
                            piece.resize(1000);
                            piece
                        })
                    })
                    .collect();
                held.extend(running.into_iter().map(|thread| thread.join().unwrap()));
            }
        })
    };
    let spawners: Vec<_> = (0..SPAWNERS).map(spawner).collect();
    spawners
        .into_iter()
        .for_each(|spawner| spawner.join().unwrap());
}

fn passing(folder: &Path) {
    let all = if is_long() { 1_000_000 } else { 50_000 };
    let (before, mapped_before) = (at_rest(), mapped::count());
    // All that are ever alive at once, once, so that no chance decides when that is.
    let most = SPAWNERS * (AT_ONCE + 1);
    let gate = Arc::new(Barrier::new(most));
    let all_at_once: Vec<_> = (0..most)
        .map(|_| {
            let gate = Arc::clone(&gate);
            spawn(move || {
                drop(Piece::new(9, 1, false));
                gate.wait();
            })
        })
        .collect();
    all_at_once
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    pass(10_000 / SPAWNERS);
    assert_exact();
    let early = mapped::since(mapped_before);
    let (data, resident) = (status("VmData"), status("RssAnon"));
    pass((all - 10_000) / SPAWNERS);
    assert_exact();
    let late = mapped::since(mapped_before);
    let (data_late, resident_late) = (status("VmData"), status("RssAnon"));
    // The chunks for 32 and 64 blocks behind those that stand in the program itself.
    assert_eq!((early.mappings, early.bytes), (2, (32 + 64) * BLOCK));
    assert_eq!(late, early, "blocks are taken again");
    assert_eq!(heap().threads(), before.threads());
    // Of the C library's own, stacks that are kept and heaps that are cut up otherwise, no more than
    // before: a word for each thread would be eight times as much.
    let grown = resident_late.saturating_sub(resident);
    assert!(grown < 1024, "{grown} kB more");
    say(
        folder,
        &format!(
            "{all} threads in turn: {early:?} after 10,000 and at the end; VmData {data} kB and \
             {data_late} kB, RssAnon {resident} kB and {resident_late} kB"
        ),
    );
}

const WORKERS: usize = 64;
const KEPT: usize = 64;

/// What the sixty-four do until it is over.
fn work(number: usize, seed: u64, boxes: &[Mutex<Vec<Piece>>], over: &AtomicBool) -> u64 {
    let mut random = Random::new(seed);
    let mut held = Vec::with_capacity(KEPT);
    let mut steps = 0;
    while !over.load(Ordering::Relaxed) {
        steps += 1;
        match random.below(12) {
            0..4 if held.len() < KEPT => {
                held.push(Piece::new(
                    random.size(),
                    1 << random.below(9),
                    random.below(2) == 0,
                ));
            }
            4..6 if !held.is_empty() => {
                let which = random.below(held.len());
                held[which].resize(random.size());
            }
            6..8 if !held.is_empty() => drop(held.swap_remove(random.below(held.len()))),
            8..10 if !held.is_empty() => {
                let piece = held.swap_remove(random.below(held.len()));
                let mut letters = boxes[random.below(WORKERS)].lock().unwrap();
                if letters.len() < KEPT {
                    letters.push(piece);
                }
            }
            10 => drop(boxes[number].lock().unwrap().pop()),
            _ if random.below(50) == 0 => Piece::refused(random.size()),
            _ => {
                let size = random.size();
                let (piece, found) = plimsoll::measure(|| Piece::new(size, 8, false));
                assert_eq!(
                    (found.allocations, found.allocated_bytes, found.peak_bytes),
                    (1, size as u64, size as u64)
                );
                drop(piece);
            }
        }
    }
    steps
}

/// Reads without a pause, and checks each reading.
fn read(over: &AtomicBool, mut each: impl FnMut()) -> (u64, u64) {
    let (mut readings, mut narrowest, mut grown) = (0, u64::MAX, Grown::default());
    while !over.load(Ordering::Relaxed) {
        let heap = framed(heap);
        grown.see(&heap);
        let (low, high) = heap.live_bytes_range();
        narrowest = narrowest.min(high - low);
        readings += 1;
        each();
    }
    (readings, narrowest)
}

fn restless(folder: &Path) {
    let (rounds, each) = if is_long() { (20, 30) } else { (5, 2) };
    let monitor = Monitor::builder()
        .interval(Duration::from_millis(10))
        .start()
        .unwrap();
    let (mut steps, mut readings, mut narrowest, mut looks) = (0, 0, u64::MAX, 0);
    for round in 0..rounds {
        let boxes: Vec<_> = (0..WORKERS).map(|_| Mutex::new(Vec::new())).collect();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (boxes, over, monitor) = (&boxes[..], &over, &monitor);
            let workers: Vec<_> = (0..WORKERS)
                .map(|number| {
                    let seed = (round * WORKERS + number) as u64;
                    scope.spawn(move || work(number, seed, boxes, over))
                })
                .collect();
            let reader = scope.spawn(move || read(over, || ()));
            // By the monitor, which also has every thread called aside now and then.
            let asker = scope.spawn(move || {
                let (mut asked, mut last) = (0u64, 0);
                read(over, || {
                    let status = monitor.status().heap;
                    assert!(status.allocated_sum() >= last, "{status:?}");
                    last = status.allocated_sum();
                    asked += 1;
                    if asked % 200 == 0 {
                        monitor.optimise().unwrap();
                    }
                })
            });
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(each) {
                std::thread::sleep(Duration::from_millis(20));
                let samples = monitor.history();
                let in_turn = samples.windows(2).all(|two| two[0].at < two[1].at);
                assert!(in_turn, "{samples:?}");
                looks += 1;
            }
            over.store(true, Ordering::Relaxed);
            for worker in workers {
                steps += worker.join().unwrap();
            }
            for reader in [reader, asker] {
                let (some, width) = reader.join().unwrap();
                readings += some;
                narrowest = narrowest.min(width);
            }
        });
        drop(boxes);
        assert_exact();
    }
    let (ledger, status) = (monitor.summary(), monitor.status().heap);
    drop(monitor);
    assert_exact();
    say(
        folder,
        &format!(
            "{WORKERS} threads for {} s: {steps} steps, {} allocations, {} reallocations, {} refused; \
             {readings} readings, the narrowest {narrowest} bytes wide; {looks} histories, {} actions",
            rounds as u64 * each,
            status.allocations,
            status.reallocations,
            status.failed_allocations,
            ledger.actions,
        ),
    );
}

/// What only grows, in one figure.
trait Sum {
    fn allocated_sum(&self) -> u64;
}

impl Sum for plimsoll::HeapStatus {
    fn allocated_sum(&self) -> u64 {
        self.allocations + self.deallocations + self.reallocations + self.failed_allocations
    }
}

// ---- the tests -------------------------------------------------------------------------------

fn played(role: &str) {
    let folder = tempfile::tempdir().unwrap();
    let account = run(role, folder.path());
    println!("{}", account.join("\n"));
    assert_eq!(account.len(), 1, "{account:?}");
}

#[test]
fn ten_thousand_threads_alive_at_once_are_each_counted_to_the_byte() {
    played("alive");
}

#[test]
fn a_million_threads_leave_no_page_behind() {
    played("passing");
}

#[test]
fn sixty_four_threads_that_never_rest_are_read_rightly_at_every_moment() {
    played("restless");
}
