//! How large the next batch is: the control law, as a value that is told what the last one took.
//!
//! The law, its constants and where they come from are in the [module's](super) documentation.

/// Of the budget, what the window grows by: back at it eight batches after one halving.
const STEPS: u64 = 16;

/// How much of the way down an estimate goes with one batch.
const FALL: u64 = 4;

/// At most so many times the items of the last batch.
const GROWTH: usize = 2;

/// What stays the same over a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    /// Bytes of a batch, at the most.
    pub(super) budget: u64,
    /// Of the room, for one batch.
    pub(super) share: f64,
    /// Items of a batch, at the most.
    pub(super) most_items: usize,
    /// What an item takes, as the caller guesses.
    pub(super) guess: Option<u64>,
    /// What an item takes at the least: its own size.
    pub(super) least: u64,
    /// Whether anything can be measured.
    pub(super) is_measured: bool,
}

/// What an item takes, from what items took: rises at once, falls slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate(Option<u64>);

impl Estimate {
    pub(super) fn new(guess: Option<u64>) -> Estimate {
        Estimate(guess)
    }

    pub(super) fn bytes(self) -> Option<u64> {
        self.0
    }

    pub(super) fn see(&mut self, bytes: u64) {
        self.0 = Some(match self.0 {
            Some(old) if bytes < old => old - (old - bytes).div_ceil(FALL),
            _ => bytes,
        });
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Sizer {
    law: Law,
    /// Bytes that a batch may take, by what memory has said so far.
    window: u64,
    item: Estimate,
    /// Of what a batch takes, the part that its items hold: 0 to 1. The rest is the work's.
    held_part: f64,
    /// Items of the last batch; `None` when the next may be of any size.
    last: Option<usize>,
}

/// A batch to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Items, at the most: at least 1.
    pub(super) items: usize,
    /// It is closed when its items hold so many bytes.
    pub(super) held: u64,
    /// Whether the window is what keeps it small.
    uses_window: bool,
    /// Whether it is one item that goes although memory is short.
    is_trickle: bool,
}

/// A batch that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) items: usize,
    /// What its items held when it was complete.
    pub(super) held: u64,
    /// The most that items and work held at once.
    pub(super) peak: u64,
    /// Whether it was closed because it was as large as planned, and not for want of items.
    pub(super) was_full: bool,
    /// Whether memory is short after it.
    pub(super) is_short: bool,
}

impl Sizer {
    pub(super) fn new(law: Law) -> Sizer {
        Sizer {
            law,
            window: law.budget.max(1),
            item: Estimate::new(law.guess.map(|guess| guess.max(law.least))),
            held_part: 1.0,
            last: (law.is_measured && law.guess.is_none()).then_some(0),
        }
    }

    /// The next batch, with so much room below the line; `None` when that is not known.
    pub(super) fn plan(&self, room: Option<u64>, is_trickle: bool) -> Plan {
        let room = room.map_or(u64::MAX, |room| (room as f64 * self.law.share) as u64);
        let allowance = self.window.min(room);
        let by_bytes = match self.item.bytes() {
            Some(item) => usize::try_from(allowance / item.max(1)).unwrap_or(usize::MAX),
            // Nothing is known, and nothing will be: by count alone.
            None if !self.law.is_measured => usize::MAX,
            None => 1,
        };
        let by_last = self
            .last
            .map_or(usize::MAX, |last| last.saturating_mul(GROWTH));
        let items = by_bytes.min(by_last).min(self.law.most_items).max(1);
        Plan {
            items: if is_trickle { 1 } else { items },
            // A large number may be rounded up on its way.
            held: ((allowance as f64 * self.held_part) as u64).min(allowance),
            uses_window: self.window <= room,
            is_trickle,
        }
    }

    pub(super) fn see(&mut self, plan: &Plan, taken: &Taken) {
        let items = taken.items.max(1);
        if self.law.is_measured {
            let each = taken.peak.div_ceil(items as u64);
            self.item.see(each.max(self.law.least).max(1));
            self.see_part(taken);
        }
        if taken.is_short {
            self.window = (self.window / 2).max(1);
        } else if plan.uses_window && taken.was_full {
            let step = (self.law.budget / STEPS).max(1);
            self.window = self.window.saturating_add(step).min(self.law.budget.max(1));
        }
        if plan.is_trickle {
            return;
        }
        // A batch that was small for want of items says nothing against large ones.
        let enough = |last: usize| {
            if taken.was_full {
                items
            } else {
                last.max(items)
            }
        };
        self.last = self.last.map(enough);
    }

    fn see_part(&mut self, taken: &Taken) {
        if taken.held == 0 || taken.peak == 0 {
            return;
        }
        let part = (taken.held as f64 / taken.peak as f64).min(1.0);
        let fall = if part < self.held_part {
            1.0
        } else {
            1.0 / FALL as f64
        };
        self.held_part += (part - self.held_part) * fall;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn law(budget: u64) -> Law {
        Law {
            budget,
            share: 0.25,
            most_items: 8192,
            guess: None,
            least: 8,
            is_measured: true,
        }
    }

    /// One batch of items that take `item` bytes each, half of it the work's.
    fn batch(sizer: &mut Sizer, room: Option<u64>, item: u64, is_short: bool) -> u64 {
        let plan = sizer.plan(room, false);
        let held_each = (item / 2).max(1);
        // Closed by what is held, as whoever fills it does.
        let until_held = plan.held.div_ceil(held_each);
        let items = (plan.items as u64).min(until_held.max(1));
        let peak = items.saturating_mul(item);
        sizer.see(
            &plan,
            &Taken {
                items: items as usize,
                held: items.saturating_mul(held_each),
                peak,
                was_full: true,
                is_short,
            },
        );
        items
    }

    fn batches(count: usize, sizer: &mut Sizer, room: Option<u64>, item: u64) {
        for _ in 0..count {
            batch(sizer, room, item, false);
        }
    }

    #[test]
    fn the_first_batch_is_one_item_and_thirteen_lead_to_8192() {
        let mut sizer = Sizer::new(law(u64::MAX));
        let sizes: Vec<u64> = (0..14)
            .map(|_| batch(&mut sizer, None, 10, false))
            .collect();
        let doubling: Vec<u64> = (0..14).map(|power| 1 << power).collect();
        assert_eq!(sizes, doubling);
    }

    #[test]
    fn a_guess_is_believed_from_the_first_batch_on_until_more_is_known() {
        let law = Law {
            guess: Some(1024),
            ..law(MIB)
        };
        let mut sizer = Sizer::new(law);
        assert_eq!(sizer.plan(None, false).items, 1024);
        batch(&mut sizer, None, 4096, false);
        assert_eq!(sizer.plan(None, false).items, 256);
    }

    #[test]
    fn without_counters_the_guess_stays_and_without_a_guess_the_count() {
        let blind = Law {
            is_measured: false,
            guess: Some(1024),
            ..law(MIB)
        };
        let mut sizer = Sizer::new(blind);
        batch(&mut sizer, None, 0, false);
        assert_eq!(sizer.plan(None, false).items, 1024);
        let counted = Law {
            guess: None,
            most_items: 256,
            ..blind
        };
        assert_eq!(Sizer::new(counted).plan(None, false).items, 256);
    }

    #[test]
    fn an_item_that_is_larger_than_the_budget_runs_alone() {
        let mut sizer = Sizer::new(law(MIB));
        for _ in 0..5 {
            assert_eq!(batch(&mut sizer, None, 10 * MIB, false), 1);
        }
    }

    #[test]
    fn pressure_halves_the_window_and_eight_batches_bring_it_back() {
        let mut sizer = Sizer::new(law(16 * MIB));
        batches(20, &mut sizer, None, MIB / 8);
        assert_eq!(batch(&mut sizer, None, MIB / 8, true), 128);
        let sizes: Vec<u64> = (0..9)
            .map(|_| batch(&mut sizer, None, MIB / 8, false))
            .collect();
        assert_eq!(sizes, [64, 72, 80, 88, 96, 104, 112, 120, 128]);
    }

    #[test]
    fn a_window_that_was_not_used_does_not_grow() {
        let mut sizer = Sizer::new(law(16 * MIB));
        batches(20, &mut sizer, None, MIB / 8);
        batch(&mut sizer, None, MIB / 8, true);
        // Little room keeps the batches small.
        batches(20, &mut sizer, Some(4 * MIB), MIB / 8);
        assert_eq!(sizer.window, 8 * MIB);
        // So does want of items, which holds nothing against what comes after it.
        let plan = sizer.plan(None, false);
        let few = Taken {
            items: 1,
            held: MIB / 16,
            peak: MIB / 8,
            was_full: false,
            is_short: false,
        };
        sizer.see(&plan, &few);
        assert_eq!((sizer.window, sizer.last), (8 * MIB, Some(8)));
    }

    #[test]
    fn a_trickle_is_one_item_and_holds_nothing_against_what_comes_after_it() {
        let mut sizer = Sizer::new(law(MIB));
        batches(20, &mut sizer, None, 128);
        let plan = sizer.plan(None, true);
        assert_eq!(plan.items, 1);
        let taken = Taken {
            items: 1,
            held: 64,
            peak: 128,
            was_full: true,
            is_short: true,
        };
        sizer.see(&plan, &taken);
        assert_eq!(sizer.plan(None, false).items, 4096);
    }

    #[test]
    fn items_that_shrink_are_found_out_within_twenty_batches() {
        let mut sizer = Sizer::new(law(MIB));
        batches(20, &mut sizer, None, 64 << 10);
        batches(20, &mut sizer, None, 1 << 10);
        assert!(sizer.plan(None, false).items > 800);
    }

    proptest! {
        #[test]
        fn batches_of_even_items_come_to_the_budget_and_never_above_it(
            budget in 1..1u64 << 40,
            item in 1..1u64 << 40,
        ) {
            let law = Law { most_items: usize::MAX, least: 1, ..law(budget) };
            let mut sizer = Sizer::new(law);
            let mut bytes = 0;
            for _ in 0..60 {
                let items = batch(&mut sizer, None, item, false);
                bytes = items * item;
                prop_assert!(items == 1 || bytes <= budget);
            }
            prop_assert!(bytes >= budget / 2 || bytes + item > budget);
        }

        #[test]
        fn whatever_is_seen_a_batch_has_an_item_and_keeps_to_its_bounds(
            budget in any::<u64>(),
            share in 0.0..1.0f64,
            guess in any::<Option<u64>>(),
            least in any::<u64>(),
            is_measured in any::<bool>(),
            seen in proptest::collection::vec(
                (any::<Option<u64>>(), any::<usize>(), any::<u64>(), any::<u64>(),
                 any::<bool>(), any::<bool>(), any::<bool>()),
                0..50,
            ),
        ) {
            let law = Law { budget, share, guess, least, is_measured, ..law(budget) };
            let mut sizer = Sizer::new(law);
            for (room, items, held, peak, was_full, is_short, is_trickle) in seen {
                let plan = sizer.plan(room, is_trickle);
                prop_assert!((1..=8192).contains(&plan.items));
                prop_assert!(!is_trickle || plan.items == 1);
                prop_assert!(plan.held <= budget.max(1));
                if let Some(item) = sizer.item.bytes() {
                    let bytes = u128::from(item) * plan.items as u128;
                    prop_assert!(plan.items == 1 || bytes <= u128::from(sizer.window));
                }
                sizer.see(&plan, &Taken { items, held, peak, was_full, is_short });
                prop_assert!((1..=budget.max(1)).contains(&sizer.window));
                prop_assert!((0.0..=1.0).contains(&sizer.held_part));
            }
        }
    }
}
