//! A number or a range of numbers that a figure is held against.

use super::text::number;
use std::fmt;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// What a figure is expected to be: a number, or any form of range. Made by `From`, of all integer
/// types.
///
/// ```
/// use plimsoll::testing::Expected;
///
/// assert!(Expected::from(..=3).holds(3));
/// assert!(!Expected::from(10..20).holds(20));
/// assert_eq!(Expected::from(7usize).to_string(), "7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    low: Option<i128>,
    /// With it.
    high: Option<i128>,
    /// Whether the upper end was written as the first number that is too large.
    is_open: bool,
}

impl Expected {
    pub(super) const fn between(low: Option<i128>, high: Option<i128>, is_open: bool) -> Expected {
        Expected { low, high, is_open }
    }

    /// Whether a figure is as expected.
    #[must_use]
    pub fn holds(&self, found: i128) -> bool {
        self.low.is_none_or(|low| low <= found) && self.high.is_none_or(|high| found <= high)
    }

    /// Whether it is one number.
    pub(super) fn is_exact(&self) -> bool {
        self.low.is_some() && self.low == self.high && !self.is_open
    }

    pub(super) fn exact(&self) -> Option<i128> {
        self.low.filter(|_| self.is_exact())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(exact) = self.exact() {
            return f.write_str(&number(exact));
        }
        if let Some(low) = self.low {
            f.write_str(&number(low))?;
        }
        match self.high {
            Some(high) if self.is_open => write!(f, "..{}", number(high + 1)),
            Some(high) => write!(f, "..={}", number(high)),
            None => f.write_str(".."),
        }
    }
}

/// An integer type of up to 64 bits. Not to be implemented by others.
pub trait Whole: sealed::Sealed {}

mod sealed {
    pub trait Sealed: Copy {
        fn whole(self) -> i128;
    }
}

use sealed::Sealed;

macro_rules! whole {
    ($($integer:ty),+) => {$(
        impl Whole for $integer {}
        impl Sealed for $integer {
            fn whole(self) -> i128 {
                self as i128
            }
        }
    )+};
}
whole!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl<T: Whole> From<T> for Expected {
    fn from(exact: T) -> Expected {
        Expected::between(Some(exact.whole()), Some(exact.whole()), false)
    }
}

impl<T: Whole> From<Range<T>> for Expected {
    fn from(range: Range<T>) -> Expected {
        Expected::between(Some(range.start.whole()), Some(range.end.whole() - 1), true)
    }
}

impl<T: Whole> From<RangeInclusive<T>> for Expected {
    fn from(range: RangeInclusive<T>) -> Expected {
        Expected::between(
            Some(range.start().whole()),
            Some(range.end().whole()),
            false,
        )
    }
}

impl<T: Whole> From<RangeTo<T>> for Expected {
    fn from(range: RangeTo<T>) -> Expected {
        Expected::between(None, Some(range.end.whole() - 1), true)
    }
}

impl<T: Whole> From<RangeToInclusive<T>> for Expected {
    fn from(range: RangeToInclusive<T>) -> Expected {
        Expected::between(None, Some(range.end.whole()), false)
    }
}

impl<T: Whole> From<RangeFrom<T>> for Expected {
    fn from(range: RangeFrom<T>) -> Expected {
        Expected::between(Some(range.start.whole()), None, false)
    }
}

impl From<RangeFull> for Expected {
    fn from(_: RangeFull) -> Expected {
        Expected::between(None, None, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_range_holds_what_it_says_and_is_shown_as_it_was_written() {
        let cases: [(Expected, &str, [bool; 4]); 7] = [
            (3.into(), "3", [false, true, false, false]),
            ((3..5).into(), "3..5", [false, true, true, false]),
            ((3..=5).into(), "3..=5", [false, true, true, true]),
            ((..4).into(), "..4", [true, true, false, false]),
            ((..=4).into(), "..=4", [true, true, true, false]),
            ((4..).into(), "4..", [false, false, true, true]),
            ((..).into(), "..", [true, true, true, true]),
        ];
        for (expected, text, holds) in cases {
            assert_eq!(expected.to_string(), text);
            assert_eq!(
                [2, 3, 4, 5].map(|found| expected.holds(found)),
                holds,
                "{text}"
            );
        }
        assert!(Expected::from(..=-100).holds(-200));
        assert!(!Expected::from(0u64).holds(-1));
    }
}
