//! A load line for the heap.
#![cfg_attr(plimsoll_loom, allow(dead_code, unused))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allocator;
#[cfg(not(plimsoll_loom))]
pub mod figures;
#[cfg(not(plimsoll_loom))]
mod governor;
#[cfg(not(plimsoll_loom))]
pub mod testing;

#[cfg(not(plimsoll_loom))]
pub use self::{
    allocator::{Inner, Plimsoll},
    figures::{HeapFigures, ThreadFigures, heap, threads},
    governor::*,
    testing::{Measurement, measure},
};
