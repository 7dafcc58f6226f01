//! What the time before a growth held: whether it was as high before, and rose as much before.

use super::MOST;
use super::history::History;
use super::points::quantile;

/// Fewer bins before it than this tell nothing.
const LEAST: usize = 4;

/// What the time before a growth held, as far as it is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// The share of it in which at least this was held.
    pub(super) seen: f64,
    /// What was held for all but a twentieth of it.
    pub(super) high: f64,
    /// The largest rise that lasted.
    pub(super) rise: f64,
    pub(super) bins: usize,
}

/// As the ring itself has it, the next coarser one, and the one that holds everything: in a coarse bin
/// short rises are averaged away.
pub(super) fn before(history: &History, ring: usize, before: f64, level: f64) -> Before {
    let whole = history.whole();
    let mut all = Before::default();
    for place in [ring, (ring + 1).min(whole), whole] {
        let one = before_in(history, place, before, level);
        all = Before {
            seen: all.seen.max(one.seen),
            high: all.high.max(one.high),
            rise: all.rise.max(one.rise),
            bins: all.bins.max(one.bins),
        };
    }
    all
}

fn before_in(history: &History, ring: usize, before: f64, level: f64) -> Before {
    let mut means = [0.0; MOST];
    let mut n = 0;
    for bin in history.bins(ring) {
        if bin.seconds < before && n < MOST {
            means[n] = bin.mean;
            n += 1;
        }
    }
    if n < LEAST {
        return Before::default();
    }
    let means = &mut means[..n];
    let mut least = f64::INFINITY;
    let mut rise: f64 = 0.0;
    for pair in means.windows(2) {
        least = least.min(pair[0]);
        rise = rise.max(pair[0].min(pair[1]) - least);
    }
    let seen = means.iter().filter(|&&mean| mean >= level).count() as f64 / n as f64;
    Before {
        seen,
        high: quantile(means, 0.95),
        rise,
        bins: n,
    }
}
