//! What a cache says of itself.

/// Entries that have left, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Evictions {
    /// Others needed the room.
    pub capacity: u64,
    /// A level's cap, a smaller capacity, or a call for bytes.
    pub pressure: u64,
    /// Their time to live was over.
    pub expired: u64,
    /// A new value came for the same key.
    pub replaced: u64,
    /// They were removed or invalidated.
    pub removed: u64,
}

/// What a cache holds and has done since it was built.
///
/// Counts of different threads are read one after the other: while threads use the cache, figures that
/// belong together may be a few operations apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Entries held, those that have expired and are not swept yet included.
    pub entries: u64,
    /// Bytes of the entries as they are weighed. Where nobody says what one weighs (`Weigh::By`) that includes
    /// their places in the table, which `table_bytes` has as well.
    pub bytes: u64,
    /// Bytes of the table that they stand in. It grows with the entries and does not shrink.
    pub table_bytes: u64,
    /// The most entries, under the cap of the present level; absent without such a limit.
    pub most_entries: Option<u64>,
    /// The most bytes, under the cap of the present level; absent without such a limit.
    pub most_bytes: Option<u64>,
    /// The share of its capacity that the present level leaves it, 0 to 1.
    pub share: f64,
    /// Look-ups that found a live entry.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Misses that took another's value, which they waited for or which had come meanwhile, instead of making
    /// their own.
    pub joined: u64,
    /// Entries let in.
    pub insertions: u64,
    /// Values that were not let in: too large, without a time to live, for a cache that holds nothing, or
    /// invalidated while they were made.
    pub rejected: u64,
    /// Entries that have left.
    pub evictions: Evictions,
}

impl CacheStatistics {
    /// Hits among all look-ups, 0 to 1; `None` before the first.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}
