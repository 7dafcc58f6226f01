//! What is remembered, and when it is written down.

use super::error::StateError;
use super::files::{Files, read, replace, suffixed};
use super::lock::lock;
use super::record::{RestartRecord, unix_seconds};
use super::scribe::Scribe;
use super::text::{Fixed, MOST_ROWS, encode, room};
use std::io;
use std::path::PathBuf;

/// Restarts that are remembered although the budget is smaller: for the account of them.
const LEAST_ROWS: usize = 32;

/// The remembered restarts and the file that keeps them. Writing allocates nothing: paths and
/// buffer are made at the start.
pub(in crate::governor) struct State {
    place: Place,
    /// Whether the file said what happened before this image.
    is_kept: bool,
    kept: Kept,
    /// So many are remembered: at least as many as the budget allows in an hour, or it would never
    /// be found spent.
    rows: usize,
    /// What the last one took the place of.
    made_room: Option<RestartRecord>,
    /// Until it is the scribe's.
    buffer: Vec<u8>,
    /// What is written last may not be what is so: it took too long.
    is_stale: bool,
}

/// Where it is kept.
enum Place {
    Memory,
    File(Files),
    /// The same, by a thread of its own.
    Scribe(Scribe),
    /// Something that is not ours stands there and does not go away.
    Taken,
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) baseline_bytes: Option<u64>,
    pub(super) restarts: Vec<RestartRecord>,
}

impl State {
    /// Reads the file, if one is named and there. One that cannot be believed is set aside; the
    /// error then comes with an empty state that is as good as any. As many restarts are remembered
    /// as `budget` allows in an hour, or a few more.
    pub(in crate::governor) fn open(
        path: Option<PathBuf>,
        budget: u32,
    ) -> Result<(State, Option<StateError>), StateError> {
        let rows = (budget as usize).clamp(LEAST_ROWS, MOST_ROWS);
        let mut state = State {
            place: Place::Memory,
            is_kept: false,
            kept: Kept {
                baseline_bytes: None,
                restarts: Vec::with_capacity(rows),
            },
            rows,
            made_room: None,
            buffer: Vec::with_capacity(room(rows)),
            is_stale: false,
        };
        let Some(path) = path else {
            return Ok((state, None));
        };
        let (lock, mut set_aside) = match lock(&path) {
            Ok(taken) => taken,
            Err(error @ StateError::Distrusted { .. }) => {
                state.place = Place::Taken;
                return Ok((state, Some(error)));
            }
            Err(error) => return Err(error),
        };
        state.is_kept = true;
        match read(&path, unix_seconds()) {
            Ok(Some(kept)) => {
                state.kept.baseline_bytes = kept.baseline_bytes;
                // There may have been a larger budget.
                let last = kept.restarts.len().saturating_sub(rows);
                state.kept.restarts.extend(&kept.restarts[last..]);
            }
            Ok(None) => {}
            Err(wrong @ (StateError::Damaged { .. } | StateError::Distrusted { .. })) => {
                state.is_kept = false;
                match std::fs::rename(&path, suffixed(&path, ".damaged")) {
                    Ok(()) => set_aside = Some(wrong),
                    Err(_) if matches!(wrong, StateError::Distrusted { .. }) => {
                        state.place = Place::Taken;
                        return Ok((state, Some(wrong)));
                    }
                    Err(error) => return Err(StateError::Io { path, error }),
                }
            }
            Err(error) => return Err(error),
        }
        state.place = Place::File(Files {
            beside: suffixed(&path, ".new"),
            path,
            _lock: lock,
        });
        Ok((state, set_aside))
    }

    /// Remembers as many restarts as this budget allows in an hour, from now on. More memory is taken
    /// here, so that a restart needs none.
    pub(in crate::governor) fn keep_for(&mut self, budget: u32) {
        self.rows = self.rows.max((budget as usize).min(MOST_ROWS));
        let more = self.rows.saturating_sub(self.kept.restarts.len());
        self.kept.restarts.reserve_exact(more);
        let room = room(self.rows);
        if let Place::Scribe(scribe) = &self.place {
            scribe.make_room(room);
        } else {
            self.buffer
                .reserve_exact(room.saturating_sub(self.buffer.len()));
        }
    }

    /// From now on a thread of its own writes, if there is a file: who has something remembered waits for
    /// a second at the most.
    pub(in crate::governor) fn employ_scribe(&mut self) -> io::Result<()> {
        self.place = match std::mem::replace(&mut self.place, Place::Memory) {
            Place::File(file) => {
                let buffer = std::mem::take(&mut self.buffer);
                Place::Scribe(Scribe::employ(buffer, move |bytes| replace(&file, bytes))?)
            }
            other => other,
        };
        Ok(())
    }

    /// How what was not waited for went, if that is news and it failed. What took too long, and is not so
    /// any more, is written anew.
    pub(in crate::governor) fn settle(&mut self) -> io::Result<()> {
        let Place::Scribe(scribe) = &self.place else {
            return Ok(());
        };
        let Some(outcome) = scribe.look() else {
            return Ok(());
        };
        if std::mem::take(&mut self.is_stale) {
            self.begin()?;
        }
        outcome
    }

    /// Whether it can be written down: not where something stands that is not ours.
    pub(in crate::governor) fn is_writable(&self) -> bool {
        !matches!(self.place, Place::Taken)
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

    /// Remembers a restart, on the disk when this answers `Ok`, and not at all when not. The oldest
    /// makes room.
    pub(in crate::governor) fn record(&mut self, row: RestartRecord) -> io::Result<()> {
        let is_full = self.kept.restarts.len() == self.rows;
        self.made_room = is_full.then(|| self.kept.restarts.remove(0));
        self.kept.restarts.push(row);
        let written = self.write();
        if written.is_err() {
            self.strike_out();
        }
        written
    }

    /// Strikes out the restart that was recorded last: it did not happen. It stays where that cannot
    /// be written down.
    pub(in crate::governor) fn withdraw(&mut self) -> io::Result<()> {
        let Some(last) = self.kept.restarts.last().copied() else {
            return Ok(());
        };
        let made_room = self.made_room;
        self.strike_out();
        let written = self.write();
        if written.is_err() {
            if made_room.is_some() {
                self.kept.restarts.remove(0);
            }
            self.kept.restarts.push(last);
        }
        written
    }

    fn strike_out(&mut self) {
        self.kept.restarts.pop();
        if let Some(oldest) = self.made_room.take() {
            self.kept.restarts.insert(0, oldest);
        }
    }

    /// Remembers what the program holds after its start. Nothing depends on it now, so a scribe is not
    /// waited for: [`settle`](Self::settle) tells.
    pub(in crate::governor) fn started(&mut self, bytes: u64) -> io::Result<()> {
        self.kept.baseline_bytes = Some(bytes);
        self.begin()
    }

    fn write(&mut self) -> io::Result<()> {
        self.begin()?;
        let Place::Scribe(scribe) = &self.place else {
            return Ok(());
        };
        match scribe.wait() {
            Ok(outcome) => outcome.unwrap_or(Ok(())),
            Err(busy) => {
                self.is_stale = true;
                Err(busy)
            }
        }
    }

    /// Writes, or has the scribe write without waiting for it.
    fn begin(&mut self) -> io::Result<()> {
        let kept = &self.kept;
        let make = |buffer: &mut Vec<u8>| {
            encode(&mut Fixed(buffer), kept)
                .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
        };
        match &self.place {
            Place::Memory => Ok(()),
            Place::Taken => Err(io::ErrorKind::PermissionDenied.into()),
            Place::File(file) => {
                self.buffer.clear();
                make(&mut self.buffer)?;
                replace(file, &self.buffer)
            }
            Place::Scribe(scribe) => {
                let asked = scribe.ask(make);
                self.is_stale = asked.is_err();
                asked
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::FUTURE;
    use super::*;
    use crate::governor::control::Past;
    use crate::governor::policy::Policy;
    use crate::governor::restart::spent;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn what_is_recorded_is_there_after_the_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, fault) = State::open(Some(path.clone()), 3).unwrap();
        assert!(fault.is_none());
        for at in 0..LEAST_ROWS as u64 + 5 {
            state.record(RestartRecord::telling(at)).unwrap();
        }
        state.started(77).unwrap();
        state.place = Place::Memory;
        let (again, fault) = State::open(Some(path), 3).unwrap();
        assert!(fault.is_none());
        assert!(again.is_kept());
        assert_eq!(again.kept, state.kept);
        assert_eq!(again.restarts().len(), LEAST_ROWS);
        assert_eq!(
            again.restarts()[LEAST_ROWS - 1],
            RestartRecord::telling(LEAST_ROWS as u64 + 4)
        );
        assert_eq!(again.baseline_bytes(), Some(77));
    }

    #[test]
    fn every_budget_that_can_be_set_is_found_spent() {
        for budget in [1, 32, 40, MOST_ROWS as u32] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state");
            let policy = Policy {
                cooldown: Duration::ZERO,
                budget_per_hour: budget,
                ..Policy::default()
            };
            let mut restarts = 0;
            let is_spent = |state: &State| {
                let past = Past {
                    restarts: state.restarts(),
                    is_kept: true,
                    unix_seconds: 1_000_000,
                    ..Past::default()
                };
                spent(&policy, &past).is_some()
            };
            let (mut state, _) = State::open(Some(path.clone()), budget).unwrap();
            let place = std::mem::replace(&mut state.place, Place::Memory);
            while !is_spent(&state) {
                assert!(restarts < budget, "{restarts} restarts of {budget}");
                restarts += 1;
                state.record(RestartRecord::telling(999_999)).unwrap();
            }
            assert_eq!(restarts, budget);
            // And it is so in the image that follows.
            state.place = place;
            state.started(1).unwrap();
            drop(state);
            let (state, _) = State::open(Some(path), budget).unwrap();
            assert!(is_spent(&state), "{budget}");
        }
    }

    #[test]
    fn a_restart_that_did_not_happen_is_struck_out_and_what_made_room_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, _) = State::open(Some(path.clone()), 3).unwrap();
        for at in 1..=LEAST_ROWS as u64 {
            state.record(RestartRecord::telling(at)).unwrap();
        }
        let before = state.kept.clone();
        state.record(RestartRecord::telling(1000)).unwrap();
        assert_ne!(state.kept, before);
        state.withdraw().unwrap();
        assert_eq!(state.kept, before);
        // And where nothing can be written, neither is anything remembered or forgotten.
        folder.close().unwrap();
        assert!(state.record(RestartRecord::telling(1000)).is_err());
        assert_eq!(state.kept, before);
        assert!(state.withdraw().is_err());
        assert_eq!(state.kept, before);
    }

    #[test]
    fn of_a_larger_budget_the_last_restarts_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, _) = State::open(Some(path.clone()), 100).unwrap();
        for at in 1..=100 {
            state.record(RestartRecord::telling(at)).unwrap();
        }
        drop(state);
        let (state, fault) = State::open(Some(path), 3).unwrap();
        assert!(fault.is_none());
        assert_eq!(state.restarts().len(), LEAST_ROWS);
        assert_eq!(
            state.restarts()[LEAST_ROWS - 1],
            RestartRecord::telling(100)
        );
    }

    fn distrusted(path: &Path) -> String {
        let (state, fault) = State::open(Some(path.to_owned()), 3).unwrap();
        assert!(state.restarts().is_empty() && !state.is_kept());
        assert!(suffixed(path, ".damaged").symlink_metadata().is_ok());
        fault.unwrap().to_string()
    }

    #[test]
    fn a_file_from_the_future_is_set_aside_and_a_small_step_back_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let written = |at| {
            let (mut state, _) = State::open(Some(path.clone()), 3).unwrap();
            state.record(RestartRecord::telling(at)).unwrap();
        };
        written(unix_seconds() + 60);
        let (state, fault) = State::open(Some(path.clone()), 3).unwrap();
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
        let (mut state, _) = State::open(Some(path.clone()), 3).unwrap();
        state.record(RestartRecord::telling(1)).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_set_aside_with_its_line_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "plimsoll-state 2\nrestart soon\nend 1\n").unwrap();
        let (state, fault) = State::open(Some(path.clone()), 3).unwrap();
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
        let Err(error) = State::open(Some(folder.path().to_owned()), 3) else {
            panic!("a folder is not a state file");
        };
        assert!(
            error
                .to_string()
                .contains(&folder.path().display().to_string())
        );
    }
}
