//! A cache that fills up: pictures of children, kept up to a cap in bytes. Some children are looked
//! at far more often than others, so misses become rarer while it fills, in some 40 seconds. Then
//! the oldest picture goes for each that comes.

use crate::scenario::visits::{Visits, scan};
use std::collections::{HashMap, VecDeque};

/// Children who are looked at, and how many of their pictures the cap has room for.
const LOOKED_AT: f64 = 1_600.0;
const ROOM_FOR: f64 = 1_000.0;

#[derive(Default)]
struct Pictures {
    of: HashMap<u32, Vec<u8>>,
    /// The oldest first.
    order: VecDeque<u32>,
    bytes: usize,
}

impl Pictures {
    fn keep(&mut self, child: u32, picture: Vec<u8>, cap: usize) {
        self.bytes += picture.len();
        self.of.insert(child, picture);
        self.order.push_back(child);
        while self.bytes > cap {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.bytes -= self.of.remove(&oldest).map_or(0, |picture| picture.len());
        }
    }
}

pub fn run(mut visits: Visits) {
    let cap = visits.swing_bytes();
    let mut pictures = Pictures::default();
    loop {
        visits.serve();
        // The square favours the first: a quarter of the children are looked at half of the time.
        let child = (LOOKED_AT * visits.random.unit().powi(2)) as u32;
        if !pictures.of.contains_key(&child) {
            let picture = scan(visits.random.about(cap / ROOM_FOR));
            pictures.keep(child, picture, cap as usize);
        }
    }
}
