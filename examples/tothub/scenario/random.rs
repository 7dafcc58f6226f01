//! Chance, good enough for visits: SplitMix64, with another seed in each run.

use std::hash::{BuildHasher, Hasher, RandomState};

pub struct Random(u64);

impl Random {
    pub fn seeded() -> Random {
        Random(RandomState::new().build_hasher().finish())
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1, and never 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to `end`, and never `end`, unless that is 0.
    pub fn below(&mut self, end: u32) -> u32 {
        (self.unit() * f64::from(end)) as u32
    }

    /// From half of the mean to one and a half times it.
    pub fn about(&mut self, mean: f64) -> usize {
        (mean * (0.5 + self.unit())).round() as usize
    }
}
