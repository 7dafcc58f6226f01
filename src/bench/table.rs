//! Aligned text: of a report, and of a comparison.

use super::bencher::Throughput;
use super::record::{Figure, Record};
use super::report::Report;
use super::units;
use std::fmt;

/// Writes rows with each column as wide as its widest cell, the first to the left and the others to
/// the right.
pub(super) fn write(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                line += &format!("{cell:<width$}");
            } else {
                line += &format!("  {cell:>width$}");
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A table of all benchmarks, a line each, with a heading.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = [
            "benchmark",
            "median",
            "spread",
            "fastest",
            "slowest",
            "throughput",
            "allocs",
            "reallocs",
            "frees",
            "allocated",
            "peak",
            "net",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(self.benchmarks.iter().map(row));
        write(f, &rows)?;
        let differs = |one: &Record| !one.figures.named().iter().all(|named| named.1.is_exact());
        if self.benchmarks.iter().any(differs) {
            writeln!(f, "~ differs from sample to sample: the mean")?;
        }
        if self.machine.debug_assertions {
            writeln!(f, "built with debug assertions: the times tell little")?;
        }
        Ok(())
    }
}

fn row(one: &Record) -> Vec<String> {
    let marked = |figure: Figure, unit: fn(f64) -> String| {
        let mark = if figure.is_exact() { "" } else { "~" };
        format!("{mark}{}", unit(figure.mean))
    };
    let (time, figures) = (&one.time, &one.figures);
    let a_second = |amount: u64| amount as f64 * 1e9 / time.median_ns;
    let throughput = match one.throughput {
        // The clock's grain: no figure is better than an infinite one.
        _ if time.median_ns <= 0.0 => String::new(),
        Some(Throughput::Bytes(bytes)) => format!("{}/s", units::bytes(a_second(bytes).round())),
        Some(Throughput::Items(items)) => units::rate(a_second(items)),
        None => String::new(),
    };
    vec![
        one.name.clone(),
        units::time(time.median_ns),
        format!("±{}", units::time(time.spread_ns)),
        units::time(time.least_ns),
        units::time(time.most_ns),
        throughput,
        marked(figures.allocations, units::count),
        marked(figures.reallocations, units::count),
        marked(figures.deallocations, units::count),
        marked(figures.allocated_bytes, units::bytes),
        marked(figures.peak_bytes, units::bytes),
        marked(figures.net_bytes, units::bytes),
    ]
}
