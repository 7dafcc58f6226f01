//! What a thread allocates around a call.

use crate::allocator::block::Totals;
use crate::allocator::local::own_totals;

/// Bytes and allocations; a reallocation counts as one, with its new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    pub(super) allocations: u64,
}

impl Tally {
    /// Runs `work` and adds what this thread allocated meanwhile. A thread that counts in the shared
    /// block adds nothing: that is one for which no memory for counters could be had.
    pub(super) fn around<R>(&mut self, work: impl FnOnce() -> R) -> R {
        /// Counts up to where `work` ends, also when it unwinds.
        struct Counting<'a> {
            tally: &'a mut Tally,
            before: Option<Totals>,
        }
        impl Drop for Counting<'_> {
            fn drop(&mut self) {
                if let (Some(before), Some(after)) = (self.before, own_totals()) {
                    let counted = after.since(before);
                    self.tally.bytes += counted.allocated;
                    self.tally.allocations += counted.allocations + counted.reallocations;
                }
            }
        }
        let _counting = Counting {
            tally: self,
            before: own_totals(),
        };
        work()
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.bytes += other.bytes;
        self.allocations += other.allocations;
    }
}
