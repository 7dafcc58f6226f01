//! The process-wide peak. A file with one test, so that nothing else runs in the process.

use plimsoll::Plimsoll;
use std::sync::Barrier;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// What a thread counts by itself before it adds to the process total.
const QUANTUM: u64 = 256 * 1024;
const THREADS: u64 = 3;
const PIECES: usize = 1000;
/// Small, so that no piece is published by itself.
const PIECE: usize = 3000;

#[test]
fn the_peak_is_within_a_quantum_for_each_thread() {
    // The harness's own thread has to be at rest.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = plimsoll::heap();
    let mut highest = 0;
    for height in [1, 3, 2] {
        let full = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let pieces: Vec<_> = (0..PIECES * height).map(|_| vec![0u8; PIECE]).collect();
                    full.wait();
                    // Frees without allocating: an event of its own keeps the total right, or the
                    // next round would start from a total that is too high.
                    drop(pieces);
                    full.wait();
                });
            }
        });
        highest = highest.max(height);
        let list = highest * PIECES * size_of::<Vec<u8>>();
        let truth = before.live_bytes() + THREADS * (highest * PIECES * PIECE + list) as u64;
        let heap = plimsoll::heap();
        let peak = heap.peak_bytes();
        assert!(peak >= heap.live_bytes_range().0);
        let allowed = (THREADS + u64::from(before.threads())) * QUANTUM;
        // A list that was still growing held half as much again, for less than a round.
        let allowed = allowed + THREADS * list as u64;
        assert!(
            peak.abs_diff(truth) <= allowed,
            "at height {height}: peak {peak}, truth {truth}, allowed {allowed}"
        );
    }
}
