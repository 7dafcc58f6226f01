//! What allocated most, line by line.

use super::text::{counted, number};
use super::trace::Trace;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines shown in a message.
const SHOWN: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    calls: u64,
    bytes: u64,
}

/// Allocations by their traces.
#[derive(Clone, Debug, Default)]
pub(super) struct Sites {
    by_trace: BTreeMap<Trace, Sum>,
}

impl Sites {
    pub(super) fn add(&mut self, trace: Trace, bytes: usize) {
        let sum = self.by_trace.entry(trace).or_default();
        sum.calls += 1;
        sum.bytes += bytes as u64;
    }

    /// A table of lines, those with most bytes first.
    pub(super) fn table(&self) -> String {
        let mut by_line = BTreeMap::<String, Sum>::new();
        for (trace, sum) in &self.by_trace {
            let line = by_line.entry(trace.site()).or_default();
            line.calls += sum.calls;
            line.bytes += sum.bytes;
        }
        let mut lines: Vec<_> = by_line.into_iter().collect();
        lines.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.bytes, sum.calls)));
        let widest = lines
            .first()
            .map_or(0, |(_, sum)| number(sum.bytes.into()).len());
        let mut table = String::new();
        for (line, sum) in lines.iter().take(SHOWN) {
            let bytes = number(sum.bytes.into());
            let calls = counted(sum.calls, "call");
            let _ = writeln!(table, "  {bytes:>widest$} bytes in {calls}: {line}");
        }
        if lines.len() > SHOWN {
            let _ = writeln!(table, "  and {} more lines", lines.len() - SHOWN);
        }
        table
    }
}
