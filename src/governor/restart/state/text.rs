//! How the state is written, and read back in every part.
//!
//! ```text
//! plimsoll-state 2
//! start <bytes>
//! restart <unix seconds> <process> <how> <level> <signal> <heap> <resident> <limit> <uptime> <actions> <given back> <running|starting>
//! end <number of restarts>
//! ```

use super::super::Restart;
use super::kept::Kept;
use super::record::RestartRecord;
use crate::figures::Signal;
use crate::governor::Level;
use std::fmt::{self, Write};

/// Restarts that can be remembered, and so the largest budget that can be kept.
pub(in crate::governor) const MOST_ROWS: usize = 1000;

/// Room for one restart with every figure at its longest: 211 bytes.
const ROW: usize = 224;

/// Room for the first lines and the last.
const FRAME: usize = 128;

/// Room for a file of so many restarts.
pub(super) const fn room(rows: usize) -> usize {
    FRAME + rows * ROW
}

/// A longer file was not written by us.
pub(super) const BYTES: usize = room(MOST_ROWS);

const HEADER: &str = "plimsoll-state 2";

/// Writes up to the capacity of a vector and not beyond: no allocation.
pub(super) struct Fixed<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Fixed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.capacity() - self.0.len() < text.len() {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

pub(super) fn encode(out: &mut Fixed<'_>, kept: &Kept) -> fmt::Result {
    writeln!(out, "{HEADER}")?;
    if let Some(bytes) = kept.baseline_bytes {
        writeln!(out, "start {bytes}")?;
    }
    for row in &kept.restarts {
        write!(out, "restart {} {} ", row.at_unix_seconds, row.process_id)?;
        match row.how {
            Restart::Exec => write!(out, "exec")?,
            Restart::Exit(code) => write!(out, "exit:{code}")?,
            Restart::Abort => write!(out, "abort")?,
        }
        writeln!(
            out,
            " {} {} {} {} {} {} {} {} {}",
            row.level,
            row.signal,
            row.heap_bytes,
            row.resident_bytes,
            row.limit_bytes,
            row.uptime_seconds,
            row.actions,
            row.given_back_bytes,
            if row.during_start {
                "starting"
            } else {
                "running"
            },
        )?;
    }
    writeln!(out, "end {}", kept.restarts.len())
}

/// What did not read back.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) found: String,
    pub(super) expected: &'static str,
}

pub(super) fn decode(bytes: &[u8]) -> Result<Kept, Wrong> {
    let wrong = |line: usize, found: &[u8], expected| Wrong {
        line,
        found: String::from_utf8_lossy(&found[..found.len().min(80)]).into_owned(),
        expected,
    };
    if bytes.len() > BYTES {
        return Err(wrong(1, bytes, "a file of at most 1000 restarts"));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(wrong(1, bytes, "text"));
    };
    let Some(text) = text.strip_suffix('\n') else {
        return Err(wrong(
            text.lines().count().max(1),
            b"",
            "a last line that ends",
        ));
    };
    let mut lines = text.split('\n').enumerate();
    match lines.next() {
        Some((_, HEADER)) => {}
        other => {
            let found = other.map_or("", |(_, line)| line);
            return Err(wrong(1, found.as_bytes(), "`plimsoll-state 2`"));
        }
    }
    let mut kept = Kept::default();
    for (index, line) in lines.by_ref() {
        if let Some(count) = line.strip_prefix("end ") {
            return if number(count) == Some(kept.restarts.len() as u64) && lines.next().is_none() {
                Ok(kept)
            } else {
                Err(wrong(
                    index + 1,
                    line.as_bytes(),
                    "`end` with the number of rows, as the last line",
                ))
            };
        }
        if let Some(bytes) = line.strip_prefix("start ")
            && index == 1
        {
            kept.baseline_bytes = number(bytes);
            if kept.baseline_bytes.is_some() {
                continue;
            }
        }
        match decode_row(line) {
            Some(row) if kept.restarts.len() < MOST_ROWS => kept.restarts.push(row),
            _ => {
                return Err(wrong(
                    index + 1,
                    line.as_bytes(),
                    "a `start` or `restart` row, or `end`",
                ));
            }
        }
    }
    Err(wrong(
        text.split('\n').count(),
        b"",
        "`end` with the number of rows",
    ))
}

fn decode_row(line: &str) -> Option<RestartRecord> {
    let mut words = line.split(' ');
    if words.next()? != "restart" {
        return None;
    }
    let at_unix_seconds = number(words.next()?)?;
    let process_id = number(words.next()?)?.try_into().ok()?;
    let how = match words.next()? {
        "exec" => Restart::Exec,
        "abort" => Restart::Abort,
        other => Restart::Exit(exit_code(other.strip_prefix("exit:")?)?),
    };
    let level = words.next()?;
    let level = Level::ALL
        .into_iter()
        .find(|known| known.as_str() == level)?;
    let signal = match words.next()? {
        "heap" => Signal::Heap,
        "resident" => Signal::Resident,
        "drill" => Signal::Drill,
        "command" => Signal::Command,
        _ => return None,
    };
    let mut next = || number(words.next()?);
    let mut row = RestartRecord {
        at_unix_seconds,
        process_id,
        how,
        level,
        signal,
        heap_bytes: next()?,
        resident_bytes: next()?,
        limit_bytes: next()?,
        uptime_seconds: next()?,
        actions: next()?,
        given_back_bytes: next()?,
        during_start: false,
    };
    row.during_start = match words.next()? {
        "starting" => true,
        "running" => false,
        _ => return None,
    };
    words.next().is_none().then_some(row)
}

/// As we write it: `u64::from_str` would take a sign and leading zeros as well.
fn number(word: &str) -> Option<u64> {
    let plain = word == "0" || !word.starts_with('0');
    (plain && word.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| word.parse().ok())
        .flatten()
}

/// As we write it, likewise.
fn exit_code(word: &str) -> Option<i32> {
    let code: i32 = word.parse().ok()?;
    (code.to_string() == word).then_some(code)
}

/// Reads arbitrary bytes as a state file: must not panic, and what it accepts is what it would have
/// written itself.
#[cfg(fuzzing)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(kept) = decode(bytes) {
        let mut buffer = Vec::with_capacity(room(kept.restarts.len()));
        encode(&mut Fixed(&mut buffer), &kept).expect("room for so many");
        assert_eq!(buffer, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_and_every_changed_byte_is_noticed_or_harmless() {
        let mut whole = Vec::with_capacity(room(2));
        let kept = Kept {
            baseline_bytes: Some(5),
            restarts: vec![RestartRecord::telling(1), RestartRecord::telling(2)],
        };
        encode(&mut Fixed(&mut whole), &kept).unwrap();
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "cut at {length}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] = b'#';
            assert!(decode(&changed).is_err(), "changed at {place}");
        }
    }

    #[test]
    fn the_longest_rows_fit_the_room_that_is_reserved() {
        let longest = RestartRecord {
            at_unix_seconds: u64::MAX,
            how: Restart::Exit(i32::MIN),
            resident_bytes: u64::MAX,
            limit_bytes: u64::MAX,
            uptime_seconds: u64::MAX,
            actions: u64::MAX,
            given_back_bytes: u64::MAX,
            ..RestartRecord::telling(0)
        };
        for rows in [0, 1, MOST_ROWS] {
            let mut whole = Vec::with_capacity(room(rows));
            let kept = Kept {
                baseline_bytes: Some(u64::MAX),
                restarts: vec![longest; rows],
            };
            encode(&mut Fixed(&mut whole), &kept).unwrap();
            assert_eq!(decode(&whole).unwrap(), kept);
        }
    }
}
