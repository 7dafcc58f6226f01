//! `peak_alloc`, which stands on the system allocator alone.

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
