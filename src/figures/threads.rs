//! Which thread holds, and handles, how much.

use super::roots::Roots;
use crate::allocator::block::Totals;
use crate::allocator::local::REGISTRY;

/// What one living thread has counted since it began.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ThreadFigures {
    /// The kernel's id of the thread; 0 on other systems than Linux and Android.
    pub thread_id: u32,
    /// The thread's name as the kernel has it, at most 15 bytes; empty when it has just ended.
    pub name: String,
    /// Bytes that it allocated.
    pub allocated_bytes: u64,
    /// Bytes that it freed, whoever had allocated them.
    pub deallocated_bytes: u64,
    /// Its successful allocations.
    pub allocations: u64,
    /// Its frees.
    pub deallocations: u64,
    /// Its successful reallocations.
    pub reallocations: u64,
    /// Allocated minus freed: negative for a thread that frees what others allocate.
    pub net_bytes: i64,
}

/// The figures of every living thread that has allocated or freed, from the one that holds most.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// for thread in plimsoll::threads() {
///     println!("{}: {} bytes more than it freed", thread.name, thread.net_bytes);
/// }
/// ```
///
/// Allocates, and reads one small file of `/proc` for each thread: for a details page, not for a
/// loop.
#[must_use]
pub fn threads() -> Vec<ThreadFigures> {
    largest_threads(usize::MAX)
}

/// So many of [`threads`]; only they have their names looked up.
pub(crate) fn largest_threads(most: usize) -> Vec<ThreadFigures> {
    let roots = Roots::default();
    counted(most).map(|owner| figures(&roots, owner)).collect()
}

/// Id and totals of the owners that hold most.
fn counted(most: usize) -> impl Iterator<Item = (u32, Totals)> {
    let owners = REGISTRY.iter().filter_map(|block| block.owner());
    let mut owners: Vec<_> = owners.collect();
    owners.sort_unstable_by_key(|(_, totals)| std::cmp::Reverse(totals.net()));
    owners.into_iter().take(most)
}

fn figures(roots: &Roots, (thread_id, totals): (u32, Totals)) -> ThreadFigures {
    ThreadFigures {
        thread_id,
        name: name(roots, thread_id),
        allocated_bytes: totals.allocated,
        deallocated_bytes: totals.deallocated,
        allocations: totals.allocations,
        deallocations: totals.deallocations,
        reallocations: totals.reallocations,
        net_bytes: totals.net(),
    }
}

fn name(roots: &Roots, thread_id: u32) -> String {
    let path = roots
        .proc()
        .join("self/task")
        .join(thread_id.to_string())
        .join("comm");
    std::fs::read(path)
        .map(|raw| String::from_utf8_lossy(raw.trim_ascii_end()).into_owned())
        .unwrap_or_default()
}
