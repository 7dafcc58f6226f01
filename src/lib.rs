//! A load line for the heap.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allocator;
#[cfg(not(plimsoll_loom))]
pub mod figures;
#[cfg(not(plimsoll_loom))]
pub mod testing;

#[cfg(not(plimsoll_loom))]
pub use allocator::{Inner, Plimsoll};
#[cfg(not(plimsoll_loom))]
pub use figures::{HeapFigures, ThreadFigures, heap, threads};
#[cfg(not(plimsoll_loom))]
pub use testing::{Measurement, measure};
// pub use allocator::Plimsoll
