//! The statements of the month: a batch job that holds all of them in memory until they are
//! printed, and then gives all of it back. Every 25 seconds, for 6.

use crate::scenario::thread;
use crate::scenario::visits::Visits;
use crate::store::{CHILDREN, Child, Store};
use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(25);
const WRITING: Duration = Duration::from_secs(4);
const PRINTING: Duration = Duration::from_secs(2);
/// Children read at once.
const SLICE: u32 = 1_000;
/// Of a statement, with room for a line a day.
const BYTES: usize = 1_024;

pub fn start(mut visits: Visits) -> io::Result<()> {
    let store = visits.store();
    let statements = visits.swing_bytes() as usize / (BYTES + size_of::<String>());
    thread("statements", move || repeat(&store, statements))?;
    thread("visits", move || {
        loop {
            visits.serve();
        }
    })
}

fn repeat(store: &Store, statements: usize) {
    let mut due = Instant::now() + FIRST;
    loop {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += EVERY;
        match write_all(store, statements) {
            Ok(statements) => {
                std::thread::sleep(PRINTING);
                tracing::debug!(statements = statements.len(), "the statements are printed");
            }
            Err(error) => tracing::warn!(%error, "the statements were not written"),
        }
    }
}

/// Writes that many statements, at such a pace that it takes its time.
fn write_all(store: &Store, statements: usize) -> rusqlite::Result<Vec<String>> {
    let start = Instant::now();
    let mut written = Vec::with_capacity(statements);
    let mut last = 0;
    while written.len() < statements {
        let left = statements - written.len();
        let slice = store.children(last, SLICE)?;
        // After the last child comes the first again, for another month.
        last = (last + SLICE) % CHILDREN;
        written.extend(slice.iter().take(left).map(statement));
        let due = start + WRITING.mul_f64(written.len() as f64 / statements as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(written)
}

fn statement(child: &Child) -> String {
    let mut text = String::with_capacity(BYTES);
    let _ = writeln!(text, "{}, born {}, {}", child.name, child.born, child.room);
    for day in 1..=30 {
        let _ = writeln!(text, "2026-06-{day:02} 07:00 16:00 9 h");
    }
    text
}
