//! jemalloc's control tree, by name once and by number from then on.
//!
//! `tikv-jemalloc-ctl` wraps the common leaves; the ones a governor needs (per arena, and the void
//! controls that take no value and answer none) are reached here. Looking a name up costs ten
//! times what reading by number does, so every path is translated once.

use tikv_jemalloc_ctl::{Error, raw};

/// Means every arena, where a path takes the number of one (`MALLCTL_ARENAS_ALL`). Only
/// `arena.<i>.purge`, `.decay` and the statistics understand it; the decay times do not.
pub(crate) const ALL_ARENAS: usize = 4096;

/// A translated path of `N` parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<const N: usize> {
    mib: [usize; N],
}

impl<const N: usize> Path<N> {
    /// Translates `name`, which ends in a NUL byte.
    pub(crate) fn new(name: &'static [u8]) -> Result<Path<N>, Error> {
        let mut mib = [0; N];
        raw::name_to_mib(name, &mut mib)?;
        Ok(Path { mib })
    }

    /// The same path with part `at` replaced: the number of an arena.
    pub(crate) fn with(mut self, at: usize, number: usize) -> Path<N> {
        self.mib[at] = number;
        self
    }

    /// Reads the leaf.
    ///
    /// # Safety
    ///
    /// The leaf's type is `T`, as jemalloc's manual names it.
    pub(crate) unsafe fn read<T: Copy>(&self) -> Result<T, Error> {
        // SAFETY: the caller knows the type of this leaf.
        unsafe { raw::read_mib(&self.mib) }
    }

    /// Writes the leaf.
    ///
    /// # Safety
    ///
    /// The leaf's type is `T`, as jemalloc's manual names it.
    pub(crate) unsafe fn write<T>(&self, value: T) -> Result<(), Error> {
        // SAFETY: the caller knows the type of this leaf.
        unsafe { raw::write_mib(&self.mib, value) }
    }

    /// Carries out a control that neither takes nor answers a value. `raw::write` cannot: it always
    /// passes a value, which jemalloc refuses here. Answers the `errno` value when refused.
    ///
    /// # Safety
    ///
    /// The leaf is such a control.
    pub(crate) unsafe fn call(&self) -> Result<(), i32> {
        // SAFETY: no value goes either way, and the path has `N` parts.
        let refused = unsafe {
            tikv_jemalloc_sys::mallctlbymib(
                self.mib.as_ptr(),
                N,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                0,
            )
        };
        if refused == 0 { Ok(()) } else { Err(refused) }
    }
}
