//! The bug: memory that is allocated, used once, and forgotten.

use std::time::{Duration, Instant};

/// Forgets `mib_per_second`, in pieces of many sizes, from a thread of its own.
pub fn start(mib_per_second: u64) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("leak".to_owned())
        .spawn(move || leak(mib_per_second << 20))
        .map(drop)
}

fn leak(bytes_per_second: u64) {
    let start = Instant::now();
    let mut forgotten = 0u64;
    let mut size = 64;
    loop {
        let due = (start.elapsed().as_secs_f64() * bytes_per_second as f64) as u64;
        while forgotten < due {
            // 64 bytes to some 32 KiB, every size class on the way.
            size = if size > 32_000 { 64 } else { size * 9 / 8 };
            // Written to, so that the pages are really there.
            std::mem::forget(vec![0xA5u8; size]);
            forgotten += size as u64;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
