//! Which frames of a trace tell the user something.

use std::fmt;
use std::path::Path;

/// A function that stood on the stack, inlined ones too.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) function: String,
    pub(super) file: Option<String>,
    pub(super) line: u32,
}

impl Frame {
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "made of a walked stack")
    )]
    pub(super) fn new(function: Option<String>, file: Option<String>, line: Option<u32>) -> Frame {
        Frame {
            function: function.map_or_else(|| "?".into(), |name| plain(&name)),
            file,
            line: line.unwrap_or(0),
        }
    }

    /// Of std, of the C library, or of what stands between them and a program.
    ///
    /// Told by the file as well as by the name: where debug information is lines alone
    /// (`debug = "line-tables-only"`), the name of a generic or an inlined function comes without its path.
    fn is_std(&self) -> bool {
        const FOLDERS: [&str; 4] = ["/rustc/", "/library/std/", "/rustlib/src/", "/rust/deps/"];
        const CRATES: [&str; 4] = ["std", "core", "alloc", "__rustc"];
        /// Names that a user's crate may have as well, such as that of `tests/test.rs`.
        const PERHAPS: [&str; 2] = ["test", "backtrace"];
        /// What `#[global_allocator]` writes, which has the file of the static.
        const SHIMS: [&str; 3] = ["__rust_", "__rg_", "__rdl_"];
        let by_file = match self.file.as_deref() {
            Some(file) => {
                let is_rust = file.ends_with(".rs");
                !is_rust || FOLDERS.iter().any(|folder| file.contains(folder)) || walks(file)
            }
            None => !self.function.contains("::") || begins(&self.function, &PERHAPS),
        };
        by_file
            || begins(&self.function, &CRATES)
            || SHIMS.iter().any(|shim| self.function.starts_with(shim))
    }

    fn place(&self) -> String {
        format!(
            "{}:{}",
            short(self.file.as_deref().unwrap_or("?")),
            self.line
        )
    }

    fn is_own(&self) -> bool {
        let folder = super::trace::own_sources();
        let by_file = match (folder, &self.file) {
            (Some(folder), Some(file)) => Path::new(file).starts_with(folder),
            _ => false,
        };
        by_file || begins(&self.function, &["plimsoll"])
    }

    /// Of a crate from a registry or a repository, as opposed to the user's own workspace.
    fn is_dependency(&self) -> bool {
        let file = self.file.as_deref().unwrap_or("");
        file.is_empty() || file.contains("/registry/src/") || file.contains("/git/checkouts/")
    }
}

/// A function's name as both ways of rustc to mangle it tell it: without generic arguments, which only
/// the newer one has, so that messages do not change with the compiler.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    // A generic function as lines alone name it, `parse<u8>`: without its path.
    if let Some(at) = name.find('<').filter(|&at| at > 0)
        && !name[..at].contains("::")
        && let Some((_, after)) = bracketed(&name[at..])
    {
        plain.push_str(&name[..at]);
        rest = after;
    }
    while let Some((before, after)) = rest.split_once("::<") {
        plain.push_str(before);
        match bracketed(&rest[before.len() + 2..]) {
            Some((arguments, after)) if !arguments.starts_with("impl ") => rest = after,
            _ => {
                plain.push_str("::<");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    // An inherent method's type.
    if let Some((path, after)) = bracketed(&plain)
        && path.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && !path.contains(" as ")
    {
        plain = format!("{path}{after}");
    }
    while let Some(at) = plain.find("{closure#")
        && let Some(length) = plain[at..].find('}')
    {
        plain.replace_range(at..=at + length, "{{closure}}");
    }
    plain
}

/// What stands between a bracket at the beginning and its partner, and what comes after that.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let mut depth = 1;
    let mut before = ' ';
    for (at, sign) in inside.char_indices() {
        match sign {
            '<' => depth += 1,
            // That of an arrow closes nothing.
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..]));
        }
        before = sign;
    }
    None
}

/// Whether a path begins in one of these crates; `<T as …>` counts by its `T`.
fn begins(function: &str, crates: &[&str]) -> bool {
    let path = function.strip_prefix("_<").unwrap_or(function);
    let path = path.trim_start_matches(['<', '&']);
    let first = path.split("::").next().unwrap_or(path);
    crates.contains(&first)
}

/// Whether a file is of the crate `backtrace`, from a registry or vendored.
fn walks(file: &str) -> bool {
    let Some((package, _)) = file.split_once("/src/backtrace/") else {
        return false;
    };
    let name = package.rsplit('/').next().unwrap_or(package);
    name == "backtrace" || name.starts_with("backtrace-")
}

/// File and line, with what is the same for all files of a test cut off.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(_) => write!(f, "{} in {}", self.place(), self.function),
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
    let below = std::env::current_dir().ok().and_then(|here| {
        let below = Path::new(file).strip_prefix(here).ok()?;
        below.to_str()
    });
    below.unwrap_or(file)
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

/// The innermost frame of the user's workspace, of a dependency when there is none, and from where
/// its function was called.
pub(super) fn site(frames: &[Frame]) -> String {
    let own = frames.iter().position(|frame| !frame.is_dependency());
    let Some(frame) = frames.get(own.unwrap_or(0)) else {
        return if cfg!(feature = "testing") {
            "an unknown line".into()
        } else {
            "a line that plimsoll's feature `testing` would tell".into()
        };
    };
    let mut site = frame.to_string();
    if own.is_some_and(|at| at > 0) {
        site = format!("{site}, which calls {}", frames[0].function);
    }
    let callers = frames.iter().skip(own.unwrap_or(0) + 1);
    if let Some(caller) = callers.into_iter().find(|caller| !caller.is_dependency()) {
        site = format!("{site}, from {}", caller.place());
    }
    site
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> Frame {
        Frame::new(Some(function.into()), Some(file.into()), Some(7))
    }

    #[test]
    fn what_is_between_the_allocator_and_the_scope_is_the_users() {
        let frames = vec![
            frame(
                "plimsoll::testing::trace::Trace::here",
                "src/testing/trace.rs",
            ),
            frame("__rustc::__rust_alloc", "tests/main.rs"),
            frame(
                "<alloc::vec::Vec<T> as Clone>::clone",
                "/rustc/1/library/alloc/src/vec/mod.rs",
            ),
            frame(
                "json::parse",
                "/root/.cargo/registry/src/index-1/json-1.0/src/lib.rs",
            ),
            frame(
                "core::ops::FnOnce::call_once",
                "/rustc/1/library/core/src/ops.rs",
            ),
            frame("service::answer", "src/service.rs"),
            frame("plimsoll::testing::assert::check", "src/testing/assert.rs"),
            frame("service::tests::budget", "src/service.rs"),
            frame("start_thread", "./nptl/pthread_create.c"),
        ];
        let users = of_the_user(frames);
        let names: Vec<_> = users.iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(names, ["json::parse", "service::answer"]);
        assert_eq!(
            site(&users),
            "src/service.rs:7 in service::answer, which calls json::parse"
        );
        assert_eq!(site(&users[..1]), "json-1.0/src/lib.rs:7 in json::parse");
        let twice = [users[1].clone(), frame("service::serve", "src/main.rs")];
        assert_eq!(
            site(&twice),
            "src/service.rs:7 in service::answer, from src/main.rs:7"
        );
        assert_eq!(users[0].to_string(), "json-1.0/src/lib.rs:7 in json::parse");
    }

    /// As `debug = "line-tables-only"` names them.
    #[test]
    fn generic_functions_without_their_paths_are_told_by_their_files() {
        let registry = "/root/.cargo/registry/src/index-1";
        let walker = format!("{registry}/backtrace-0.3.77/src/backtrace/mod.rs");
        let frames = vec![
            frame("trace_unsynchronized<plimsoll::Closure>", &walker),
            frame("__rust_alloc", "src/main.rs"),
            frame("to_vec<u8>", "/rustc/1/library/alloc/src/slice.rs"),
            frame("answer<u8>", "src/backtrace/service.rs"),
            frame("serve<u8>", "src/main.rs"),
            Frame::new(Some("main".into()), None, None),
        ];
        let users = of_the_user(frames);
        let names: Vec<_> = users.iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(names, ["answer", "serve"]);
        assert!(walks("vendor/backtrace/src/backtrace/mod.rs"));
    }

    #[test]
    fn a_users_crate_may_have_a_name_of_the_harness() {
        let frames = vec![
            frame("test::parse", "tests/test.rs"),
            frame("backtrace::answer", "tests/backtrace.rs"),
            frame("test::run_test", "/rustc/1/library/test/src/lib.rs"),
            Frame::new(Some("test::run_test".into()), None, None),
        ];
        let users = of_the_user(frames);
        let names: Vec<_> = users.iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(names, ["test::parse", "backtrace::answer"]);
    }

    #[test]
    fn a_path_is_cut_off_at_the_current_folder_and_not_within_a_name() {
        let here = std::env::current_dir().unwrap();
        let below = format!("{}/src/main.rs", here.display());
        assert_eq!(short(&below), "src/main.rs");
        let beside = format!("{}-core/src/lib.rs", here.display());
        assert_eq!(short(&beside), beside);
    }

    #[test]
    fn this_crates_own_are_told_by_their_folder() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/measure.rs");
        let own = frame("measure<()>", file);
        assert_eq!(own.is_own(), cfg!(feature = "testing"));
        assert!(!frame("measure<()>", "src/testing/measure.rs").is_own());
    }

    #[test]
    fn both_manglings_give_one_name() {
        for (mangled, expected) in [
            ("json::parse", "json::parse"),
            (
                "json::parse::<(), fn(u8) -> json::Value<u8>>::{closure#0}::{closure#12}",
                "json::parse::{{closure}}::{{closure}}",
            ),
            ("json::parse::{{closure}}", "json::parse::{{closure}}"),
            ("<json::Reader<u8>>::next::<u8>", "json::Reader<u8>::next"),
            (
                "<json::Reader<u8> as json::Source>::next",
                "<json::Reader<u8> as json::Source>::next",
            ),
            ("json::<impl [T]>::first", "json::<impl [T]>::first"),
            ("<[u8]>::first", "<[u8]>::first"),
            ("json::parse::<broken", "json::parse::<broken"),
            ("{closure#", "{closure#"),
            ("parse<u8, fn() -> json::Value<u8>>", "parse"),
            ("{closure_env#0}<u8>", "{closure_env#0}"),
            ("parse<u8", "parse<u8"),
        ] {
            assert_eq!(plain(mangled), expected);
        }
    }

    #[test]
    fn a_frame_without_a_line_says_why() {
        let bare = Frame::new(Some("service::answer".into()), None, None);
        assert!(bare.to_string().starts_with("service::answer (no line: "));
    }
}
