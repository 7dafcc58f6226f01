//! Six made states, each in a process of its own: the diagnosis names the cause, and the action that
//! it names gives back what it promised.
#![cfg(all(target_os = "linux", feature = "jemalloc"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

use plimsoll::{Cause, Diagnosis, JemallocOptions, Monitor, Plimsoll, Remedy, Restart};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const STATE: &str = "PLIMSOLL_TEST_STATE";
const FOLDER: &str = "PLIMSOLL_TEST_FOLDER";
const MIB: usize = 1 << 20;

/// What was found, what the named action was to give back, and what it gave.
struct Shown {
    found: Diagnosis,
    given_back: u64,
}

/// Not a test: what the other processes run.
#[test]
fn state() {
    let Ok(state) = std::env::var(STATE) else {
        return;
    };
    let (cause, remedy) = match state.as_str() {
        "leak" => (Cause::LiveHeap, Remedy::Restart),
        "fragmentation" => (Cause::Fragmentation, Remedy::Restart),
        "dirty" | "dirty_default" => (Cause::DirtyPages, Remedy::PurgeArenas),
        "threads" | "parked" => (Cause::ThreadCaches, Remedy::FlushThreadCaches),
        "c_library" => (Cause::OtherAnonymous, Remedy::TrimSystemHeap),
        "file" => (Cause::FileBacked, Remedy::Nothing),
        other => panic!("no such state: {other}"),
    };
    let shown = match state.as_str() {
        "leak" => restarted(|| (0..300 * 1024).map(|_| vec![1u8; 1024]).collect()),
        "fragmentation" => restarted(fragments),
        "dirty" => dirty(monitor(-1)),
        "dirty_default" => dirty(Monitor::builder().limit(16 << 30).start().unwrap()),
        "threads" => threads(),
        "parked" => parked(),
        "c_library" => c_library(),
        _ => file(),
    };
    let Shown { found, given_back } = shown;
    println!(
        "\n{state}: {found}\n{state}: {} gave back {given_back} bytes",
        remedy.as_str()
    );
    assert_eq!((found.cause, found.remedy), (cause, remedy), "{found:?}");
    let promised = found.reclaimable_bytes;
    assert!(
        given_back as f64 >= 0.8 * promised as f64,
        "{given_back} of {promised}"
    );
}

fn monitor(decay: i64) -> Monitor {
    let options = JemallocOptions::unchanged()
        .dirty_decay_ms(decay)
        .background_thread(false);
    Monitor::builder()
        .limit(16 << 30)
        .jemalloc(options)
        .start()
        .unwrap()
}

/// The remedy is a restart: the next image tells what that gave back.
fn restarted(make: impl Fn() -> Vec<Vec<u8>>) -> Shown {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let note = folder.join("before");
    let monitor = Monitor::builder()
        .limit(16 << 30)
        .restart(Restart::Exec)
        .start()
        .unwrap();
    if let Ok(text) = std::fs::read_to_string(&note) {
        let words: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        let now = monitor.diagnosis().unwrap();
        // The same figures, made again, for the report.
        let kept = black_box(make());
        let found = monitor.diagnosis().unwrap();
        drop(kept);
        assert!(found.reclaimable_bytes.abs_diff(words[1]) < words[1] / 10);
        return Shown {
            found,
            given_back: words[0].saturating_sub(now.anonymous_bytes),
        };
    }
    let kept = black_box(make());
    let found = monitor.diagnosis().unwrap();
    std::fs::write(
        &note,
        format!("{} {}", found.anonymous_bytes, found.reclaimable_bytes),
    )
    .unwrap();
    let failed = monitor.restart();
    drop(kept);
    panic!("{failed}");
}

/// Every second block freed: what is left stands half a slab apart.
fn fragments() -> Vec<Vec<u8>> {
    let blocks: Vec<Vec<u8>> = (0..400 * 1024).map(|_| vec![1u8; 1024]).collect();
    let half = blocks
        .into_iter()
        .enumerate()
        .filter(|(place, _)| place % 2 == 0);
    half.map(|(_, block)| block).collect()
}

fn optimised(monitor: &Monitor, remedy: Remedy) -> Shown {
    let found = monitor.diagnosis().unwrap();
    let rows = monitor.optimise().unwrap();
    let row = rows
        .iter()
        .find(|row| row.action.as_str() == remedy.as_str())
        .unwrap();
    println!(
        "\nslowest slice {:?}, all {:?}",
        row.longest_slice, row.duration
    );
    Shown {
        found,
        given_back: row.given_back_bytes,
    }
}

fn dirty(monitor: Monitor) -> Shown {
    let pieces: Vec<_> = (0..4 * 1024)
        .map(|_| black_box(vec![1u8; MIB / 4]))
        .collect();
    drop(pieces);
    optimised(&monitor, Remedy::PurgeArenas)
}

/// Allocates and frees enough of every size that a thread cache takes.
fn fill_caches() {
    for shift in 3..15 {
        for quarter in 4..8 {
            let size = (1usize << shift) * quarter / 4;
            let blocks: Vec<_> = (0..400).map(|_| vec![1u8; size]).collect();
            drop(black_box(blocks));
        }
    }
}

/// Sixty-four threads that neither allocate nor free any more, but tell when they park.
fn parked() -> Shown {
    let monitor = monitor(0);
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let told = |times| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TOLD.load(Ordering::SeqCst) < times {
            assert!(Instant::now() < deadline, "they do not park");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let threads: Vec<_> = (0..64)
        .map(|_| {
            std::thread::spawn(|| {
                fill_caches();
                loop {
                    plimsoll::on_thread_park();
                    TOLD.fetch_add(1, Ordering::SeqCst);
                    std::thread::park();
                }
            })
        })
        .collect();
    told(64);
    let found = monitor.diagnosis().unwrap();
    // Nobody comes, because nobody allocates.
    monitor.optimise().unwrap();
    let asleep = monitor.diagnosis().unwrap().thread_cache_bytes;
    assert!(asleep * 2 > found.thread_cache_bytes, "flushed by whom?");
    threads.iter().for_each(|thread| thread.thread().unpark());
    told(128);
    let awake = monitor.diagnosis().unwrap().thread_cache_bytes;
    Shown {
        found,
        given_back: found.thread_cache_bytes.saturating_sub(awake),
    }
}

/// Sixty-four threads that have nothing to do but a little housekeeping now and then.
fn threads() -> Shown {
    let monitor = monitor(0);
    let filled = std::sync::Arc::new(std::sync::Barrier::new(65));
    for _ in 0..64 {
        let filled = std::sync::Arc::clone(&filled);
        std::thread::spawn(move || {
            fill_caches();
            filled.wait();
            loop {
                std::thread::sleep(Duration::from_millis(20));
                drop(black_box(Box::new(1)));
            }
        });
    }
    filled.wait();
    optimised(&monitor, Remedy::FlushThreadCaches)
}

/// Freed, but below a block that is still in use: glibc gives nothing back by itself.
fn c_library() -> Shown {
    let monitor = monitor(5000);
    // SAFETY: memory of the C library's, written within its size and freed once; the last is kept.
    unsafe {
        let blocks: Vec<_> = (0..6000).map(|_| libc::malloc(64 * 1024)).collect();
        for &block in &blocks {
            libc::memset(block, 1, 64 * 1024);
        }
        for &block in &blocks[..blocks.len() - 1] {
            libc::free(block);
        }
    }
    optimised(&monitor, Remedy::TrimSystemHeap)
}

fn file() -> Shown {
    let monitor = monitor(5000);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mapped");
    std::fs::write(&path, vec![1u8; 300 * MIB]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    monitor.optimise().unwrap();
    use std::os::fd::AsRawFd;
    // SAFETY: a mapping of a file of that size, only read.
    let pages = unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            300 * MIB,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(start, libc::MAP_FAILED);
        std::slice::from_raw_parts(start.cast::<u8>(), 300 * MIB)
    };
    let sum: u64 = pages
        .iter()
        .step_by(4096)
        .map(|&byte| u64::from(byte))
        .sum();
    black_box(sum);
    let found = monitor.diagnosis().unwrap();
    std::fs::remove_file(&path).unwrap();
    Shown {
        found,
        given_back: 0,
    }
}

fn shown(state: &str) {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "state", "--nocapture", "--test-threads", "1"])
        .env(STATE, state)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    let words = out
        .lines()
        .filter(|line| line.starts_with(state) || line.starts_with("slowest"));
    words.for_each(|line| println!("{line}"));
    println!("{state}: {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn a_leak_is_the_programs_own_and_only_a_restart_helps() {
    shown("leak");
}

#[test]
fn every_second_block_freed_is_fragmentation_and_only_a_restart_helps() {
    shown("fragmentation");
}

#[test]
fn a_gibibyte_of_free_pages_is_dirty_and_purged() {
    shown("dirty");
}

#[test]
fn with_jemallocs_background_threads_it_is_the_same() {
    shown("dirty_default");
}

#[test]
fn idle_threads_with_full_caches_flush_them_when_called() {
    shown("threads");
}

#[test]
fn threads_that_tell_when_they_park_flush_their_caches_then() {
    shown("parked");
}

#[cfg(target_env = "gnu")]
#[test]
fn what_a_c_library_keeps_is_not_the_heaps_and_trimmed() {
    shown("c_library");
}

#[test]
fn a_file_mapping_is_the_kernels_to_drop() {
    shown("file");
}
