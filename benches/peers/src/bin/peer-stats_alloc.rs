//! `stats_alloc`, which on stable Rust stands on the system allocator alone.

#[global_allocator]
static HEAP: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
