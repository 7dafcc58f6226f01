//! Five loads that take memory for good reasons, and either stop or give it back.

pub mod batch;
pub mod cache_fill;
pub mod daily;
pub mod sawtooth;
pub mod start_up;
