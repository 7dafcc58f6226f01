//! `cap` over tikv-jemallocator, without a limit.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static HEAP: cap::Cap<Jemalloc> = cap::Cap::new(Jemalloc, usize::MAX);

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
