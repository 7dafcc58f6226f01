//! Why a file could not be read as a series.

use std::fmt;

/// Where in the file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A field of a CSV.
    Field {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
        /// The column's name.
        name: &'static str,
    },
    /// A value of Prometheus' series, or its time.
    Value {
        /// Which.
        number: usize,
        /// `time` or `value`.
        part: &'static str,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Field { line, column, name } => {
                write!(f, "line {line}, column {column} ({name})")
            }
            Place::Value { number, part } => write!(f, "entry {number} of the series, its {part}"),
        }
    }
}

/// Why a file could not be read as a series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ReadError {
    /// There is nothing in it.
    Empty,
    /// It is not text.
    Binary {
        /// The line.
        line: usize,
        /// What is there instead.
        found: &'static str,
    },
    /// The first line has figures in it.
    NoHeader {
        /// The first line that is not blank.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// The header lacks a column.
    NoColumn {
        /// The header's line.
        line: usize,
        /// Its columns.
        found: String,
        /// What is missing.
        expected: &'static str,
    },
    /// The header has a column twice.
    TwoColumns {
        /// The header's line.
        line: usize,
        /// Its name.
        name: &'static str,
    },
    /// A row is shorter or longer than the header.
    Fields {
        /// The line.
        line: usize,
        /// Fields in the row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// A figure makes no sense.
    Figure {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
        /// What can be there.
        expected: &'static str,
    },
    /// Time goes back, or stands still.
    TimeGoesBack {
        /// Where.
        place: Place,
        /// The time.
        found: String,
        /// The time of the sample before.
        before: f64,
    },
    /// Too few rows.
    TooFew {
        /// Rows.
        found: usize,
        /// The least.
        least: usize,
    },
    /// The CSV could not be taken apart.
    Csv {
        /// What the parser says.
        found: String,
    },
    /// It is not the JSON that Prometheus answers with.
    Json {
        /// What the parser says, with line and column.
        found: String,
    },
    /// Prometheus answered with an error.
    Refused {
        /// Its words.
        found: String,
    },
    /// It is the answer to another kind of query.
    NotMatrix {
        /// The kind of result.
        found: String,
    },
    /// None or several series.
    NotOneSeries {
        /// How many.
        count: usize,
        /// Which.
        found: Vec<String>,
    },
}

/// Series that are named when there are several.
const NAMED: usize = 8;

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Empty => f.write_str(
                "the file is empty: expected a CSV that begins with `t_seconds,bytes`, or the JSON \
                 of a range query to Prometheus",
            ),
            ReadError::Binary { line, found } => {
                write!(f, "line {line}: found {found}, expected text in UTF-8")
            }
            ReadError::NoHeader { line, found } => write!(
                f,
                "line {line}: found {found:?}, expected a header as `t_seconds,bytes`"
            ),
            ReadError::NoColumn {
                line,
                found,
                expected,
            } => {
                write!(
                    f,
                    "line {line}: found the columns {found}, expected {expected}"
                )
            }
            ReadError::TwoColumns { line, name } => {
                write!(
                    f,
                    "line {line}: found the column `{name}` twice, expected it once"
                )
            }
            ReadError::Fields {
                line,
                found,
                expected,
            } => {
                let s = if *found == 1 { "" } else { "s" };
                write!(
                    f,
                    "line {line}: found {found} field{s}, expected {expected} as in the header"
                )
            }
            ReadError::Figure {
                place,
                found,
                expected,
            } => {
                write!(f, "{place}: found {found:?}, expected {expected}")
            }
            ReadError::TimeGoesBack {
                place,
                found,
                before,
            } => {
                write!(
                    f,
                    "{place}: found {found:?}, expected a time after the {before} before it"
                )
            }
            ReadError::TooFew { found, least } => {
                let s = if *found == 1 { "" } else { "s" };
                write!(
                    f,
                    "found {found} row{s} of figures, expected at least {least}"
                )
            }
            ReadError::Csv { found } => write!(f, "{found}: expected a CSV"),
            ReadError::Json { found } => write!(
                f,
                "{found}: expected the JSON of a range query to Prometheus (/api/v1/query_range)"
            ),
            ReadError::Refused { found } => write!(
                f,
                "found the error {found:?} from Prometheus, expected the answer to a range query"
            ),
            ReadError::NotMatrix { found } => write!(
                f,
                "found a result of type {found:?}, expected \"matrix\", as /api/v1/query_range \
                 answers"
            ),
            ReadError::NotOneSeries { count, found } => {
                write!(f, "found {count} series, expected exactly one")?;
                for (place, name) in found.iter().take(NAMED).enumerate() {
                    write!(f, "{}{name}", if place == 0 { ": " } else { ", " })?;
                }
                match count.saturating_sub(NAMED) {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more"),
                }
            }
        }
    }
}

impl std::error::Error for ReadError {}

/// The beginning of a text that may be long.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 40;
    let text = text.trim();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
