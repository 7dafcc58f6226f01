//! The benchmarks of a program, by name.

use super::arguments::Arguments;
use super::bencher::{Bencher, Plan};
use super::record::Record;
use std::collections::BTreeSet;
use std::time::Duration;

/// Runs benchmarks as they are named to it. [`main`](super::main()) makes one.
#[derive(Debug)]
pub struct Harness {
    pub(super) arguments: Arguments,
    pub(super) records: Vec<Record>,
    /// Every name, selected or not.
    pub(super) names: BTreeSet<String>,
    /// Selected, in order.
    pub(super) selected: Vec<String>,
    pub(super) faults: Vec<String>,
    /// Told of each benchmark as it is done.
    pub(super) done: fn(&Arguments, &str, Option<&Record>),
}

impl Harness {
    pub(super) fn new(
        arguments: Arguments,
        done: fn(&Arguments, &str, Option<&Record>),
    ) -> Harness {
        Harness {
            arguments,
            records: Vec::new(),
            names: BTreeSet::new(),
            selected: Vec::new(),
            faults: Vec::new(),
            done,
        }
    }

    /// Runs one benchmark, unless the command line leaves it out. `body` sets up what the routine
    /// needs, once, and hands the routine to the [`Bencher`].
    ///
    /// A name is there once in a program, and not empty; otherwise the harness says so at its end,
    /// and its exit code is 2.
    pub fn bench(&mut self, name: &str, body: impl FnOnce(&mut Bencher)) {
        if name.trim().is_empty() {
            self.faults
                .push("a benchmark's name is empty: expected some text".to_owned());
            return;
        }
        if !self.names.insert(name.to_owned()) {
            self.faults.push(format!(
                "two benchmarks are named `{name}`: expected each name once"
            ));
            return;
        }
        if !self.arguments.selects(name) {
            return;
        }
        self.selected.push(name.to_owned());
        if self.arguments.list {
            (self.done)(&self.arguments, name, None);
            return;
        }
        let mut bencher = Bencher::new(self.plan());
        body(&mut bencher);
        let Some(found) = bencher.found else {
            self.faults.push(format!(
                "benchmark `{name}` measured nothing: expected a call of `iter` or `iter_ref`"
            ));
            return;
        };
        if self.arguments.once {
            (self.done)(&self.arguments, name, None);
            return;
        }
        let record = Record::new(name, bencher.throughput, &found);
        (self.done)(&self.arguments, name, Some(&record));
        self.records.push(record);
    }

    /// Benchmarks that belong together: their names begin with the group's and a `/`.
    pub fn group(&mut self, name: &str) -> Group<'_> {
        Group {
            harness: self,
            name: name.to_owned(),
        }
    }

    fn plan(&self) -> Plan {
        let arguments = &self.arguments;
        let (warm_up, measure, samples) = if arguments.quick {
            (20, 100, 10)
        } else {
            // Half a second settles the processor's clock and the caches; a sample of some 40 ms is a
            // million times what reading the clock takes, and long beside a time slice.
            (500, 2_000, 50)
        };
        Plan {
            warm_up: Duration::from_millis(warm_up),
            measure: Duration::from_millis(measure),
            samples: arguments.samples.unwrap_or(samples),
            is_asked: arguments.samples.is_some(),
            once: arguments.once,
        }
    }
}

/// Benchmarks that belong together. See [`Harness::group`].
#[derive(Debug)]
pub struct Group<'a> {
    harness: &'a mut Harness,
    name: String,
}

impl Group<'_> {
    /// [`Harness::bench`], with the group's name before the benchmark's.
    pub fn bench(&mut self, name: &str, body: impl FnOnce(&mut Bencher)) {
        self.harness.bench(&format!("{}/{name}", self.name), body);
    }
}
