//! The record: what the heap held, row by row, in a CSV.
//!
//! Each row is on its way to the file before the next is taken, so that the record of a program
//! that was killed lacks nothing but its end. A restart in place goes on in the same file.

use crate::process;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

const HEADER: &str = "t_seconds,bytes,blocks";

/// Writes a row at once, and then after each interval, from a thread of its own.
pub fn start(path: &Path, interval: Duration) -> Result<(), String> {
    let wrong = |error: io::Error| format!("`--record` is `{}`: {error}", path.display());
    let out = open(path).map_err(wrong)?;
    let path = path.to_owned();
    std::thread::Builder::new()
        .name("record".to_owned())
        .spawn(move || {
            if let Err(error) = record(out, interval) {
                tracing::error!(path = %path.display(), %error, "the record ends here");
            }
        })
        .map(drop)
        .map_err(wrong)
}

fn open(path: &Path) -> io::Result<BufWriter<File>> {
    let goes_on = written_by_us(path);
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(goes_on)
        .truncate(!goes_on)
        .open(path)?;
    let mut out = BufWriter::new(file);
    if !goes_on {
        writeln!(out, "{HEADER}")?;
        out.flush()?;
    }
    Ok(out)
}

/// Whether an earlier image of this process wrote here: no one else has since the process began.
fn written_by_us(path: &Path) -> bool {
    let began = SystemTime::now() - process::age();
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .is_ok_and(|modified| modified > began)
}

fn record(mut out: BufWriter<File>, interval: Duration) -> io::Result<()> {
    let mut due = Instant::now();
    loop {
        let seconds = process::age().as_secs_f64();
        let heap = plimsoll::heap();
        let (bytes, blocks) = (heap.live_bytes(), heap.live_blocks());
        // A microsecond tells any two rows apart: each is a write.
        writeln!(out, "{seconds:.6},{bytes},{blocks}")?;
        out.flush()?;
        // What was missed while the program was stopped is not made up for.
        due = (due + interval).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
