//! A thousand tests, each with figures of its own, and the work that they hold.
//!
//! The same file serves Plimsoll here and its peers in `benches/peers/tests`.

use std::hint::black_box;

/// What a piece of work allocates, by arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    pub allocations: u64,
    pub deallocations: u64,
    pub bytes: u64,
    pub net: u64,
    pub peak: u64,
}

/// Work that is different for each number: some rounds of some blocks, of which some are kept.
#[inline(never)]
pub fn work(number: usize) -> [Option<Box<[u8]>>; 8] {
    let (rounds, blocks, kept, size) = sizes(number);
    let mut held: [Option<Box<[u8]>>; 8] = Default::default();
    for _ in 0..rounds {
        for (at, slot) in held.iter_mut().take(blocks).enumerate() {
            *slot = None;
            *slot = Some(black_box(vec![1u8; size + at].into_boxed_slice()));
        }
        // So that other tests come between.
        std::thread::yield_now();
    }
    for slot in held.iter_mut().skip(kept) {
        *slot = None;
    }
    black_box(held)
}

fn sizes(number: usize) -> (usize, usize, usize, usize) {
    let blocks = 1 + number % 8;
    (2 + number % 5, blocks, number % (blocks + 1), 16 + number)
}

pub fn truth(number: usize) -> Truth {
    let (rounds, blocks, kept, size) = sizes(number);
    let sum = |blocks: usize| (0..blocks).map(|at| size + at).sum::<usize>() as u64;
    Truth {
        allocations: (rounds * blocks) as u64,
        deallocations: (rounds * blocks - kept) as u64,
        bytes: rounds as u64 * sum(blocks),
        net: sum(kept),
        peak: sum(blocks),
    }
}

/// A test's number, from the three digits in its path.
pub fn number(path: &str) -> usize {
    path.rsplit("::")
        .take(3)
        .map(|name| name.trim_start_matches('d'))
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(0, |number, digit| {
            10 * number + digit.parse::<usize>().unwrap()
        })
}

macro_rules! digits {
    ($make:ident: $($digit:ident)+) => {
        $(mod $digit { $make!(); })+
    };
}

macro_rules! one {
    () => {
        #[test]
        fn is_exact() {
            crate::exact(crate::shape::number(module_path!()));
        }
    };
}

macro_rules! ten {
    () => {
        digits!(one: d0 d1 d2 d3 d4 d5 d6 d7 d8 d9);
    };
}

macro_rules! hundred {
    () => {
        digits!(ten: d0 d1 d2 d3 d4 d5 d6 d7 d8 d9);
    };
}

/// A module for each digit, three deep, with one test in each: `exact` of the file is given the number.
macro_rules! thousand {
    () => {
        digits!(hundred: d0 d1 d2 d3 d4 d5 d6 d7 d8 d9);
    };
}
