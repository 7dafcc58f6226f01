//! jemalloc's options: what is wanted, set at the start and read back.
//!
//! jemalloc ignores what it does not know, and with the prefix that the Rust crates build it with
//! it does not even read `MALLOC_CONF`. So nothing here is believed: every option is read back,
//! and what did not take effect is reported with what was wanted.

#[cfg(feature = "jemalloc")]
use super::environment;
use std::fmt;

/// What to ask of jemalloc.
///
/// Each option that the deployer sets by `_RJEM_MALLOC_CONF` is left alone, unless the program asks for that
/// option by a method of this type.
///
/// ```
/// use plimsoll::JemallocOptions;
///
/// let options = JemallocOptions::default().dirty_decay_ms(1_000);
/// let builder = plimsoll::Monitor::builder().jemalloc(options);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JemallocOptions {
    background_thread: Wish<bool>,
    dirty_decay_ms: Wish<i64>,
    muzzy_decay_ms: Wish<i64>,
}

/// What is asked of one option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<T> {
    /// It stays as it is.
    Unchanged,
    /// By nobody in particular: who deploys the program decides.
    ByDefault(T),
    ByProgram(T),
}

impl<T> Wish<T> {
    /// What to set, and what a person should know of it.
    #[cfg(feature = "jemalloc")]
    fn granted(self, deployed: Deployed) -> (Option<T>, Option<String>) {
        let (wanted, is_by_program) = match self {
            Wish::Unchanged => (None, false),
            Wish::ByDefault(value) => (Some(value), false),
            Wish::ByProgram(value) => (Some(value), true),
        };
        match deployed {
            Deployed::Nothing => (wanted, None),
            Deployed::Refused(text) => {
                let remark = format!("{VARIABLE} asks for `{text}`, which jemalloc did not take");
                (wanted, Some(remark))
            }
            Deployed::Taken if is_by_program => {
                (wanted, Some(format!("in place of what {VARIABLE} sets")))
            }
            Deployed::Taken => {
                let remark = wanted.map(|_| format!("left as {VARIABLE} sets it"));
                (None, remark)
            }
        }
    }
}

/// What the deployer has to do with one option.
#[cfg(feature = "jemalloc")]
enum Deployed {
    Nothing,
    /// jemalloc started with what the variable says.
    Taken,
    /// It says this, and jemalloc started with something else.
    Refused(String),
}

#[cfg(feature = "jemalloc")]
impl Deployed {
    /// Of the last entry for `name` in the variable's text, where `is_in_force` tells whether jemalloc started
    /// with such a value.
    fn of(variable: &str, name: &str, is_in_force: impl Fn(&str) -> bool) -> Deployed {
        let mut pairs = variable.rsplit(',').filter_map(|pair| pair.split_once(':'));
        match pairs.find(|(key, _)| key.trim() == name) {
            None => Deployed::Nothing,
            Some((_, text)) if is_in_force(text) => Deployed::Taken,
            Some((_, text)) => Deployed::Refused(text.to_owned()),
        }
    }
}

/// As jemalloc reads a number (`malloc_strtoumax`): after blanks and a sign, decimal, hexadecimal after `0x`, or octal after
/// `0`.
#[cfg(feature = "jemalloc")]
fn number(text: &str) -> Option<i64> {
    let text = text.trim_ascii_start();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (radix, prefix) = match unsigned.get(..2) {
        Some("0x" | "0X") => (16, 2),
        Some(_) if unsigned.starts_with('0') => (8, 1),
        _ => (10, 0),
    };
    let digits = &unsigned[prefix..];
    // There is one sign: a second one the standard library would take.
    if digits.starts_with('+') {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    let size = i64::try_from(size).ok()?;
    Some(if text.starts_with('-') { -size } else { size })
}

/// Background threads, so that an idle program does not keep what it held at its peak. Dirty pages are given
/// back over 5,000 ms, as jemalloc's own advice for low memory and ClickHouse have it (0 costs a factor in
/// speed), and muzzy ones at once, because until then they still count as resident.
impl Default for JemallocOptions {
    fn default() -> JemallocOptions {
        JemallocOptions {
            background_thread: Wish::ByDefault(true),
            dirty_decay_ms: Wish::ByDefault(5_000),
            muzzy_decay_ms: Wish::ByDefault(0),
        }
    }
}

impl JemallocOptions {
    /// Asks for nothing: all stays as it is.
    #[must_use]
    pub fn unchanged() -> JemallocOptions {
        JemallocOptions {
            background_thread: Wish::Unchanged,
            dirty_decay_ms: Wish::Unchanged,
            muzzy_decay_ms: Wish::Unchanged,
        }
    }

    /// Asks for threads of jemalloc's own that give free pages back while the program is idle, or for none.
    #[must_use]
    pub fn background_thread(mut self, on: bool) -> JemallocOptions {
        self.background_thread = Wish::ByProgram(on);
        self
    }

    /// Over how many milliseconds free pages are given back; -1 never.
    #[must_use]
    pub fn dirty_decay_ms(mut self, milliseconds: i64) -> JemallocOptions {
        self.dirty_decay_ms = Wish::ByProgram(milliseconds);
        self
    }

    /// Over how many milliseconds pages that were offered to the kernel are taken away from the program; -1
    /// never.
    #[must_use]
    pub fn muzzy_decay_ms(mut self, milliseconds: i64) -> JemallocOptions {
        self.muzzy_decay_ms = Wish::ByProgram(milliseconds);
        self
    }
}

/// One option, as wanted and as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EffectiveOption {
    /// Its name.
    pub name: &'static str,
    /// What was asked for; `None` when nothing was.
    pub wanted: Option<String>,
    /// What is in force; `None` when it cannot be read.
    pub effective: Option<String>,
    /// Something that a person should know, such as why a wish was not carried out.
    pub remark: Option<String>,
}

impl EffectiveOption {
    /// Whether what is in force is not what was asked for.
    #[must_use]
    pub fn is_ineffective(&self) -> bool {
        self.wanted.is_some() && self.wanted != self.effective
    }
}

impl fmt::Display for EffectiveOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |value: &Option<String>, none: &'static str| {
            value.clone().unwrap_or_else(|| none.to_owned())
        };
        write!(
            f,
            "{}: wanted {}, effective {}",
            self.name,
            or(&self.wanted, "nothing"),
            or(&self.effective, "unknown")
        )?;
        match &self.remark {
            Some(remark) => write!(f, " ({remark})"),
            None => Ok(()),
        }
    }
}

/// The variable that jemalloc reads, with the prefix that the Rust crates give it.
#[cfg(feature = "jemalloc")]
const VARIABLE: &str = "_RJEM_MALLOC_CONF";

/// Sets what is wanted and reads everything back. Empty when jemalloc is not in use.
#[cfg(feature = "jemalloc")]
pub(super) fn apply(options: &JemallocOptions) -> Vec<EffectiveOption> {
    apply_with(options, |name| {
        Some(environment::variable(name)?.to_string_lossy().into_owned())
    })
}

#[cfg(not(feature = "jemalloc"))]
pub(super) fn apply(_options: &JemallocOptions) -> Vec<EffectiveOption> {
    Vec::new()
}

#[cfg(feature = "jemalloc")]
fn apply_with(
    options: &JemallocOptions,
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<EffectiveOption> {
    if crate::figures::jemalloc().is_err() {
        return Vec::new();
    }
    let deployed = variable(VARIABLE).unwrap_or_default();
    let mut report = Vec::new();
    let mut enter = |name: &'static str, wanted: Option<String>, effective, remark| {
        let mut row = EffectiveOption {
            name,
            wanted,
            effective,
            remark,
        };
        if row.is_ineffective() {
            row.remark = Some("did not take effect".to_owned());
            tracing::warn!(option = %row, "a jemalloc option did not take effect");
        }
        report.push(row);
    };

    let (name, wish) = ("background_thread", options.background_thread);
    let started = tikv_jemalloc_ctl::opt::background_thread::read().ok();
    let is_in_force = |text: &str| started.is_some_and(|on| text == on.to_string());
    let (wanted, remark) = wish.granted(Deployed::of(&deployed, name, is_in_force));
    if let Some(on) = wanted {
        let _ = tikv_jemalloc_ctl::background_thread::write(on);
    }
    let effective = tikv_jemalloc_ctl::background_thread::read().ok();
    enter(
        name,
        wanted.map(|on| on.to_string()),
        effective.map(|on| on.to_string()),
        remark,
    );

    for (name, wish, decay) in [
        ("dirty_decay_ms", options.dirty_decay_ms, decay::DIRTY),
        ("muzzy_decay_ms", options.muzzy_decay_ms, decay::MUZZY),
    ] {
        let started = decay::get_started(decay);
        let is_in_force = |text: &str| started.is_some() && number(text) == started;
        let (wanted, remark) = wish.granted(Deployed::of(&deployed, name, is_in_force));
        if let Some(milliseconds) = wanted {
            // What no word of this machine holds is read back as something else, and reported.
            let most = isize::try_from(milliseconds).unwrap_or(isize::MAX);
            decay::set_for_all(decay, most);
        }
        enter(
            name,
            wanted.map(|milliseconds| milliseconds.to_string()),
            decay::get(decay),
            remark,
        );
    }

    if variable("MALLOC_CONF").is_some() && variable(VARIABLE).is_none() {
        let remark = format!("not read: this jemalloc reads {VARIABLE}");
        tracing::warn!(remark, "MALLOC_CONF has no effect");
        report.push(EffectiveOption {
            name: "MALLOC_CONF",
            wanted: variable("MALLOC_CONF"),
            effective: None,
            remark: Some(remark),
        });
    }
    report
}

/// The decay times, which jemalloc keeps for each arena and, for arenas to come, as a default.
#[cfg(feature = "jemalloc")]
pub(super) mod decay {
    use crate::figures::jemalloc::{arena_count, ctl::Path, is_kept};

    #[derive(Clone, Copy)]
    pub(in crate::governor) struct Decay {
        started: &'static [u8],
        default: &'static [u8],
        arena: &'static [u8],
    }

    pub(in crate::governor) const DIRTY: Decay = Decay {
        started: b"opt.dirty_decay_ms\0",
        default: b"arenas.dirty_decay_ms\0",
        arena: b"arena.0.dirty_decay_ms\0",
    };
    pub(super) const MUZZY: Decay = Decay {
        started: b"opt.muzzy_decay_ms\0",
        default: b"arenas.muzzy_decay_ms\0",
        arena: b"arena.0.muzzy_decay_ms\0",
    };

    /// All that there may be. Reading and writing the time of one that was never used fails: that is
    /// asked of each, because `arena.<i>.initialized` answers as of the last epoch.
    pub(in crate::governor) fn arenas() -> impl Iterator<Item = usize> {
        (0..arena_count().unwrap_or(0)).filter(|&arena| !is_kept(arena))
    }

    /// For every arena in use, and for those to come. There is no path that means all of them.
    ///
    /// An arena that another thread is making right now has read the old default and may come into use
    /// too late to be found here: [`set_for_all`] finds that one as well.
    pub(in crate::governor) fn set(decay: Decay, milliseconds: isize) {
        if let Ok(default) = Path::<2>::new(decay.default) {
            // SAFETY: `arenas.*_decay_ms` is an `ssize_t`.
            let _ = unsafe { default.write(milliseconds) };
        }
        arenas().for_each(|number| set_arena(decay, number, milliseconds));
    }

    /// As [`set`], and for the arenas that are being made meanwhile too. Starts a thread for a moment, so it
    /// allocates: at the start only.
    ///
    /// jemalloc makes an arena under one lock, which a thread takes at its first allocation, when it
    /// chooses its arena. Once a new thread has done so, every arena that was begun with the old default
    /// is there.
    pub(in crate::governor) fn set_for_all(decay: Decay, milliseconds: isize) {
        set(decay, milliseconds);
        let choosing = std::thread::Builder::new()
            .name("plimsoll-arena".to_owned())
            .spawn(|| drop(std::hint::black_box(Box::new(0u8))));
        if choosing.is_ok_and(|thread| thread.join().is_ok()) {
            set(decay, milliseconds);
        }
    }

    pub(in crate::governor) fn set_arena(decay: Decay, arena: usize, milliseconds: isize) {
        if let Ok(path) = Path::<3>::new(decay.arena) {
            // SAFETY: `arena.<i>.*_decay_ms` is an `ssize_t`.
            let _ = unsafe { path.with(1, arena).write(milliseconds) };
        }
    }

    /// What jemalloc started with.
    pub(super) fn get_started(decay: Decay) -> Option<i64> {
        let started = Path::<2>::new(decay.started).ok()?;
        // SAFETY: `opt.*_decay_ms` is an `ssize_t`.
        let milliseconds = unsafe { started.read::<isize>() }.ok()?;
        i64::try_from(milliseconds).ok()
    }

    pub(in crate::governor) fn get_default(decay: Decay) -> Option<isize> {
        let default = Path::<2>::new(decay.default).ok()?;
        // SAFETY: `arenas.*_decay_ms` is an `ssize_t`.
        unsafe { default.read() }.ok()
    }

    pub(in crate::governor) fn get_arena(decay: Decay, arena: usize) -> Option<isize> {
        let path = Path::<3>::new(decay.arena).ok()?;
        // SAFETY: `arena.<i>.*_decay_ms` is an `ssize_t`.
        unsafe { path.with(1, arena).read() }.ok()
    }

    /// The value that all arenas and the default share; `mixed` when they differ.
    pub(super) fn get(decay: Decay) -> Option<String> {
        let value = get_default(decay)?;
        let same = arenas()
            .filter_map(|arena| get_arena(decay, arena))
            .all(|own| own == value);
        Some(if same {
            value.to_string()
        } else {
            "mixed".to_owned()
        })
    }
}

/// Takes arbitrary text of the deployer's: answers what it asks for under this name, as a number, if it does.
#[cfg(all(fuzzing, feature = "jemalloc"))]
pub fn fuzz_deployed(text: &str, name: &str) -> Option<i64> {
    let asked = std::cell::Cell::new(None);
    Deployed::of(text, name, |value| {
        asked.set(number(value));
        true
    });
    asked.get()
}

#[cfg(all(test, feature = "jemalloc"))]
mod tests {
    use super::{EffectiveOption, number};

    #[test]
    fn an_option_is_ineffective_when_it_was_asked_for_and_is_not_in_force() {
        let is_ineffective = |wanted: Option<&str>, effective: Option<&str>| {
            EffectiveOption {
                name: "dirty_decay_ms",
                wanted: wanted.map(str::to_owned),
                effective: effective.map(str::to_owned),
                remark: None,
            }
            .is_ineffective()
        };
        assert!(is_ineffective(Some("10000"), Some("5000")));
        assert!(is_ineffective(Some("10000"), None));
        assert!(!is_ineffective(Some("10000"), Some("10000")));
        assert!(!is_ineffective(None, Some("5000")));
    }

    #[test]
    fn a_number_is_what_jemalloc_reads_as_one() {
        let read = |text| (text, number(text));
        for (text, value) in [
            ("5000", Some(5000)),
            ("-1", Some(-1)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("5s", None),
            ("", None),
            ("--1", None),
            ("-+1", None),
            ("+1", Some(1)),
            (" 7", Some(7)),
            ("0x+10", None),
            ("0x-10", None),
            ("-0x-8000000000000000", None),
            ("9223372036854775808", None),
            ("é", None),
        ] {
            assert_eq!(read(text), (text, value));
        }
    }
}
