//! What survives a restart: the last few, and what the program held after its start, in a small
//! text file.
//!
//! ```text
//! plimsoll-state 2
//! start <bytes>
//! restart <unix seconds> <process> <how> <level> <signal> <heap> <resident> <limit> <uptime> <actions> <given back> <running|starting>
//! end <number of restarts>
//! ```
//!
//! It is replaced as a whole: written beside, flushed to the disk, and renamed over the old one,
//! so a process killed at any moment leaves the old file or the new one. A file that does not read
//! back in every part is set aside and reported, and never believed in part; nor is one that
//! belongs to another user, is a symbolic link, or tells of a day to come.
//!
//! A lock on a file beside keeps a second process out. It is the kernel's and ends with the
//! process, however that ends, so there is no stale one.

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

const HEADER: &str = "plimsoll-state 2";

/// A clock may have been set back by a little since a restart was written down. By more than this
/// the file is of another machine, or of no clock that can be believed.
const FUTURE: u64 = 3600;

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
    /// The start of that image was not over yet.
    pub during_start: bool,
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
        during_start: false,
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
    /// It is not a file that this process may believe.
    Distrusted {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Another process uses it.
    InUse {
        /// The file.
        path: PathBuf,
        /// The id of the process; 0 when it is in another namespace.
        process_id: u32,
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
            StateError::Distrusted {
                path,
                found,
                expected,
            } => write!(
                f,
                "state file {}: is {found}, expected {expected}",
                path.display()
            ),
            StateError::InUse { path, process_id } => write!(
                f,
                "state file {} is in use by process {process_id}: expected one for each process",
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
    /// Whether the file said what happened before this image.
    is_kept: bool,
    kept: Kept,
    buffer: Vec<u8>,
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    baseline_bytes: Option<u64>,
    restarts: Vec<RestartRecord>,
}

struct Files {
    path: PathBuf,
    beside: PathBuf,
    /// Held for its lock.
    _lock: std::fs::File,
}

impl State {
    /// Reads the file, if one is named and there. One that cannot be believed is set aside; the
    /// error then comes with an empty state that is as good as any.
    pub(in crate::governor) fn open(
        path: Option<PathBuf>,
    ) -> Result<(State, Option<StateError>), StateError> {
        let mut state = State {
            file: None,
            is_kept: false,
            kept: Kept {
                baseline_bytes: None,
                restarts: Vec::with_capacity(ROWS),
            },
            buffer: Vec::with_capacity(BYTES),
        };
        let Some(path) = path else {
            return Ok((state, None));
        };
        let lock = lock(&path)?;
        let mut set_aside = None;
        match read(&path, unix_seconds()) {
            Ok(Some(kept)) => {
                state.kept.baseline_bytes = kept.baseline_bytes;
                state.kept.restarts.extend(kept.restarts);
            }
            Ok(None) => {}
            Err(error @ (StateError::Damaged { .. } | StateError::Distrusted { .. })) => {
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
        state.is_kept = set_aside.is_none();
        state.file = Some(Files {
            beside: suffixed(&path, ".new"),
            path,
            _lock: lock,
        });
        Ok((state, set_aside))
    }

    /// The restarts, from the oldest.
    pub(in crate::governor) fn restarts(&self) -> &[RestartRecord] {
        &self.kept.restarts
    }

    /// What the program held after the start of an earlier image.
    pub(in crate::governor) fn baseline_bytes(&self) -> Option<u64> {
        self.kept.baseline_bytes
    }

    /// Whether restarts before this image would be known.
    pub(in crate::governor) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Remembers a restart, on the disk when this answers `Ok`. The oldest makes room.
    pub(in crate::governor) fn record(&mut self, row: RestartRecord) -> io::Result<()> {
        if self.kept.restarts.len() == ROWS {
            self.kept.restarts.remove(0);
        }
        self.kept.restarts.push(row);
        self.write()
    }

    /// Remembers what the program holds after its start.
    pub(in crate::governor) fn started(&mut self, bytes: u64) -> io::Result<()> {
        self.kept.baseline_bytes = Some(bytes);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.buffer.clear();
        encode(&mut Fixed(&mut self.buffer), &self.kept)
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

fn encode(out: &mut Fixed<'_>, kept: &Kept) -> fmt::Result {
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

fn replace(file: &Files, bytes: &[u8]) -> io::Result<()> {
    // Whatever stands there is left over from a process that was killed: never followed, if it is
    // a link.
    match std::fs::remove_file(&file.beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut beside = owner_only()
        .write(true)
        .create_new(true)
        .open(&file.beside)?;
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

/// Options for a file that only its owner may read.
fn owner_only() -> std::fs::OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the mode is Unix's"))]
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Takes the lock that keeps other processes out, for as long as this one lives.
fn lock(path: &Path) -> Result<std::fs::File, StateError> {
    let io = |error| StateError::Io {
        path: path.to_owned(),
        error,
    };
    let file = owner_only()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(suffixed(path, ".lock"))
        .map_err(io)?;
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        // Of the process, and not of the descriptor: a child that inherits that does not hold it.
        // SAFETY: all zero is a valid description: the whole file.
        let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
        wanted.l_type = libc::F_WRLCK as _;
        wanted.l_whence = libc::SEEK_SET as _;
        // SAFETY: reads the description.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &wanted) } == 0 {
            return Ok(file);
        }
        let error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) {
            return Err(io(error));
        }
        // SAFETY: writes into the description who is in the way.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut wanted) };
        Err(StateError::InUse {
            path: path.to_owned(),
            process_id: u32::try_from(wanted.l_pid).unwrap_or(0),
        })
    }
    #[cfg(not(unix))]
    Ok(file)
}

/// Whether the file is one that only this user can have written.
#[cfg(unix)]
fn trusted(path: &Path) -> Result<bool, StateError> {
    use std::os::unix::fs::MetadataExt;
    let distrusted = |found: String, expected| StateError::Distrusted {
        path: path.to_owned(),
        found,
        expected,
    };
    let about = match std::fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(StateError::Io {
                path: path.to_owned(),
                error,
            });
        }
    };
    // SAFETY: no arguments, no effect, cannot fail.
    let own = unsafe { libc::geteuid() };
    if about.file_type().is_symlink() {
        let found = "a symbolic link".to_owned();
        return Err(distrusted(found, "a file of its own"));
    }
    if about.uid() != own {
        let found = format!("owned by user {}", about.uid());
        return Err(distrusted(found, "one that belongs to this user"));
    }
    Ok(true)
}

#[cfg(not(unix))]
fn trusted(path: &Path) -> Result<bool, StateError> {
    Ok(path.exists())
}

/// What the file says, at `now` in seconds since 1970; `None` when there is none.
fn read(path: &Path, now: u64) -> Result<Option<Kept>, StateError> {
    let io = |error| StateError::Io {
        path: path.to_owned(),
        error,
    };
    if !trusted(path)? {
        return Ok(None);
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    let damaged = |wrong: Wrong| StateError::Damaged {
        path: path.to_owned(),
        line: wrong.line,
        found: wrong.found,
        expected: wrong.expected,
    };
    let kept = decode(&bytes).map_err(damaged)?;
    let latest = kept.restarts.iter().map(|row| row.at_unix_seconds).max();
    if let Some(latest) = latest.filter(|&latest| latest > now.saturating_add(FUTURE)) {
        return Err(StateError::Distrusted {
            path: path.to_owned(),
            found: format!("{} s ahead of the clock", latest - now),
            expected: "restarts of the past",
        });
    }
    Ok(Some(kept))
}

/// What did not read back.
#[derive(Debug)]
struct Wrong {
    line: usize,
    found: String,
    expected: &'static str,
}

fn decode(bytes: &[u8]) -> Result<Kept, Wrong> {
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
            Some(row) if kept.restarts.len() < ROWS => kept.restarts.push(row),
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
        other => Restart::Exit(other.strip_prefix("exit:")?.parse().ok()?),
    };
    let level = words.next()?;
    let level = Level::ALL
        .into_iter()
        .find(|known| known.as_str() == level)?;
    let signal = match words.next()? {
        "heap" => Signal::Heap,
        "resident" => Signal::Resident,
        "drill" => Signal::Drill,
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

/// Reads arbitrary bytes as a state file: must not panic, and what it accepts must read back the
/// same after writing.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(kept) = decode(bytes) {
        let mut buffer = Vec::with_capacity(BYTES);
        if encode(&mut Fixed(&mut buffer), &kept).is_ok() {
            assert_eq!(decode(&buffer).expect("written by us"), kept);
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
            during_start: true,
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
        state.started(77).unwrap();
        drop(state.file.take());
        let (again, fault) = State::open(Some(path)).unwrap();
        assert!(fault.is_none());
        assert!(again.is_kept());
        assert_eq!(again.kept, state.kept);
        assert_eq!(again.restarts().len(), ROWS);
        assert_eq!(again.restarts()[ROWS - 1], row(ROWS as u64 + 4));
        assert_eq!(again.baseline_bytes(), Some(77));
    }

    fn distrusted(path: &Path) -> String {
        let (state, fault) = State::open(Some(path.to_owned())).unwrap();
        assert!(state.restarts().is_empty() && !state.is_kept());
        assert!(suffixed(path, ".damaged").symlink_metadata().is_ok());
        fault.unwrap().to_string()
    }

    #[test]
    fn a_file_from_the_future_is_set_aside_and_a_small_step_back_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let written = |at| {
            let (mut state, _) = State::open(Some(path.clone())).unwrap();
            state.record(row(at)).unwrap();
        };
        written(unix_seconds() + 60);
        let (state, fault) = State::open(Some(path.clone())).unwrap();
        assert!(fault.is_none() && state.restarts().len() == 1);
        drop(state);
        written(unix_seconds() + 2 * FUTURE);
        let said = distrusted(&path);
        assert!(said.contains("ahead of the clock"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_and_a_file_of_someone_else_are_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("state"), folder.path().join("other"));
        std::fs::write(&other, "plimsoll-state 2\nend 0\n").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let said = distrusted(&path);
        assert!(said.contains("symbolic link"), "{said}");
        // Only root can give a file away.
        if std::os::unix::fs::chown(&other, Some(12345), None).is_ok() {
            std::fs::rename(&other, &path).unwrap();
            let said = distrusted(&path);
            assert!(said.contains("owned by user 12345"), "{said}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_process_left_beside_is_replaced_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("state"), folder.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, suffixed(&path, ".new")).unwrap();
        let (mut state, _) = State::open(Some(path.clone())).unwrap();
        state.record(row(1)).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_noticed_or_harmless() {
        let mut whole = Vec::with_capacity(BYTES);
        let kept = Kept {
            baseline_bytes: Some(5),
            restarts: vec![row(1), row(2)],
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
    fn a_damaged_file_is_set_aside_with_its_line_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "plimsoll-state 2\nrestart soon\nend 1\n").unwrap();
        let (state, fault) = State::open(Some(path.clone())).unwrap();
        assert!(state.restarts().is_empty() && !state.is_kept());
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
