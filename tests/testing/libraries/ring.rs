//! A queue. The bug: after a failed growth it takes itself for larger than it is.

use std::collections::TryReserveError;

#[derive(Debug, Default)]
pub struct Ring<const BUG: bool> {
    slots: Vec<u64>,
    capacity: usize,
}

impl<const BUG: bool> Ring<BUG> {
    pub fn push(&mut self, value: u64) -> Result<(), TryReserveError> {
        if self.slots.len() == self.capacity {
            let capacity = (self.capacity * 2).max(4);
            if BUG {
                self.capacity = capacity;
            }
            self.slots.try_reserve_exact(capacity - self.slots.len())?;
            self.capacity = capacity;
        }
        assert!(
            self.slots.len() < self.slots.capacity(),
            "no room for what was promised"
        );
        self.slots.push(value);
        Ok(())
    }

    pub fn sum(&self) -> u64 {
        self.slots.iter().sum()
    }
}
