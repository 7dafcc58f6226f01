//! `thresher` over tikv-jemallocator.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static HEAP: thresher::Thresher<Jemalloc> = thresher::Thresher::new(Jemalloc);

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
