//! Allocations, bytes and peak as criterion's measurements.
//!
//! ```no_run
//! use criterion::{Criterion, criterion_group, criterion_main};
//! use plimsoll::bench::criterion::{AllocatedBytes, BencherExt};
//!
//! #[global_allocator]
//! static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
//!
//! fn bytes(criterion: &mut Criterion<AllocatedBytes>) {
//!     criterion.bench_function("join", |bencher| bencher.iter_counted(|| ["one", "two"].concat()));
//! }
//!
//! criterion_group! {
//!     name = benches;
//!     config = Criterion::default().with_measurement(AllocatedBytes);
//!     targets = bytes
//! }
//! criterion_main!(benches);
//! ```
//!
//! What is counted is what the benchmark's own thread calls. Criterion keeps what it found by a
//! benchmark's name, whatever was measured: where one program takes several measurements, each has
//! names of its own.
//!
//! # What never varies
//!
//! Criterion is made for times. It refuses a sample of exactly zero, and where all samples of two runs
//! are the same it divides by their variance. So what is handed to it is off by a share of
//! [`SPREAD`], up and down in turns, and nothing at all is told as [`NOTHING`]. Both are far below
//! what it prints and what it calls a change.
//!
//! With criterion's own [`iter`](criterion::Bencher::iter) a measurement does not learn how many
//! iterations a sum stands for, so a zero cannot be told as the same number in every run. It is then
//! told as numbers so far apart that no two runs differ by them. Use
//! [`iter_counted`](BencherExt::iter_counted) where a figure may be zero.

use super::clock::counters;
use super::units;
use crate::testing::measure;
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Bencher, Throughput};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// By this share of it a figure is off, up and down in turns.
pub const SPREAD: f64 = 1e-9;

/// What an iteration is told to take where it takes nothing.
pub const NOTHING: f64 = 1e-9;

/// Allocations of an iteration. A reallocation is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocations;

/// Bytes that an iteration allocates, or reallocates to, whether or not they are freed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatedBytes;

/// The most bytes that an iteration holds at once, above what is held at its start: the mean of a
/// sample's iterations.
///
/// It needs a look at each iteration, so only [`BencherExt`]'s methods measure it. Criterion's own
/// panic with a message that says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeakBytes;

/// A figure, summed over iterations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    amount: f64,
    /// 0 where they are not known.
    iterations: u64,
}

/// A measurement that counts. There are three, and no others can be made: [`Allocations`],
/// [`AllocatedBytes`] and [`PeakBytes`].
pub trait Counted: Measurement<Value = Sum> + sealed::Sealed {}

mod sealed {
    /// What one run of `work` counts.
    pub trait Sealed {
        fn count(work: impl FnOnce()) -> f64;
    }
}

/// By how much a figure of this thread grows while `work` runs.
fn growth(work: impl FnOnce(), now: fn() -> u64) -> f64 {
    let before = now();
    work();
    now().wrapping_sub(before) as f64
}

impl sealed::Sealed for Allocations {
    fn count(work: impl FnOnce()) -> f64 {
        growth(work, || counters().allocations)
    }
}

impl sealed::Sealed for AllocatedBytes {
    fn count(work: impl FnOnce()) -> f64 {
        growth(work, || counters().allocated)
    }
}

impl sealed::Sealed for PeakBytes {
    fn count(work: impl FnOnce()) -> f64 {
        measure(work).1.peak_bytes as f64
    }
}

impl Counted for Allocations {}
impl Counted for AllocatedBytes {}
impl Counted for PeakBytes {}

/// For criterion's bencher: benchmarks whose figures are counted iteration by iteration.
pub trait BencherExt {
    /// Counts `routine`, and the drop of what it returns.
    fn iter_counted<R>(&mut self, routine: impl FnMut() -> R);

    /// Counts `routine`, and not the making of its input nor the drop of what it returns. An input that
    /// it drops is counted.
    fn iter_counted_with<I, R>(&mut self, set_up: impl FnMut() -> I, routine: impl FnMut(I) -> R);
}

impl<M: Counted> BencherExt for Bencher<'_, M> {
    fn iter_counted<R>(&mut self, mut routine: impl FnMut() -> R) {
        self.iter_custom(|iterations| Sum {
            amount: (0..iterations)
                .map(|_| M::count(|| drop(black_box(routine()))))
                .sum(),
            iterations,
        });
    }

    fn iter_counted_with<I, R>(
        &mut self,
        mut set_up: impl FnMut() -> I,
        mut routine: impl FnMut(I) -> R,
    ) {
        self.iter_custom(|iterations| {
            let one = |_| {
                let input = black_box(set_up());
                let mut output = None;
                let amount = M::count(|| output = Some(black_box(routine(input))));
                drop(output);
                amount
            };
            Sum {
                amount: (0..iterations).map(one).sum(),
                iterations,
            }
        });
    }
}

impl Sum {
    fn plus(self, other: Sum) -> Sum {
        Sum {
            amount: self.amount + other.amount,
            iterations: self.iterations + other.iterations,
        }
    }

    /// As the module's head says.
    fn told(self) -> f64 {
        static TURN: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let share = if turn.is_multiple_of(2) {
            1.0 + SPREAD
        } else {
            1.0 - SPREAD
        };
        let nothing = NOTHING * self.iterations as f64;
        if self.amount + nothing > 0.0 {
            (self.amount + nothing) * share
        } else if turn.is_multiple_of(WIDE) {
            // With one in twenty a thousand times the others, the standard deviation is four times
            // the mean.
            NOTHING * 1e3
        } else {
            NOTHING
        }
    }
}

/// See [`Sum::told`].
const WIDE: u32 = 20;

macro_rules! measurement {
    ($measurement:ty, $now:expr, $formatter:expr) => {
        impl Measurement for $measurement {
            /// The figure so far.
            type Intermediate = u64;
            type Value = Sum;

            fn start(&self) -> u64 {
                $now()
            }

            fn end(&self, start: u64) -> Sum {
                Sum {
                    amount: $now().wrapping_sub(start) as f64,
                    iterations: 0,
                }
            }

            fn add(&self, one: &Sum, other: &Sum) -> Sum {
                one.plus(*other)
            }

            fn zero(&self) -> Sum {
                Sum::default()
            }

            fn to_f64(&self, sum: &Sum) -> f64 {
                sum.told()
            }

            fn formatter(&self) -> &dyn ValueFormatter {
                &$formatter
            }
        }
    };
}

measurement!(Allocations, || counters().allocations, Blocks);
measurement!(AllocatedBytes, || counters().allocated, Bytes);
measurement!(PeakBytes, no_peak, Bytes);

fn no_peak() -> u64 {
    panic!(
        "criterion's own methods cannot measure a peak: expected `iter_counted` or \
         `iter_counted_with` of `plimsoll::bench::criterion::BencherExt`"
    )
}

struct Blocks;
struct Bytes;

/// As criterion prints a number, without what [`SPREAD`] puts behind it.
fn printed(formatter: &impl ValueFormatter, value: f64) -> String {
    let mut values = [value];
    let unit = formatter.scale_values(value, &mut values);
    let value = (values[0] * 1e6).round() / 1e6;
    let places = match value {
        1e4.. => 0,
        1e3.. => 1,
        1e2.. => 2,
        1e1.. => 3,
        _ => 4,
    };
    format!("{value:>6.places$} {unit}")
}

impl ValueFormatter for Blocks {
    fn format_value(&self, value: f64) -> String {
        printed(self, value)
    }

    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "allocs"
    }

    fn scale_throughputs(
        &self,
        _: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        per(
            throughput,
            values,
            ["allocs/B", "allocs/elem", "allocs/bit"],
        )
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "allocs"
    }
}

impl ValueFormatter for Bytes {
    fn format_value(&self, value: f64) -> String {
        printed(self, value)
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (size, unit) = units::scale_of_bytes(typical);
        values.iter_mut().for_each(|value| *value /= size);
        unit
    }

    fn scale_throughputs(
        &self,
        _: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        per(throughput, values, ["B/B", "B/elem", "B/bit"])
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "B"
    }
}

/// A figure by the second says nothing: what an iteration takes for each byte or element does.
fn per(throughput: &Throughput, values: &mut [f64], units: [&'static str; 3]) -> &'static str {
    let (amount, unit) = match *throughput {
        Throughput::Bytes(bytes) | Throughput::BytesDecimal(bytes) => (bytes, units[0]),
        Throughput::Elements(elements) => (elements, units[1]),
        Throughput::ElementsAndBytes { elements, .. } => (elements, units[1]),
        Throughput::Bits(bits) => (bits, units[2]),
    };
    let amount = amount.max(1) as f64;
    values.iter_mut().for_each(|value| *value /= amount);
    unit
}
