//! Which files say how much memory this process's control groups allow.
//!
//! `/proc/self/cgroup` names the process's group in each hierarchy, `/proc/self/mountinfo` says
//! where the hierarchies are mounted and which part of them is visible there (in a container, often
//! only the process's own). A limit on any group above counts too, so the files of every group
//! from the process's own up to the mount are candidates.
//!
//! Names of groups are bytes, not text: one that is not UTF-8 has a limit like any other.

use super::limits::LimitSource;
use super::roots::Roots;
use std::path::{Path, PathBuf};

/// A file that may hold a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) path: PathBuf,
    pub(crate) source: LimitSource,
}

/// Every candidate, the process's own group first. Lines that make no sense name no group.
pub(crate) fn candidates(roots: &Roots, groups: &[u8], mounts: &[u8]) -> Vec<Candidate> {
    let mounts: Vec<Mount> = lines(mounts).filter_map(Mount::parse).collect();
    let mut found = Vec::new();
    for group in lines(groups).filter_map(Group::parse) {
        let Some(mount) = group.mount(&mounts) else {
            continue;
        };
        let top = mount.visible_at(roots);
        let below = mount.path_below(&group.path);
        let mut folder = top.join(&below);
        loop {
            for &(name, source) in group.version.files() {
                found.push(Candidate {
                    path: folder.join(name),
                    source,
                });
            }
            if folder == top || !folder.pop() {
                break;
            }
        }
    }
    found
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// A path as the kernel writes it, any bytes; elsewhere than on Unix as near as text comes.
fn path_of(bytes: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        PathBuf::from(std::ffi::OsString::from_vec(bytes))
    }
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn files(self) -> &'static [(&'static str, LimitSource)] {
        match self {
            Version::V1 => &[("memory.limit_in_bytes", LimitSource::CgroupV1)],
            Version::V2 => &[
                ("memory.max", LimitSource::CgroupV2Max),
                ("memory.high", LimitSource::CgroupV2High),
            ],
        }
    }
}

/// The process's group in one hierarchy: a line `id:controllers:path`.
struct Group {
    version: Version,
    path: PathBuf,
}

impl Group {
    fn parse(line: &[u8]) -> Option<Group> {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let id = parts.next()?;
        let controllers = parts.next()?;
        let path = path_of(parts.next()?.to_vec());
        if id == b"0" && controllers.is_empty() {
            let version = Version::V2;
            return Some(Group { version, path });
        }
        controllers
            .split(|&byte| byte == b',')
            .any(|name| name == b"memory")
            .then_some(Group {
                version: Version::V1,
                path,
            })
    }

    /// Where the group can be seen: the mount that shows the least beside it. When none shows it,
    /// as across a namespace, any mount of the hierarchy: its top is then our own group.
    fn mount<'a>(&self, mounts: &'a [Mount]) -> Option<&'a Mount> {
        let mut same = mounts.iter().filter(|mount| mount.version == self.version);
        same.clone()
            .filter(|mount| self.path.starts_with(&mount.root))
            .max_by_key(|mount| mount.root.components().count())
            .or_else(|| same.next())
    }
}

/// Where a hierarchy is mounted.
struct Mount {
    version: Version,
    /// The part of the hierarchy that is visible.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// `id parent device root point options [fields] - type source super-options`.
    fn parse(line: &[u8]) -> Option<Mount> {
        let space = |byte: &u8| *byte == b' ';
        let hyphen = line.windows(3).position(|window| window == b" - ")?;
        let mut fields = line[..hyphen].split(space).skip(3);
        let root = unescape(fields.next()?);
        let point = unescape(fields.next()?);
        let mut fields = line[hyphen + 3..].split(space);
        let version = match fields.next()? {
            b"cgroup2" => Version::V2,
            b"cgroup" => {
                let mut options = fields.nth(1)?.split(|&byte| byte == b',');
                options.find(|&option| option == b"memory")?;
                Version::V1
            }
            _ => return None,
        };
        // An empty root would turn a group's path, absolute as it is, into one below the mount.
        if !root.has_root() || !point.has_root() {
            return None;
        }
        Some(Mount {
            version,
            root,
            point,
        })
    }

    fn visible_at(&self, roots: &Roots) -> PathBuf {
        match self.point.strip_prefix("/sys") {
            Ok(below) => roots.sys().join(below),
            Err(_) => self.point.clone(),
        }
    }

    /// The group's path from the mount on; empty when it cannot be seen there.
    fn path_below(&self, group: &Path) -> PathBuf {
        let below = group.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let leads_out = below
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        if leads_out {
            PathBuf::new()
        } else {
            below.to_owned()
        }
    }
}

/// Undoes the octal escapes of `mountinfo`: `\040` for a space.
fn unescape(text: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| octal(after)).flatten();
        plain.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() {
            &after[3..]
        } else {
            after
        };
    }
    path_of(plain)
}

/// The byte that the first three digits make.
fn octal(text: &[u8]) -> Option<u8> {
    let code = text.get(..3)?.iter().try_fold(0u16, |code, &digit| {
        matches!(digit, b'0'..=b'7').then(|| code * 8 + u16::from(digit - b'0'))
    })?;
    u8::try_from(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(groups: &str, mounts: &str) -> Vec<String> {
        candidates(
            &Roots::new("/p", "/s"),
            groups.as_bytes(),
            mounts.as_bytes(),
        )
        .into_iter()
        .map(|candidate| candidate.path.display().to_string())
        .collect()
    }

    const V2: &str = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      36 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn every_group_up_to_the_mount_is_asked() {
        assert_eq!(
            paths("0::/system.slice/app.service\n", V2),
            [
                "/s/fs/cgroup/system.slice/app.service/memory.max",
                "/s/fs/cgroup/system.slice/app.service/memory.high",
                "/s/fs/cgroup/system.slice/memory.max",
                "/s/fs/cgroup/system.slice/memory.high",
                "/s/fs/cgroup/memory.max",
                "/s/fs/cgroup/memory.high",
            ]
        );
    }

    #[test]
    fn only_the_memory_hierarchy_of_version_1_is_asked() {
        assert_eq!(
            paths("5:cpu,cpuacct:/x\n4:memory:/a/b\n", V1),
            [
                "/s/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/s/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/s/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }

    #[test]
    fn a_hybrid_system_is_asked_in_both() {
        let mounts = format!("{V1}40 25 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let found = paths("4:memory:/a\n0::/\n", &mounts);
        assert!(found.contains(&"/s/fs/cgroup/memory/a/memory.limit_in_bytes".to_owned()));
        assert!(found.contains(&"/s/fs/cgroup/unified/memory.max".to_owned()));
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_reads_the_mount_itself() {
        let mounts =
            "36 25 0:31 /docker/abc /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n";
        assert_eq!(
            paths("4:memory:/docker/abc\n", mounts),
            ["/s/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert_eq!(
            paths("4:memory:/docker/abc/inner\n", mounts),
            [
                "/s/fs/cgroup/memory/inner/memory.limit_in_bytes",
                "/s/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
    }

    #[test]
    fn a_path_out_of_the_namespace_reads_the_mount_and_nothing_above() {
        assert_eq!(
            paths("0::/../other\n", V2),
            ["/s/fs/cgroup/memory.max", "/s/fs/cgroup/memory.high"]
        );
    }

    #[test]
    fn escaped_mount_points_are_read_as_they_are() {
        let mounts = "36 25 0:31 / /mnt/my\\040groups rw - cgroup2 none rw\n";
        assert_eq!(
            paths("0::/\n", mounts),
            ["/mnt/my groups/memory.max", "/mnt/my groups/memory.high"]
        );
    }

    #[test]
    fn a_backslash_without_three_octal_digits_is_a_backslash() {
        for (escaped, plain) in [
            ("/a\\134b", "/a\\b"),
            ("/a\\+12", "/a\\+12"),
            ("/a\\777", "/a\\777"),
            ("/a\\04", "/a\\04"),
        ] {
            assert_eq!(unescape(escaped.as_bytes()), Path::new(plain), "{escaped}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_group_whose_name_is_not_utf_8_is_asked() {
        let roots = Roots::new("/p", "/s");
        let found = candidates(&roots, b"0::/a\xff\n", V2.as_bytes());
        let expected = path_of(b"/s/fs/cgroup/a\xff/memory.max".to_vec());
        assert_eq!(found[0].path, expected);
    }

    #[test]
    fn a_mount_without_an_absolute_root_is_none() {
        assert!(paths("0::/\n", "30 25 0:26  /sys/fs/cgroup rw - cgroup2 x rw\n").is_empty());
    }

    #[test]
    fn without_a_mount_there_is_no_limit_from_it() {
        assert!(paths("0::/app\n4:memory:/app\n", "").is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_nor_leave_the_mount(
            groups in "[0-9]:[a-z,]{0,8}:(/[.a-z\\\\é]{0,5}){0,4}\n",
            mounts in "([0-9] ){3}(/[.a-z\\\\07]{0,5}){0,3} /sys/fs/[a-z\\\\07é]{0,9} rw - cgroup2 x rw\n",
            noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let roots = Roots::new("/p", "/s");
            candidates(&roots, &noise, mounts.as_bytes());
            candidates(&roots, groups.as_bytes(), &noise);
            for candidate in candidates(&roots, groups.as_bytes(), mounts.as_bytes()) {
                prop_assert!(candidate.path.starts_with("/s/fs"));
            }
        }
    }
}
