//! Three small libraries that promise to survive a failing allocation. Each is there twice: as it
//! should be, and with a bug of a kind of its own that only a failure shows.

pub mod interner;
pub mod record;
pub mod ring;
