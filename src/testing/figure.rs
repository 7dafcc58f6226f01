//! The figures of a measurement by their names.

use super::Measurement;

/// A figure of a [`Measurement`], by the name that it has there.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub(super) name: &'static str,
    pub(super) of: fn(&Measurement) -> i128,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $of:expr;)+) => {$(
        $(#[$doc])*
        #[allow(non_upper_case_globals, reason = "named as the fields are, so that a macro finds them")]
        pub const $name: Figure = Figure { name: stringify!($name), of: $of };
    )+
        pub(super) const ALL: &[Figure] = &[$($name),+];
    };
}

figures! {
    /// Successful calls of `alloc` and `alloc_zeroed`.
    allocations: |found| found.allocations.into();
    /// Calls of `dealloc`.
    deallocations: |found| found.deallocations.into();
    /// Successful calls of `realloc`.
    reallocations: |found| found.reallocations.into();
    /// Requested bytes; a `realloc` adds its new size.
    allocated_bytes: |found| found.allocated_bytes.into();
    /// Freed bytes; a `realloc` adds its old size.
    deallocated_bytes: |found| found.deallocated_bytes.into();
    /// Bytes live after, above what was live before; below zero when more was freed.
    net_bytes: |found| found.net_bytes.into();
    /// Blocks live after, above what was live before; below zero when more were freed.
    net_blocks: |found| found.net_blocks().into();
    /// The most that was live at once, above what was live before.
    peak_bytes: |found| found.peak_bytes.into();
}
