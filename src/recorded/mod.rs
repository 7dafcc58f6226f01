//! Reads a series that somebody recorded: a CSV, or what Prometheus answers to a range query.
//!
//! For the command line, and public only so that fuzzing reaches it. Every row is checked as it is
//! read, and the first that makes no sense ends the reading, with its place, what was found there,
//! and what was expected. What is accepted has finite figures from 0 on and times that only go
//! forward, so the engine need not ask again.

mod csv;
mod error;
mod prometheus;

pub use error::{Place, ReadError};

use crate::trend::Sample;
use error::short;

/// Fewer rows than this have no median step, and no course.
const LEAST_ROWS: usize = 3;

/// In seconds: the year 5138, so that what is above has been written in milliseconds.
const LATEST: f64 = 1e11;

/// 16 EiB, the most that an address reaches.
const LARGEST: f64 = 18_446_744_073_709_551_616.0;

/// What the figures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Percent of a limit.
    Percent,
}

/// What a column of figures is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bytes,
    Percent,
    /// Percent if all of it is between 0 and 100, bytes otherwise.
    Value,
}

/// A recorded series.
#[derive(Clone, Debug)]
pub struct Series {
    /// At least three, each later than the one before.
    pub samples: Vec<Sample>,
    /// What their figures count.
    pub unit: Unit,
}

impl Series {
    /// From the first sample to the last, in seconds.
    #[must_use]
    pub fn span(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => last.seconds - first.seconds,
            _ => 0.0,
        }
    }

    /// The median step between two samples, in seconds.
    #[must_use]
    pub fn interval(&self) -> f64 {
        let steps = self.samples.windows(2);
        let mut steps: Vec<f64> = steps.map(|two| two[1].seconds - two[0].seconds).collect();
        let middle = steps.len() / 2;
        if steps.is_empty() {
            return 1.0;
        }
        *steps.select_nth_unstable_by(middle, f64::total_cmp).1
    }
}

/// Reads the whole of a file.
///
/// What begins with a brace is Prometheus' JSON, everything else a CSV.
///
/// # Errors
///
/// If anything in it makes no sense.
pub fn read(bytes: &[u8]) -> Result<Series, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let line = |at: usize| 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err(ReadError::Binary {
            line: line(at),
            found: "a zero byte",
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| ReadError::Binary {
        line: line(error.valid_up_to()),
        found: "bytes that are not UTF-8",
    })?;
    let (rows, kind) = match text.trim_start().chars().next() {
        None => return Err(ReadError::Empty),
        Some('{') => prometheus::read(text)?,
        Some(_) => csv::read(text)?,
    };
    rows.finish(kind)
}

/// The rows so far.
#[derive(Default)]
struct Rows(Vec<Sample>);

impl Rows {
    /// The time of a row that comes next.
    fn time(&self, text: &str, place: Place) -> Result<f64, ReadError> {
        let seconds = figure(text, place, "a time in seconds, from 0 to 1e11", LATEST)?;
        match self.0.last() {
            Some(before) if seconds <= before.seconds => Err(ReadError::TimeGoesBack {
                place,
                found: short(text),
                before: before.seconds,
            }),
            _ => Ok(seconds),
        }
    }

    fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    fn finish(self, kind: Kind) -> Result<Series, ReadError> {
        if self.0.len() < LEAST_ROWS {
            return Err(ReadError::TooFew {
                found: self.0.len(),
                least: LEAST_ROWS,
            });
        }
        let is_percent = match kind {
            Kind::Bytes => false,
            Kind::Percent => true,
            Kind::Value => self.0.iter().all(|sample| sample.bytes <= 100.0),
        };
        Ok(Series {
            samples: self.0,
            unit: if is_percent {
                Unit::Percent
            } else {
                Unit::Bytes
            },
        })
    }
}

impl Kind {
    fn figure(self, text: &str, place: Place) -> Result<f64, ReadError> {
        let expected = match self {
            Kind::Bytes => "a number of bytes, 0 or more",
            Kind::Percent => "a percentage, 0 or more",
            Kind::Value => "a figure, 0 or more",
        };
        figure(text, place, expected, LARGEST)
    }
}

/// A number from 0 to the most that makes sense; this leaves out infinity and what is no number.
fn figure(text: &str, place: Place, expected: &'static str, most: f64) -> Result<f64, ReadError> {
    match text.trim().parse::<f64>() {
        // Adding nothing makes a negative zero a positive one.
        Ok(number) if (0.0..=most).contains(&number) => Ok(number + 0.0),
        _ => Err(ReadError::Figure {
            place,
            found: short(text),
            expected,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Unit, read};

    #[test]
    fn the_interval_is_the_median_step() {
        let series = read(b"t_seconds,bytes\n5,1\n10,1\n15,1\n100,1\n105,1\n").unwrap();
        assert_eq!(series.interval(), 5.0);
        assert_eq!(series.span(), 100.0);
    }

    #[test]
    fn values_up_to_a_hundred_are_percent_and_bytes_never_are() {
        let unit = |text: &str| read(text.as_bytes()).unwrap().unit;
        assert_eq!(unit("t_seconds,value\n1,0\n2,50\n3,100\n"), Unit::Percent);
        assert_eq!(unit("t_seconds,value\n1,0\n2,50\n3,101\n"), Unit::Bytes);
        assert_eq!(unit("t_seconds,bytes\n1,0\n2,50\n3,100\n"), Unit::Bytes);
        assert_eq!(unit("t_seconds,percent\n1,0\n2,50\n3,101\n"), Unit::Percent);
    }

    #[test]
    fn windows_spaces_marks_exponents_and_other_columns_are_fine() {
        let text = "\u{feff} host , bytes ,t_seconds, blocks\r\na, 1.5e9 ,0,10\r\n\r\n\
                    a,+2e9,\" 1 \",\r\na,3E9, 2.5,12\r\n";
        let series = read(text.as_bytes()).unwrap();
        let seen: Vec<_> = series
            .samples
            .iter()
            .map(|sample| (sample.seconds, sample.bytes, sample.blocks))
            .collect();
        assert_eq!(
            seen,
            [
                (0.0, 1.5e9, Some(10.0)),
                (1.0, 2e9, None),
                (2.5, 3e9, Some(12.0))
            ]
        );
    }

    #[test]
    fn lines_are_counted_over_blank_ones_and_windows_ends() {
        let text = "t_seconds,bytes\r\n\r\n0,1\r\n1,1\r\n\r\n\r\n2,x\r\n";
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("line 7, column 2 (bytes)"), "{error}");
    }
}
