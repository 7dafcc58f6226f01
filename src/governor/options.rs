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
    /// Where `deployed` tells whether the deployer has set it.
    #[cfg(feature = "jemalloc")]
    fn granted(self, deployed: bool) -> Option<T> {
        match self {
            Wish::Unchanged => None,
            Wish::ByDefault(value) => (!deployed).then_some(value),
            Wish::ByProgram(value) => Some(value),
        }
    }

    #[cfg(feature = "jemalloc")]
    fn is_by_default(&self) -> bool {
        matches!(self, Wish::ByDefault(_))
    }
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
        environment::variable(name)?.into_string().ok()
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
    let is_deployed = |name: &str| {
        deployed.split(',').any(|pair| {
            pair.split_once(':')
                .is_some_and(|(key, _)| key.trim() == name)
        })
    };
    let mut report = Vec::new();
    let mut enter = |name: &'static str, wanted: Option<String>, effective, is_left: bool| {
        let mut row = EffectiveOption {
            name,
            wanted,
            effective,
            remark: is_left.then(|| format!("left as {VARIABLE} sets it")),
        };
        if row.is_ineffective() {
            row.remark = Some("did not take effect".to_owned());
            tracing::warn!(option = %row, "a jemalloc option did not take effect");
        }
        report.push(row);
    };

    let (name, wish) = ("background_thread", options.background_thread);
    let wanted = wish.granted(is_deployed(name));
    if let Some(on) = wanted {
        let _ = tikv_jemalloc_ctl::background_thread::write(on);
    }
    let effective = tikv_jemalloc_ctl::background_thread::read().ok();
    enter(
        name,
        wanted.map(|on| on.to_string()),
        effective.map(|on| on.to_string()),
        wish.is_by_default() && is_deployed(name),
    );

    for (name, wish, decay) in [
        ("dirty_decay_ms", options.dirty_decay_ms, decay::DIRTY),
        ("muzzy_decay_ms", options.muzzy_decay_ms, decay::MUZZY),
    ] {
        let wanted = wish.granted(is_deployed(name));
        if let Some(milliseconds) = wanted {
            decay::set_for_all(decay, milliseconds as isize);
        }
        enter(
            name,
            wanted.map(|milliseconds| milliseconds.to_string()),
            decay::get(decay),
            wish.is_by_default() && is_deployed(name),
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
        default: &'static [u8],
        arena: &'static [u8],
    }

    pub(in crate::governor) const DIRTY: Decay = Decay {
        default: b"arenas.dirty_decay_ms\0",
        arena: b"arena.0.dirty_decay_ms\0",
    };
    pub(super) const MUZZY: Decay = Decay {
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
