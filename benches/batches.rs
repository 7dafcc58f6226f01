//! What batches add to a walk over items, and a budget to a piece of work.
//!
//! ```sh
//! cargo bench --features rayon --bench batches
//! ```
#![allow(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

use plimsoll::batch::{Batches, Budget, InBatches, StreamInBatches};
use plimsoll::{Monitor, Plimsoll};
use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// Of each side, in turn; the lower quartile of all counts, which other work on the machine disturbs least.
const ROUNDS: usize = 21;
const ITEMS: u64 = 1_000_000;

/// An item that costs nothing but to be made, and one like a row of a table, with a text.
trait Item: Sized {
    const NAME: &'static str;
    fn make(id: u64) -> Self;
    fn look(&self) -> u64;
}

impl Item for u64 {
    const NAME: &'static str = "numbers";
    fn make(id: u64) -> u64 {
        id
    }
    fn look(&self) -> u64 {
        *self
    }
}

impl Item for (u64, String) {
    const NAME: &'static str = "rows";
    fn make(id: u64) -> Self {
        (id, "a name of some forty characters, or so.".to_owned())
    }
    fn look(&self) -> u64 {
        self.0 + self.1.len() as u64
    }
}

fn items<T: Item>() -> impl Iterator<Item = T> {
    (0..black_box(ITEMS)).map(T::make)
}

fn sum<T: Item>(items: &[T]) -> u64 {
    items.iter().map(T::look).fold(0, u64::wrapping_add)
}

fn timed(work: impl FnOnce() -> u64) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

#[inline(never)]
fn collected<T: Item>() -> u64 {
    sum(&items::<T>().collect::<Vec<_>>())
}

/// By hand: batches of a fixed size, in one buffer.
#[inline(never)]
fn by_hand<T: Item>() -> u64 {
    let (mut items, mut batch, mut total) = (items::<T>(), Vec::with_capacity(8192), 0u64);
    loop {
        batch.clear();
        batch.extend(items.by_ref().take(8192));
        if batch.is_empty() {
            return total;
        }
        total = total.wrapping_add(sum(&batch));
    }
}

#[inline(never)]
fn in_batches<T: Item>(batches: &Batches) -> u64 {
    let mut total = 0u64;
    let done = items::<T>()
        .in_batches(batches)
        .run(|batch| total = total.wrapping_add(sum(batch)));
    assert_eq!(done.map(|done| done.items).ok(), Some(ITEMS));
    total
}

fn quartile(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 4].as_nanos() as f64
}

fn compare<T: Item>(alone: &Batches, watched: &Batches) {
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        times[0].push(timed(collected::<T>));
        times[1].push(timed(by_hand::<T>));
        times[2].push(timed(|| in_batches::<T>(alone)));
        times[3].push(timed(|| in_batches::<T>(watched)));
    }
    let [collected, by_hand, alone, watched] = times.map(|mut side| quartile(&mut side));
    let each = |time: f64| time / ITEMS as f64;
    println!(
        "{:>8}: collected {:6.2}, batches by hand {:6.2}, in_batches {:6.2} ({:+.2}), \
         with a monitor {:6.2} ({:+.2}): ns an item",
        T::NAME,
        each(collected),
        each(by_hand),
        each(alone),
        each(alone - by_hand),
        each(watched),
        each(watched - by_hand),
    );
}

fn each(count: u32, mut work: impl FnMut()) -> f64 {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..count).for_each(|_| work());
            begun.elapsed()
        })
        .collect();
    quartile(&mut rounds) / f64::from(count)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let monitor = Monitor::builder().limit(8 << 30).start()?;
    let alone = Batches::default();
    let watched = Batches::builder()
        .monitor(&monitor)
        .pause_while(plimsoll::Level::Optimise)
        .build()?;
    compare::<u64>(&alone, &watched);
    compare::<(u64, String)>(&alone, &watched);

    let ones = |batches: &Batches| {
        let one = batches.clone();
        each(1, || {
            let done = (0..100_000u64).in_batches(&one).run(|batch| {
                black_box(batch);
            });
            black_box(done.is_ok());
        }) / 100_000.0
    };
    let single = Batches::builder().most_items(1);
    let single_watched = single.clone().monitor(&monitor).build()?;
    println!(
        "   batch: {:.0} ns, with a monitor {:.0} ns",
        ones(&single.build()?),
        ones(&single_watched)
    );

    let budget = Budget::new(1 << 30)?;
    let pair = each(100_000, || drop(black_box(budget.try_acquire(1000))));
    println!("  budget: {pair:.1} ns to acquire and give back");

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut passed_on = 0u64;
    let stream = each(1, || {
        let rows = futures_util::stream::iter(0..black_box(ITEMS));
        let job = rows.in_batches(&alone).run(|batch| {
            passed_on += batch.len() as u64;
            async move { drop(black_box(batch)) }
        });
        black_box(runtime.block_on(job).is_ok());
    });
    println!("  stream: {:.2} ns an item", stream / ITEMS as f64);
    parallel(&budget, &alone);
    Ok(())
}

#[cfg(feature = "rayon")]
fn parallel(budget: &Budget, batches: &Batches) {
    use plimsoll::batch::ForEachWithin;
    const JOBS: u64 = 100_000;
    let item = each(1, || {
        let jobs = 0..black_box(JOBS);
        let done = jobs.for_each_within(
            budget,
            batches,
            |_: &u64| 1000,
            |item| {
                black_box(item);
            },
        );
        black_box(done.is_ok());
    });
    println!("parallel: {:.0} ns an item", item / JOBS as f64);
}

#[cfg(not(feature = "rayon"))]
fn parallel(_: &Budget, _: &Batches) {
    println!("parallel: with the feature `rayon`");
}
