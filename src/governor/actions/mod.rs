//! What can be done about pressure. Each action measures what it gave back.

mod purge;
mod shrink;

pub(super) use purge::purge_arenas;
pub use shrink::Shrink;
pub(super) use shrink::{Caches, weak};
