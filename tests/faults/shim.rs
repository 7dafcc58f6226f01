//! The library that has calls fail (`shim.c`): made with the machine's C compiler, put before the C
//! library of a process that plays a role, and steered by that process itself.

use super::{roles, skip};
use std::ffi::CStr;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::AtomicI64;

/// `struct faults` of `shim.c`. A `long` has 64 bits on every Linux with as many.
#[repr(C)]
pub struct Faults {
    pub clock_shift: AtomicI64,
    pub mmap_every: AtomicI64,
    pub mmap_calls: AtomicI64,
    pub mmap_failed: AtomicI64,
    pub mmap_longest: AtomicI64,
    pub create_nth: AtomicI64,
    pub call_nth: AtomicI64,
    pub call_errno: AtomicI64,
    pub call_seen: AtomicI64,
    pub call_failed: AtomicI64,
    pub call_log: AtomicI64,
    pub call_name: [u8; 16],
}

/// A command for a role with the shim before its C library; `None`, and why it is skipped is said,
/// where there is no C compiler.
pub fn command(role: &str, folder: &Path) -> Option<Command> {
    static MADE: LazyLock<Result<tempfile::TempDir, String>> = LazyLock::new(make);
    match &*MADE {
        Ok(library) => {
            let mut command = roles::command(role, folder);
            command.env("LD_PRELOAD", library.path().join("shim.so"));
            Some(command)
        }
        Err(why) => {
            skip(why);
            None
        }
    }
}

fn make() -> Result<tempfile::TempDir, String> {
    if cfg!(target_feature = "crt-static") {
        return Err("a static program has nothing put before its C library".to_owned());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = folder.path().join("shim.c");
    std::fs::write(&source, include_str!("shim.c")).map_err(|error| error.to_string())?;
    let library = folder.path().join("shim.so");
    let made = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .map_err(|error| format!("no C compiler `cc`: {error}"))?;
    // One that is there and fails is a fault of the test.
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    Ok(folder)
}

fn symbol(name: &CStr) -> *mut libc::c_void {
    // SAFETY: a name that ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?}: not started with the shim");
    found
}

/// The shim's own, in a process that was started with it.
pub fn faults() -> &'static Faults {
    // SAFETY: `struct faults` of `shim.c`, which is never unloaded; all but the name is atomic there
    // and here, and the name is read when nothing fails any more.
    unsafe { &*symbol(c"plimsoll_faults").cast() }
}

/// The calling thread's calls are meant, or no longer.
pub fn mark(on: bool) {
    // SAFETY: the function of `shim.c`, with its signature.
    let mark: extern "C" fn(libc::c_int) =
        unsafe { std::mem::transmute(symbol(c"plimsoll_faults_mark")) };
    mark(libc::c_int::from(on));
}

/// Starts a program by `vfork`, and answers its id.
pub fn vfork(program: &CStr) -> libc::pid_t {
    type Vfork = unsafe extern "C" fn(
        *const libc::c_char,
        *const *const libc::c_char,
        *const *const libc::c_char,
    ) -> libc::pid_t;
    // SAFETY: the function of `shim.c`, with its signature.
    let vfork: Vfork = unsafe { std::mem::transmute(symbol(c"plimsoll_faults_vfork")) };
    let arguments = [program.as_ptr(), std::ptr::null()];
    // SAFETY: strings that end with a zero, and lists that end with a null.
    unsafe { vfork(program.as_ptr(), arguments.as_ptr(), &arguments[1]) }
}
