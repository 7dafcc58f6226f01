//! What the kernel says this process holds: the memory lines of `/proc/self/status`.
//!
//! Resident memory is anonymous, file-backed or shared. Only the anonymous part is ours in the
//! sense that the kernel cannot drop it to make room; it is the one held against a limit.

use super::error::FigureError;
use super::roots::Roots;
use super::small_file::{self, BUFFER, kilobytes};
use std::path::Path;
use std::time::Instant;

/// The process's memory from `/proc/self/status`, in bytes.
///
/// The kernel counts pages per processor and adds up in batches. Between Linux 6.2 and the change
/// of 2025 that made it sum them for this file, each figure may be off by the larger of 32 and
/// twice the processors, in pages, for each processor: 1 MiB with 8 of them, 32 MiB with 64 and
/// pages of 4 KiB. Before 6.2 it is 64 pages for each thread. The sums of `smaps_rollup` are exact
/// on every kernel, but walk every page table and take milliseconds for a large heap; this takes
/// some tens of µs, whatever the size.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProcessFigures {
    /// All resident memory (`VmRSS`).
    pub resident_bytes: u64,
    /// Anonymous resident memory (`RssAnon`): heap, stacks and what C libraries hold. The kernel
    /// cannot drop it, so this is what a limit is held against.
    pub anonymous_bytes: u64,
    /// Resident file mappings (`RssFile`), which the kernel drops when it needs them.
    pub file_bytes: u64,
    /// Resident shared memory (`RssShmem`).
    pub shared_memory_bytes: u64,
    /// Anonymous memory in swap (`VmSwap`).
    pub swap_bytes: u64,
    /// When it was read.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub read_at: Instant,
}

/// Lines of the file.
const FIELDS: [&str; 5] = ["VmRSS", "RssAnon", "RssFile", "RssShmem", "VmSwap"];

impl ProcessFigures {
    /// Reads the figures now. Allocates nothing unless it fails.
    ///
    /// ```
    /// use plimsoll::figures::{ProcessFigures, Roots};
    ///
    /// # fn main() -> Result<(), plimsoll::figures::FigureError> {
    /// let process = ProcessFigures::read(&Roots::default())?;
    /// println!("{} bytes that the kernel cannot drop", process.anonymous_bytes);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or lacks a field that Linux has had since 4.5; on other
    /// systems [`FigureError::Unsupported`].
    pub fn read(roots: &Roots) -> Result<ProcessFigures, FigureError> {
        roots.supported()?;
        let mut buffer = [0; BUFFER];
        if let Some(figures) = ProcessFigures::of(roots.status(), &mut buffer)? {
            return Ok(figures);
        }
        // `self` is the main thread. One that has ended (`pthread_exit`) while others go on has no memory
        // any more; the calling thread has.
        match ProcessFigures::of(roots.thread_status(), &mut buffer) {
            Ok(Some(figures)) => Ok(figures),
            Ok(None) | Err(_) => Err(FigureError::missing(roots.status(), "VmRSS")),
        }
    }

    /// `None` when the file says nothing of memory.
    fn of(path: &Path, buffer: &mut [u8; BUFFER]) -> Result<Option<ProcessFigures>, FigureError> {
        let text = small_file::read_fields(path, &FIELDS, buffer)?;
        let Some(resident_bytes) = kilobytes(path, text, "VmRSS")? else {
            return Ok(None);
        };
        let required = |field: &'static str| {
            kilobytes(path, text, field)?.ok_or_else(|| FigureError::missing(path, field))
        };
        Ok(Some(ProcessFigures {
            resident_bytes,
            anonymous_bytes: required("RssAnon")?,
            file_bytes: required("RssFile")?,
            shared_memory_bytes: required("RssShmem")?,
            // A kernel without swap has no such line.
            swap_bytes: kilobytes(path, text, "VmSwap")?.unwrap_or(0),
            read_at: Instant::now(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(status: &str) -> Result<ProcessFigures, FigureError> {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("self")).unwrap();
        std::fs::write(tree.path().join("self/status"), status).unwrap();
        ProcessFigures::read(&Roots::new(tree.path(), tree.path()))
    }

    const STATUS: &str = "Name:\tservice\nVmPeak:\t  900 kB\nVmRSS:\t  100 kB\n\
        RssAnon:\t   60 kB\nRssFile:\t   30 kB\nRssShmem:\t   10 kB\nVmSwap:\t    5 kB\n";

    #[test]
    fn anonymous_memory_is_told_from_file_mappings() {
        let figures = recorded(STATUS).unwrap();
        assert_eq!(figures.resident_bytes, 100 * 1024);
        assert_eq!(figures.anonymous_bytes, 60 * 1024);
        assert_eq!(figures.file_bytes, 30 * 1024);
        assert_eq!(figures.swap_bytes, 5 * 1024);
    }

    #[test]
    fn a_kernel_without_swap_has_none_in_use() {
        let figures = recorded(&STATUS.replace("VmSwap", "VmLib")).unwrap();
        assert_eq!(figures.swap_bytes, 0);
    }

    #[test]
    fn a_missing_or_broken_field_is_named() {
        let said = recorded(&STATUS.replace("RssAnon", "Anon")).unwrap_err();
        assert!(said.to_string().contains("`RssAnon`"), "{said}");
        let said = recorded(&STATUS.replace("60 kB", "-60 kB")).unwrap_err();
        assert!(said.to_string().contains("-60 kB"), "{said}");
        let nowhere = Roots::new("/nonexistent", "/nonexistent");
        let said = ProcessFigures::read(&nowhere).unwrap_err();
        assert!(
            said.to_string().contains("/nonexistent/self/status"),
            "{said}"
        );
    }
}
