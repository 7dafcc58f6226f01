//! Figures for people.

use plimsoll::recorded::Unit;
use std::time::{Duration, UNIX_EPOCH};

/// The first second of the year 10000, where dates of four digits end.
const END_OF_DATES: f64 = 253_402_300_800.0;

/// What a figure is divided by to be written, and what stands behind it.
#[derive(Clone, Copy)]
pub struct Scale {
    pub size: f64,
    pub name: &'static str,
}

const BYTES: [Scale; 5] = [
    Scale {
        size: 1.0,
        name: "B",
    },
    Scale {
        size: 1_024.0,
        name: "KiB",
    },
    Scale {
        size: 1_048_576.0,
        name: "MiB",
    },
    Scale {
        size: 1_073_741_824.0,
        name: "GiB",
    },
    Scale {
        size: 1_099_511_627_776.0,
        name: "TiB",
    },
];

impl Scale {
    /// The largest that is not above a figure.
    pub fn of(unit: Unit, figure: f64) -> Scale {
        match unit {
            Unit::Percent => Scale {
                size: 1.0,
                name: "%",
            },
            Unit::Bytes => {
                let fits = |scale: &&Scale| scale.size <= figure.abs();
                *BYTES.iter().rev().find(fits).unwrap_or(&BYTES[0])
            }
        }
    }

    /// The next smaller one.
    pub fn finer(self) -> Scale {
        let smaller = |scale: &&Scale| scale.size < self.size;
        *BYTES.iter().rev().find(smaller).unwrap_or(&self)
    }
}

/// `12.0 MiB`, `37.5 %`.
pub fn amount(unit: Unit, figure: f64) -> String {
    let scale = Scale::of(unit, figure);
    match unit {
        Unit::Bytes => format!("{:.1} {}", figure / scale.size, scale.name),
        Unit::Percent => format!("{figure} {}", scale.name),
    }
}

/// `12.0 MiB/h (90 % interval: 11.8 to 12.2)`. What changes by percent of something changes by
/// points.
pub fn rate(unit: Unit, slope: f64, low: f64, high: f64) -> String {
    let scale = Scale::of(unit, slope.abs().max(low.abs()).max(high.abs()));
    let name = match unit {
        Unit::Bytes => scale.name,
        Unit::Percent => "points",
    };
    let [slope, low, high] = [slope, low, high].map(|figure| figure / scale.size);
    // Enough digits for the ends of the interval to differ, and for two of a slope below ten.
    let places = places((high - low) / 2.0).max(usize::from(slope.abs() < 10.0));
    // Adding nothing makes a negative zero a positive one.
    let round = |figure: f64| {
        let factor = 10f64.powi(places as i32);
        (figure * factor).round() / factor + 0.0
    };
    format!(
        "{:.places$} {name}/h (90 % interval: {:.places$} to {:.places$})",
        round(slope),
        round(low),
        round(high),
    )
}

/// Digits behind the point that show the first of a figure's.
fn places(figure: f64) -> usize {
    if figure <= 0.0 || !figure.is_finite() {
        return 0;
    }
    (-figure.log10().floor()).clamp(0.0, 4.0) as usize
}

/// A time in its two largest units: `8 h 20 min`.
pub fn span(seconds: f64) -> String {
    if seconds < 10.0 && seconds.fract() != 0.0 {
        let text = format!("{seconds:.3}");
        return format!("{} s", text.trim_end_matches('0').trim_end_matches('.'));
    }
    let seconds = seconds.clamp(0.0, 1e12).round() as u64;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let two = |large: u64, name: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {name}"),
        _ => format!("{large} {name} {small} {smaller}"),
    };
    match (days, hours, minutes) {
        (1000.., _, _) => "years".to_owned(),
        (1.., _, _) => two(days, "d", hours, "h"),
        (_, 1.., _) => two(hours, "h", minutes, "min"),
        (_, _, 1..) => two(minutes, "min", rest, "s"),
        _ => format!("{rest} s"),
    }
}

/// `2026-01-05 03:40`, in UTC; `None` of what no calendar has.
pub fn date(unix: f64) -> Option<String> {
    if !(0.0..END_OF_DATES).contains(&unix) {
        return None;
    }
    let time = UNIX_EPOCH + Duration::from_secs_f64(unix);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    Some(format!("{} {}", text.get(..10)?, text.get(11..16)?))
}

/// `86,400`.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(amount(Unit::Bytes, 268_435_456.0), "256.0 MiB");
        assert_eq!(amount(Unit::Percent, 37.5), "37.5 %");
        assert_eq!(span(30.0), "30 s");
        assert_eq!(span(0.5), "0.5 s");
        assert_eq!(span(7_200.0), "2 h");
        assert_eq!(span(90_000.0), "1 d 1 h");
        assert_eq!(count(86_400), "86,400");
        assert_eq!(count(999), "999");
        assert_eq!(date(1_767_584_400.0).as_deref(), Some("2026-01-05 03:40"));
        assert_eq!(date(1e300), None);
    }

    #[test]
    fn an_interval_shows_that_its_ends_differ() {
        let mib = 1_048_576.0;
        assert_eq!(
            rate(Unit::Bytes, 12.0 * mib, 11.98 * mib, 12.02 * mib),
            "12.00 MiB/h (90 % interval: 11.98 to 12.02)"
        );
        assert_eq!(
            rate(Unit::Percent, -0.01, -0.5, 0.48),
            "0.0 points/h (90 % interval: -0.5 to 0.5)"
        );
        assert_eq!(
            rate(Unit::Bytes, 0.0, 0.0, 0.0),
            "0.0 B/h (90 % interval: 0.0 to 0.0)"
        );
    }
}
