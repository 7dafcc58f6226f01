//! The thread that writes the state file, named `plimsoll-keep`.
//!
//! A disk takes its time, most of all while memory is short, and one that is elsewhere may hang. Who has
//! something written waits for so long and no longer; how it went is found later. A lock and a
//! condition, which allocate nothing once they are there.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a writing is waited for, before it is taken to have failed.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Scribe {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

struct Desk {
    slot: Mutex<Slot>,
    changed: Condvar,
}

struct Slot {
    stage: Stage,
    /// With whoever writes it while that is [`Stage::Writing`].
    text: Vec<u8>,
    ends: bool,
}

enum Stage {
    Idle,
    Asked,
    Writing,
    Done(io::Result<()>),
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a writing answers that is not done: the disk is busy.
fn busy() -> io::Error {
    #[cfg(unix)]
    return io::Error::from_raw_os_error(libc::EBUSY);
    #[cfg(not(unix))]
    io::ErrorKind::ResourceBusy.into()
}

impl Scribe {
    /// Starts the thread. What it writes is made in `text`, and is written by `write`.
    pub(super) fn employ(
        text: Vec<u8>,
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Scribe> {
        let desk = Arc::new(Desk {
            slot: Mutex::new(Slot {
                stage: Stage::Idle,
                text,
                ends: false,
            }),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("plimsoll-keep".to_owned())
            .spawn(move || work(&own, write))?;
        Ok(Scribe {
            desk,
            thread: Some(thread),
        })
    }

    /// Has something written: what `make` puts into the buffer, which is empty and does not grow by it.
    /// Waits for what was asked for before.
    ///
    /// Fails when that takes too long, or when `make` does.
    pub(super) fn ask(&self, make: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        // How that went is nobody's business any more.
        let _ = self.wait()?;
        let mut slot = self.desk.lock();
        slot.text.clear();
        make(&mut slot.text)?;
        slot.stage = Stage::Asked;
        self.desk.changed.notify_all();
        Ok(())
    }

    /// How it went, when it is done within a second; `None` when nothing was asked for. Fails when it is
    /// not: it goes on all the same.
    pub(super) fn wait(&self) -> io::Result<Option<io::Result<()>>> {
        let deadline = Instant::now() + PATIENCE;
        let mut slot = self.desk.lock();
        loop {
            if !slot.is_busy() {
                return Ok(slot.take());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(busy());
            }
            let waited = self.desk.changed.wait_timeout(slot, left);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same without waiting; `None` also while it is under way.
    pub(super) fn look(&self) -> Option<io::Result<()>> {
        self.desk.lock().take()
    }

    /// Room for a larger text, if it is not just being written.
    pub(super) fn make_room(&self, bytes: usize) {
        let text = &mut self.desk.lock().text;
        text.reserve_exact(bytes.saturating_sub(text.len()));
    }
}

impl Slot {
    fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Writing)
    }

    fn take(&mut self) -> Option<io::Result<()>> {
        if self.is_busy() {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Done(outcome) => Some(outcome),
            _ => None,
        }
    }
}

fn work(desk: &Desk, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
    let mut slot = desk.lock();
    loop {
        if matches!(slot.stage, Stage::Asked) {
            slot.stage = Stage::Writing;
            let text = std::mem::take(&mut slot.text);
            drop(slot);
            let outcome = write(&text);
            slot = desk.lock();
            // There may have been made room meanwhile.
            if slot.text.capacity() < text.capacity() {
                slot.text = text;
            }
            slot.stage = Stage::Done(outcome);
            desk.changed.notify_all();
        } else if slot.ends {
            return;
        } else {
            let waited = desk.changed.wait(slot);
            slot = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Scribe {
    /// What was asked for is written, if it does not hang.
    fn drop(&mut self) {
        self.desk.lock().ends = true;
        self.desk.changed.notify_all();
        crate::governor::shared::join(self.thread.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn text(of: &'static [u8]) -> impl FnOnce(&mut Vec<u8>) -> io::Result<()> {
        move |buffer| {
            buffer.extend_from_slice(of);
            Ok(())
        }
    }

    /// However long the machine takes for it.
    fn written_by(scribe: &Scribe) -> Option<io::Result<()>> {
        let deadline = Instant::now() + 20 * PATIENCE;
        loop {
            match scribe.wait() {
                Ok(told) => return told,
                Err(_) => assert!(Instant::now() < deadline, "it is not written"),
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_written_in_turn_and_how_it_went_is_told_once() {
        let (sent, written) = mpsc::channel();
        let scribe = Scribe::employ(Vec::with_capacity(8), move |bytes| {
            sent.send(bytes.to_vec()).unwrap();
            if bytes == b"bad" {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        })
        .unwrap();
        assert!(written_by(&scribe).is_none());
        scribe.ask(text(b"one")).unwrap();
        assert!(written_by(&scribe).unwrap().is_ok());
        scribe.ask(text(b"bad")).unwrap();
        assert!(written_by(&scribe).unwrap().is_err());
        assert!(written_by(&scribe).is_none() && scribe.look().is_none());
        let refused = scribe.ask(|_| Err(io::ErrorKind::InvalidInput.into()));
        assert!(refused.is_err());
        scribe.ask(text(b"last")).unwrap();
        drop(scribe);
        let written: Vec<_> = written.iter().collect();
        assert_eq!(written, [&b"one"[..], b"bad", b"last"]);
    }

    #[test]
    fn a_disk_that_hangs_is_waited_for_no_longer_than_that() {
        let (go, on) = mpsc::channel::<()>();
        let scribe = Scribe::employ(Vec::with_capacity(8), move |_| {
            let _ = on.recv();
            Ok(())
        })
        .unwrap();
        scribe.ask(text(b"one")).unwrap();
        let begun = Instant::now();
        assert!(scribe.wait().is_err());
        assert!(scribe.ask(text(b"two")).is_err());
        assert!(begun.elapsed() >= 2 * PATIENCE);
        assert!(scribe.look().is_none());
        scribe.make_room(100);
        // It comes back.
        go.send(()).unwrap();
        while scribe.look().is_none() {
            std::thread::yield_now();
        }
        scribe.ask(text(b"three")).unwrap();
        go.send(()).unwrap();
        assert!(written_by(&scribe).unwrap().is_ok());
        scribe.make_room(100);
        assert!(scribe.desk.lock().text.capacity() >= 100);
    }
}
