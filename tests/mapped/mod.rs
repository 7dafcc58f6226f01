//! What this program maps by itself, page by page: `mmap` and `munmap` are the test's own here, so
//! that the mappings of the C library (stacks, its heap) are not among them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// More than one program maps for counters: chunks double in size.
const MOST: usize = 4096;

static STARTS: [AtomicPtr<libc::c_void>; MOST] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST];
static LENGTHS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut libc::c_void,
    length: usize,
    protection: libc::c_int,
    flags: libc::c_int,
    file: libc::c_int,
    offset: libc::off_t,
) -> *mut libc::c_void {
    // SAFETY: the caller's obligations are passed on.
    let start = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            address,
            length,
            protection,
            flags,
            file,
            offset,
        )
    } as *mut libc::c_void;
    if start != libc::MAP_FAILED {
        let place = COUNT.fetch_add(1, Ordering::SeqCst);
        // Out of places the number tells, and every test looks at it.
        if place < MOST {
            LENGTHS[place].store(length, Ordering::SeqCst);
            STARTS[place].store(start, Ordering::SeqCst);
        }
    }
    start
}

/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn munmap(address: *mut libc::c_void, length: usize) -> libc::c_int {
    let known = COUNT.load(Ordering::SeqCst).min(MOST);
    for start in &STARTS[..known] {
        if start.load(Ordering::SeqCst) == address {
            start.store(std::ptr::null_mut(), Ordering::SeqCst);
        }
    }
    // SAFETY: the caller's obligations are passed on.
    unsafe { libc::syscall(libc::SYS_munmap, address, length) as libc::c_int }
}

/// Mappings that stand since there were `from` of them, their bytes, and those of them that are
/// resident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    pub mappings: usize,
    pub bytes: usize,
    pub resident: usize,
}

/// How many there have been.
pub fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}

pub fn since(from: usize) -> Mapped {
    let count = count();
    assert!(count <= MOST, "{count} mappings");
    let mut found = Mapped::default();
    for place in from..count {
        let start = STARTS[place].load(Ordering::SeqCst);
        if start.is_null() {
            continue;
        }
        let length = LENGTHS[place].load(Ordering::SeqCst);
        found.mappings += 1;
        found.bytes += length;
        let mut pages = vec![0u8; length.div_ceil(4096)];
        // SAFETY: the range is mapped, and there is a byte for each page of it.
        let told = unsafe { libc::mincore(start, length, pages.as_mut_ptr()) };
        assert_eq!(told, 0);
        found.resident += pages.iter().filter(|page| **page & 1 == 1).count() * 4096;
    }
    found
}
