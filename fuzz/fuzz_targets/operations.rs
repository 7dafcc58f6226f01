//! Sequences of operations on one thread: `measure` agrees with a sum made by hand, its peak
//! included, over nested scopes and refused allocations.
#![no_main]

use plimsoll::{Measurement, Plimsoll, measure};
use std::alloc::{GlobalAlloc, Layout, System};

#[global_allocator]
static HEAP: Plimsoll<System> = Plimsoll::wrap(System);

/// The sum made by hand.
#[derive(Default)]
struct Sum {
    allocations: u64,
    deallocations: u64,
    reallocations: u64,
    allocated: u64,
    deallocated: u64,
    peak: i64,
}

impl Sum {
    fn note(&mut self) {
        let net = self.allocated as i64 - self.deallocated as i64;
        self.peak = self.peak.max(net);
    }

    fn absorb(&mut self, inner: &Sum) {
        let before = self.allocated as i64 - self.deallocated as i64;
        self.peak = self.peak.max(before + inner.peak);
        self.allocations += inner.allocations;
        self.deallocations += inner.deallocations;
        self.reallocations += inner.reallocations;
        self.allocated += inner.allocated;
        self.deallocated += inner.deallocated;
    }

    fn assert_equals(&self, found: &Measurement) {
        assert_eq!(found.allocations, self.allocations);
        assert_eq!(found.deallocations, self.deallocations);
        assert_eq!(found.reallocations, self.reallocations);
        assert_eq!(found.allocated_bytes, self.allocated);
        assert_eq!(found.deallocated_bytes, self.deallocated);
        assert_eq!(found.peak_bytes, self.peak as u64);
    }
}

const SLOTS: usize = 16;
type Slots = [Option<(*mut u8, Layout)>; SLOTS];

fn run(bytes: &mut std::slice::Iter<'_, u8>, slots: &mut Slots, depth: usize) -> Sum {
    let mut sum = Sum::default();
    while let (Some(&what), Some(&size)) = (bytes.next(), bytes.next()) {
        let slot = &mut slots[what as usize % SLOTS];
        // Up to a quarter of a MiB, so that a few dozen pass a quantum.
        let size = 1 + (size as usize).pow(2) * 4;
        match (what / 16 % 5, *slot) {
            (0, None) => {
                let layout = Layout::from_size_align(size, 1 << (what % 5)).unwrap();
                // SAFETY: the size is not 0.
                *slot = Some((unsafe { HEAP.alloc(layout) }, layout));
                sum.allocations += 1;
                sum.allocated += size as u64;
            }
            (1, Some((address, layout))) => {
                // SAFETY: allocated with this layout, and gone from the slot.
                unsafe { HEAP.dealloc(address, layout) };
                *slot = None;
                sum.deallocations += 1;
                sum.deallocated += layout.size() as u64;
            }
            (2, Some((address, layout))) => {
                // SAFETY: allocated with this layout; the new size is not 0.
                let moved = unsafe { HEAP.realloc(address, layout, size) };
                *slot = Some((
                    moved,
                    Layout::from_size_align(size, layout.align()).unwrap(),
                ));
                sum.reallocations += 1;
                sum.allocated += size as u64;
                sum.deallocated += layout.size() as u64;
            }
            (3, _) if depth < 8 => {
                let (inner, found) = measure(|| run(bytes, slots, depth + 1));
                inner.assert_equals(&found);
                sum.absorb(&inner);
            }
            (4, _) => return sum,
            _ => {}
        }
        sum.note();
    }
    sum
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut slots = [None; SLOTS];
    let (sum, found) = measure(|| run(&mut bytes.iter(), &mut slots, 0));
    sum.assert_equals(&found);
    for (address, layout) in slots.into_iter().flatten() {
        // SAFETY: still allocated with this layout.
        unsafe { HEAP.dealloc(address, layout) };
    }
});
