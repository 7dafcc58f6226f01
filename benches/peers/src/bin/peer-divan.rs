//! divan's allocation profiler over tikv-jemallocator; it counts outside benchmarks too.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static HEAP: divan::AllocProfiler<Jemalloc> = divan::AllocProfiler::new(Jemalloc);

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
