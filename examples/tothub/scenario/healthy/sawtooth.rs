//! A buffer that is flushed: the pictures of the day are collected until there are enough to be
//! worth a transfer to the archive, and are then freed all at once. It takes some 8 seconds to
//! fill.

use crate::scenario::visits::{A_SECOND, Visits, scan};

const SECONDS_TO_FILL: f64 = 8.0;
/// Pictures that a visit brings.
const ALBUM: f64 = 10.0;

pub fn run(mut visits: Visits) {
    let full = visits.swing_bytes();
    let mean = full / (SECONDS_TO_FILL * A_SECOND * ALBUM);
    let mut buffer = Vec::new();
    let mut bytes = 0;
    loop {
        visits.serve();
        for _ in 0..ALBUM as usize {
            let picture = scan(visits.random.about(mean));
            bytes += picture.len();
            buffer.push(picture);
        }
        if bytes as f64 >= full {
            tracing::debug!(pictures = buffer.len(), bytes, "to the archive");
            buffer = Vec::new();
            bytes = 0;
        }
    }
}
