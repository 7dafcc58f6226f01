//! What an eviction really freed.

use super::weigh::is_counting;

/// The bytes that this thread freed while `work` ran, less what it allocated; where allocations are not
/// counted, by how much `held` became less.
pub(super) fn freed(held: impl Fn() -> u64, work: impl FnOnce()) -> u64 {
    let before = held();
    let ((), found) = crate::measure(work);
    if is_counting() {
        u64::try_from(found.net_bytes.saturating_neg()).unwrap_or(0)
    } else {
        before.saturating_sub(held())
    }
}
