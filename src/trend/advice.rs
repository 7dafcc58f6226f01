//! What a person can do about a verdict, in words.

use super::verdict::{Forecast, Severity};
use crate::units::Bytes;
use std::fmt;

/// The most recommendations of one verdict.
const MOST: usize = 4;

/// Up to four recommendations, the most urgent first. Each says itself in words:
///
/// ```
/// # let verdict = plimsoll::trend::Verdict::default();
/// for recommendation in verdict.advice.iter() {
///     println!("{recommendation}");
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Advice {
    list: [Option<Recommendation>; MOST],
}

impl Advice {
    pub(super) fn push(&mut self, recommendation: Recommendation) {
        if let Some(place) = self.list.iter_mut().find(|place| place.is_none()) {
            *place = Some(recommendation);
        }
    }

    /// One after the other, the most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = &Recommendation> {
        self.list.iter().flatten()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Advice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(ToString::to_string))
    }
}

/// What a series measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Subject {
    /// The live heap, exact.
    Heap,
    /// Anonymous resident memory.
    Resident,
    /// A series that somebody recorded.
    #[default]
    Recorded,
}

impl Subject {
    /// As in JSON: `heap`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Subject::Heap => "heap",
            Subject::Resident => "resident",
            Subject::Recorded => "recorded",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Heap => "live heap",
            Subject::Resident => "resident memory",
            Subject::Recorded => "memory",
        })
    }
}

/// One thing to know or to do.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Recommendation {
    /// It grows by so much.
    Grows {
        /// What.
        subject: Subject,
        /// How fast.
        bytes_per_hour: f64,
        /// For how long, in seconds.
        seconds: f64,
    },
    /// The limit is reached then.
    ReachesLimit(Forecast),
    /// Something has to be done before that.
    Act(Severity),
    /// Where to look for it.
    Compare {
        /// The bytes that it grows by in the meantime.
        bytes: f64,
        /// How long to wait between two profiles, in seconds.
        seconds: f64,
    },
    /// Bytes grow and blocks do not.
    LookForOneBuffer,
    /// It levels off: leave it room.
    LeaveRoom,
    /// Nothing has to be done.
    Nothing,
    /// Too early: more is known after so many seconds more, or before that if the course shows.
    Wait {
        /// In seconds.
        seconds: f64,
    },
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Recommendation::Grows { subject, bytes_per_hour, seconds } => {
                let (slope, span) = (Bytes(bytes_per_hour), Span(seconds));
                write!(f, "{subject} has grown by {slope}/h for {span}")?;
                match subject {
                    // What is live is in no free page.
                    Subject::Heap => f.write_str("; freeing pages will not help"),
                    _ => Ok(()),
                }
            }
            Recommendation::ReachesLimit(forecast) if forecast.seconds <= 0.0 => {
                f.write_str("the limit has been reached")
            }
            Recommendation::ReachesLimit(forecast) => {
                write!(f, "at this rate the limit is reached in {}", Span(forecast.seconds))?;
                match forecast.latest {
                    Some(latest) => write!(
                        f,
                        " (90 % interval: {} to {})",
                        Span(forecast.soonest),
                        Span(latest)
                    ),
                    None => write!(f, " (at the soonest in {})", Span(forecast.soonest)),
                }
            }
            Recommendation::Act(severity) => f.write_str(match severity {
                Severity::Critical => {
                    "restart now, or shed load: there is no time to look for the cause first"
                }
                Severity::High => "plan a restart for a quiet hour before then",
                _ => "there is time to find the cause before a restart is needed",
            }),
            Recommendation::Compare { bytes, seconds } => write!(
                f,
                "compare two heap profiles taken {} apart: what has grown by about {} is the leak",
                Span(seconds),
                Bytes(bytes)
            ),
            Recommendation::LookForOneBuffer => f.write_str(
                "blocks do not grow with the bytes: look for one container or buffer that grows, \
                 not for many forgotten objects",
            ),
            Recommendation::LeaveRoom => f.write_str(
                "it levels off, as a warm-up or a cache that fills does: leave it the room it needs",
            ),
            Recommendation::Nothing => f.write_str("nothing has to be done"),
            Recommendation::Wait { seconds } => {
                write!(f, "too early to say: that may take {} more", Span(seconds))
            }
        }
    }
}

/// A time for people, in its two largest units.
struct Span(f64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A span so long that it does not fit is as good as any other that long.
        let seconds = self.0.clamp(0.0, 1e12).round() as u64;
        let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
        let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
        match (days, hours, minutes) {
            (1000.., _, _) => f.write_str("years"),
            (1.., _, _) => write!(f, "{days} d {hours} h"),
            (_, 1.., _) => write!(f, "{hours} h {minutes} min"),
            (_, _, 1..) => write!(f, "{minutes} min {rest} s"),
            _ => write!(f, "{rest} s"),
        }
    }
}
