//! tikv-jemallocator as it is: the base of all that stand on it.

#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
