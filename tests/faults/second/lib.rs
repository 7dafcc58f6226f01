//! A library with a copy of Plimsoll of its own, loaded into a program that has one as well.

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

/// Allocates so many blocks and frees them, on the calling thread.
#[unsafe(no_mangle)]
pub extern "C" fn second_work(blocks: u64) {
    for size in 0..blocks {
        drop(std::hint::black_box(Box::<[u8]>::from([0u8; 100].as_slice())));
        std::hint::black_box(size);
    }
}

/// The same on so many threads of the library's own, which end.
#[unsafe(no_mangle)]
pub extern "C" fn second_threads(count: u64, blocks: u64) {
    let all: Vec<_> = (0..count)
        .map(|_| std::thread::spawn(move || second_work(blocks)))
        .collect();
    all.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Allocations, frees, and live bytes at least and at most, as this copy counts them.
#[unsafe(no_mangle)]
pub extern "C" fn second_counts(counts: &mut [u64; 4]) {
    let heap = plimsoll::heap();
    let (least, most) = heap.live_bytes_range();
    *counts = [heap.allocations(), heap.deallocations(), least, most];
}

/// Whether a monitor of this copy starts and stops.
#[unsafe(no_mangle)]
pub extern "C" fn second_monitor() -> bool {
    let builder = plimsoll::Monitor::builder().jemalloc(plimsoll::JemallocOptions::unchanged());
    builder.start().map(|monitor| monitor.stop()).is_ok()
}
