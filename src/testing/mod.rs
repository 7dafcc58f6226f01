//! Allocation figures of a piece of work, for tests and benchmarks.

mod measure;

pub use measure::{Measurement, measure};
