//! A cache beside its model, over arbitrary sequences of calls.
#![no_main]

#[path = "../../tests/cache_model/mod.rs"]
mod cache_model;

use cache_model::{Settings, Step};

/// Two bytes as a number.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u16> {
    Some(u16::from_be_bytes([bytes.next()?, bytes.next()?]))
}

fn step(bytes: &mut impl Iterator<Item = u8>) -> Option<Step> {
    let kind = bytes.next()?;
    // Keys are few, so that they meet.
    let mut key = || bytes.next().map(|key| key % 32);
    Some(match kind % 13 {
        0 => Step::Insert(key()?, number(bytes)?.max(1)),
        1 => Step::InsertFor(key()?, number(bytes)?.max(1), number(bytes)?),
        2 => Step::Get(key()?),
        3 => Step::GetOrInsert(key()?, number(bytes)?.max(1)),
        4 => Step::Remove(key()?),
        5 => Step::InvalidateEven,
        6 => Step::Clear,
        7 => Step::Advance(number(bytes)?),
        8 => Step::Sweep,
        9 => Step::Level(key()?),
        10 => Step::Entries(key()?),
        11 => Step::Bytes(number(bytes)?),
        _ => Step::FreeBytes(number(bytes)?),
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let mut setting = || number(&mut bytes).map(u64::from);
    let (Some(entries), Some(size), Some(ttl), Some(scale)) =
        (setting(), setting(), setting(), setting())
    else {
        return;
    };
    let settings = Settings {
        // As for its keys: a table of many entries is slow to make.
        entries: entries % 64,
        bytes: size,
        ttl: ttl.max(1),
        // Up to 4 GiB an entry.
        scale: scale.max(1),
        one_shard: true,
    };
    let steps: Vec<Step> = std::iter::from_fn(|| step(&mut bytes)).collect();
    cache_model::run(settings, steps);
});
