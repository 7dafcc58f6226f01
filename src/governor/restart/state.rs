//! What survives a restart: the last few, in a small text file.
//!
//! ```text
//! plimsoll-state 1
//! restart <unix seconds> <process> <how> <level> <signal> <heap> <resident> <limit> <uptime> <actions> <given back>
//! end <number of rows>
//! ```
//!
//! It is replaced as a whole: written beside, flushed to the disk, and renamed over the old one,
//! so a process killed at any moment leaves the old file or the new one. A file that does not read
//! back in every part is set aside and reported, and never believed in part.

use super::Restart;
use crate::figures::Signal;
use crate::governor::Level;
use std::fmt::{self, Write as _};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Restarts that are remembered: more than any sensible budget for an hour.
const ROWS: usize = 32;

/// Room for the header and all rows at their longest.
const BYTES: usize = 8 * 1024;

const HEADER: &str = "plimsoll-state 1";

/// One restart: why it happened, and what had been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RestartRecord {
    /// When, in seconds since 1970.
    pub at_unix_seconds: u64,
    /// The id of the process, which a restart by [`Restart::Exec`] leaves as it is.
    pub process_id: u32,
    /// How.
    pub how: Restart,
    /// The level at the time.
    pub level: Level,
    /// The figure that decided.
    pub signal: Signal,
    /// Live heap.
    pub heap_bytes: u64,
    /// Anonymous resident memory.
    pub resident_bytes: u64,
    /// The limit.
    pub limit_bytes: u64,
    /// How long that image had run, in seconds.
    pub uptime_seconds: u64,
    /// Actions that it had carried out.
    pub actions: u64,
    /// What they had given back.
    pub given_back_bytes: u64,
}

#[cfg(test)]
impl RestartRecord {
    pub(in crate::governor) const EMPTY: RestartRecord = RestartRecord {
        at_unix_seconds: 0,
        process_id: 0,
        how: Restart::Exec,
        level: Level::Restart,
        signal: Signal::Heap,
        heap_bytes: 0,
        resident_bytes: 0,
        limit_bytes: 0,
        uptime_seconds: 0,
        actions: 0,
        given_back_bytes: 0,
    };
}

/// What is wrong with a state file.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// It could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It was not written by this program, or not to its end.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stood there, shortened.
        found: String,
        /// What should have stood there.
        expected: &'static str,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Io { path, error } => write!(f, "state file {}: {error}", path.display()),
            StateError::Damaged {
                path,
                line,
                found,
                expected,
            } => write!(
                f,
                "state file {}, line {line}: found {found:?}, expected {expected}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StateError {}

/// The remembered restarts and the file that keeps them. Writing allocates nothing: paths and
/// buffer are made at the start.
pub(in crate::governor) struct State {
    file: Option<Files>,
    rows: Vec<RestartRecord>,
    buffer: Vec<u8>,
}

struct Files {
    path: PathBuf,
    beside: PathBuf,
}

impl State {
    /// Reads the file, if one is named and there. A damaged one is set aside; the error then comes
    /// with an empty state that is as good as any.
    pub(in crate::governor) fn open(
        path: Option<PathBuf>,
    ) -> Result<(State, Option<StateError>), StateError> {
        let mut state = State {
            file: None,
            rows: Vec::with_capacity(ROWS),
            buffer: Vec::with_capacity(BYTES),
        };
        let Some(path) = path else {
            return Ok((state, None));
        };
        let mut set_aside = None;
        match read(&path) {
            Ok(Some(rows)) => state.rows.extend(rows),
            Ok(None) => {}
            Err(error @ StateError::Damaged { .. }) => {
                std::fs::rename(&path, suffixed(&path, ".damaged")).map_err(|error| {
                    StateError::Io {
                        path: path.clone(),
                        error,
                    }
                })?;
                set_aside = Some(error);
            }
            Err(error) => return Err(error),
        }
        state.file = Some(Files {
            beside: suffixed(&path, ".new"),
            path,
        });
        Ok((state, set_aside))
    }

    /// The restarts, from the oldest.
    pub(in crate::governor) fn rows(&self) -> &[RestartRecord] {
        &self.rows
    }

    /// Whether restarts are remembered beyond this process image.
    pub(in crate::governor) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Remembers a restart, on the disk when this answers `Ok`. The oldest makes room.
    pub(in crate::governor) fn record(&mut self, row: RestartRecord) -> io::Result<()> {
        if self.rows.len() == ROWS {
            self.rows.remove(0);
        }
        self.rows.push(row);
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.buffer.clear();
        encode(&mut Fixed(&mut self.buffer), &self.rows)
            .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
        replace(file, &self.buffer)
    }
}

/// Seconds since 1970; 0 before that.
pub(in crate::governor) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes up to the capacity of a vector and not beyond: no allocation.
struct Fixed<'a>(&'a mut Vec<u8>);

impl fmt::Write for Fixed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.capacity() - self.0.len() < text.len() {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn encode(out: &mut Fixed<'_>, rows: &[RestartRecord]) -> fmt::Result {
    writeln!(out, "{HEADER}")?;
    for row in rows {
        write!(out, "restart {} {} ", row.at_unix_seconds, row.process_id)?;
        match row.how {
            Restart::Exec => write!(out, "exec")?,
            Restart::Exit(code) => write!(out, "exit:{code}")?,
            Restart::Abort => write!(out, "abort")?,
        }
        writeln!(
            out,
            " {} {} {} {} {} {} {} {}",
            row.level,
            row.signal,
            row.heap_bytes,
            row.resident_bytes,
            row.limit_bytes,
            row.uptime_seconds,
            row.actions,
            row.given_back_bytes,
        )?;
    }
    writeln!(out, "end {}", rows.len())
}

fn replace(file: &Files, bytes: &[u8]) -> io::Result<()> {
    let mut beside = std::fs::File::create(&file.beside)?;
    beside.write_all(bytes)?;
    beside.sync_all()?;
    drop(beside);
    std::fs::rename(&file.beside, &file.path)?;
    // The rename itself reaches the disk with the folder.
    let folder = match file.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::File::open(folder).and_then(|folder| folder.sync_all())
}

fn read(path: &Path) -> Result<Option<Vec<RestartRecord>>, StateError> {
    let io = |error| StateError::Io {
        path: path.to_owned(),
        error,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    decode(&bytes)
        .map(Some)
        .map_err(|wrong| StateError::Damaged {
            path: path.to_owned(),
            line: wrong.line,
            found: wrong.found,
            expected: wrong.expected,
        })
}

/// What did not read back.
#[derive(Debug)]
struct Wrong {
    line: usize,
    found: String,
    expected: &'static str,
}

fn decode(bytes: &[u8]) -> Result<Vec<RestartRecord>, Wrong> {
    let wrong = |line: usize, found: &[u8], expected| Wrong {
        line,
        found: String::from_utf8_lossy(&found[..found.len().min(80)]).into_owned(),
        expected,
    };
    if bytes.len() > BYTES {
        return Err(wrong(1, bytes, "a file of at most 8 KiB"));
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
            return Err(wrong(1, found.as_bytes(), "`plimsoll-state 1`"));
        }
    }
    let mut rows = Vec::new();
    for (index, line) in lines.by_ref() {
        if let Some(count) = line.strip_prefix("end ") {
            return if count.parse() == Ok(rows.len()) && lines.next().is_none() {
                Ok(rows)
            } else {
                Err(wrong(
                    index + 1,
                    line.as_bytes(),
                    "`end` with the number of rows, as the last line",
                ))
            };
        }
        match decode_row(line) {
            Some(row) if rows.len() < ROWS => rows.push(row),
            _ => {
                return Err(wrong(
                    index + 1,
                    line.as_bytes(),
                    "a `restart` row or `end`",
                ));
            }
        }
    }
    Err(wrong(rows.len() + 2, b"", "`end` with the number of rows"))
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
        other => Restart::Exit(other.strip_prefix("exit:")?.parse().ok()?),
    };
    let level = words.next()?;
    let level = Level::ALL
        .into_iter()
        .find(|known| known.as_str() == level)?;
    let signal = match words.next()? {
        "heap" => Signal::Heap,
        "resident" => Signal::Resident,
        _ => return None,
    };
    let mut next = || number(words.next()?);
    let row = RestartRecord {
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
    };
    words.next().is_none().then_some(row)
}

/// Digits alone: `u64::from_str` would take a sign as well.
fn number(word: &str) -> Option<u64> {
    word.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| word.parse().ok())
        .flatten()
}

/// Reads arbitrary bytes as a state file: must not panic, and what it accepts must read back the
/// same after writing.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(rows) = decode(bytes) {
        let mut buffer = Vec::with_capacity(BYTES);
        if encode(&mut Fixed(&mut buffer), &rows).is_ok() {
            assert_eq!(decode(&buffer).expect("written by us"), rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: u64) -> RestartRecord {
        RestartRecord {
            at_unix_seconds: at,
            process_id: u32::MAX,
            how: Restart::Exit(-3),
            level: Level::Critical,
            signal: Signal::Resident,
            heap_bytes: u64::MAX,
            resident_bytes: 2,
            limit_bytes: 3,
            uptime_seconds: 4,
            actions: 5,
            given_back_bytes: 6,
        }
    }

    #[test]
    fn what_is_recorded_is_there_after_the_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, fault) = State::open(Some(path.clone())).unwrap();
        assert!(fault.is_none());
        for at in 0..ROWS as u64 + 5 {
            state.record(row(at)).unwrap();
        }
        let (again, fault) = State::open(Some(path)).unwrap();
        assert!(fault.is_none());
        assert_eq!(again.rows(), state.rows());
        assert_eq!(again.rows().len(), ROWS);
        assert_eq!(again.rows()[ROWS - 1], row(ROWS as u64 + 4));
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_noticed_or_harmless() {
        let mut whole = Vec::with_capacity(BYTES);
        encode(&mut Fixed(&mut whole), &[row(1), row(2)]).unwrap();
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
    fn a_damaged_file_is_set_aside_with_its_line_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "plimsoll-state 1\nrestart soon\nend 1\n").unwrap();
        let (state, fault) = State::open(Some(path.clone())).unwrap();
        assert!(state.rows().is_empty());
        let said = fault.unwrap().to_string();
        assert!(
            said.contains("line 2") && said.contains("restart soon"),
            "{said}"
        );
        assert!(!path.exists());
        assert!(suffixed(&path, ".damaged").exists());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = State::open(Some(folder.path().to_owned())) else {
            panic!("a folder is not a state file");
        };
        assert!(
            error
                .to_string()
                .contains(&folder.path().display().to_string())
        );
    }
}
