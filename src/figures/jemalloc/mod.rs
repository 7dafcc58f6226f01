//! What jemalloc holds from the system, and why it is more than the program asked for.
//!
//! All figures are a cache inside jemalloc that a write to `epoch` renews. That walks all arenas
//! and thread caches under their locks: 6 µs with few threads, tens of µs with many. So it is done
//! when somebody asks, never per event, and the figures carry the time of reading.
//!
//! `allocated <= active <= resident`. What lies between the first two is slack inside slabs
//! (fragmentation, and sizes rounded up); between the last two, mostly dirty pages that a purge
//! gives back, and metadata. `resident` is an upper bound: pages that were never touched count.

pub(crate) mod ctl;

use self::ctl::{ALL_ARENAS, Path};
use once_cell::sync::OnceCell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tikv_jemalloc_ctl::{Error, epoch, epoch_mib, stats};

/// jemalloc's figures at one instant, in bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct JemallocFigures {
    /// In blocks handed out, rounded up to size classes; blocks in thread caches included.
    pub allocated: u64,
    /// In pages that hold at least one such block.
    pub active: u64,
    /// In pages that may be physically there. An upper bound.
    pub resident: u64,
    /// In extents that are mapped.
    pub mapped: u64,
    /// Address space kept for later, without memory behind it.
    pub retained: u64,
    /// For jemalloc's own bookkeeping.
    pub metadata: u64,
    /// In pages that are unused and still resident: what a purge gives back.
    pub dirty: u64,
    /// In pages unused and offered to the kernel, which takes them when it needs them.
    pub muzzy: u64,
    /// Arenas in use.
    pub arenas: u32,
    /// When the figures were renewed.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub read_at: Instant,
}

/// One arena's part, in bytes.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// # fn main() -> Result<(), plimsoll::figures::JemallocError> {
/// let arenas = plimsoll::figures::jemalloc_arenas()?;
/// if let Some(most) = arenas.iter().max_by_key(|arena| arena.dirty) {
///     println!("arena {} has {} bytes to give back", most.arena, most.dirty);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ArenaFigures {
    /// Its number.
    pub arena: u32,
    /// Threads that are assigned to it.
    pub threads: u32,
    /// In blocks handed out.
    pub allocated: u64,
    /// In pages that hold at least one block.
    pub active: u64,
    /// In pages that may be physically there.
    pub resident: u64,
    /// In unused resident pages.
    pub dirty: u64,
    /// In unused pages offered to the kernel.
    pub muzzy: u64,
}

/// Why jemalloc's figures cannot be had.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum JemallocError {
    /// The program's allocator is not jemalloc: it has handed out nothing.
    NotInUse,
    /// jemalloc refused to answer.
    Refused {
        /// The path in jemalloc's control tree.
        path: &'static str,
        /// What it said.
        refusal: Refusal,
    },
}

/// jemalloc's own word for why it refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal(Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for JemallocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JemallocError::NotInUse => f.write_str(
                "jemalloc has handed out nothing: expected it as the program's allocator, \
                 as in `Plimsoll::new()`",
            ),
            JemallocError::Refused { path, refusal } => write!(
                f,
                "jemalloc refused `{path}` ({refusal}): expected a build with its `stats`"
            ),
        }
    }
}

impl std::error::Error for JemallocError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JemallocError::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

/// Reads jemalloc's figures now.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// # fn main() -> Result<(), plimsoll::figures::JemallocError> {
/// let figures = plimsoll::figures::jemalloc()?;
/// println!("a purge would give {} bytes back", figures.dirty);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`JemallocError::NotInUse`] when the program allocates through something else;
/// [`JemallocError::Refused`] of a jemalloc that was built without its statistics.
///
/// # Cost
///
/// Renews jemalloc's statistics: from 6 µs, more with many threads and arenas. Allocates nothing.
pub fn jemalloc() -> Result<JemallocFigures, JemallocError> {
    let paths = Paths::get()?;
    paths.epoch.advance().map_err(refused("epoch"))?;
    let allocated = paths.allocated.read().map_err(refused("stats.allocated"))?;
    if allocated == 0 {
        return Err(JemallocError::NotInUse);
    }
    let page = paths.page;
    Ok(JemallocFigures {
        allocated: allocated as u64,
        active: paths.active.read().map_err(refused("stats.active"))? as u64,
        resident: paths.resident.read().map_err(refused("stats.resident"))? as u64,
        mapped: paths.mapped.read().map_err(refused("stats.mapped"))? as u64,
        retained: paths.retained.read().map_err(refused("stats.retained"))? as u64,
        metadata: paths.metadata.read().map_err(refused("stats.metadata"))? as u64,
        dirty: page * paths.arena.pages(&paths.arena.dirty, ALL_ARENAS)?,
        muzzy: page * paths.arena.pages(&paths.arena.muzzy, ALL_ARENAS)?,
        arenas: (0..arena_count()?).filter(|&arena| in_use(arena)).count() as u32,
        read_at: Instant::now(),
    })
}

/// Reads every arena that is in use. Allocates the answer.
///
/// # Errors
///
/// As for [`jemalloc()`].
///
/// # Cost
///
/// That of [`jemalloc()`], and some figures of each arena: jemalloc makes up to four for each processor.
pub fn jemalloc_arenas() -> Result<Vec<ArenaFigures>, JemallocError> {
    jemalloc()?;
    let paths = Paths::get()?;
    (0..arena_count()?)
        .filter(|&arena| in_use(arena))
        .map(|arena| paths.arena.read(arena, paths.page))
        .collect()
}

/// How many arenas there may be; not all of them have been used.
pub(crate) fn arena_count() -> Result<usize, JemallocError> {
    tikv_jemalloc_ctl::arenas::narenas::read()
        .map(|count| count as usize)
        .map_err(refused("arenas.narenas"))
}

/// Whether a thread had ever allocated from this arena at the last epoch. Controls of one that was never
/// used answer with an error.
pub(crate) fn in_use(arena: usize) -> bool {
    Paths::get().is_ok_and(|paths| {
        // SAFETY: `arena.<i>.initialized` is a `bool`.
        unsafe { paths.initialized.with(1, arena).read::<bool>() }.unwrap_or(false)
    })
}

/// The arena whose free pages are kept for the threads that have to answer, plus one; 0 for none.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Gives the calling thread the arena that keeps its free pages, and so many bytes of them: what it
/// allocates from then on comes from there, also while the system has no more to give.
#[cfg(feature = "http")]
pub(crate) fn keep_arena(bytes: usize) -> Result<(), JemallocError> {
    use std::sync::{Mutex, PoisonError};

    // No arena is ever given back, so those that come later share the one there is.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let arena = match KEPT.load(Ordering::Relaxed) {
        0 => {
            let create = Path::<2>::new(b"arenas.create\0").map_err(refused("arenas.create"))?;
            // SAFETY: `arenas.create` answers an `unsigned`.
            unsafe { create.read::<u32>() }.map_err(refused("arenas.create"))?
        }
        known => known as u32 - 1,
    };
    let never = |name: &'static [u8], told: &'static str| {
        let path = Path::<3>::new(name).map_err(refused(told))?;
        // SAFETY: the decay times of `arena.<i>` are `ssize_t`.
        unsafe { path.with(1, arena as usize).write::<isize>(-1) }.map_err(refused(told))
    };
    never(b"arena.0.dirty_decay_ms\0", "arena.<i>.dirty_decay_ms")?;
    never(b"arena.0.muzzy_decay_ms\0", "arena.<i>.muzzy_decay_ms")?;
    let own = Path::<2>::new(b"thread.arena\0").map_err(refused("thread.arena"))?;
    // SAFETY: `thread.arena` is an `unsigned`.
    unsafe { own.write::<u32>(arena) }.map_err(refused("thread.arena"))?;
    KEPT.store(arena as usize + 1, Ordering::Relaxed);
    // One block, written so that there is memory behind it, and freed: its pages stay with the arena.
    let mut pages: Vec<u8> = Vec::new();
    if pages.try_reserve_exact(bytes).is_ok() {
        pages.resize(bytes, 1);
        std::hint::black_box(&pages);
    }
    Ok(())
}

/// Whether the arena's free pages are kept: they are not given back, whatever the level.
pub(crate) fn is_kept(arena: usize) -> bool {
    KEPT.load(Ordering::Relaxed) == arena + 1
}

/// What all threads keep in their caches, as of the last renewal of the statistics.
pub(crate) fn thread_cache_bytes() -> Option<u64> {
    let paths = Paths::get().ok()?;
    // SAFETY: `stats.arenas.<i>.tcache_bytes` is a `size_t`.
    let bytes = unsafe {
        paths
            .arena
            .thread_caches
            .with(2, ALL_ARENAS)
            .read::<usize>()
    };
    bytes.ok().map(|bytes| bytes as u64)
}

/// In unused resident pages of one arena, muzzy ones included, as of the last renewal.
pub(crate) fn dirty_bytes(arena: usize) -> Option<u64> {
    let paths = Paths::get().ok()?;
    let dirty = paths.arena.pages(&paths.arena.dirty, arena).ok()?;
    let muzzy = paths.arena.pages(&paths.arena.muzzy, arena).ok()?;
    Some(paths.page * (dirty + muzzy))
}

fn refused(path: &'static str) -> impl Fn(Error) -> JemallocError {
    move |error| JemallocError::Refused {
        path,
        refusal: Refusal(error),
    }
}

/// The paths, translated once.
struct Paths {
    epoch: epoch_mib,
    allocated: stats::allocated_mib,
    active: stats::active_mib,
    resident: stats::resident_mib,
    mapped: stats::mapped_mib,
    retained: stats::retained_mib,
    metadata: stats::metadata_mib,
    initialized: Path<3>,
    arena: ArenaPaths,
    /// jemalloc's page size, in bytes.
    page: u64,
}

/// Part 2 of each takes the number of the arena.
struct ArenaPaths {
    threads: Path<4>,
    small: Path<5>,
    large: Path<5>,
    active: Path<4>,
    resident: Path<4>,
    dirty: Path<4>,
    muzzy: Path<4>,
    thread_caches: Path<4>,
}

impl Paths {
    fn get() -> Result<&'static Paths, JemallocError> {
        static PATHS: OnceCell<Paths> = OnceCell::new();
        PATHS.get_or_try_init(|| Paths::translate().map_err(refused("stats")))
    }

    fn translate() -> Result<Paths, Error> {
        let page = Path::<2>::new(b"arenas.page\0")?;
        Ok(Paths {
            epoch: epoch::mib()?,
            allocated: stats::allocated::mib()?,
            active: stats::active::mib()?,
            resident: stats::resident::mib()?,
            mapped: stats::mapped::mib()?,
            retained: stats::retained::mib()?,
            metadata: stats::metadata::mib()?,
            initialized: Path::new(b"arena.0.initialized\0")?,
            arena: ArenaPaths {
                threads: Path::new(b"stats.arenas.0.nthreads\0")?,
                small: Path::new(b"stats.arenas.0.small.allocated\0")?,
                large: Path::new(b"stats.arenas.0.large.allocated\0")?,
                active: Path::new(b"stats.arenas.0.pactive\0")?,
                resident: Path::new(b"stats.arenas.0.resident\0")?,
                dirty: Path::new(b"stats.arenas.0.pdirty\0")?,
                muzzy: Path::new(b"stats.arenas.0.pmuzzy\0")?,
                thread_caches: Path::new(b"stats.arenas.0.tcache_bytes\0")?,
            },
            // SAFETY: `arenas.page` is a `size_t`.
            page: unsafe { page.read::<usize>()? } as u64,
        })
    }
}

impl ArenaPaths {
    fn pages(&self, leaf: &Path<4>, arena: usize) -> Result<u64, JemallocError> {
        // SAFETY: the page counts of `stats.arenas.<i>` are `size_t`.
        unsafe { leaf.with(2, arena).read::<usize>() }
            .map(|pages| pages as u64)
            .map_err(refused("stats.arenas.<i>"))
    }

    fn read(&self, arena: usize, page: u64) -> Result<ArenaFigures, JemallocError> {
        // SAFETY: both sums of `stats.arenas.<i>` are `size_t`.
        let bytes = |leaf: &Path<5>| unsafe { leaf.with(2, arena).read::<usize>() };
        let small = bytes(&self.small).map_err(refused("stats.arenas.<i>.small.allocated"))?;
        let large = bytes(&self.large).map_err(refused("stats.arenas.<i>.large.allocated"))?;
        // SAFETY: `stats.arenas.<i>.nthreads` is an `unsigned`.
        let threads = unsafe { self.threads.with(2, arena).read::<u32>() };
        Ok(ArenaFigures {
            arena: arena as u32,
            threads: threads.map_err(refused("stats.arenas.<i>.nthreads"))?,
            allocated: (small + large) as u64,
            active: page * self.pages(&self.active, arena)?,
            // In bytes, unlike its neighbours, and of the same type.
            resident: self.pages(&self.resident, arena)?,
            dirty: page * self.pages(&self.dirty, arena)?,
            muzzy: page * self.pages(&self.muzzy, arena)?,
        })
    }
}
