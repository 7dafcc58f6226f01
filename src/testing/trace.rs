//! Where a call of the allocator came from.
//!
//! Taken inside the allocator, a trace is a list of return addresses: walking the stack takes no
//! lock of ours or of std's, so a thread that is in the middle of printing a backtrace may allocate.
//! Names and lines are looked up when a message is made.

use super::frame::Frame;
use std::path::Path;
#[cfg(feature = "testing")]
use std::{path::PathBuf, sync::OnceLock};

/// Frames kept, from the innermost outwards: an iterator's or a parser's inner frames are some
/// twenty, and what called them is what one looks for.
#[cfg(feature = "testing")]
const DEPTH: usize = 64;

/// Return addresses, from the innermost outwards; none without the feature `testing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trace {
    addresses: Box<[usize]>,
}

impl Trace {
    /// The caller's. Allocates, so it runs unseen.
    #[cfg(feature = "testing")]
    pub(super) fn here() -> Trace {
        let mut addresses = [0; DEPTH];
        let mut length = 0;
        // SAFETY: unsynchronised means that platforms on which walking needs a lock are not locked
        // for; with the unwinder of Unix systems, and in a process of its own on Windows' test
        // threads, it only reads this thread's stack.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                addresses[length] = frame.ip().addr();
                length += 1;
                length < DEPTH
            });
        }
        Trace {
            addresses: addresses[..length].into(),
        }
    }

    #[cfg(not(feature = "testing"))]
    pub(super) fn here() -> Trace {
        Trace::default()
    }

    /// The frames that are the user's, from the innermost outwards to the scope's own.
    pub(super) fn frames(&self) -> Vec<Frame> {
        super::frame::of_the_user(self.resolve())
    }

    /// File and line of the user's code, or what is known instead.
    pub(super) fn site(&self) -> String {
        super::frame::site(&self.frames())
    }

    #[cfg(feature = "testing")]
    fn resolve(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &address in &self.addresses {
            backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
                let name = symbol.name().map(|name| format!("{name:#}"));
                let file = symbol.filename().map(|file| file.display().to_string());
                frames.push(Frame::new(name, file, symbol.lineno()));
            });
        }
        frames
    }

    #[cfg(not(feature = "testing"))]
    fn resolve(&self) -> Vec<Frame> {
        Vec::new()
    }

    /// For another process of the same program, which stands at another address.
    pub(super) fn relative(&self) -> impl Iterator<Item = usize> {
        let origin = Trace::here as *const () as usize;
        self.addresses
            .iter()
            .map(move |address| address.wrapping_sub(origin))
    }

    /// From another process of the same program.
    pub(super) fn from_relative(offsets: impl Iterator<Item = usize>) -> Trace {
        let origin = Trace::here as *const () as usize;
        Trace {
            addresses: offsets.map(|offset| offset.wrapping_add(origin)).collect(),
        }
    }
}

/// The folder of this crate's sources as its debug information names it; `None` where it was built without.
#[cfg(feature = "testing")]
pub(super) fn own_sources() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let mut folder = None;
        // Addresses are taken for those that a call returns to, behind the call.
        let inside = (Trace::here as *mut std::ffi::c_void).wrapping_byte_add(1);
        backtrace::resolve(inside, |symbol| {
            // Below it comes this module's own.
            let file = symbol
                .filename()
                .filter(|file| file.ends_with("testing/trace.rs"));
            if let Some(sources) = file.and_then(|file| file.parent()?.parent()) {
                folder = Some(sources.to_path_buf());
            }
        });
        folder
    };
    FOLDER.get_or_init(find).as_deref()
}

#[cfg(not(feature = "testing"))]
pub(super) fn own_sources() -> Option<&'static Path> {
    None
}
