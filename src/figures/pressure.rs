//! How near the line: the heap and the resident memory against the limit, and where they go.

use std::fmt;

/// Which figure decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Signal {
    /// Live heap: what the program has asked for and not freed.
    Heap,
    /// Anonymous resident memory: what the kernel cannot drop. Page cache and file mappings are
    /// not in it.
    Resident,
    /// A [`Drill`](crate::Drill): the pressure is made up.
    Drill,
    /// None: the program or a person asked for it.
    Command,
}

impl Signal {
    /// `heap`, `resident`, `drill` or `command`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Heap => "heap",
            Signal::Resident => "resident",
            Signal::Drill => "drill",
            Signal::Command => "command",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Both ratios, and the one that decides: the larger.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Pressure {
    /// Live heap over the limit. Above 1 when the limit is passed. In a drill what it pretends, if that is more.
    pub heap: f64,
    /// Anonymous resident memory over the limit.
    pub resident: f64,
    /// What the larger one is about to grow by, as a ratio to the limit: its rate over the shortest
    /// interval between two looks, 50 ms, at most 0.05. 0 unless it has grown in each of the last
    /// two, and always in [`Monitor::status`](crate::Monitor::status).
    pub growth: f64,
    /// Which of the two is larger; or the drill that pretends more than both, or the command.
    pub deciding: Signal,
}

impl Pressure {
    /// The ratios of these bytes to a limit, without growth. A limit of 0 counts as one byte.
    #[must_use]
    pub fn new(heap_bytes: u64, resident_bytes: u64, limit_bytes: u64) -> Pressure {
        let limit = limit_bytes.max(1) as f64;
        Pressure {
            heap: heap_bytes as f64 / limit,
            resident: resident_bytes as f64 / limit,
            growth: 0.0,
            deciding: if heap_bytes > resident_bytes {
                Signal::Heap
            } else {
                Signal::Resident
            },
        }
    }

    /// The larger ratio and its growth: what levels are judged by.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.growth
            + match self.deciding {
                Signal::Heap => self.heap,
                Signal::Resident => self.resident,
                Signal::Drill | Signal::Command => self.heap.max(self.resident),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_ratio_decides_and_is_named() {
        let heap = Pressure::new(90, 50, 100);
        assert_eq!((heap.value(), heap.deciding), (0.9, Signal::Heap));
        let resident = Pressure::new(50, 75, 100);
        assert_eq!(
            (resident.value(), resident.deciding),
            (0.75, Signal::Resident)
        );
    }
}
