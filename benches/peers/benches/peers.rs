//! Plimsoll beside its peers: one command, one table of ratios.
//!
//! ```text
//! cargo bench -p plimsoll-peers                              all of it, some seven minutes
//! cargo bench -p plimsoll-peers -- --quick                   a first look, about one minute
//! cargo bench -p plimsoll-peers -- --only plimsoll,cap --workload pair,instructions
//! cargo bench -p plimsoll-peers -- --rounds 25 --json peers.json
//! ```
//!
//! Cargo builds the workers first, because this target names them by `CARGO_BIN_EXE_*`. How it
//! is measured is told in `src/driver/mod.rs`.

use plimsoll_peers::driver::{self, Peer};
use std::process::ExitCode;

const JEMALLOC: &str = "bare-jemalloc";
const SYSTEM: &str = "bare-system";

macro_rules! peer {
    ($name:literal, $base:expr, $note:literal) => {
        Peer {
            name: $name,
            worker: env!(concat!("CARGO_BIN_EXE_peer-", $name)),
            base: $base,
            note: $note,
        }
    };
}

/// The rows, in their order.
static PEERS: [Peer; 10] = [
    peer!("bare-jemalloc", JEMALLOC, ""),
    peer!("plimsoll", JEMALLOC, "without its monitor"),
    peer!(
        "thresher",
        JEMALLOC,
        "one figure, known to within 64 KiB a thread"
    ),
    peer!(
        "divan",
        JEMALLOC,
        "its `AllocProfiler` counts on every thread all the time, but only a divan benchmark can \
         read the figures; that it counts shows in the instructions alone"
    ),
    peer!(
        "cap",
        JEMALLOC,
        "live bytes only, without its feature `stats`"
    ),
    peer!(
        "tracking-allocator",
        JEMALLOC,
        "with a tracker that adds up live bytes in one atomic, the least it can be asked for"
    ),
    peer!("bare-system", SYSTEM, ""),
    peer!(
        "stats_alloc",
        SYSTEM,
        "on stable Rust its constructor is not `const`, so only the system's allocator can be inside"
    ),
    peer!("peak_alloc", SYSTEM, "made for the system's allocator"),
    peer!(
        "dhat",
        SYSTEM,
        "made for the system's allocator, and takes a backtrace for every block: a profiler, and \
         another kind of tool"
    ),
];

fn main() -> ExitCode {
    driver::main(&PEERS)
}
