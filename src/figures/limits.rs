//! How much memory this process may use, and who says so.
//!
//! The smallest of what the program configured, what its control groups allow at any level, its
//! resource limits, and the machine's memory. A limit that is not set is none; a file that is there
//! and makes no sense is an error, because to take it for none would be to sail without a line.

use super::cgroup::{self, Candidate};
use super::error::FigureError;
use super::roots::Roots;
use super::small_file::{self, BUFFER, decimal, kilobytes};
use std::fmt;
use std::path::{Path, PathBuf};

/// Version 1 has no word for "no limit": it shows the largest number of pages, about 2^63 bytes.
/// No machine has a quarter of the address space in memory.
const NO_LIMIT: u64 = 1 << 62;

/// Who set a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum LimitSource {
    /// The program itself.
    Configured,
    /// `memory.max` of a control group of version 2: beyond it the kernel kills.
    CgroupV2Max,
    /// `memory.high` of one: beyond it the kernel slows the process down.
    CgroupV2High,
    /// `memory.limit_in_bytes` of a control group of version 1.
    CgroupV1,
    /// `RLIMIT_AS`: address space. Memory that is reserved and not used counts against it.
    RlimitAs,
    /// `RLIMIT_DATA`: private writable memory.
    RlimitData,
    /// All the memory that the machine has.
    PhysicalMemory,
}

impl LimitSource {
    /// As in JSON: `cgroup_v2_max`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LimitSource::Configured => "configured",
            LimitSource::CgroupV2Max => "cgroup_v2_max",
            LimitSource::CgroupV2High => "cgroup_v2_high",
            LimitSource::CgroupV1 => "cgroup_v1",
            LimitSource::RlimitAs => "rlimit_as",
            LimitSource::RlimitData => "rlimit_data",
            LimitSource::PhysicalMemory => "physical_memory",
        }
    }
}

impl fmt::Display for LimitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A limit and who set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Limit {
    /// In bytes, above 0.
    pub bytes: u64,
    /// Who set it.
    pub source: LimitSource,
}

/// Reads the limit, again and again: an operator may change it while the program runs.
///
/// ```
/// use plimsoll::figures::{LimitReader, Roots};
///
/// # fn main() -> Result<(), plimsoll::figures::FigureError> {
/// let mut limits = LimitReader::new(Roots::default(), None)?;
/// let limit = limits.read()?;
/// println!("{} bytes, by {}", limit.bytes, limit.source);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LimitReader {
    configured: Option<u64>,
    roots: Roots,
    groups_path: PathBuf,
    rlimits_path: PathBuf,
    meminfo_path: PathBuf,
    /// `/proc/self/cgroup` as it was when `candidates` was made from it.
    groups: Vec<u8>,
    candidates: Vec<Candidate>,
}

impl LimitReader {
    /// Finds out where the limits of this process stand, and holds it to `configured` bytes as well.
    ///
    /// # Errors
    ///
    /// [`FigureError::Malformed`] for a configured limit of 0, what the system said of `/proc/self/cgroup` or
    /// `/proc/self/mountinfo` if they are there and cannot be read, or [`FigureError::Unsupported`] on other systems
    /// than Linux.
    pub fn new(roots: Roots, configured: Option<u64>) -> Result<LimitReader, FigureError> {
        roots.supported()?;
        let process = roots.proc().join("self");
        if configured == Some(0) {
            let path = Path::new("configured limit");
            return Err(FigureError::malformed(path, b"0", "at least one byte"));
        }
        let mut reader = LimitReader {
            configured,
            groups_path: process.join("cgroup"),
            rlimits_path: process.join("limits"),
            meminfo_path: roots.proc().join("meminfo"),
            roots,
            groups: Vec::new(),
            candidates: Vec::new(),
        };
        reader.find_candidates()?;
        Ok(reader)
    }

    /// The smallest limit now. Of equals it is the configured one, then that of a control group, of the own one
    /// before its parents', then a resource limit, then physical memory.
    ///
    /// Allocates nothing unless the process was moved to another control group, it fails, or a
    /// control group's file has a path of 384 bytes or more.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read or makes no sense, and what was expected.
    pub fn read(&mut self) -> Result<Limit, FigureError> {
        let mut smallest: Option<Limit> = None;
        self.visit(|limit, _| {
            if smallest.is_none_or(|least| limit.bytes < least.bytes) {
                smallest = Some(limit);
            }
        })?;
        smallest.ok_or_else(|| FigureError::missing(&self.meminfo_path, "MemTotal"))
    }

    /// Every limit that is set, with the file that says so (none for a configured one).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn all(&mut self) -> Result<Vec<(Limit, Option<PathBuf>)>, FigureError> {
        let mut limits = Vec::new();
        self.visit(|limit, path| limits.push((limit, path.map(Path::to_owned))))?;
        Ok(limits)
    }

    fn visit(&mut self, mut each: impl FnMut(Limit, Option<&Path>)) -> Result<(), FigureError> {
        let mut buffer = [0; BUFFER];
        let groups = small_file::read_if_there(&self.groups_path, &mut buffer)?;
        if groups.unwrap_or_default() != self.groups {
            self.find_candidates()?;
        }
        if let Some(bytes) = self.configured {
            let source = LimitSource::Configured;
            each(Limit { bytes, source }, None);
        }
        for Candidate { path, source } in &self.candidates {
            let Some(text) = small_file::read_if_there(path, &mut buffer)? else {
                continue;
            };
            if let Some(bytes) = group_limit(path, text)? {
                let source = *source;
                each(Limit { bytes, source }, Some(path));
            }
        }
        if let Some(text) = small_file::read_if_there(&self.rlimits_path, &mut buffer)? {
            for (row, source) in [
                ("Max address space", LimitSource::RlimitAs),
                ("Max data size", LimitSource::RlimitData),
            ] {
                if let Some(bytes) = resource_limit(&self.rlimits_path, text, row)? {
                    each(Limit { bytes, source }, Some(&self.rlimits_path));
                }
            }
        }
        let text = small_file::read(&self.meminfo_path, &mut buffer)?;
        let bytes = physical_memory(&self.meminfo_path, text)?;
        let source = LimitSource::PhysicalMemory;
        each(Limit { bytes, source }, Some(&self.meminfo_path));
        Ok(())
    }

    fn find_candidates(&mut self) -> Result<(), FigureError> {
        let mut buffer = [0; BUFFER];
        let groups = small_file::read_if_there(&self.groups_path, &mut buffer)?;
        let groups = groups.unwrap_or_default().to_vec();
        let mounts_path = self.roots.proc().join("self/mountinfo");
        // `self` is the main thread: one that has ended sees no mounts, and the calling thread does.
        let mounts = std::fs::read(&mounts_path).or_else(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => {
                std::fs::read(self.roots.proc().join("thread-self/mountinfo"))
            }
            _ => Err(error),
        });
        let mounts = match mounts {
            Ok(mounts) => mounts,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FigureError::io(&mounts_path, error)),
        };
        self.candidates = cgroup::candidates(&self.roots, &groups, &mounts);
        // Last, so that a failure above is tried again at the next read.
        self.groups = groups;
        Ok(())
    }
}

/// What a control group's file says; `None` for no limit.
fn group_limit(path: &Path, text: &[u8]) -> Result<Option<u64>, FigureError> {
    let value = text.strip_suffix(b"\n").unwrap_or(text);
    if value == b"max" {
        return Ok(None);
    }
    match decimal(value) {
        Some(0) => Err(FigureError::malformed(
            path,
            value,
            "a limit above 0 bytes, which leaves room to run",
        )),
        Some(NO_LIMIT..) => Ok(None),
        Some(bytes) => Ok(Some(bytes)),
        None => Err(FigureError::malformed(
            path,
            text,
            "a number of bytes or `max`",
        )),
    }
}

/// The soft limit in a row of `/proc/self/limits`; `None` for none.
fn resource_limit(path: &Path, text: &[u8], row: &'static str) -> Result<Option<u64>, FigureError> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(row.as_bytes()));
    let line = line.ok_or_else(|| FigureError::missing(path, row))?;
    let value = line
        .split(u8::is_ascii_whitespace)
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    if value == b"unlimited" {
        return Ok(None);
    }
    match decimal(value) {
        Some(bytes) if bytes > 0 => Ok(Some(bytes)),
        _ => Err(FigureError::malformed(
            path,
            line,
            "a number of bytes above 0 or `unlimited`",
        )),
    }
}

/// What `/proc/meminfo` says the machine has.
fn physical_memory(path: &Path, text: &[u8]) -> Result<u64, FigureError> {
    match kilobytes(path, text, "MemTotal")? {
        Some(0) => Err(FigureError::malformed(
            path,
            b"MemTotal: 0 kB",
            "a machine with more than 0 bytes of memory",
        )),
        Some(bytes) => Ok(bytes),
        None => Err(FigureError::missing(path, "MemTotal")),
    }
}

/// Reads arbitrary bytes as the files that limits are found in and read from: must not panic.
#[cfg(any(test, fuzzing))]
pub fn fuzz_parse(groups: &[u8], mounts: &[u8], value: &[u8]) {
    cgroup::candidates(&Roots::default(), groups, mounts);
    let path = Path::new("fuzz");
    let _ = group_limit(path, value);
    let _ = resource_limit(path, value, "Max address space");
    let _ = physical_memory(path, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:  1 kB\n";
    const MEMTOTAL: u64 = 16_384_000 * 1024;
    const MOUNTS_V2: &str = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const MOUNTS_V1: &str = "36 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    /// A recorded machine: files by their absolute paths.
    fn machine(files: &[(&str, &str)]) -> TempDir {
        let tree = tempfile::tempdir().unwrap();
        let base = [("/proc/meminfo", MEMINFO)];
        for (path, text) in base.iter().chain(files) {
            let path = tree.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        tree
    }

    fn reader(tree: &TempDir, configured: Option<u64>) -> LimitReader {
        let roots = Roots::new(tree.path().join("proc"), tree.path().join("sys"));
        LimitReader::new(roots, configured).unwrap()
    }

    fn limit(files: &[(&str, &str)]) -> Result<(u64, LimitSource), FigureError> {
        let tree = machine(files);
        let limit = reader(&tree, None).read()?;
        Ok((limit.bytes, limit.source))
    }

    #[test]
    fn without_any_other_the_machines_memory_is_the_limit() {
        assert_eq!(limit(&[]).unwrap(), (MEMTOTAL, LimitSource::PhysicalMemory));
        let unlimited = [
            ("/proc/self/cgroup", "0::/app\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
            ("/sys/fs/cgroup/app/memory.max", "max\n"),
            ("/sys/fs/cgroup/app/memory.high", "max\n"),
        ];
        assert_eq!(limit(&unlimited).unwrap().1, LimitSource::PhysicalMemory);
    }

    #[test]
    fn the_smallest_group_of_the_hierarchy_decides() {
        let files = [
            ("/proc/self/cgroup", "0::/pod/app\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
            ("/sys/fs/cgroup/pod/app/memory.max", "max\n"),
            ("/sys/fs/cgroup/pod/memory.max", "268435456\n"),
        ];
        let (bytes, source) = limit(&files).unwrap();
        assert_eq!((bytes, source), (256 << 20, LimitSource::CgroupV2Max));
    }

    #[test]
    fn memory_high_below_memory_max_decides() {
        let files = [
            ("/proc/self/cgroup", "0::/app\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
            ("/sys/fs/cgroup/app/memory.max", "300\n"),
            ("/sys/fs/cgroup/app/memory.high", "200\n"),
        ];
        assert_eq!(limit(&files).unwrap(), (200, LimitSource::CgroupV2High));
    }

    #[test]
    fn version_1_shows_no_limit_as_a_huge_number() {
        let file = "/sys/fs/cgroup/memory/app/memory.limit_in_bytes";
        let base = [
            ("/proc/self/cgroup", "4:memory:/app\n"),
            ("/proc/self/mountinfo", MOUNTS_V1),
        ];
        let mut none = base.to_vec();
        none.push((file, "9223372036854771712\n"));
        assert_eq!(limit(&none).unwrap().1, LimitSource::PhysicalMemory);
        let mut some = base.to_vec();
        some.push((file, "1048576\n"));
        assert_eq!(limit(&some).unwrap(), (1 << 20, LimitSource::CgroupV1));
    }

    #[test]
    fn resource_limits_count() {
        let rlimits = "Limit                     Soft Limit           Hard Limit           Units\n\
                       Max data size             unlimited            unlimited            bytes\n\
                       Max address space         4096000              unlimited            bytes\n";
        let found = limit(&[("/proc/self/limits", rlimits)]).unwrap();
        assert_eq!(found, (4_096_000, LimitSource::RlimitAs));
        // The smaller of both, whichever it is.
        let data = rlimits.replace("size             unlimited", "size             2048000  ");
        let found = limit(&[("/proc/self/limits", &data)]).unwrap();
        assert_eq!(found, (2_048_000, LimitSource::RlimitData));
    }

    #[test]
    fn hybrid_docker_and_kubernetes_trees_show_the_limit() {
        let v1 = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        let unified = "40 25 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let hybrid = limit(&[
            ("/proc/self/cgroup", "4:memory:/app\n1:cpu:/\n0::/\n"),
            ("/proc/self/mountinfo", &format!("{MOUNTS_V1}{unified}")),
            ("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", "4096\n"),
            ("/sys/fs/cgroup/unified/cgroup.procs", "1\n"),
        ]);
        assert_eq!(hybrid.unwrap(), (4096, LimitSource::CgroupV1));
        for group in ["/docker/ab12", "/kubepods/burstable/pod7/cd34"] {
            let mounts = MOUNTS_V1.replace(" / ", &format!(" {group} "));
            let bound = limit(&[
                ("/proc/self/cgroup", &format!("4:memory:{group}\n")),
                ("/proc/self/mountinfo", &mounts),
                (v1, "8192\n"),
            ]);
            assert_eq!(bound.unwrap(), (8192, LimitSource::CgroupV1), "{group}");
        }
        let namespace = limit(&[
            ("/proc/self/cgroup", "0::/../pod7\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
            ("/sys/fs/cgroup/memory.max", "2048\n"),
        ]);
        assert_eq!(namespace.unwrap(), (2048, LimitSource::CgroupV2Max));
    }

    #[test]
    fn a_configured_limit_counts_only_when_it_is_the_smallest() {
        let tree = machine(&[]);
        let found = reader(&tree, Some(1000)).read().unwrap();
        assert_eq!((found.bytes, found.source), (1000, LimitSource::Configured));
        let found = reader(&tree, Some(u64::MAX)).read().unwrap();
        assert_eq!(found.source, LimitSource::PhysicalMemory);
    }

    #[test]
    fn a_malformed_limit_is_an_error_that_names_file_value_and_expectation() {
        for wrong in [
            "",
            "12abc\n",
            "-1\n",
            "max max\n",
            "1e9\n",
            "0\n",
            "99999999999999999999\n",
        ] {
            let said = limit(&[
                ("/proc/self/cgroup", "0::/app\n"),
                ("/proc/self/mountinfo", MOUNTS_V2),
                ("/sys/fs/cgroup/app/memory.max", wrong),
            ])
            .unwrap_err()
            .to_string();
            assert!(said.contains("/fs/cgroup/app/memory.max"), "{said}");
            assert!(said.contains(&format!("{:?}", wrong.trim_end())), "{said}");
            assert!(said.contains("expected"), "{said}");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_an_error_that_names_the_file() {
        let tree = machine(&[
            ("/proc/self/cgroup", "0::/app\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
        ]);
        let folder = tree.path().join("sys/fs/cgroup/app/memory.max");
        std::fs::create_dir_all(&folder).unwrap();
        let said = reader(&tree, None).read().unwrap_err().to_string();
        assert!(said.contains("memory.max"), "{said}");
    }

    #[test]
    fn resource_limits_without_their_rows_are_an_error_and_not_unlimited() {
        let said = limit(&[("/proc/self/limits", "Max cpu time  unlimited\n")]).unwrap_err();
        assert!(said.to_string().contains("`Max address space`"), "{said}");
    }

    #[test]
    fn no_limit_at_all_is_an_error_and_not_an_ocean_or_nothing() {
        for text in ["MemFree: 1 kB\n", "MemTotal: 0 kB\n"] {
            let tree = machine(&[("/proc/meminfo", text)]);
            let said = reader(&tree, None).read().unwrap_err().to_string();
            assert!(said.contains("MemTotal"), "{said}");
        }
    }

    #[test]
    fn a_changed_limit_and_a_move_to_another_group_are_seen() {
        let tree = machine(&[
            ("/proc/self/cgroup", "0::/a\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
            ("/sys/fs/cgroup/a/memory.max", "100\n"),
            ("/sys/fs/cgroup/b/memory.max", "50\n"),
        ]);
        let mut reader = reader(&tree, None);
        assert_eq!(reader.read().unwrap().bytes, 100);
        std::fs::write(tree.path().join("sys/fs/cgroup/a/memory.max"), "120\n").unwrap();
        assert_eq!(reader.read().unwrap().bytes, 120);
        std::fs::write(tree.path().join("proc/self/cgroup"), "0::/b\n").unwrap();
        assert_eq!(reader.read().unwrap().bytes, 50);
        assert_eq!(reader.all().unwrap().len(), 2);
    }

    #[test]
    fn a_move_that_could_not_be_followed_is_tried_again() {
        let tree = machine(&[
            ("/proc/self/cgroup", "0::/a\n"),
            ("/proc/self/mountinfo", MOUNTS_V2),
            ("/sys/fs/cgroup/a/memory.max", "100\n"),
            ("/sys/fs/cgroup/b/memory.max", "50\n"),
        ]);
        let mut reader = reader(&tree, None);
        let mounts = tree.path().join("proc/self/mountinfo");
        std::fs::remove_file(&mounts).unwrap();
        std::fs::create_dir(&mounts).unwrap();
        std::fs::write(tree.path().join("proc/self/cgroup"), "0::/b\n").unwrap();
        assert!(reader.read().is_err());
        std::fs::remove_dir(&mounts).unwrap();
        std::fs::write(&mounts, MOUNTS_V2).unwrap();
        assert_eq!(reader.read().unwrap().bytes, 50);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            groups in proptest::collection::vec(0u8.., 0..100),
            mounts in proptest::collection::vec(0u8.., 0..200),
            value in "(Max address space|MemTotal:)?[ \\PC\n]{0,30}( kB)?\n?",
        ) {
            fuzz_parse(&groups, &mounts, value.as_bytes());
        }
    }
}
