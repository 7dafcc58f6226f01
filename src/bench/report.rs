//! A run's figures as a file.

use super::machine::Machine;
use super::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::{fmt, io};

/// What kind of file it is.
const SCHEMA: &str = "plimsoll-bench";
/// Raised when a field changes its meaning or goes. New fields do not raise it: a reader passes over
/// those that it does not know.
const VERSION: u64 = 1;

/// All benchmarks of one run.
///
/// # As JSON
///
/// One object. Times are nanoseconds, sizes bytes; every number is finite.
///
/// | field | |
/// |---|---|
/// | `schema` | `"plimsoll-bench"` |
/// | `version` | of the schema: 1 |
/// | `crate_version` | of Plimsoll |
/// | `machine` | [`Machine`]: `processor`, `cores`, `os`, `os_release`, `architecture`, `debug_assertions` |
/// | `benchmarks` | in the order in which they ran, each: |
/// | `· name` | once in a report |
/// | `· iterations` | in each sample |
/// | `· samples_ns` | what an iteration took, sample by sample |
/// | `· time` | `median_ns`, `least_ns`, `most_ns`, `spread_ns` |
/// | `· throughput` | `null`, `{"bytes": n}` or `{"items": n}` |
/// | `· figures` | `allocations`, `reallocations`, `deallocations`, `allocated_bytes`, `peak_bytes`, `net_bytes`, each with `mean`, `least` and `most` of an iteration |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    schema: String,
    version: u64,
    /// The version of Plimsoll that made it.
    pub crate_version: String,
    /// Where it was made.
    pub machine: Machine,
    /// In the order in which they ran.
    pub benchmarks: Vec<Record>,
}

/// Why a report cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReportError {
    /// Not JSON, or a field is missing or of another type; a number that is none, such as NaN, which
    /// JSON cannot tell, is of another type.
    Malformed(serde_json::Error),
    /// JSON of another kind: what stood under `schema`, if anything.
    OtherSchema(Option<String>),
    /// Of another version of the schema.
    OtherVersion(String),
    /// A field's value makes no sense: which, and what was expected.
    Value {
        /// The benchmark.
        benchmark: String,
        /// What is wrong with it, and what was expected.
        fault: String,
    },
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::Malformed(error) => {
                write!(f, "{error}: expected a report of `plimsoll::bench`")
            }
            ReportError::OtherSchema(None) => write!(
                f,
                "has no text under `schema`: expected a report of `plimsoll::bench`, where it is \
                 `{SCHEMA}`"
            ),
            ReportError::OtherSchema(Some(other)) => {
                write!(f, "its schema is `{other}`: expected `{SCHEMA}`")
            }
            ReportError::OtherVersion(other) => write!(
                f,
                "version {other} of the schema: expected {VERSION}; make the report again with this \
                 version of Plimsoll"
            ),
            ReportError::Value { benchmark, fault } => {
                write!(f, "benchmark `{benchmark}`: {fault}")
            }
        }
    }
}

impl std::error::Error for ReportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReportError::Malformed(error) => Some(error),
            _ => None,
        }
    }
}

impl Report {
    pub(super) fn new(benchmarks: Vec<Record>) -> Report {
        Report {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Machine::this(),
            benchmarks,
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ReportError::Malformed) for what is no JSON, or lacks a field;
    /// [`OtherSchema`](ReportError::OtherSchema) and [`OtherVersion`](ReportError::OtherVersion) for something else;
    /// [`Value`](ReportError::Value) for a benchmark without a name, with another's, without samples, or whose
    /// figures are not in order.
    pub fn parse(json: &[u8]) -> Result<Report, ReportError> {
        // Which kind and version first: of another, fields may well be missing.
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(ReportError::Malformed)?;
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            other => return Err(ReportError::OtherSchema(other.map(str::to_owned))),
        }
        match value.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(other) => return Err(ReportError::OtherVersion(other.to_string())),
            None => return Err(ReportError::OtherVersion("(none)".to_owned())),
        }
        // From the text again, so that an error tells line and column.
        let report: Report = serde_json::from_slice(json).map_err(ReportError::Malformed)?;
        report.check()?;
        Ok(report)
    }

    /// As JSON, indented, with a newline at its end.
    ///
    /// # Errors
    ///
    /// None is known of a report that was measured or read.
    pub fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn check(&self) -> Result<(), ReportError> {
        let mut names = BTreeSet::new();
        for one in &self.benchmarks {
            let fault = if one.name.trim().is_empty() {
                Some("its name is empty: expected some text".to_owned())
            } else if !names.insert(one.name.as_str()) {
                Some("is there twice: expected each name once".to_owned())
            } else {
                fault(one)
            };
            if let Some(fault) = fault {
                return Err(ReportError::Value {
                    benchmark: one.name.clone(),
                    fault,
                });
            }
        }
        Ok(())
    }
}

fn fault(one: &Record) -> Option<String> {
    if one.samples_ns.is_empty() {
        return Some("`samples_ns` is empty: expected at least one sample".to_owned());
    }
    let time = one.time;
    let times = [time.median_ns, time.least_ns, time.most_ns, time.spread_ns];
    let no_time = |ns: &&f64| !(ns.is_finite() && **ns >= 0.0);
    if let Some(ns) = one.samples_ns.iter().chain(&times).find(no_time) {
        return Some(format!("a time of {ns} ns: expected 0 or more"));
    }
    if !(time.least_ns <= time.median_ns && time.median_ns <= time.most_ns) {
        return Some(format!(
            "`time` has least {}, median {} and most {}: expected them in this order",
            time.least_ns, time.median_ns, time.most_ns
        ));
    }
    one.figures.named().into_iter().find_map(|(name, figure)| {
        let ordered = figure.least <= figure.mean && figure.mean <= figure.most;
        (!ordered).then(|| {
            format!(
                "`{name}` has least {}, mean {} and most {}: expected them in this order",
                figure.least, figure.mean, figure.most
            )
        })
    })
}
