//! What the kernel tells: arbitrary bytes in its files never panic, what is accepted is within its
//! range, and an error names the file and what was expected.
//!
//! The files stand in a folder that is read for `/proc` and `/sys`. A part of the input that is not there
//! is a file that is not there. The name of a thread is the kernel's own.
#![no_main]

use plimsoll::figures::{
    FigureError, Limit, LimitReader, LimitSource, Pressure, ProcessFigures, Roots,
};
use plimsoll::{Plimsoll, fuzz_wake};
use std::alloc::System;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[global_allocator]
static HEAP: Plimsoll<System> = Plimsoll::wrap(System);

/// What can be told, by its place below the folder.
const FILES: [&str; 10] = [
    "proc/self/status",
    "proc/meminfo",
    "proc/self/limits",
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "sys/fs/cgroup/app/memory.max",
    "sys/fs/cgroup/memory.high",
    "sys/fs/cgroup/memory/memory.limit_in_bytes",
    "sys/fs/cgroup/app/memory.pressure",
    "proc/pressure/memory",
];

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("plimsoll-kernel-{}", std::process::id());
    // In memory: on a disk it is twenty times as slow.
    let folder = Path::new("/dev/shm").join(name);
    for file in FILES {
        std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
    }
    // SAFETY: `clear` takes nothing and does not unwind.
    assert_eq!(unsafe { libc::atexit(clear) }, 0);
    folder
});

extern "C" fn clear() {
    let _ = std::fs::remove_dir_all(FOLDER.as_path());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&configured, bytes)) = bytes.split_first() else {
        return;
    };
    let folder = FOLDER.as_path();
    let mut parts = bytes.split(|&byte| byte == 0);
    for file in FILES {
        tell(&folder.join(file), parts.next());
    }
    let roots = Roots::new(folder.join("proc"), folder.join("sys"));
    process(&roots);
    // Every power of two, and none.
    limits(&roots, 1u64.checked_shl(configured.into()));
    triggers(&roots);
    // Nothing written is no name.
    if let Some(name) = parts.next().filter(|name| !name.is_empty()) {
        thread(name);
    }
});

fn tell(file: &Path, text: Option<&[u8]>) {
    match text {
        Some(text) => std::fs::write(file, text).unwrap(),
        None => drop(std::fs::remove_file(file)),
    }
}

fn assert_tells(error: &FigureError) {
    let said = error.to_string();
    // A group's file may lie wherever it is said to be mounted.
    let names = ["/proc/", "/sys/", "/memory."];
    assert!(names.iter().any(|name| said.contains(name)), "{said}");
    assert!(said.contains("expected"), "{said}");
}

fn process(roots: &Roots) {
    let figures = match ProcessFigures::read(roots) {
        Ok(figures) => figures,
        Err(error) => return assert_tells(&error),
    };
    for bytes in [
        figures.resident_bytes,
        figures.anonymous_bytes,
        figures.file_bytes,
        figures.shared_memory_bytes,
        figures.swap_bytes,
    ] {
        assert_eq!(bytes % 1024, 0);
        let pressure = Pressure::new(bytes, figures.anonymous_bytes, figures.resident_bytes);
        assert!(pressure.value().is_finite() && pressure.value() >= 0.0);
    }
}

fn limits(roots: &Roots, configured: Option<u64>) {
    let read = LimitReader::new(roots.clone(), configured).and_then(|mut reader| {
        let all = reader.all()?;
        Ok((reader.read()?, all))
    });
    let (smallest, all) = match read {
        Ok(read) => read,
        Err(error) => return assert_tells(&error),
    };
    let found = all.iter().map(|(limit, _)| *limit);
    assert_eq!(found.min_by_key(|limit| limit.bytes), Some(smallest));
    for (Limit { bytes, source, .. }, path) in all {
        assert!(bytes > 0, "{source} in {path:?}");
        assert_eq!(path.is_none(), source == LimitSource::Configured);
    }
}

/// Where nothing usable is named, the kernel is asked, if it has what to ask.
fn triggers(roots: &Roots) {
    let missing = FOLDER.join("missing");
    assert!(fuzz_wake(roots, &missing, b"").is_ok_and(|sources| sources <= 1));
}

/// The kernel has the first fifteen bytes of a name.
fn thread(name: &[u8]) {
    let name = &name[..name.len().min(15)];
    if std::fs::write("/proc/thread-self/comm", name).is_err() {
        return;
    }
    let names: Vec<String> = plimsoll::threads()
        .into_iter()
        .map(|one| one.name)
        .collect();
    let told = String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
    assert!(names.contains(&told), "{told:?} is none of {names:?}");
}
