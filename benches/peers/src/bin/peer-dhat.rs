//! `dhat`, profiling, on the system allocator, the only one it takes.

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

fn main() -> std::process::ExitCode {
    let _profiler = dhat::Profiler::builder().testing().build();
    plimsoll_peers::work()
}
