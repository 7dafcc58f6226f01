//! Which lines allocated most in a scope.
//!
//! Whether a figure is wrong is known only at the end, so traces are taken on the way: of the first
//! calls, and after those of the largest. A walk of the stack costs some microseconds, and so a scope
//! with a million allocations is not made seconds longer.

use super::sites::Sites;
use super::text::counted;
use super::trace::Trace;
use crate::allocator::scope::{Call, Observer};
use std::cell::RefCell;
use std::fmt::Write;

/// Calls that are traced whatever their size.
const FIRST: u64 = 1000;
/// After those, a call is traced when it is larger than the least of so many largest.
const LARGEST: usize = 16;
/// And no more than so many in all, some tens of milliseconds: where each is larger than all before it, all
/// of them would be.
const MOST: u64 = 10_000;

#[derive(Default)]
pub(super) struct Recorder {
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    sites: Sites,
    traced: u64,
    left_out: u64,
    /// The largest sizes so far, in order.
    largest: Vec<usize>,
}

impl Seen {
    fn wants(&mut self, size: usize) -> bool {
        let is_large = self.largest.len() < LARGEST || size > self.largest[0];
        if is_large {
            if self.largest.len() == LARGEST {
                self.largest.remove(0);
            }
            let at = self.largest.partition_point(|&other| other < size);
            self.largest.insert(at, size);
        }
        self.traced < if is_large { MOST } else { FIRST }
    }
}

impl Observer for Recorder {
    fn saw(&self, call: Call) {
        let (Call::Allocated { size, .. } | Call::Moved { new: size, .. }) = call else {
            return;
        };
        // Never called from within itself: it runs unseen.
        let mut seen = self.seen.borrow_mut();
        if seen.wants(size) {
            seen.traced += 1;
            seen.sites.add(Trace::here(), size);
        } else {
            seen.left_out += 1;
        }
    }
}

impl Recorder {
    /// The largest allocations with their lines; empty when there were none.
    pub(super) fn table(&self) -> String {
        let seen = self.seen.borrow();
        if seen.traced == 0 {
            return String::new();
        }
        let mut table = format!("allocated most:\n{}", seen.sites.table());
        if seen.left_out > 0 {
            let left_out = counted(seen.left_out, "smaller call");
            let _ = writeln!(table, "  and {left_out} whose lines were not taken");
        }
        table
    }
}
