//! Figures for people.

/// Nanoseconds: `3.21 ns`, `12.4 µs`, `1.50 s`. Three digits: more than a benchmark knows.
pub(super) fn time(ns: f64) -> String {
    scaled(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
}

/// Bytes: `64 B`, `1.50 KiB`.
pub(super) fn bytes(bytes: f64) -> String {
    if bytes.abs() < 1_024.0 {
        return format!("{} B", count(bytes));
    }
    scaled(bytes, &BYTES)
}

const BYTES: [(f64, &str); 3] = [
    (1_073_741_824.0, "GiB"),
    (1_048_576.0, "MiB"),
    (1_024.0, "KiB"),
];

/// The unit in which so many bytes read well, and how many bytes it is.
#[cfg(feature = "criterion")]
pub(super) fn scale_of_bytes(bytes: f64) -> (f64, &'static str) {
    let fits = BYTES.into_iter().find(|unit| bytes.abs() >= unit.0);
    fits.unwrap_or((1.0, "B"))
}

/// A number of things: whole as it is, otherwise with two digits.
pub(super) fn count(count: f64) -> String {
    if count.fract() == 0.0 {
        // Adding nothing makes a negative zero a positive one.
        format!("{:.0}", count + 0.0)
    } else {
        format!("{count:.2}")
    }
}

/// Things a second: `1.20 M/s`.
pub(super) fn rate(items: f64) -> String {
    scaled(
        items,
        &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
    )
}

fn scaled(figure: f64, units: &[(f64, &str)]) -> String {
    let fits = units.iter().find(|unit| figure.abs() >= unit.0);
    let Some(&(size, name)) = fits.or(units.last()) else {
        return figure.to_string();
    };
    let figure = figure / size;
    let places = match figure.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{figure:.places$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(time(3.214), "3.21 ns");
        assert_eq!(time(12_440.0), "12.4 µs");
        assert_eq!(time(0.0), "0.00 ns");
        assert_eq!(time(2.5e9), "2.50 s");
        assert_eq!(bytes(64.0), "64 B");
        assert_eq!(bytes(-0.0), "0 B");
        assert_eq!(bytes(1_536.0), "1.50 KiB");
        assert_eq!(bytes(-2_097_152.0), "-2.00 MiB");
        assert_eq!(count(2.5), "2.50");
        assert_eq!(rate(1_200_000.0), "1.20 M/s");
    }
}
