//! Where resident memory is, and the one thing that can help.
//!
//! ```text
//! anonymous resident
//! ├─ jemalloc's active pages
//! │  ├─ live heap           what the program asked for and has not freed
//! │  ├─ fragmentation       free space in slabs, and sizes rounded up to size classes
//! │  └─ thread caches       freed, and kept by the thread for its next allocation
//! ├─ dirty                  free pages that jemalloc keeps for a while
//! ├─ metadata               jemalloc's own bookkeeping
//! └─ other                  C libraries, stacks, mappings of the program's own
//! file-backed, shared       page cache and mappings: the kernel's to drop, not held against the limit
//! ```

use crate::figures::{ProcessFigures, heap};
use crate::units::Bytes;
use std::fmt;

/// From this share of the resident memory on, an overhead is the cause; below it, the program
/// simply uses what it holds. jemalloc's own overhead on a healthy service is 5 to 15 %
/// (`stats.active` over `stats.allocated`).
const OVERHEAD: f64 = 0.20;

/// What resident memory is made of, in bytes. Without jemalloc what lies between the live heap and
/// the anonymous memory is all `other_anonymous_bytes`.
///
/// ```no_run
/// # fn look(monitor: &plimsoll::Monitor) {
/// if let Some(found) = monitor.diagnosis() {
///     println!("{found}");
///     if found.remedy == plimsoll::Remedy::Restart {
///         println!("of {} bytes nothing is given back", found.resident_bytes);
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Diagnosis {
    /// All resident memory.
    pub resident_bytes: u64,
    /// The part of it that the kernel cannot drop.
    pub anonymous_bytes: u64,
    /// Requested and not freed.
    pub live_heap_bytes: u64,
    /// In pages that hold live blocks, but in none of them.
    pub fragmentation_bytes: u64,
    /// Freed, and in the caches of threads.
    pub thread_cache_bytes: u64,
    /// In free pages that jemalloc keeps.
    pub dirty_bytes: u64,
    /// jemalloc's bookkeeping.
    pub metadata_bytes: u64,
    /// Anonymous and not jemalloc's.
    pub other_anonymous_bytes: u64,
    /// The part of that which the C library's heap has free; 0 where it cannot be asked.
    pub system_heap_free_bytes: u64,
    /// File mappings.
    pub file_backed_bytes: u64,
    /// Shared memory.
    pub shared_bytes: u64,
    /// Why there is so much.
    pub cause: Cause,
    /// What can help.
    pub remedy: Remedy,
    /// What the remedy can give back. Of a cache, all that is live at the most.
    pub reclaimable_bytes: u64,
}

/// The same without a judgement: what a [timeline](crate::Monitor::timeline) is made of, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Parts {
    /// Requested and not freed.
    pub live_heap_bytes: u64,
    /// Resident, and not the kernel's to drop.
    pub anonymous_bytes: u64,
    /// In pages that hold live blocks, but in none of them.
    pub fragmentation_bytes: u64,
    /// Freed, and in the caches of threads.
    pub thread_cache_bytes: u64,
    /// In free pages that jemalloc keeps.
    pub dirty_bytes: u64,
    /// jemalloc's bookkeeping.
    pub metadata_bytes: u64,
    /// Anonymous and not jemalloc's.
    pub other_anonymous_bytes: u64,
    /// File mappings.
    pub file_backed_bytes: u64,
}

impl Parts {
    /// Splits what is resident now. Renews jemalloc's statistics: from 6 µs, more with many threads.
    /// Allocates nothing.
    pub(super) fn of(process: &ProcessFigures) -> Parts {
        let found = Diagnosis::split(process);
        Parts {
            live_heap_bytes: found.live_heap_bytes,
            anonymous_bytes: found.anonymous_bytes,
            fragmentation_bytes: found.fragmentation_bytes,
            thread_cache_bytes: found.thread_cache_bytes,
            dirty_bytes: found.dirty_bytes,
            metadata_bytes: found.metadata_bytes,
            other_anonymous_bytes: found.other_anonymous_bytes,
            file_backed_bytes: found.file_backed_bytes,
        }
    }

    /// Each part changed in the same way.
    pub(super) fn map(&self, change: impl Fn(u64) -> u64) -> Parts {
        self.zip(&Parts::default(), |part, _| change(part))
    }

    /// Part by part.
    pub(super) fn plus(&self, other: &Parts) -> Parts {
        self.zip(other, u64::saturating_add)
    }

    fn zip(&self, other: &Parts, join: impl Fn(u64, u64) -> u64) -> Parts {
        macro_rules! each {
            ($($part:ident),*) => { Parts { $($part: join(self.$part, other.$part)),* } };
        }
        each!(
            live_heap_bytes,
            anonymous_bytes,
            fragmentation_bytes,
            thread_cache_bytes,
            dirty_bytes,
            metadata_bytes,
            other_anonymous_bytes,
            file_backed_bytes
        )
    }
}

/// Why there is so much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Cause {
    /// The program holds it: it works on much, or it leaks.
    #[default]
    LiveHeap,
    /// Live blocks stand far apart.
    Fragmentation,
    /// Threads keep what was freed.
    ThreadCaches,
    /// Free pages have not been given back yet.
    DirtyPages,
    /// jemalloc's bookkeeping.
    Metadata,
    /// C libraries, stacks, mappings.
    OtherAnonymous,
    /// File mappings, which the kernel drops when it needs them.
    FileBacked,
    /// Shared memory.
    Shared,
}

/// The one thing that can help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing that the monitor can do; where the kernel can drop it, nothing that it need do.
    #[default]
    Nothing,
    /// Caches that hold less.
    ShrinkCaches,
    /// Threads that flush their caches.
    FlushThreadCaches,
    /// A purge.
    PurgeArenas,
    /// A trim of the C library's heap.
    TrimSystemHeap,
    /// Only a new image.
    Restart,
}

impl Cause {
    /// As in JSON: `live_heap`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::LiveHeap => "live_heap",
            Cause::Fragmentation => "fragmentation",
            Cause::ThreadCaches => "thread_caches",
            Cause::DirtyPages => "dirty_pages",
            Cause::Metadata => "metadata",
            Cause::OtherAnonymous => "other_anonymous",
            Cause::FileBacked => "file_backed",
            Cause::Shared => "shared",
        }
    }
}

impl Remedy {
    /// As in JSON: `purge_arenas`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Remedy::Nothing => "nothing",
            Remedy::ShrinkCaches => "shrink_caches",
            Remedy::FlushThreadCaches => "flush_thread_caches",
            Remedy::PurgeArenas => "purge_arenas",
            Remedy::TrimSystemHeap => "trim_system_heap",
            Remedy::Restart => "restart",
        }
    }
}

impl Diagnosis {
    /// Splits what is resident now. `cache_bytes` is what registered caches say they hold.
    ///
    /// Renews jemalloc's statistics: from 6 µs, more with many threads. Allocates nothing.
    pub(super) fn new(process: &ProcessFigures, cache_bytes: u64) -> Diagnosis {
        let mut found = Diagnosis::split(process);
        found.system_heap_free_bytes =
            super::actions::system_heap_free().min(found.other_anonymous_bytes);
        found.judge(cache_bytes);
        found
    }

    /// What it is made of, with no word on it.
    fn split(process: &ProcessFigures) -> Diagnosis {
        let mut found = Diagnosis {
            resident_bytes: process.resident_bytes,
            anonymous_bytes: process.anonymous_bytes,
            live_heap_bytes: heap().live_bytes(),
            file_backed_bytes: process.file_bytes,
            shared_bytes: process.shared_memory_bytes,
            ..Diagnosis::default()
        };
        found.split_anonymous();
        found
    }

    #[cfg(feature = "jemalloc")]
    fn split_anonymous(&mut self) {
        use crate::figures::jemalloc;
        let Ok(figures) = jemalloc() else {
            return self.split_without_jemalloc();
        };
        self.thread_cache_bytes = crate::figures::jemalloc::thread_cache_bytes().unwrap_or(0);
        // Pages that were never touched are among them too, and not there.
        let most = self.anonymous_bytes.saturating_sub(self.live_heap_bytes);
        self.dirty_bytes = (figures.dirty + figures.muzzy).min(most);
        self.metadata_bytes = figures.metadata;
        // Rounding belongs to it: `allocated` is in size classes, thread caches included.
        self.fragmentation_bytes = figures
            .active
            .saturating_sub(self.live_heap_bytes)
            .saturating_sub(self.thread_cache_bytes);
        let jemallocs = figures.active + self.dirty_bytes + self.metadata_bytes;
        // Pages that were allocated and never touched are active but not there, so this is the
        // least that others hold.
        self.other_anonymous_bytes = self.anonymous_bytes.saturating_sub(jemallocs);
    }

    #[cfg(not(feature = "jemalloc"))]
    fn split_anonymous(&mut self) {
        self.split_without_jemalloc();
    }

    fn split_without_jemalloc(&mut self) {
        self.other_anonymous_bytes = self.anonymous_bytes.saturating_sub(self.live_heap_bytes);
    }

    /// Names the cause, the remedy, and what that can give back.
    fn judge(&mut self, cache_bytes: u64) {
        let overheads = [
            (Cause::Fragmentation, self.fragmentation_bytes),
            (Cause::ThreadCaches, self.thread_cache_bytes),
            (Cause::DirtyPages, self.dirty_bytes),
            (Cause::Metadata, self.metadata_bytes),
            (Cause::OtherAnonymous, self.other_anonymous_bytes),
        ];
        let dropped = [
            (Cause::FileBacked, self.file_backed_bytes),
            (Cause::Shared, self.shared_bytes),
        ];
        let most = |of: &[(Cause, u64)]| of.iter().copied().max_by_key(|&(_, bytes)| bytes);
        let overhead = most(&overheads).unwrap_or_default();
        let droppable = most(&dropped).unwrap_or_default();
        self.cause = if droppable.1 * 2 > self.resident_bytes {
            droppable.0
        } else if overhead.1 as f64 >= OVERHEAD * self.anonymous_bytes as f64 && overhead.1 > 0 {
            overhead.0
        } else {
            Cause::LiveHeap
        };
        (self.remedy, self.reclaimable_bytes) = match self.cause {
            Cause::DirtyPages => (Remedy::PurgeArenas, self.dirty_bytes),
            Cause::ThreadCaches => (Remedy::FlushThreadCaches, self.thread_cache_bytes),
            Cause::OtherAnonymous if self.system_heap_free_bytes * 2 > overhead.1 => {
                (Remedy::TrimSystemHeap, self.system_heap_free_bytes)
            }
            // What a cache says may be anything.
            Cause::LiveHeap if cache_bytes.saturating_mul(5) > self.live_heap_bytes => {
                let most = cache_bytes.min(self.live_heap_bytes);
                (Remedy::ShrinkCaches, most)
            }
            Cause::LiveHeap => (Remedy::Restart, self.live_heap_bytes),
            Cause::Fragmentation => (Remedy::Restart, self.fragmentation_bytes),
            Cause::OtherAnonymous | Cause::Metadata => (Remedy::Restart, overhead.1),
            Cause::FileBacked | Cause::Shared => (Remedy::Nothing, 0),
        };
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.cause {
            Cause::LiveHeap => "the program holds it",
            Cause::Fragmentation => "live blocks stand far apart in their slabs",
            Cause::ThreadCaches => "threads keep what was freed in their caches",
            Cause::DirtyPages => "free pages have not been given back yet",
            Cause::Metadata => "the allocator's bookkeeping has grown",
            Cause::OtherAnonymous => "memory outside the allocator: C libraries, stacks, mappings",
            Cause::FileBacked => "file mappings, which the kernel drops when it needs them",
            Cause::Shared => "shared memory",
        };
        let help = match self.remedy {
            Remedy::Nothing => "nothing needs to be done about it",
            Remedy::ShrinkCaches => "smaller caches can help",
            Remedy::FlushThreadCaches => "flushing the thread caches can help",
            Remedy::PurgeArenas => "a purge can help",
            Remedy::TrimSystemHeap => "trimming the C library's heap can help",
            Remedy::Restart => "only a restart can help",
        };
        write!(
            f,
            "{} resident: {why}; {help}",
            Bytes::from(self.resident_bytes)
        )?;
        if self.remedy != Remedy::Nothing {
            write!(f, ", by up to {}", Bytes::from(self.reclaimable_bytes))?;
        }
        write!(
            f,
            " (live heap {}, fragmentation {}, thread caches {}, dirty {}, metadata {}, other \
             anonymous {}, files {}, shared {})",
            Bytes::from(self.live_heap_bytes),
            Bytes::from(self.fragmentation_bytes),
            Bytes::from(self.thread_cache_bytes),
            Bytes::from(self.dirty_bytes),
            Bytes::from(self.metadata_bytes),
            Bytes::from(self.other_anonymous_bytes),
            Bytes::from(self.file_backed_bytes),
            Bytes::from(self.shared_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_overhead_is_the_cause_if_it_is_large() {
        let mut found = Diagnosis {
            resident_bytes: 1000,
            anonymous_bytes: 1000,
            live_heap_bytes: 700,
            dirty_bytes: 190,
            ..Diagnosis::default()
        };
        found.judge(0);
        assert_eq!(
            (found.cause, found.remedy),
            (Cause::LiveHeap, Remedy::Restart)
        );
        for (caches, remedy, bytes) in [
            (140, Remedy::Restart, 700),
            (141, Remedy::ShrinkCaches, 141),
            (900, Remedy::ShrinkCaches, 700),
            (u64::MAX, Remedy::ShrinkCaches, 700),
        ] {
            found.judge(caches);
            assert_eq!((found.remedy, found.reclaimable_bytes), (remedy, bytes));
        }
        found.dirty_bytes = 210;
        found.judge(0);
        assert_eq!(found.cause, Cause::DirtyPages);
        assert_eq!(
            (found.remedy, found.reclaimable_bytes),
            (Remedy::PurgeArenas, 210)
        );
        for (part, cause, remedy) in [
            (
                (|of| &mut of.fragmentation_bytes) as fn(&mut Diagnosis) -> &mut u64,
                Cause::Fragmentation,
                Remedy::Restart,
            ),
            (
                |of| &mut of.thread_cache_bytes,
                Cause::ThreadCaches,
                Remedy::FlushThreadCaches,
            ),
            (
                |of| &mut of.metadata_bytes,
                Cause::Metadata,
                Remedy::Restart,
            ),
            (
                |of| &mut of.other_anonymous_bytes,
                Cause::OtherAnonymous,
                Remedy::Restart,
            ),
        ] {
            let mut found = found;
            *part(&mut found) = 220;
            found.judge(0);
            assert_eq!((found.cause, found.remedy), (cause, remedy));
            assert_eq!(found.reclaimable_bytes, 220);
        }
        let mut trimmed = found;
        (
            trimmed.other_anonymous_bytes,
            trimmed.system_heap_free_bytes,
        ) = (220, 111);
        trimmed.judge(0);
        assert_eq!(trimmed.remedy, Remedy::TrimSystemHeap);
        assert_eq!(trimmed.reclaimable_bytes, 111);
        let mut shared = found;
        (shared.resident_bytes, shared.shared_bytes) = (3000, 1600);
        shared.judge(0);
        assert_eq!(
            (shared.cause, shared.remedy),
            (Cause::Shared, Remedy::Nothing)
        );
        found.resident_bytes = 3000;
        found.file_backed_bytes = 2000;
        found.judge(0);
        assert_eq!(
            (found.cause, found.remedy),
            (Cause::FileBacked, Remedy::Nothing)
        );
    }
}
