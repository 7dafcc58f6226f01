//! Whether memory leaks, how fast, how surely, and how long there is left: series in, verdict out.
//!
//! Pure: no clock, no thread, no allocator. A [`Detector`] takes [`Sample`]s and answers a
//! [`Verdict`]; all memory that it needs is reserved when it is made.
//!
//! ```text
//!           rings of bins           windows              findings              belief
//! sample ──► history ────► window ─┬─ cycle    ─┐
//!                                  ├─ segments ─┼─► fit, shape ──► evidence ──► detector ──► verdict
//!                                  └─ low marks ┘   for each           ▲
//!                                                   beginning      precedent
//! ```
//!
//! | | |
//! |---|---|
//! | [`Detector`] | follows one series, sample by sample |
//! | [`Verdict`] | what is said about it: leak or not, how sure, how fast, and how long there is left |
//! | [`Advice`] | the same in words, with what to do next |
//! | [`mann_kendall`], [`mann_kendall_hamed_rao`], [`theil_sen`] | the field's own tests, to compare with |
//!
//! Of a running program, [`Monitor::leak_verdict`](crate::Monitor::leak_verdict) says the same.

// | file | its one idea |
// |---|---|
// | `history` | what was seen, in fixed memory, fine to coarse |
// | `points` | a stretch of it, its low watermarks, its jumps |
// | `cycle` | the length of a cycle |
// | `segments` | where it changes its course |
// | `fit` | a robust line through noise that remembers |
// | `shape` | line, curve that levels off, or exponential: a fair comparison |
// | `window` | one ring's stretch: beginnings, and a finding for each |
// | `precedent` | what the time before held |
// | `evidence` | the questions that a leak has to pass |
// | `pattern` | the name of a course |
// | `detector` | belief from sample to sample, and the verdict |
// | `verdict`, `advice` | what is said, in figures and in words |
// | `kendall` | the field's tests, to compare with |

mod advice;
mod cycle;
mod detector;
mod evidence;
mod fit;
mod history;
mod kendall;
mod pattern;
mod points;
mod precedent;
mod segments;
mod shape;
mod verdict;
mod window;

/// Bins of a ring, and points of a window: with eight rings they fill 60 KiB.
const MOST: usize = 240;

pub use advice::{Advice, Recommendation, Subject};
pub use detector::Detector;
pub use evidence::Question;
pub use history::{History, Sample};
pub use kendall::{Kendall, Sen, mann_kendall, mann_kendall_hamed_rao, theil_sen};
pub use pattern::Pattern;
pub use verdict::{Forecast, Judgement, Severity, Verdict};
