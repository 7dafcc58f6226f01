//! What can be done about pressure. Who carries an action out measures what it gave back.

mod decay;
mod flush;
mod give_back;
mod purge;
mod shrink;
mod trim;

pub(super) use decay::Decay;
pub use flush::on_thread_park;
pub(super) use flush::{at_park, flush_thread_caches};
pub use give_back::give_back;
pub(super) use purge::purge_arenas;
pub use shrink::Shrink;
pub(super) use shrink::{Caches, weak};
pub(super) use trim::{system_heap_free, trim_system_heap};
