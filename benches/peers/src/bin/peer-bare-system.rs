//! The system's allocator as it is: the base of those that only stand on it.

#[global_allocator]
static HEAP: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
