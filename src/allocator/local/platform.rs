//! A thread's end and a fork, where they are hooked, and what keeps that code where it is.

use core::ffi::c_void;
use core::num::NonZeroUsize;
use core::ptr;
use once_cell::race::{OnceBool, OnceNonZeroUsize};

/// Rounds in which glibc, musl and Darwin destroy keys (`PTHREAD_DESTRUCTOR_ITERATIONS`, which
/// POSIX requires to be at least 4).
const ROUNDS: usize = 4;

/// The round in which a thread hands its block back. ThreadSanitizer ends a thread in the last one,
/// and nothing that is compiled for it may run after that.
const LAST: usize = ROUNDS - 1;

/// The key plus one.
static KEY: OnceNonZeroUsize = OnceNonZeroUsize::new();
static FORK_HOOKED: OnceBool = OnceBool::new();

pub(super) fn can_hand_back() -> bool {
    true
}

/// Has [`depart`](super::depart) called at the end of this thread, and
/// [`in_child`](super::in_child) in every child. `false` when the first cannot be had.
pub(super) fn at_thread_exit() -> bool {
    FORK_HOOKED.get_or_init(|| {
        // Should two threads come here at once the handler may stand twice; the second call
        // then finds nothing left to do. Where there is no memory for it a child counts on as the parent
        // would: exactly, but with the figures of threads that are not in it.
        // SAFETY: `in_child` neither unwinds nor allocates.
        unsafe { libc::pthread_atfork(None, None, Some(child)) == 0 }
    });
    let Some(key) = key() else {
        return false;
    };
    // SAFETY: the key was created and is never deleted.
    unsafe { libc::pthread_setspecific(key, ptr::without_provenance(1)) == 0 }
}

/// Made once. Of two threads that make one, the later deletes its own: no lock.
fn key() -> Option<libc::pthread_key_t> {
    let mut made = None;
    let key = KEY.get_or_try_init(|| {
        let mut key: libc::pthread_key_t = 0;
        // SAFETY: `key` is ours to write, and the destructor neither unwinds nor allocates.
        if unsafe { libc::pthread_key_create(&mut key, Some(round)) } != 0 {
            return Err(());
        }
        made = Some(key);
        stay_loaded();
        NonZeroUsize::new(key as usize + 1).ok_or(())
    });
    let key = (key.ok()?.get() - 1) as libc::pthread_key_t;
    if let Some(spare) = made.filter(|&made| made != key) {
        // SAFETY: ours, never published.
        unsafe { libc::pthread_key_delete(spare) };
    }
    Some(key)
}

/// Keeps the library that this is in, where it is in one, from being unloaded: threads that have
/// allocated call [`round`] at their end, and the allocator inside may have a destructor too. Once, it
/// waits for the loader's lock, and forgets what `dlerror` had to say.
///
/// musl and Darwin unload no library that has data of threads. On Android and the BSDs such a library has
/// to be linked so that it stays.
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    not(target_feature = "crt-static")
)))]
fn stay_loaded() {}
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    not(target_feature = "crt-static")
))]
fn stay_loaded() {
    let here = round as *const c_void;
    if is_in_program(here) {
        return;
    }
    let mut found = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `found` has room for the answer, and the name that it holds is the loader's, and stays.
    // With `RTLD_NOLOAD` nothing is loaded: what is there gets a flag and a reference more, which stay.
    unsafe {
        if libc::dladdr(here, found.as_mut_ptr()) != 0 {
            let name = found.assume_init().dli_fname;
            let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            libc::dlopen(name, flags);
        }
    }
}

/// Whether an address is in the program itself, which nobody unloads. Where the kernel does not tell
/// where that is, everything is. Asks the loader nothing, and so waits for none of its locks.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    not(target_feature = "crt-static")
))]
fn is_in_program(address: *const c_void) -> bool {
    #[cfg(target_pointer_width = "32")]
    use libc::Elf32_Phdr as Header;
    #[cfg(target_pointer_width = "64")]
    use libc::Elf64_Phdr as Header;
    // SAFETY: reads what the kernel gave the process.
    let (at, count) = unsafe {
        let at = libc::getauxval(libc::AT_PHDR) as usize;
        (at, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let headers = ptr::with_exposed_provenance::<Header>(at);
    if headers.is_null() {
        return true;
    }
    // SAFETY: the program's headers, so many, which are mapped for as long as it runs.
    let headers = unsafe { core::slice::from_raw_parts(headers, count) };
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let moved_by = own.map_or(0, |own| at.wrapping_sub(own.p_vaddr as usize));
    let offset = address.addr().wrapping_sub(moved_by);
    headers.iter().any(|header| {
        let begin = header.p_vaddr as usize;
        header.p_type == libc::PT_LOAD
            && (begin..begin.saturating_add(header.p_memsz as usize)).contains(&offset)
    })
}

/// One round of key destruction; `value` is its number.
unsafe extern "C" fn round(value: *mut c_void) {
    let number = value.addr();
    if number < LAST
        && let Some(key) = key()
    {
        // SAFETY: the key was created and is never deleted.
        let again = unsafe { libc::pthread_setspecific(key, ptr::without_provenance(number + 1)) };
        if again == 0 {
            return;
        }
    }
    super::depart();
}

extern "C" fn child() {
    super::in_child();
}

#[cfg(all(
    test,
    target_os = "linux",
    target_env = "gnu",
    not(target_feature = "crt-static")
))]
#[test]
fn the_program_is_told_from_a_library() {
    assert!(is_in_program(round as *const c_void));
    assert!(!is_in_program(libc::dladdr as *const c_void));
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn thread_id() -> u32 {
    // SAFETY: no arguments, no effect, cannot fail.
    unsafe { libc::gettid() as u32 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn thread_id() -> u32 {
    0
}
