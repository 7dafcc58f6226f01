//! Two reports, benchmark by benchmark.

use super::rank::mann_whitney;
use super::record::{Figure, Record};
use super::report::Report;
use super::{table, units};
use std::fmt;

/// From when on a change is one.
///
/// # Time
///
/// Worse, or better, is a time whose samples differ by the Mann-Whitney U test with a p below
/// [`p`](Thresholds::p), *and* whose median changes by more than [`time`](Thresholds::time). The test
/// alone would report what nobody cares for: a run's samples know nothing of how the next run differs
/// from it, by where code and memory happen to lie and by the processor's clock, which is some percent.
///
/// # Figures
///
/// They are counted, not sampled: worse is a figure that grew by more than
/// [`figures`](Thresholds::figures), from any sample to any. Where a figure differs between samples,
/// the least of the new is held against the most of the old. Allocations, reallocations, allocated
/// bytes, peak and net bytes are judged; deallocations follow from these, and are only told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Thresholds {
    /// Changes of the median up to this share, of the smaller of the two, are the same: 0.05 is 5 %, the
    /// default. 0 or more.
    pub time: f64,
    /// Changes of figures up to this share are the same. 0 or more; default 0: any growth is worse.
    pub figures: f64,
    /// Below which p the samples of time differ: 0 to 1. Default 0.01.
    pub p: f64,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            time: 0.05,
            figures: 0.0,
            p: 0.01,
        }
    }
}

impl Thresholds {
    /// With another [`time`](Thresholds::time).
    #[must_use]
    pub fn time(mut self, share: f64) -> Thresholds {
        self.time = share;
        self
    }

    /// With another [`figures`](Thresholds::figures).
    #[must_use]
    pub fn figures(mut self, share: f64) -> Thresholds {
        self.figures = share;
        self
    }

    /// With another [`p`](Thresholds::p).
    #[must_use]
    pub fn p(mut self, p: f64) -> Thresholds {
        self.p = p;
        self
    }
}

/// What became of a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Something is better, and nothing worse.
    Better,
    /// Nothing changed by more than the thresholds.
    Same,
    /// Something is worse.
    Worse,
    /// Only the new report has it.
    New,
    /// Only the old report has it.
    Gone,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Same => "same",
            Verdict::Worse => "worse",
            Verdict::New => "new",
            Verdict::Gone => "gone",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A figure, or the time, of both reports.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// As in the JSON: `allocations`, `peak_bytes` and so on; of the time, `time_ns`.
    pub name: &'static str,
    /// Of the old report, in bytes, calls or nanoseconds: the mean, of the time the median.
    pub old: f64,
    /// Of the new one.
    pub new: f64,
    /// `Better`, `Same` or `Worse`.
    pub verdict: Verdict,
    /// Of the time, the p of the test; of figures none.
    pub p: Option<f64>,
}

/// One benchmark of a [`Comparison`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The benchmark's.
    pub name: String,
    /// Over all of its changes.
    pub verdict: Verdict,
    /// The time first; empty where one of the reports has not got it.
    pub changes: Vec<Change>,
}

/// What [`compare`] found. As text, an aligned table of what there was and is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// In the new report's order; then those that are gone, in the old one's.
    pub rows: Vec<Row>,
    /// The machines differ in processor, architecture, system or build: their times say little of
    /// the code.
    pub other_machine: bool,
}

impl Comparison {
    /// Whether anything is worse. What is gone is not worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Worse)
    }
}

/// Compares two reports. Pure, and its time grows with the number of samples.
///
/// ```no_run
/// use plimsoll::bench::{Report, Thresholds, compare};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let old = Report::parse(&std::fs::read("old.json")?)?;
/// let new = Report::parse(&std::fs::read("new.json")?)?;
/// let found = compare(&old, &new, &Thresholds::default().time(0.1));
/// println!("{found}");
/// assert!(!found.is_worse());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn compare(old: &Report, new: &Report, thresholds: &Thresholds) -> Comparison {
    let find =
        |report: &'_ Report, name: &str| report.benchmarks.iter().position(|one| one.name == name);
    let lone = |record: &Record, verdict| Row {
        name: record.name.clone(),
        verdict,
        changes: Vec::new(),
    };
    let mut rows: Vec<Row> = new
        .benchmarks
        .iter()
        .map(|one| match find(old, &one.name) {
            Some(at) => row(&old.benchmarks[at], one, thresholds),
            None => lone(one, Verdict::New),
        })
        .collect();
    let gone = old.benchmarks.iter();
    let gone = gone.filter(|one| find(new, &one.name).is_none());
    rows.extend(gone.map(|one| lone(one, Verdict::Gone)));
    let (a, b) = (&old.machine, &new.machine);
    Comparison {
        rows,
        other_machine: (&a.processor, &a.architecture, &a.os, a.debug_assertions)
            != (&b.processor, &b.architecture, &b.os, b.debug_assertions),
    }
}

fn row(old: &Record, new: &Record, thresholds: &Thresholds) -> Row {
    let mut changes = vec![time(old, new, thresholds)];
    let figures = old.figures.named().into_iter().zip(new.figures.named());
    changes.extend(figures.map(|((name, old), (_, new))| Change {
        name,
        old: old.mean,
        new: new.mean,
        verdict: if name == "deallocations" {
            Verdict::Same
        } else {
            figure(old, new, thresholds.figures)
        },
        p: None,
    }));
    let any = |verdict| changes.iter().any(|change| change.verdict == verdict);
    let verdict = match (any(Verdict::Worse), any(Verdict::Better)) {
        (true, _) => Verdict::Worse,
        (_, true) => Verdict::Better,
        _ => Verdict::Same,
    };
    Row {
        name: new.name.clone(),
        verdict,
        changes,
    }
}

fn time(old: &Record, new: &Record, thresholds: &Thresholds) -> Change {
    let p = mann_whitney(&old.samples_ns, &new.samples_ns);
    let (before, after) = (old.time.median_ns, new.time.median_ns);
    let verdict = if p >= thresholds.p {
        Verdict::Same
    } else if after > before * (1.0 + thresholds.time) {
        Verdict::Worse
    } else if before > after * (1.0 + thresholds.time) {
        Verdict::Better
    } else {
        Verdict::Same
    };
    Change {
        name: "time_ns",
        old: before,
        new: after,
        verdict,
        p: Some(p),
    }
}

/// What is freed beyond what was allocated counts as less, also below zero.
fn figure(old: Figure, new: Figure, threshold: f64) -> Verdict {
    // Means of fractions may differ by their last bits where counts do not: 1/3 from 3 and from 30
    // iterations.
    let above = |one: f64, other: f64| one - other > other.abs() * threshold.max(1e-12);
    if above(new.least, old.most) {
        Verdict::Worse
    } else if above(old.least, new.most) {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["benchmark", "verdict", "", "old", "new", "change", ""];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for row in &self.rows {
            let mut first = [row.name.clone(), row.verdict.to_string()].to_vec();
            for change in row.changes.iter().filter(|change| is_told(change)) {
                let mut line = std::mem::replace(&mut first, vec![String::new(); 2]);
                line.extend(cells(change));
                rows.push(line);
            }
            if row.changes.is_empty() {
                rows.push(first);
            }
        }
        table::write(f, &rows)?;
        if self.other_machine {
            writeln!(
                f,
                "the reports are of different machines or builds: their times say little"
            )?;
        }
        let worse = self.rows.iter().filter(|row| row.verdict == Verdict::Worse);
        match worse.count() {
            0 => writeln!(f, "nothing is worse"),
            1 => writeln!(f, "1 benchmark is worse"),
            some => writeln!(f, "{some} benchmarks are worse"),
        }
    }
}

/// The time always; a figure when it changed.
fn is_told(change: &Change) -> bool {
    change.p.is_some() || change.old != change.new
}

fn cells(change: &Change) -> [String; 5] {
    let unit = match change.name {
        "time_ns" => units::time,
        name if name.ends_with("_bytes") => units::bytes,
        _ => units::count,
    };
    let share = (change.new - change.old) / change.old.abs() * 100.0;
    let share = if share.is_finite() {
        format!("{share:+.1} %")
    } else if change.old == change.new {
        "+0.0 %".to_owned()
    } else {
        // From nothing: there is no share.
        String::new()
    };
    [
        change.name.trim_end_matches("_ns").replace('_', " "),
        unit(change.old),
        unit(change.new),
        share,
        change.verdict.to_string(),
    ]
}
