//! What an eviction really freed.

use crate::allocator::local::OwnCount;

/// The bytes that this thread freed while `work` ran, less what it allocated; where allocations are not
/// counted, by how much `held` became less.
pub(super) fn freed(held: impl Fn() -> u64, work: impl FnOnce()) -> u64 {
    let count = OwnCount::new();
    let (before, held_before) = (count.net(), held());
    work();
    if count.is_counting() {
        u64::try_from(before.wrapping_sub(count.net())).unwrap_or(0)
    } else {
        held_before.saturating_sub(held())
    }
}
