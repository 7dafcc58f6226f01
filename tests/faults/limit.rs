//! The limit is lowered while more than it is in use.

use super::{group, played, roles, said, skip};
use plimsoll::figures::Roots;
use plimsoll::{EventKind, Level, Monitor};
use roles::{MIB, say};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is in use.
const HELD: u64 = 100 * MIB;

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The limit that the last event told of.
fn told(monitor: &Monitor) -> Option<u64> {
    let events = monitor.recent_events().into_iter().rev();
    let mut limits = events.filter_map(|event| match event.kind {
        EventKind::Limit { to, .. } => Some(to.bytes),
        _ => None,
    });
    limits.next()
}

/// A recorded machine whose group is lowered to far below what is in use: no kernel would.
pub fn lowered(folder: &Path) {
    let tree = folder.join("tree");
    let file = tree.join("sys/fs/cgroup/app/memory.max");
    let status = "VmRSS: 1 kB\nRssAnon: 1 kB\nRssFile: 0 kB\nRssShmem: 0 kB\n";
    for (path, text) in [
        ("proc/meminfo", "MemTotal: 1000000 kB\n"),
        ("proc/self/status", status),
        ("proc/self/cgroup", "0::/app\n"),
        (
            "proc/self/mountinfo",
            "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        ),
        ("sys/fs/cgroup/app/memory.max", "536870912\n"),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let monitor = Monitor::builder()
        .interval(Duration::from_millis(10))
        .roots(Roots::new(tree.join("proc"), tree.join("sys")))
        .start()
        .unwrap();
    let kept = black_box(vec![1u8; HELD as usize]);
    assert_eq!(monitor.limit().bytes, 512 * MIB);
    fs::write(&file, (HELD / 2).to_string()).unwrap();
    // At the next look after the limit was read anew.
    wait_until("critical", || monitor.level() == Level::Critical);
    assert_eq!(told(&monitor), Some(HELD / 2));
    assert!(monitor.last_utilization() >= 2.0);
    monitor.optimise().unwrap();
    drop(kept);
    wait_until("normal", || monitor.level() == Level::Normal);
    say(folder, "lowered");
}

/// This process's group, and the file of its limit.
fn own_limit() -> PathBuf {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path_of = |head: &str| {
        let mut lines = groups.lines();
        lines.find_map(|line| Some(line.split_once(head)?.1.trim_start_matches('/')))
    };
    let v1 = path_of(":memory:").map(|path| {
        let folder = Path::new("/sys/fs/cgroup/memory").join(path);
        folder.join("memory.limit_in_bytes")
    });
    let v2 = path_of("0::").map(|path| Path::new("/sys/fs/cgroup").join(path).join("memory.max"));
    let mut files = v1.into_iter().chain(v2);
    files
        .find(|file| file.exists())
        .expect("a group of its own")
}

/// A real group, lowered to below what is in use, of which the kernel can drop enough: what was read
/// from a file.
pub fn in_group(folder: &Path) {
    let file = own_limit();
    let monitor = Monitor::builder()
        .interval(Duration::from_millis(10))
        .start()
        .unwrap();
    assert_eq!(monitor.limit().bytes, 256 * MIB);
    let kept = black_box(vec![1u8; HELD as usize]);
    let pages = vec![1u8; (4 * MIB) as usize];
    let mut cached = fs::File::create(folder.join("cached")).unwrap();
    for _ in 0..20 {
        std::io::Write::write_all(&mut cached, &pages).unwrap();
    }
    cached.sync_all().unwrap();
    let anonymous = monitor.status().process.unwrap().anonymous_bytes;
    // Below what cannot be dropped: version 1 refuses, and nothing has changed.
    if file.ends_with("memory.limit_in_bytes") {
        assert!(fs::write(&file, (HELD / 2).to_string()).is_err());
    }
    let lowered = (anonymous as f64 / 0.93) as u64 & !4095;
    fs::write(&file, lowered.to_string()).unwrap();
    wait_until("critical", || monitor.level() == Level::Critical);
    assert_eq!(told(&monitor), Some(lowered));
    drop((kept, pages));
    wait_until("normal", || monitor.level() == Level::Normal);
    say(folder, "lowered");
}

/// Takes half a minute: as long as the limit is believed. Both at once, therefore.
#[test]
fn a_limit_that_is_lowered_below_what_is_in_use_is_critical_at_its_next_reading() {
    let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let recorded = folders[0].path().to_owned();
    let recorded =
        std::thread::spawn(move || played(roles::command("lowered", &recorded), &recorded));
    match group::Group::new("faults", 256 * MIB) {
        Ok(group) => {
            let folder = folders[1].path();
            let child = group.start(&mut roles::command("group", folder));
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            assert_eq!(roles::account(folder), ["lowered", "done"]);
            assert_eq!(group.kills(), 0);
        }
        Err(why) => skip(format!("no memory control group can be made here: {why}")),
    }
    assert_eq!(recorded.join().unwrap(), ["lowered"]);
}
