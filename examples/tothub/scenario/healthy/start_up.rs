//! A warm-up: each centre's children are loaded when a visit first asks for the centre, and stay.
//! There are only so many centres, so it goes fast at first, then ever slower, and then it is done.

use crate::scenario::visits::{A_SECOND, Visits};
use std::collections::HashMap;

/// Ten seconds of visits: what is still to be loaded falls by a factor of e in each ten seconds.
const CENTRES: f64 = 10.0 * A_SECOND;

pub fn run(mut visits: Visits) {
    let mean = visits.swing_bytes() / CENTRES;
    let mut centres = HashMap::new();
    loop {
        visits.serve();
        let centre = visits.random.below(CENTRES as u32);
        centres.entry(centre).or_insert_with(|| {
            let bytes = visits.random.about(mean);
            visits.children(bytes)
        });
    }
}
