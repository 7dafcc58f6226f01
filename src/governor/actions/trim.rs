//! The C library's own heap, which C libraries and their callers allocate from.
//!
//! glibc keeps what was freed below the last block that is still in use. `malloc_trim` gives the
//! whole pages of it back. Both functions are looked up by name: `mallinfo2` is in glibc since
//! 2.33, and other C libraries have neither.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use once_cell::sync::Lazy;

    type MallocTrim = unsafe extern "C" fn(usize) -> libc::c_int;
    type MallInfo2 = unsafe extern "C" fn() -> Info;

    /// `struct mallinfo2`: ten sizes, of which one serves here.
    #[repr(C)]
    struct Info {
        before: [usize; 8],
        /// Bytes in free blocks, in all arenas (`fordblks`).
        free: usize,
        after: usize,
    }

    fn find(name: &std::ffi::CStr) -> Option<*mut libc::c_void> {
        // SAFETY: looks a name up among what is loaded already.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }

    static INFO: Lazy<Option<MallInfo2>> = Lazy::new(|| {
        // SAFETY: glibc's function of this name has this signature.
        find(c"mallinfo2").map(|found| unsafe { std::mem::transmute(found) })
    });
    static TRIM: Lazy<Option<MallocTrim>> = Lazy::new(|| {
        // SAFETY: glibc's function of this name has this signature.
        find(c"malloc_trim").map(|found| unsafe { std::mem::transmute(found) })
    });

    pub(super) fn free() -> u64 {
        // SAFETY: takes nothing and only reads glibc's heap under its own locks.
        INFO.map_or(0, |info| unsafe { info() }.free as u64)
    }

    pub(super) fn trim() -> bool {
        // SAFETY: gives free pages back under glibc's own locks.
        TRIM.map(|trim| unsafe { trim(0) }).is_some()
    }
}

/// Bytes that the C library's heap has free; 0 where it cannot be asked.
pub(in crate::governor) fn system_heap_free() -> u64 {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return glibc::free();
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    0
}

/// Has the C library's heap give its free pages back. `false` where that is not possible.
pub(in crate::governor) fn trim_system_heap() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return glibc::trim();
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}
