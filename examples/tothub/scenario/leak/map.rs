//! Sessions that never end: a map from session to what was looked at, without eviction.

use crate::scenario::visits::Visits;
use std::collections::HashMap;

pub fn run(mut visits: Visits) {
    let mut sessions = HashMap::new();
    // The cookie is not sent back, so every visit begins a session, and none logs out.
    for session in 0u64.. {
        let bytes = visits.serve();
        sessions.insert(session, visits.children(bytes));
    }
}
