//! Which frames of a trace tell the user something.

use std::fmt;

/// A function that stood on the stack, inlined ones too.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) function: String,
    pub(super) file: Option<String>,
    pub(super) line: u32,
}

impl Frame {
    pub(super) fn new(function: Option<String>, file: Option<String>, line: Option<u32>) -> Frame {
        Frame {
            function: function.unwrap_or_else(|| "?".into()),
            file,
            line: line.unwrap_or(0),
        }
    }

    /// Of std, of the C library, or of what stands between them and a program.
    fn is_std(&self) -> bool {
        let by_file = self.file.as_deref().is_some_and(|file| {
            ["/rustc/", "/library/std/", "/rustlib/src/", "/rust/deps/"]
                .iter()
                .any(|part| file.contains(part))
        });
        by_file
            || begins(
                &self.function,
                &["std", "core", "alloc", "__rustc", "test", "backtrace"],
            )
    }

    fn is_own(&self) -> bool {
        begins(&self.function, &["plimsoll"])
    }

    /// Of a crate from a registry or a repository, as opposed to the user's own workspace.
    fn is_dependency(&self) -> bool {
        let file = self.file.as_deref().unwrap_or("");
        file.is_empty() || file.contains("/registry/src/") || file.contains("/git/checkouts/")
    }
}

/// Whether a path begins in one of these crates; `<T as …>` counts by its `T`.
fn begins(function: &str, crates: &[&str]) -> bool {
    let path = function.trim_start_matches(['<', '&', '_']);
    let first = path.split("::").next().unwrap_or(path);
    crates.contains(&first) && path.contains("::") || function.starts_with("__rust_")
}

/// File and line, with what is the same for all files of a test cut off.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}:{} in {}", short(file), self.line, self.function),
            None => write!(
                f,
                "{} (no line: built without debug information)",
                self.function
            ),
        }
    }
}

fn short(file: &str) -> &str {
    if let Some((_, inside)) = file.split_once("/registry/src/") {
        return inside.split_once('/').map_or(inside, |(_, path)| path);
    }
    let here = std::env::current_dir().unwrap_or_default();
    let below = here.to_str().and_then(|here| file.strip_prefix(here));
    below.map_or(file, |below| below.trim_start_matches('/'))
}

/// Leaves out the allocator's and std's frames at the inner end, and all from this crate's next one
/// outwards: that is the scope's own, and what is around it.
pub(super) fn of_the_user(frames: Vec<Frame>) -> Vec<Frame> {
    frames
        .into_iter()
        .skip_while(|frame| frame.is_own() || frame.is_std())
        .take_while(|frame| !frame.is_own())
        .filter(|frame| !frame.is_std())
        .collect()
}

/// The innermost frame of the user's workspace; of a dependency when there is none.
pub(super) fn site(frames: &[Frame]) -> String {
    let innermost = frames.first();
    let own = frames.iter().find(|frame| !frame.is_dependency());
    match (own, innermost) {
        (Some(own), Some(innermost)) if innermost.is_dependency() => {
            format!("{own}, which calls {}", innermost.function)
        }
        (Some(frame), _) | (None, Some(frame)) => frame.to_string(),
        (None, None) if cfg!(feature = "testing") => "an unknown line".into(),
        (None, None) => "a line that plimsoll's feature `testing` would tell".into(),
    }
}
