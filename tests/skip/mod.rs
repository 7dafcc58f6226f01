//! A test that cannot run here says why.
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

use std::fmt::Display;
use std::io::Write;

/// To the test's output, which cargo shows of a test that fails alone; and to the file that `PLIMSOLL_SKIPPED`
/// names, for whoever wants to know what was not tested.
pub fn skip(why: impl Display) {
    println!("skipped: {why}");
    if let Some(path) = std::env::var_os("PLIMSOLL_SKIPPED") {
        let own = std::thread::current();
        let line = format!("{}: {why}\n", own.name().unwrap_or("a test"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}
