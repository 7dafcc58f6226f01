//! Figures for others to keep.
//!
//! | module | for |
//! |---|---|
//! | [`prometheus`] | Prometheus, and whoever reads OpenMetrics |

pub mod prometheus;
