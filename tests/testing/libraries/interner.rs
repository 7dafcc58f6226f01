//! Names by numbers. The bug: a name whose number cannot be kept is not freed.

use std::collections::TryReserveError;

#[derive(Debug, Default)]
pub struct Interner<const BUG: bool> {
    names: Vec<*mut u8>,
    lengths: Vec<usize>,
}

impl<const BUG: bool> Interner<BUG> {
    pub fn intern(&mut self, name: &str) -> Result<usize, TryReserveError> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(name.len())?;
        copy.extend_from_slice(name.as_bytes());
        if BUG {
            let raw = copy.leak();
            self.names.try_reserve(1)?;
            self.lengths.try_reserve(1)?;
            self.names.push(raw.as_mut_ptr());
        } else {
            self.names.try_reserve(1)?;
            self.lengths.try_reserve(1)?;
            self.names.push(copy.leak().as_mut_ptr());
        }
        self.lengths.push(name.len());
        Ok(self.names.len() - 1)
    }

    pub fn len(&self) -> usize {
        self.lengths.len()
    }
}

impl<const BUG: bool> Drop for Interner<BUG> {
    fn drop(&mut self) {
        for (&name, &length) in self.names.iter().zip(&self.lengths) {
            // SAFETY: leaked from a list of exactly this length.
            drop(unsafe { Vec::from_raw_parts(name, length, length) });
        }
    }
}
