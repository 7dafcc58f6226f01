//! The kernel has no memory to give, at any moment: allocations answer null, and all stays exact.

use super::fork::Bare;
use super::truth::{assert_exact, ours};
use super::{played, shim};
use plimsoll::{Monitor, heap};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Blocks that stand in the registry itself, and threads that are there before them.
const FIRST: u32 = 32;

/// More at once than that.
const MANY: usize = 60;

static BEGIN: AtomicBool = AtomicBool::new(false);
static BEGUN: AtomicU64 = AtomicU64::new(0);
static END: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// One block of this size, as a program asks that handles refusals.
fn ask(bytes: usize) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    let counter = if black_box(&mut block).try_reserve_exact(bytes).is_ok() {
        &TAKEN
    } else {
        &REFUSED
    };
    counter.fetch_add(1, Ordering::Relaxed);
    (block.capacity() > 0).then_some(block)
}

/// Of every kind that jemalloc has, kept and given back, grown and freed.
fn ask_for_all(round: usize) {
    // The last one larger than whatever is left of earlier ones.
    let sizes = [16, 700, 5_000, 30_000, 300 << 10, (5 + 7 * round) << 20];
    let kept = sizes.map(|size| ask(size + round % 13));
    // The last one is not moved: that would take time.
    for mut block in kept.into_iter().flatten().take(5) {
        let more = block.capacity() * 3;
        let _ = block.try_reserve_exact(more);
    }
}

fn wait_for(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

extern "C" fn one_of_many(_: *mut libc::c_void) -> *mut libc::c_void {
    wait_for(&BEGIN);
    drop(ask(100));
    BEGUN.fetch_add(1, Ordering::AcqRel);
    wait_for(&END);
    drop(ask(200));
    std::ptr::null_mut()
}

extern "C" fn short(_: *mut libc::c_void) -> *mut libc::c_void {
    drop(ask(100));
    std::ptr::null_mut()
}

extern "C" fn asks(_: *mut libc::c_void) -> *mut libc::c_void {
    for round in 0..40 {
        ask_for_all(round);
    }
    std::ptr::null_mut()
}

/// Has jemalloc make all its arenas, four for each processor: a thread that is the first to need one
/// and is refused memory for it ends the process with a fault in jemalloc (5.3.1).
fn make_arenas() {
    let processors = std::thread::available_parallelism().unwrap().get();
    // All at once: each takes one that nobody uses yet.
    BEGIN.store(true, Ordering::Release);
    let many: Vec<_> = (0..4 * processors + 1)
        .map(|_| Bare::start(one_of_many))
        .collect();
    while BEGUN.load(Ordering::Acquire) < many.len() as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    end(many);
    for flag in [&BEGIN, &END] {
        flag.store(false, Ordering::Release);
    }
    BEGUN.store(0, Ordering::Release);
    drop(black_box(vec![1u8; 8 << 20]));
}

fn begin_many() -> Vec<Bare> {
    let many: Vec<_> = (0..MANY).map(|_| Bare::start(one_of_many)).collect();
    BEGIN.store(true, Ordering::Release);
    while BEGUN.load(Ordering::Acquire) < MANY as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    many
}

fn end(many: Vec<Bare>) {
    END.store(true, Ordering::Release);
    many.into_iter().for_each(Bare::join);
}

pub fn refused() {
    let faults = shim::faults();
    let builder = Monitor::builder().interval(Duration::from_millis(10));
    let monitor = builder.start().unwrap();
    make_arenas();

    // More threads than there are blocks without a mapping, and no mapping.
    faults.mmap_every.store(1, Ordering::SeqCst);
    let many = begin_many();
    let alone = heap().threads();
    assert!(alone <= FIRST, "{alone} threads have blocks");
    assert_exact();
    end(many);
    faults.mmap_every.store(0, Ordering::SeqCst);
    assert_exact();

    // Every n-th is refused, while threads ask for all kinds of memory.
    for every in 1..=12 {
        let (calls, failed) = (&faults.mmap_calls, &faults.mmap_failed);
        let before = [calls, failed].map(|counter| counter.load(Ordering::SeqCst));
        faults.mmap_every.store(every, Ordering::SeqCst);
        let threads: Vec<_> = (0..4).map(|_| Bare::start(asks)).collect();
        threads.into_iter().for_each(Bare::join);
        faults.mmap_every.store(0, Ordering::SeqCst);
        let after = [calls, failed].map(|counter| counter.load(Ordering::SeqCst));
        assert!(every > 1 || after[1] > before[1], "nothing was refused");
        assert_exact();
    }
    let is_both = [&TAKEN, &REFUSED].map(|counter| counter.load(Ordering::Relaxed) > 0);
    assert_eq!(is_both, [true, true]);
    limit_address_space();
    assert!(ours()[3] > 0);
    monitor.optimise().unwrap();
    let looks = monitor.history().len();
    monitor.stop();
    assert!(looks > 1);
    assert_exact();
}

/// The same with a limit that is really there: the space is lowered to what is in use and a little,
/// and given back.
fn limit_address_space() {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap();
    let set = |most: u64| {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: reads one structure, and changes a limit of this process alone.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    };
    let begin = Barrier::new(4);
    let refused = REFUSED.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                begin.wait();
                begin.wait();
                let mut kept: [Option<Vec<u8>>; 400] = [const { None }; 400];
                for (round, slot) in kept.iter_mut().enumerate() {
                    *slot = ask((1 << 20) + round);
                    ask_for_all(round);
                }
            });
        }
        // They have their stacks.
        begin.wait();
        set(pages * 4096 + (64 << 20));
        begin.wait();
    });
    set(libc::RLIM_INFINITY);
    assert!(REFUSED.load(Ordering::Relaxed) > refused, "there was room");
    assert_exact();
}

/// What a thread that could have no block leaves behind: nothing that makes the next mapping larger.
pub fn lost_indices() {
    let faults = shim::faults();
    make_arenas();
    faults.mmap_every.store(1, Ordering::SeqCst);
    let many = begin_many();
    for _ in 0..1_000 {
        Bare::start(short).join();
    }
    faults.mmap_longest.store(0, Ordering::SeqCst);
    faults.mmap_every.store(0, Ordering::SeqCst);
    Bare::start(short).join();
    let longest = faults.mmap_longest.load(Ordering::SeqCst);
    end(many);
    assert_exact();
    // As many blocks as stand in the registry itself come next, of 256 bytes each.
    assert!(
        longest <= i64::from(FIRST) * 256,
        "{longest} bytes were mapped"
    );
}

fn plays(role: &str) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(command) = shim::command(role, folder.path()) {
        played(command, folder.path());
    }
}

#[test]
fn memory_that_is_refused_at_any_moment_is_null_and_counted_as_such() {
    plays("refused");
}

#[test]
fn threads_that_could_have_no_block_do_not_make_the_next_mapping_larger() {
    plays("lost_indices");
}
