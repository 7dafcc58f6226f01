//! Six bugs that forget memory.

pub mod connection;
pub mod cycle;
pub mod forgotten;
pub mod log;
pub mod map;
pub mod task;
