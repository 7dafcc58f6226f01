//! [`PressureCache`] beside the crate it stands on and three others: hits and speed on the same traces.
//!
//! ```text
//! cargo bench --features cache,moka,lru,foyer --bench caches -- [--quick] [--rounds N] [--only NAME,…]
//!                                                              [--trace FILE] [--check]
//! ```
//!
//! Every access asks for a key, and puts it in where it is missing. All caches hash alike, count
//! entries, hold `u64`, and allocate from the same allocator. `quick_cache-ttl` has a time to live by hand:
//! an `Instant` with the value, looked at after the look-up. Hits are counted here, in one pass over an
//! empty cache by one thread. Speed is that of warm caches, which go over the trace in turn, slice by
//! slice, so that sides that are compared run within some tens of milliseconds of each other; a ratio is
//! taken within a slice, to `quick_cache`. Every round has caches of its own: how keys fall into a table
//! is chance, and lasts as long as the cache. With two threads each takes half of a slice.
//!
//! `--only` names traces, caches, or both. A trace of one's own has a key a line, or, in a file
//! that ends in `.lis`, the ARC traces' `start count …`: that many keys from there on. With `--check`
//! it fails where Plimsoll's hits are more than 1 point from `quick_cache`'s, or its median ratio is
//! below 0.85, with a time to live as without: that is a look at the clock for each hit, and does not hold where
//! it takes 11 ns, as on the machine of `BENCHMARKS.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program, not a library"
)]

use plimsoll::Plimsoll;
use plimsoll::cache::PressureCache;
use quick_cache::DefaultHashBuilder;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_pcg::Pcg64Mcg;
use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::hash::Hash;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const SEED: u64 = 20_261_124;
const KEYS: u64 = 100_000;
/// Of the distinct keys of a trace.
const SIZES: [f64; 3] = [0.01, 0.05, 0.2];
const THREADS: [usize; 2] = [1, 2];
/// Of a trace in a round. A slice has to be long enough that what the others have put into the
/// processor's caches does not count.
const SLICES: usize = 4;
const TTL: Duration = Duration::from_secs(3600);

/// What [`Options::is_checked`] asks for.
const MOST_POINTS: f64 = 1.0;
const LEAST_RATIO: f64 = 0.85;

/// The first is what the others are measured by.
const CACHES: [&str; 7] = [
    "quick_cache",
    "quick_cache-ttl",
    "plimsoll",
    "plimsoll-ttl",
    "moka",
    "lru",
    "foyer",
];

const TRACES: [&str; 8] = [
    "zipf-0.8",
    "zipf-0.99",
    "zipf-1.2",
    "small",
    "scans",
    "words",
    "get-or-insert",
    "hits",
];

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("caches: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("caches: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    accesses: usize,
    rounds: usize,
    caches: Vec<&'static str>,
    traces: Vec<&'static str>,
    file: Option<PathBuf>,
    is_checked: bool,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        accesses: 1_000_000,
        rounds: 9,
        caches: CACHES.to_vec(),
        traces: TRACES.to_vec(),
        file: None,
        is_checked: false,
    };
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or(format!("`{flag}` wants a value"));
        match flag.as_str() {
            // What cargo itself passes.
            "--bench" => {}
            "--quick" => (options.accesses, options.rounds) = (100_000, 3),
            "--check" => options.is_checked = true,
            "--trace" => options.file = Some(value()?.into()),
            "--rounds" => {
                let value = value()?;
                options.rounds = value
                    .parse()
                    .ok()
                    .filter(|rounds| (1..=1000).contains(rounds))
                    .ok_or(format!("`--rounds` is `{value}`: expected 1 to 1000"))?;
            }
            "--only" => only(&value()?, &mut options)?,
            _ => {
                return Err(format!(
                    "`{flag}`: expected `--quick`, `--rounds N`, `--only NAME,…`, `--trace FILE` or \
                     `--check`"
                ));
            }
        }
    }
    if options.file.is_some() {
        options.traces.clear();
    }
    Ok(options)
}

fn only(names: &str, options: &mut Options) -> Result<(), String> {
    let names: Vec<&str> = names.split(',').collect();
    let all: Vec<&str> = CACHES.into_iter().chain(TRACES).collect();
    if let Some(name) = names.iter().find(|name| !all.contains(name)) {
        let all = all.join("`, `");
        return Err(format!("`--only` names `{name}`: expected of `{all}`"));
    }
    let chosen = |of: &[&'static str]| -> Vec<&'static str> {
        let named: Vec<_> = of
            .iter()
            .copied()
            .filter(|name| names.contains(name))
            .collect();
        if named.is_empty() { of.to_vec() } else { named }
    };
    options.traces = chosen(&TRACES);
    options.caches = chosen(&CACHES);
    // A ratio needs its base.
    options.caches.retain(|cache| *cache != CACHES[0]);
    options.caches.insert(0, CACHES[0]);
    Ok(())
}

fn run(options: &Options) -> Result<(), String> {
    // Read first, so that a fault in it is told at once.
    let given = options.file.as_deref().map(given).transpose()?;
    println!(
        "{}; medians of {} rounds of {SLICES} slices with the sides in turns, least and most in brackets; \
         quick_cache 0.7, moka 0.12 \
         (sync), lru 0.19 in a mutex, foyer-memory 0.22 (S3-FIFO); plimsoll-ttl has a time to live of an \
         hour.\n",
        machine(),
        options.rounds
    );
    print!("| trace | entries | cache | hits |");
    for threads in THREADS {
        let word = if threads == 1 { "thread" } else { "threads" };
        print!(" {threads} {word}, M/s | ratio |");
    }
    println!("\n|---|---|---|---|{}", "---|---|".repeat(THREADS.len()));
    let mut report = Report::default();
    match given {
        Some(Given::Blocks(trace)) => trace.measure(options, &mut report),
        Some(Given::Lines(trace)) => trace.measure(options, &mut report),
        None => {
            for &name in &options.traces {
                match name {
                    "words" => words()?.measure(options, &mut report),
                    _ => generated(name, options.accesses).measure(options, &mut report),
                }
            }
        }
    }
    report.summary(&options.caches);
    if options.is_checked && !report.faults.is_empty() {
        return Err(report.faults.join("\ncaches: "));
    }
    Ok(())
}

/// Processor, processors, system.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let release = kernel.split('-').next().unwrap_or_default().trim();
    let system = std::env::consts::OS;
    format!("{model}, {cores} cores, {system} {release}")
}

// Caches.

/// One of those that are compared. The provided methods are compiled for each, so only a pass goes
/// through a table.
trait Side<K: Clone>: Sync {
    fn get(&self, key: &K) -> Option<u64>;
    fn put(&self, key: K, value: u64);
    /// Whether there was one; `None` where the crate has no such call.
    fn get_or_insert(&self, key: &K, value: u64) -> Option<bool>;

    /// The number of hits.
    #[inline(never)]
    fn pass(&self, way: Way, accesses: &[K]) -> Option<usize> {
        match way {
            Way::GetThenInsert => Some(self.get_then_insert(accesses)),
            Way::GetOrInsert => self.get_or_insert_all(accesses),
            Way::Get => Some(self.get_all(accesses)),
        }
    }

    #[inline(never)]
    fn get_then_insert(&self, accesses: &[K]) -> usize {
        let mut hits = 0;
        for (key, number) in accesses.iter().zip(0u64..) {
            match self.get(key) {
                Some(value) => hits += usize::from(black_box(value) != u64::MAX),
                None => self.put(key.clone(), number),
            }
        }
        hits
    }

    #[inline(never)]
    fn get_or_insert_all(&self, accesses: &[K]) -> Option<usize> {
        let mut hits = 0;
        for (key, number) in accesses.iter().zip(0u64..) {
            hits += usize::from(self.get_or_insert(key, number)?);
        }
        Some(hits)
    }

    #[inline(never)]
    fn get_all(&self, accesses: &[K]) -> usize {
        let values = accesses.iter().filter_map(|key| self.get(key));
        values.filter(|value| black_box(*value) != u64::MAX).count()
    }
}

/// How a trace is gone through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    GetThenInsert,
    /// With the crate's own call for both.
    GetOrInsert,
    /// After all keys were put in.
    Get,
}

trait Key: Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

type Base<K> = quick_cache::sync::Cache<K, u64>;
type Timed<K> = quick_cache::sync::Cache<K, (u64, Instant)>;
type Moka<K> = moka::sync::Cache<K, u64, DefaultHashBuilder>;
type Lru<K> = Mutex<lru::LruCache<K, u64, DefaultHashBuilder>>;
type Foyer<K> = foyer_memory::Cache<K, u64, DefaultHashBuilder>;

fn side<K: Key>(name: &str, entries: usize) -> Box<dyn Side<K>> {
    let hash = DefaultHashBuilder::default();
    match name {
        "plimsoll" | "plimsoll-ttl" => {
            let mut builder = PressureCache::builder(name).entries(entries as u64);
            if name == "plimsoll-ttl" {
                builder = builder.ttl(TTL);
            }
            Box::new(builder.build().expect("a capacity is set"))
        }
        "moka" => {
            let builder = moka::sync::Cache::builder().max_capacity(entries as u64);
            Box::new(builder.build_with_hasher(hash) as Moka<K>)
        }
        "lru" => {
            let entries = NonZeroUsize::new(entries).expect("sizes are at least 1");
            Box::new(Mutex::new(lru::LruCache::with_hasher(entries, hash)) as Lru<K>)
        }
        "foyer" => {
            let builder = foyer_memory::CacheBuilder::new(entries)
                .with_eviction_config(foyer_memory::S3FifoConfig::default())
                .with_hash_builder(hash);
            Box::new(builder.build() as Foyer<K>)
        }
        "quick_cache-ttl" => Box::new(Timed::new(entries)),
        _ => Box::new(Base::new(entries)),
    }
}

/// Runs `ask` with a closure that makes the value, and answers whether it was not needed.
fn was_held(value: u64, ask: impl FnOnce(&mut dyn FnMut() -> u64) -> u64) -> bool {
    let mut is_held = true;
    black_box(ask(&mut || {
        is_held = false;
        value
    }));
    is_held
}

impl<K: Key> Side<K> for Base<K> {
    fn get(&self, key: &K) -> Option<u64> {
        self.get(key)
    }
    fn put(&self, key: K, value: u64) {
        self.insert(key, value);
    }
    fn get_or_insert(&self, key: &K, value: u64) -> Option<bool> {
        let ask = |make: &mut dyn FnMut() -> u64| {
            let made = self.get_or_insert_with(key, || Ok::<u64, Infallible>(make()));
            made.unwrap_or_else(|never| match never {})
        };
        Some(was_held(value, ask))
    }
}

impl<K: Key> Side<K> for Timed<K> {
    fn get(&self, key: &K) -> Option<u64> {
        let (value, expires) = self.get(key)?;
        (Instant::now() < expires).then_some(value)
    }
    fn put(&self, key: K, value: u64) {
        self.insert(key, (value, Instant::now() + TTL));
    }
    /// What has expired would have to be taken out first, by hand.
    fn get_or_insert(&self, _: &K, _: u64) -> Option<bool> {
        None
    }
}

impl<K: Key> Side<K> for Arc<PressureCache<K, u64>> {
    fn get(&self, key: &K) -> Option<u64> {
        PressureCache::get(self, key)
    }
    fn put(&self, key: K, value: u64) {
        self.insert(key, value);
    }
    fn get_or_insert(&self, key: &K, value: u64) -> Option<bool> {
        let ask = |make: &mut dyn FnMut() -> u64| self.get_or_insert_with(key, make);
        Some(was_held(value, ask))
    }
}

impl<K: Key> Side<K> for Moka<K> {
    fn get(&self, key: &K) -> Option<u64> {
        self.get(key)
    }
    fn put(&self, key: K, value: u64) {
        self.insert(key, value);
    }
    fn get_or_insert(&self, key: &K, value: u64) -> Option<bool> {
        let ask = |make: &mut dyn FnMut() -> u64| self.get_with_by_ref(key, make);
        Some(was_held(value, ask))
    }
}

impl<K: Key> Side<K> for Lru<K> {
    fn get(&self, key: &K) -> Option<u64> {
        let mut cache = self.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(key).copied()
    }
    fn put(&self, key: K, value: u64) {
        let mut cache = self.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key, value);
    }
    fn get_or_insert(&self, key: &K, value: u64) -> Option<bool> {
        let ask = |make: &mut dyn FnMut() -> u64| {
            let mut cache = self.lock().unwrap_or_else(PoisonError::into_inner);
            *cache.get_or_insert_ref(key, make)
        };
        Some(was_held(value, ask))
    }
}

impl<K: Key> Side<K> for Foyer<K> {
    fn get(&self, key: &K) -> Option<u64> {
        self.get(key).map(|entry| *entry.value())
    }
    fn put(&self, key: K, value: u64) {
        self.insert(key, value);
    }
    /// It has one for futures only.
    fn get_or_insert(&self, _: &K, _: u64) -> Option<bool> {
        None
    }
}

// Traces.

struct Trace<K> {
    name: String,
    way: Way,
    accesses: Vec<K>,
}

/// By its name.
fn generated(name: &'static str, accesses: usize) -> Trace<u64> {
    let mut random = Pcg64Mcg::seed_from_u64(SEED);
    let exponent = match name {
        "zipf-0.8" => 0.8,
        "zipf-1.2" => 1.2,
        _ => 0.99,
    };
    // Of few keys, so that its caches are as small as those of single pages and settings.
    let keys = if name == "small" { KEYS / 100 } else { KEYS };
    let zipf = Zipf::new(keys as f64, exponent).expect("keys and an exponent");
    let mut keys = Vec::with_capacity(accesses);
    match name {
        // A fifth of all: every 8,000 accesses someone reads 2,000 keys in order that are hardly
        // asked for otherwise.
        "scans" => {
            while keys.len() < accesses {
                keys.extend((0..8_000).map(|_| zipf.sample(&mut random) as u64));
                let start = KEYS + random.random_range(0..KEYS);
                keys.extend(start..start + 2_000);
            }
            keys.truncate(accesses);
        }
        "hits" => keys.extend((0..accesses).map(|_| random.random_range(0..KEYS / 10))),
        _ => keys.extend((0..accesses).map(|_| zipf.sample(&mut random) as u64)),
    }
    Trace {
        name: name.into(),
        way: match name {
            "get-or-insert" => Way::GetOrInsert,
            "hits" => Way::Get,
            _ => Way::GetThenInsert,
        },
        accesses: keys,
    }
}

/// Makes equal keys one.
#[derive(Default)]
struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn key(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let key: Arc<str> = text.into();
        self.0.insert(Arc::clone(&key));
        key
    }
}

/// Every word of this repository's sources and documents, as an interner meets them.
fn words() -> Result<Trace<Arc<str>>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(root, &mut files).map_err(|error| format!("{}: {error}", root.display()))?;
    files.sort_unstable();
    let mut interner = Interner::default();
    let mut accesses = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let words = words.filter(|word| !word.is_empty());
        accesses.extend(words.map(|word| interner.key(word)));
    }
    if accesses.is_empty() {
        return Err(format!("{}: no sources", root.display()));
    }
    Ok(Trace {
        name: "words".into(),
        way: Way::GetThenInsert,
        accesses,
    })
}

/// Files that people wrote: not what is built, fetched or hidden.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    const WRITTEN: [&str; 10] = [
        "rs", "js", "mjs", "css", "html", "md", "toml", "yml", "sh", "py",
    ];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type()?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        if kind.is_dir() {
            let is_made = ["target", "node_modules", "built"].contains(&&*name.to_string_lossy());
            if !is_made && !name.to_string_lossy().starts_with('.') {
                sources(&path, files)?;
            }
        } else if kind.is_file() && extension.is_some_and(|kind| WRITTEN.contains(&kind)) {
            files.push(path);
        }
    }
    Ok(())
}

/// A trace from a file.
enum Given {
    Blocks(Trace<u64>),
    Lines(Trace<Arc<str>>),
}

fn given(file: &Path) -> Result<Given, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    // Keys are told apart all the same.
    let text = String::from_utf8_lossy(&text);
    let lines = || (1..).zip(text.lines().map(str::trim));
    let lines = || lines().filter(|(_, line)| !line.is_empty());
    if lines().next().is_none() {
        return Err(format!("{}: no accesses", file.display()));
    }
    let name = file.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let way = Way::GetThenInsert;
    if file.extension().is_none_or(|kind| kind != "lis") {
        let mut interner = Interner::default();
        let accesses = lines().map(|(_, line)| interner.key(line)).collect();
        return Ok(Given::Lines(Trace {
            name,
            way,
            accesses,
        }));
    }
    let mut accesses = Vec::new();
    for (number, line) in lines() {
        let blocks = blocks(line).ok_or_else(|| {
            let file = file.display();
            format!("{file}:{number}: `{line}`: expected `start count …`, two whole numbers")
        })?;
        accesses.extend(blocks);
    }
    if accesses.is_empty() {
        return Err(format!("{}: every count is 0", file.display()));
    }
    Ok(Given::Blocks(Trace {
        name,
        way,
        accesses,
    }))
}

/// Of a line of an ARC trace. A count beyond 32 bits is no count.
fn blocks(line: &str) -> Option<std::ops::Range<u64>> {
    let mut numbers = line.split_whitespace();
    let start: u64 = numbers.next()?.parse().ok()?;
    let count: u32 = numbers.next()?.parse().ok()?;
    Some(start..start.checked_add(count.into())?)
}

// Measuring.

impl<K: Key> Trace<K> {
    fn measure(&self, options: &Options, report: &mut Report) {
        let distinct: HashSet<&K> = self.accesses.iter().collect();
        let sizes = match self.way {
            Way::GetThenInsert => SIZES.to_vec(),
            Way::GetOrInsert => vec![SIZES[1]],
            // Room enough in every shard.
            Way::Get => vec![2.0],
        };
        for share in sizes {
            let entries = ((distinct.len() as f64 * share) as usize).max(1);
            let mut all: Vec<Measured> = Vec::new();
            for &name in &options.caches {
                if let (_, Some(hits)) = self.warm(name, entries, &distinct) {
                    let hits = hits as f64 / self.accesses.len() as f64 * 100.0;
                    all.push(Measured::new(name, hits));
                }
            }
            for (place, threads) in THREADS.into_iter().enumerate() {
                for round in 0..options.rounds {
                    self.round(round, (threads, place), (entries, &distinct), &mut all);
                }
            }
            report.rows(&self.name, (share, entries), &all);
        }
    }

    /// A cache after one pass, and the hits of that; `None` where the crate has no such call.
    fn warm(
        &self,
        name: &str,
        entries: usize,
        distinct: &HashSet<&K>,
    ) -> (Box<dyn Side<K>>, Option<usize>) {
        let side = side::<K>(name, entries);
        if self.way == Way::Get {
            distinct.iter().for_each(|&key| side.put(key.clone(), 0));
        }
        let hits = side.pass(self.way, &self.accesses);
        (side, hits)
    }

    /// Every side over every slice, each time in another order.
    fn round(
        &self,
        round: usize,
        (threads, place): (usize, usize),
        (entries, distinct): (usize, &HashSet<&K>),
        all: &mut [Measured],
    ) {
        let warm = |measured: &Measured| self.warm(measured.name, entries, distinct).0;
        let sides: Vec<Box<dyn Side<K>>> = all.iter().map(warm).collect();
        let count = all.len();
        let slices = self.accesses.chunks(self.accesses.len().div_ceil(SLICES));
        for (number, slice) in slices.enumerate() {
            let turn = round * SLICES + number;
            for step in 0..count {
                let step = if turn.is_multiple_of(2) {
                    step
                } else {
                    count - 1 - step
                };
                let side = (step + turn / 2) % count;
                let seconds = self.seconds(&*sides[side], slice, threads);
                all[side].rates[place].push(slice.len() as f64 / seconds / 1e6);
            }
        }
    }

    fn seconds(&self, side: &dyn Side<K>, slice: &[K], threads: usize) -> f64 {
        if threads == 1 {
            let begun = processor_time();
            black_box(side.pass(self.way, slice));
            return (processor_time() - begun).as_secs_f64();
        }
        let parts = slice.chunks(slice.len().div_ceil(threads));
        let gate = Barrier::new(parts.len());
        // From the first one's begin to the last one's end.
        let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
            let work = |part| {
                let gate = &gate;
                move || {
                    gate.wait();
                    let begun = Instant::now();
                    black_box(side.pass(self.way, part));
                    (begun, Instant::now())
                }
            };
            let workers: Vec<_> = parts.map(|part| scope.spawn(work(part))).collect();
            let times = workers.into_iter().map(|worker| worker.join());
            times.map(|times| times.expect("no panic")).collect()
        });
        let begun = times.iter().map(|(begun, _)| *begun).min();
        let ended = times.iter().map(|(_, ended)| *ended).max();
        let time = begun.zip(ended).map(|(begun, ended)| ended - begun);
        time.map_or(f64::NAN, |time| time.as_secs_f64())
    }
}

/// Of this thread.
#[cfg(unix)]
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a place for one.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The wall clock, where there is no such time.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed()
}

struct Measured {
    name: &'static str,
    /// In per cent.
    hits: f64,
    /// For each number of threads, slice by slice.
    rates: [Vec<f64>; THREADS.len()],
}

impl Measured {
    fn new(name: &'static str, hits: f64) -> Measured {
        Measured {
            name,
            hits,
            rates: Default::default(),
        }
    }

    /// Slice by slice.
    fn ratio(&self, peer: &Measured, place: usize) -> Spread {
        let pairs = self.rates[place].iter().zip(&peer.rates[place]);
        Spread::of(pairs.map(|(own, other)| own / other))
    }
}

/// Median, least and most.
#[derive(Clone, Copy)]
struct Spread([f64; 3]);

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len() - 1;
        Spread([values[last / 2], values[0], values[last]])
    }

    fn show(self, digits: usize) -> String {
        let Spread([median, least, most]) = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

#[derive(Default)]
struct Report {
    /// A cache's name, its hits beyond the base's in points, and its median ratios.
    rows: Vec<(&'static str, f64, [f64; THREADS.len()])>,
    faults: Vec<String>,
}

impl Report {
    fn rows(&mut self, trace: &str, (share, entries): (f64, usize), sides: &[Measured]) {
        let base = &sides[0];
        for side in sides {
            let beyond = side.hits - base.hits;
            let mut row = format!(
                "| {trace} | {:.0} %: {entries} | {} | {:.2} % |",
                share * 100.0,
                side.name,
                side.hits
            );
            let mut medians = [1.0; THREADS.len()];
            for (place, rates) in side.rates.iter().enumerate() {
                let ratio = side.ratio(base, place);
                medians[place] = ratio.0[0];
                let rate = Spread::of(rates.iter().copied()).show(1);
                let ratio = if side.name == base.name {
                    String::new()
                } else {
                    ratio.show(2)
                };
                let _ = write!(row, " {rate} | {ratio} |");
            }
            println!("{row}");
            self.rows.push((side.name, beyond, medians));
            if side.name.starts_with("plimsoll") {
                let place = format!("{}, {trace}, {entries} entries", side.name);
                self.judge(&place, beyond, medians);
            }
        }
    }

    fn judge(&mut self, place: &str, beyond: f64, medians: [f64; THREADS.len()]) {
        if beyond.abs() > MOST_POINTS {
            self.faults.push(format!(
                "{place}: hits are {beyond:+.2} points from quick_cache's: expected at most \
                 {MOST_POINTS}"
            ));
        }
        for (threads, median) in THREADS.into_iter().zip(medians) {
            if median < LEAST_RATIO {
                self.faults.push(format!(
                    "{place}, threads: {threads}: {median:.2} of quick_cache's speed: expected at least \
                     {LEAST_RATIO}"
                ));
            }
        }
    }

    /// Each cache over all rows.
    fn summary(&self, caches: &[&'static str]) {
        println!("\nOver all rows, beside quick_cache: median, least and most.\n");
        println!(
            "| cache | points of hits | ratio, 1 thread | ratio, 2 threads |\n|---|---|---|---|"
        );
        for &cache in &caches[1..] {
            let rows = || self.rows.iter().filter(|(name, ..)| *name == cache);
            if rows().next().is_none() {
                continue;
            }
            let points = Spread::of(rows().map(|(_, beyond, _)| *beyond)).show(2);
            let ratio = |place: usize| Spread::of(rows().map(|row| row.2[place])).show(2);
            println!("| {cache} | {points} | {} | {} |", ratio(0), ratio(1));
        }
    }
}
