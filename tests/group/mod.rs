//! A memory control group of the test's own, removed when dropped.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Group {
    folder: PathBuf,
    version: u8,
}

impl Group {
    /// Makes a group that may use `limit` bytes, below the one that this process is in.
    pub fn new(name: &str, limit: u64) -> Result<Group, String> {
        let (parent, version) = own_group()?;
        let folder = parent.join(format!("plimsoll-{name}-{}", std::process::id()));
        let tried = |what: &Path, error: io::Error| format!("{}: {error}", what.display());
        if version == 2 {
            let control = parent.join("cgroup.subtree_control");
            fs::write(&control, "+memory").map_err(|error| tried(&control, error))?;
        }
        fs::create_dir(&folder).map_err(|error| tried(&folder, error))?;
        let group = Group { folder, version };
        let file = group.folder.join(match version {
            1 => "memory.limit_in_bytes",
            _ => "memory.max",
        });
        fs::write(&file, limit.to_string()).map_err(|error| tried(&file, error))?;
        // Swap would take what the limit does not let in. Where there is none, neither is a file.
        let swap = match version {
            1 => group.folder.join("memory.memsw.limit_in_bytes"),
            _ => group.folder.join("memory.swap.max"),
        };
        let _ = fs::write(
            swap,
            if version == 1 {
                limit.to_string()
            } else {
                "0".into()
            },
        );
        Ok(group)
    }

    /// Starts a command inside the group, with its output kept.
    pub fn start(&self, command: &mut Command) -> Child {
        let members = self.folder.join("cgroup.procs");
        let members = std::ffi::CString::new(members.into_os_string().into_encoded_bytes())
            .expect("no NUL in a path");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only system calls are made: open, write, close.
        unsafe {
            command.pre_exec(move || {
                let file = libc::open(members.as_ptr(), libc::O_WRONLY);
                // "0" means the process that writes it.
                let written = libc::write(file, c"0".as_ptr().cast(), 1);
                libc::close(file);
                if written == 1 {
                    Ok(())
                } else {
                    Err(io::Error::last_os_error())
                }
            });
        }
        command.spawn().expect("a process in the group")
    }

    /// How often the kernel has killed in this group.
    pub fn kills(&self) -> u64 {
        let file = self.folder.join(match self.version {
            1 => "memory.oom_control",
            _ => "memory.events",
        });
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group is busy until its last process is gone.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// The folder of this process's group in the hierarchy that limits memory, and its version.
fn own_group() -> Result<(PathBuf, u8), String> {
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let v1 = Path::new("/sys/fs/cgroup/memory");
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let (head, path) = line.rsplit_once(':')?;
            wanted(head).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    if v1.join("cgroup.procs").exists() {
        let path = path_of(&|head| head.ends_with(":memory")).unwrap_or_default();
        let own = v1.join(path);
        return Ok((if own.exists() { own } else { v1.to_owned() }, 1));
    }
    let v2 = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(v2.join("cgroup.controllers")).unwrap_or_default();
    if controllers.split_whitespace().any(|name| name == "memory") {
        // A group that has processes may not have children with controllers: so beside the root.
        return Ok((v2.to_owned(), 2));
    }
    Err("no memory controller is mounted".to_owned())
}
