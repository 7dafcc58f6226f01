//! A library with another copy of the crate, and another jemalloc, in the same process.
//!
//! The library is built at the first run, in a target folder of its own that stays: some seconds
//! where the jemalloc that was built for this test can be linked again, minutes where not.

use super::truth::assert_exact;
use super::{fork::all_states, skip};
use super::{played, roles};
use plimsoll::Monitor;
use std::ffi::{CStr, CString};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, mpsc};

const LIBRARY: &str = "PLIMSOLL_TEST_LIBRARY";

/// The library's file; or why there is none.
static MADE: LazyLock<Result<PathBuf, String>> = LazyLock::new(make);

fn make() -> Result<PathBuf, String> {
    if cfg!(target_feature = "crt-static") {
        return Err("a static program loads no library".to_owned());
    }
    let cargo = std::env::var_os("CARGO").ok_or("not run by cargo, which builds the library")?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let manifest =
        include_str!("second/Cargo.toml.in").replace("@plimsoll@", here.to_str().unwrap());
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("lib.rs"), include_str!("second/lib.rs")).unwrap();
    // The versions that are there already.
    let _ = std::fs::copy(here.join("Cargo.lock"), folder.join("Cargo.lock"));
    let mut build = Command::new(cargo);
    build
        .args(["build", "--offline", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(jemalloc) = built_jemalloc() {
        build.env("JEMALLOC_OVERRIDE", jemalloc);
    }
    let built = build.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    Ok(folder.join("target/debug/libsecond.so"))
}

/// The archive that this test itself is linked with, beside it in the target folder.
fn built_jemalloc() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let builds = own.parent()?.parent()?.join("build");
    let builds = std::fs::read_dir(builds).ok()?;
    builds
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains("tikv-jemalloc-sys-"))
        .map(|path| path.join("out/lib/libjemalloc_pic.a"))
        .find(|archive| archive.exists())
}

/// The library, loaded.
struct Second(*mut libc::c_void);

// SAFETY: a handle of the loader's, which any thread may use.
unsafe impl Send for Second {}
// SAFETY: likewise.
unsafe impl Sync for Second {}

impl Second {
    fn load() -> Second {
        let path = std::env::var_os(LIBRARY).expect("the library");
        let path = CString::new(path.as_bytes()).unwrap();
        // SAFETY: a string that ends with a zero; what the library does when it is loaded is sound.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", problem());
        Second(handle)
    }

    fn find(&self, name: &CStr) -> *mut libc::c_void {
        // SAFETY: the handle is open, and the name ends with a zero.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!found.is_null(), "{}", problem());
        found
    }

    fn work(&self, blocks: u64) {
        // SAFETY: the function of `second/lib.rs`, with its signature; so in the others.
        let work: extern "C" fn(u64) = unsafe { std::mem::transmute(self.find(c"second_work")) };
        work(blocks);
    }

    fn threads(&self, count: u64, blocks: u64) {
        // SAFETY: likewise.
        let threads: extern "C" fn(u64, u64) =
            unsafe { std::mem::transmute(self.find(c"second_threads")) };
        threads(count, blocks);
    }

    fn monitor(&self) -> bool {
        // SAFETY: likewise.
        let monitor: extern "C" fn() -> bool =
            unsafe { std::mem::transmute(self.find(c"second_monitor")) };
        monitor()
    }

    fn counts(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        // SAFETY: likewise.
        let read: extern "C" fn(&mut [u64; 4]) =
            unsafe { std::mem::transmute(self.find(c"second_counts")) };
        read(&mut counts);
        counts
    }

    fn close(self) {
        // SAFETY: the handle is open, and nothing of it is used any more.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0, "{}", problem());
    }
}

fn problem() -> String {
    // SAFETY: null, or a string that is valid until the loader's next call on this thread.
    unsafe {
        let said = libc::dlerror();
        if said.is_null() {
            return "no error".to_owned();
        }
        CStr::from_ptr(said).to_string_lossy().into_owned()
    }
}

fn is_loaded() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.contains("libsecond.so")
}

/// Both copies at work, and both exact.
fn both(second: &Arc<Second>) {
    let before = second.counts();
    second.work(1);
    let after = second.counts();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut ours = all_states(&stop);
    let before = second.counts();
    let theirs: Vec<_> = (0..3)
        .map(|_| {
            let second = Arc::clone(second);
            std::thread::spawn(move || {
                for _ in 0..200 {
                    second.work(50);
                    drop(black_box(vec![1u8; 100]));
                }
            })
        })
        .collect();
    for thread in theirs {
        thread.join().unwrap();
    }
    let after = second.counts();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [30_000; 2]);
    assert_eq!(after[2..], before[2..], "what is live there");
    let before = after;
    second.threads(40, 100);
    let after = second.counts();
    // And what starting a thread takes.
    assert!(after[0] - before[0] >= 4_000);
    assert_eq!(
        after[2], after[3],
        "nobody is left in the middle of anything"
    );
    stop.store(true, Ordering::Relaxed);
    for thread in ours.drain(..) {
        assert!(thread.join().unwrap() > 0);
    }
    assert_exact();
}

pub fn library(folder: &Path) {
    let monitor = Monitor::builder().start().unwrap();
    let second = Arc::new(Second::load());
    both(&second);
    // One for each copy: they know nothing of each other.
    assert!(second.monitor());
    roles::say(folder, "exact");
    // A thread of the program's that has been in the library, and ends after it was closed.
    let (go_on, wait) = mpsc::channel::<()>();
    let (been, was_there) = mpsc::channel();
    let in_thread = Arc::clone(&second);
    let thread = std::thread::spawn(move || {
        in_thread.work(10);
        drop(in_thread);
        been.send(()).unwrap();
        let _ = wait.recv();
    });
    was_there.recv().unwrap();
    Arc::into_inner(second).expect("the last one").close();
    roles::say(
        folder,
        &format!("loaded after it was closed: {}", is_loaded()),
    );
    drop(go_on);
    thread.join().unwrap();
    roles::say(folder, "ended");
    // And again: what it left behind is no hindrance.
    let second = Arc::new(Second::load());
    both(&second);
    let again = Arc::clone(&second);
    std::thread::spawn(move || again.work(1)).join().unwrap();
    Arc::into_inner(second).expect("the last one").close();
    monitor.stop();
    assert_exact();
}

/// A command for a role that loads the library; `None`, and why it is skipped is said, where there is
/// none.
fn with_library(role: &str) -> Option<(tempfile::TempDir, Command)> {
    let library = match &*MADE {
        Ok(library) => library,
        Err(why) => {
            skip(why);
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = roles::command(role, folder.path());
    // jemalloc takes its thread's data from what the loader keeps ready for such, and that is not
    // enough for a second one. A library that has to be loaded without this builds jemalloc with the
    // feature `disable_initial_exec_tls`.
    command
        .env(LIBRARY, library)
        .env("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384");
    Some((folder, command))
}

/// A thread that has been in the library ends after that was closed.
pub fn closed(folder: &Path) {
    let second = Second::load();
    let (go_on, wait) = mpsc::channel::<()>();
    let (been, was_there) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        second.work(10);
        been.send(second).unwrap();
        let _ = wait.recv();
    });
    was_there.recv().unwrap().close();
    roles::say(
        folder,
        &format!("loaded after it was closed: {}", is_loaded()),
    );
    drop(go_on);
    thread.join().unwrap();
}

#[test]
fn two_copies_in_one_process_each_count_their_own_and_one_may_be_closed() {
    let Some((folder, command)) = with_library("library") else {
        return;
    };
    println!("{:?}", played(command, folder.path()));
}

#[test]
fn a_thread_that_has_been_in_a_library_may_end_after_that_was_closed() {
    if let Some((folder, command)) = with_library("closed") {
        let account = played(command, folder.path());
        assert_eq!(account, ["loaded after it was closed: true"]);
    }
}
