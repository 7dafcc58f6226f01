//! Plimsoll over tikv-jemallocator.

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

fn main() -> std::process::ExitCode {
    plimsoll_peers::work()
}
