//! What a benchmark is handed: it takes the routine, and measures it.

use super::clock::{Stretch, counters, timed};
use crate::testing::{Group, Measurement, measure};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How much work an iteration does, so that the table can tell it by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Throughput {
    /// Bytes an iteration works on; told in KiB/s, MiB/s and so on.
    Bytes(u64),
    /// Things an iteration works on: rows, requests, elements.
    Items(u64),
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) warm_up: Duration,
    /// All samples together.
    pub(super) measure: Duration,
    pub(super) samples: usize,
    /// Whether `--samples` says how many.
    pub(super) is_asked: bool,
    /// Run once, and measure nothing.
    pub(super) once: bool,
}

/// Iterations of which the peak is taken, where they are quick. More show more of what differs
/// from one to the next.
const PEAKS: usize = 16;
/// No more time than this goes into them.
const PEAK_TIME: Duration = Duration::from_secs(1);
/// Inputs that are made before the clock starts, at most: their own traffic in the processor's
/// caches grows with their number, and the clock's two readings, some 50 ns, are spread over them.
const MOST_INPUTS: u64 = 1_000;
/// What these may take together, with the outputs that are kept until the clock has stopped.
const MOST_INPUT_BYTES: u64 = 64 << 20;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) iterations: u64,
    pub(super) samples: Vec<Stretch>,
    pub(super) peaks: Vec<Measurement>,
    /// Counts come from the untimed iterations, over several threads.
    pub(super) threads: bool,
}

/// Measures one routine. See [`Harness::bench`](super::Harness::bench).
///
/// One of [`iter`](Bencher::iter), [`Inputs::iter`] and [`Inputs::iter_ref`] is called, once. When
/// none is, the harness says so, and its exit code is 2.
#[derive(Debug)]
pub struct Bencher {
    plan: Plan,
    pub(super) throughput: Option<Throughput>,
    threads: bool,
    pub(super) found: Option<Found>,
}

/// As the command line has it.
pub(super) const SAMPLES: std::ops::RangeInclusive<usize> = 5..=10_000;

impl Bencher {
    pub(super) fn new(plan: Plan) -> Bencher {
        Bencher {
            plan,
            throughput: None,
            threads: false,
            found: None,
        }
    }

    /// How much work one iteration does.
    pub fn throughput(&mut self, throughput: Throughput) -> &mut Bencher {
        self.throughput = Some(throughput);
        self
    }

    /// How many samples are taken, where `--samples` does not say: 5 to 10,000; of fewer 5, of more
    /// 10,000. Each is at least one iteration long.
    pub fn samples(&mut self, samples: usize) -> &mut Bencher {
        if !self.plan.is_asked {
            self.plan.samples = samples.clamp(*SAMPLES.start(), *SAMPLES.end());
        }
        self
    }

    /// Counts what the routine's threads allocate too: those that it starts with
    /// [`testing::spawn`](crate::testing::spawn), and work that it hands on with
    /// [`testing::carry`](crate::testing::carry()).
    ///
    /// All figures then come from untimed iterations in a [`testing::Group`](crate::testing::Group),
    /// which makes each call some tens of nanoseconds slower; the times stay those of iterations
    /// without one. A thread that is left running after an iteration is counted up to then.
    pub fn threads(&mut self) -> &mut Bencher {
        self.threads = true;
        self
    }

    /// Measures `routine`, and the drop of what it returns.
    ///
    /// The result goes through [`black_box`], so that it is really made. What the routine only reads
    /// may still be computed beforehand by the compiler: put inputs through [`black_box`] too, or use
    /// [`with_inputs`](Bencher::with_inputs).
    pub fn iter<R>(&mut self, mut routine: impl FnMut() -> R) {
        let repeat = |iterations: u64| {
            timed(|| {
                for _ in 0..iterations {
                    black_box(routine());
                }
            })
        };
        self.run(repeat);
        self.peaks(|measured| measured(&mut || drop(black_box(routine()))));
    }

    /// Has an input made for each iteration, before the clock starts.
    pub fn with_inputs<I, S: FnMut() -> I>(&mut self, set_up: S) -> Inputs<'_, S> {
        Inputs {
            bencher: self,
            set_up,
        }
    }

    /// Warm-up, the number of iterations, samples.
    fn run(&mut self, mut repeat: impl FnMut(u64) -> Stretch) {
        let plan = self.plan;
        if plan.once {
            repeat(1);
            self.found = Some(Found::default());
            return;
        }
        let iterations = iterations(&plan, &mut repeat);
        // Made before the first sample: a sample's counts hold nothing of the harness's.
        let mut samples = Vec::with_capacity(plan.samples);
        for _ in 0..plan.samples {
            samples.push(repeat(iterations));
        }
        self.found = Some(Found {
            iterations,
            samples,
            peaks: Vec::new(),
            threads: self.threads,
        });
    }

    /// Takes the peak of single iterations. `iteration` prepares one, and hands the work on.
    fn peaks(&mut self, mut iteration: impl FnMut(&mut dyn FnMut(&mut dyn FnMut()))) {
        let threads = self.threads;
        let Some(found) = self.found.as_mut().filter(|_| !self.plan.once) else {
            return;
        };
        let mut peaks = Vec::with_capacity(PEAKS);
        let start = Instant::now();
        while peaks.len() < PEAKS && (peaks.is_empty() || start.elapsed() < PEAK_TIME) {
            iteration(&mut |work| {
                peaks.push(if threads {
                    let group = Group::new();
                    group.run(work);
                    group.figures()
                } else {
                    measure(work).1
                });
            });
        }
        found.peaks = peaks;
    }
}

/// With set-up and drops, which are not timed, all samples together take at most so many times what
/// the timed work may take: a large input for a short routine would take minutes otherwise.
const SET_UP: f64 = 4.0;

/// Warms up for at least the time that is set, with twice as many iterations each time, and answers
/// how many make a sample.
fn iterations(plan: &Plan, repeat: &mut impl FnMut(u64) -> Stretch) -> u64 {
    let start = Instant::now();
    let mut iterations = 1u64;
    loop {
        // Of the last and longest stretch alone: the first ones are cold.
        let stretch_start = Instant::now();
        let timed = repeat(iterations).time.as_secs_f64();
        let whole = stretch_start.elapsed().as_secs_f64();
        if start.elapsed() >= plan.warm_up {
            let sample = plan.measure.as_secs_f64() / plan.samples as f64;
            let fit = (sample / timed.max(1e-12)).min(sample * SET_UP / whole.max(1e-12));
            // A float becomes an integer by saturation.
            return ((fit * iterations as f64) as u64).max(1);
        }
        iterations = iterations.saturating_mul(2);
    }
}

/// A routine that wants an input for each iteration. See [`Bencher::with_inputs`].
///
/// Inputs are made before the clock starts, up to 1,000 at a time and as many as 64 MiB hold; outputs
/// are kept, and dropped after it has stopped. To move an input in and an output out is timed.
#[derive(Debug)]
pub struct Inputs<'a, S> {
    bencher: &'a mut Bencher,
    set_up: S,
}

impl<S> Inputs<'_, S> {
    /// Measures `routine`, which takes its input by value: where it drops it, that is measured. The
    /// output's drop is not: return the input to keep its drop out.
    pub fn iter<I, R>(self, mut routine: impl FnMut(I) -> R)
    where
        S: FnMut() -> I,
    {
        let Inputs {
            bencher,
            mut set_up,
        } = self;
        let most = bencher.most_inputs(&mut set_up, &mut routine);
        let repeat = |iterations: u64| {
            batches(iterations, most, |batch| {
                let mut inputs: Vec<I> = Vec::with_capacity(batch);
                let mut outputs: Vec<R> = Vec::with_capacity(batch);
                inputs.extend((0..batch).map(|_| set_up()));
                let stretch = timed(|| {
                    for input in inputs.drain(..) {
                        outputs.push(black_box(routine(black_box(input))));
                    }
                });
                drop(outputs);
                stretch
            })
        };
        bencher.run(repeat);
        bencher.peaks(|measured| {
            let mut input = Some(set_up());
            let mut output = None;
            measured(&mut || output = input.take().map(|input| black_box(routine(input))));
        });
    }

    /// Measures `routine`, which borrows its input. The drops of input and output are not measured.
    pub fn iter_ref<I, R>(self, mut routine: impl FnMut(&mut I) -> R)
    where
        S: FnMut() -> I,
    {
        self.iter(move |mut input: I| {
            let output = routine(&mut input);
            (input, output)
        });
    }
}

impl Bencher {
    /// How many inputs and outputs may be held at once, by what one of them takes.
    fn most_inputs<I, R>(
        &self,
        set_up: &mut impl FnMut() -> I,
        routine: &mut impl FnMut(I) -> R,
    ) -> u64 {
        if self.plan.once {
            return 1;
        }
        let before = counters().net();
        let input = set_up();
        let of_input = counters().net() - before;
        let output = routine(input);
        let of_output = counters().net() - before;
        drop(output);
        let inline = (size_of::<I>() + size_of::<R>()) as i64;
        let bytes = of_input.max(of_output).max(0) + inline;
        (MOST_INPUT_BYTES / (bytes.max(1) as u64)).clamp(1, MOST_INPUTS)
    }
}

/// Iterations in stretches of at most `most`, added up.
fn batches(iterations: u64, most: u64, mut run: impl FnMut(usize) -> Stretch) -> Stretch {
    let mut sum = Stretch::default();
    let mut left = iterations;
    while left > 0 {
        let batch = left.min(most);
        sum.add(run(batch as usize));
        left -= batch;
    }
    sum
}
