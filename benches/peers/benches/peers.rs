//! Plimsoll beside its peers: `cargo bench -p plimsoll-peers --bench peers`.
//!
//! Every allocator's worker runs every workload in turn, round after round, so that a machine whose
//! speed drifts slows all of them alike. A ratio is taken within a round, to the bare allocator
//! that the same crate stands on; the table shows the median over the rounds and, in brackets, the
//! least and the most. Instructions are counted by callgrind and do not depend on the machine's
//! mood.
//!
//! ```text
//! cargo bench -p plimsoll-peers --bench peers -- [--rounds N] [--only NAME,…] [--workload NAME,…]
//!                                                [--at-most INSTRUCTIONS] [--layouts FOLDER]
//! ```
//!
//! With `--at-most` it fails when Plimsoll's pair takes more instructions than that over bare. With `--layouts`
//! each round takes the workers of the next folder in there, as `benches/peers/layouts.sh` links them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program, not a library"
)]

use plimsoll_peers::WORKLOADS;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

struct Peer {
    name: &'static str,
    worker: &'static str,
    /// The bare allocator inside, an index of [`PEERS`].
    base: usize,
}

const JEMALLOC: usize = 0;
const SYSTEM: usize = 1;

macro_rules! peer {
    ($name:literal, $base:expr) => {
        Peer {
            name: $name,
            worker: env!(concat!("CARGO_BIN_EXE_peer-", $name)),
            base: $base,
        }
    };
}

const PEERS: &[Peer] = &[
    peer!("bare-jemalloc", JEMALLOC),
    peer!("bare-system", SYSTEM),
    peer!("plimsoll", JEMALLOC),
    #[cfg(feature = "others")]
    peer!("cap", JEMALLOC),
    #[cfg(feature = "others")]
    peer!("thresher", JEMALLOC),
    #[cfg(feature = "others")]
    peer!("divan", JEMALLOC),
    #[cfg(feature = "others")]
    peer!("tracking-allocator", JEMALLOC),
    #[cfg(feature = "others")]
    peer!("stats_alloc", SYSTEM),
    #[cfg(feature = "others")]
    peer!("peak_alloc", SYSTEM),
    #[cfg(feature = "others")]
    peer!("dhat", SYSTEM),
];

/// A column: a workload on a number of threads.
struct Column {
    workload: &'static str,
    threads: usize,
    /// Of each thread in a run.
    operations: usize,
}

const fn column(workload: &'static str, threads: usize, operations: usize) -> Column {
    Column {
        workload,
        threads,
        operations,
    }
}

const COLUMNS: &[Column] = &[
    column("pair", 1, 20_000_000),
    column("pair", 2, 20_000_000),
    column("replace", 2, 5_000_000),
    column("larson", 2, 8_000_000),
    column("xmalloc", 2, 4_000_000),
    column("scratch", 2, 4_000_000),
    column("rptest", 2, 2_000_000),
    #[cfg(feature = "programs")]
    column("json", 2, 100),
    #[cfg(feature = "programs")]
    column("json-large", 2, 1),
    #[cfg(feature = "programs")]
    column("regex", 2, 40),
    #[cfg(feature = "programs")]
    column("sqlite", 2, 1_200),
    #[cfg(feature = "programs")]
    column("compiler", 2, 100),
];

struct Options {
    rounds: usize,
    peers: Vec<usize>,
    columns: Vec<usize>,
    at_most: Option<u32>,
    /// The folders of workers that take their turns; none for those that cargo has built.
    layouts: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        rounds: 9,
        peers: (0..PEERS.len()).collect(),
        columns: (0..COLUMNS.len()).collect(),
        at_most: None,
        layouts: Vec::new(),
    };
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or(format!("`{flag}` wants a value"));
        match flag.as_str() {
            // What cargo itself passes.
            "--bench" => {}
            "--rounds" => {
                let value = value()?;
                options.rounds = value
                    .parse()
                    .ok()
                    .filter(|rounds| (1..=1000).contains(rounds))
                    .ok_or(format!("`--rounds` is `{value}`: expected 1 to 1000"))?;
            }
            "--only" => {
                let names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
                options.peers = chosen(&flag, &value()?, &names)?;
                // A ratio needs its base.
                let bases: Vec<_> = options.peers.iter().map(|&peer| PEERS[peer].base).collect();
                options.peers.extend(bases);
                options.peers.sort_unstable();
                options.peers.dedup();
            }
            "--at-most" => {
                let value = value()?;
                let bar = value.parse().map_err(|_| {
                    format!("`--at-most` is `{value}`: expected a number of instructions")
                })?;
                options.at_most = Some(bar);
            }
            "--layouts" => options.layouts = folders(Path::new(&value()?))?,
            "--workload" => {
                let names: Vec<_> = COLUMNS.iter().map(|column| column.workload).collect();
                options.columns = chosen(&flag, &value()?, &names)?;
            }
            _ => {
                return Err(format!(
                    "unknown flag `{flag}`: expected --rounds, --only, --workload, --at-most \
                     or --layouts"
                ));
            }
        }
    }
    Ok(options)
}

/// Those in a folder, in the order of their names.
fn folders(of: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("`--layouts` is `{}`: {error}", of.display());
    let mut found = Vec::new();
    for entry in of.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        found.extend(path.is_dir().then_some(path));
    }
    found.sort_unstable();
    if found.is_empty() {
        return Err(format!(
            "`--layouts` is `{}`: expected a folder with a folder of workers for each layout",
            of.display()
        ));
    }
    Ok(found)
}

fn chosen(flag: &str, value: &str, names: &[&str]) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for wanted in value.split(',') {
        let before = found.len();
        found.extend((0..names.len()).filter(|&index| names[index] == wanted));
        if found.len() == before {
            return Err(format!(
                "`{flag}` names `{wanted}`: expected some of {}",
                names.join(", ")
            ));
        }
    }
    Ok(found)
}

fn run(options: &Options) -> Result<(), String> {
    // One worker run for each peer and column and round.
    let mut times = vec![vec![Vec::new(); COLUMNS.len()]; PEERS.len()];
    for round in 0..options.rounds {
        let layout = options.layouts.get(round % options.layouts.len().max(1));
        for &column in &options.columns {
            for &peer in &options.peers {
                times[peer][column].push(time(&PEERS[peer], &COLUMNS[column], layout)?);
            }
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    let instructions: Vec<_> = PEERS
        .iter()
        .enumerate()
        .map(|(index, peer)| options.peers.contains(&index).then(|| instructions(peer)))
        .collect();
    print_machine(options);
    print_table(options, &times, &instructions);
    check(options, &instructions)
}

/// Whether Plimsoll keeps to the bar, if there is one.
fn check(options: &Options, instructions: &[Option<Result<f64, String>>]) -> Result<(), String> {
    let Some(at_most) = options.at_most else {
        return Ok(());
    };
    let of = |name: &str| {
        let index = PEERS.iter().position(|peer| peer.name == name)?;
        instructions[index].clone()
    };
    match (of("plimsoll"), of("bare-jemalloc")) {
        (Some(Ok(own)), Some(Ok(bare))) if own - bare <= f64::from(at_most) => Ok(()),
        (Some(Ok(own)), Some(Ok(bare))) => Err(format!(
            "a pair takes {:.1} instructions over bare: expected at most {at_most}",
            own - bare
        )),
        (Some(Err(why)), _) | (_, Some(Err(why))) => Err(why),
        _ => Err("`--at-most` needs plimsoll among the peers".to_owned()),
    }
}

/// Nanoseconds per operation of one run.
fn time(peer: &Peer, column: &Column, layout: Option<&PathBuf>) -> Result<f64, String> {
    let worker = match layout {
        Some(folder) => folder.join(format!("peer-{}", peer.name)),
        None => PathBuf::from(peer.worker),
    };
    // One that takes a lock and a backtrace for each call would take minutes.
    let operations = match peer.name {
        "dhat" => column.operations.div_ceil(100),
        _ => column.operations,
    };
    let output = Command::new(&worker)
        .args([
            column.workload,
            &column.threads.to_string(),
            &operations.to_string(),
        ])
        .output()
        .map_err(|error| format!("{}: {error}", worker.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let nanoseconds = text.trim().parse().ok();
    nanoseconds
        .filter(|_| output.status.success())
        .ok_or_else(|| {
            format!(
                "{} printed {text:?} and {:?} ({}): expected nanoseconds",
                peer.name,
                String::from_utf8_lossy(&output.stderr),
                output.status
            )
        })
}

/// Instructions of one allocation and its free, loop included: the difference between two runs.
fn instructions(peer: &Peer) -> Result<f64, String> {
    const FEW: u64 = 20_000;
    const MANY: u64 = 120_000;
    let few = collected(peer, FEW)?;
    let many = collected(peer, MANY)?;
    // A worker warms up with a tenth of its operations.
    Ok((many - few) as f64 / ((MANY - FEW) as f64 * 1.1))
}

fn collected(peer: &Peer, operations: u64) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=pair_loop"])
        .args([peer.worker, "pair", "1", &operations.to_string()])
        .output()
        .map_err(|_| "valgrind is not installed".to_owned())?;
    let log = String::from_utf8_lossy(&output.stderr);
    log.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .ok_or_else(|| format!("callgrind said nothing of {}", peer.name))
}

fn print_machine(options: &Options) {
    let line_of = |file: &str, start: &str| {
        std::fs::read_to_string(file)
            .ok()?
            .lines()
            .find_map(|line| {
                Some(
                    line.strip_prefix(start)?
                        .trim_start_matches([' ', '\t', ':'])
                        .to_owned(),
                )
            })
    };
    let processor = line_of("/proc/cpuinfo", "model name").unwrap_or_default();
    let release = line_of("/proc/sys/kernel/osrelease", "").unwrap_or_default();
    let kernel = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{processor}, {cores} cores, Linux {kernel}; medians of {} alternating rounds{}, least and \
         most in brackets.\n",
        options.rounds,
        match options.layouts.len() {
            0 => String::new(),
            layouts => format!(" over {layouts} layouts"),
        }
    );
    for workload in WORKLOADS {
        println!("* {}: {}", workload.name, workload.operation);
    }
    println!();
}

fn print_table(
    options: &Options,
    times: &[Vec<Vec<f64>>],
    instructions: &[Option<Result<f64, String>>],
) {
    let mut header = String::from("| allocator | over |");
    let mut rule = String::from("|---|---|");
    for &column in &options.columns {
        let Column {
            workload, threads, ..
        } = &COLUMNS[column];
        let plural = if *threads == 1 { "" } else { "s" };
        header += &format!(" {workload}, {threads} thread{plural} |");
        rule += "---|";
    }
    let is_program = |&column: &usize| {
        let named = |workload: &plimsoll_peers::Workload| workload.name == COLUMNS[column].workload;
        WORKLOADS
            .iter()
            .any(|workload| named(workload) && workload.is_program)
    };
    let programs: Vec<usize> = options.columns.iter().copied().filter(is_program).collect();
    if programs.len() > 1 {
        header += " programs, geometric mean |";
        rule += "---|";
    }
    println!("{header} instructions a pair |\n{rule}---|");
    for &index in &options.peers {
        let peer = &PEERS[index];
        let bare = peer.base == index;
        let mut row = format!(
            "| {} | {} |",
            peer.name,
            if bare { "" } else { PEERS[peer.base].name }
        );
        for &column in &options.columns {
            let own = &times[index][column];
            if bare {
                row += &format!(" {} |", readable(median(own)));
            } else {
                let ratios = ratios(times, index, column);
                row += &format!(
                    " {:.2} ({:.2}–{:.2}) |",
                    median(&ratios),
                    ratios.iter().copied().fold(f64::INFINITY, f64::min),
                    ratios.iter().copied().fold(0.0, f64::max)
                );
            }
        }
        if programs.len() > 1 {
            let of = programs.iter();
            let logarithms = of.map(|&column| median(&ratios(times, index, column)).ln());
            let mean = (logarithms.sum::<f64>() / programs.len() as f64).exp();
            row += &if bare {
                " |".to_owned()
            } else {
                format!(" {mean:.3} |")
            };
        }
        let base = instructions[peer.base].as_ref();
        row += &match (&instructions[index], base) {
            (Some(Ok(own)), _) if bare => format!(" {own:.1} |"),
            (Some(Ok(own)), Some(Ok(base))) => format!(" +{:.1} |", own - base),
            (Some(Err(why)), _) | (_, Some(Err(why))) => format!(" {why} |"),
            _ => " |".to_owned(),
        };
        println!("{row}");
    }
}

/// A peer's times over those of its bare allocator, round by round.
fn ratios(times: &[Vec<Vec<f64>>], peer: usize, column: usize) -> Vec<f64> {
    let base = &times[PEERS[peer].base][column];
    let own = &times[peer][column];
    own.iter().zip(base).map(|(own, base)| own / base).collect()
}

fn readable(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 {
        format!("{nanoseconds:.1} ns")
    } else {
        format!("{:.2} ms", nanoseconds / 1e6)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}
