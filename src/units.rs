//! Figures for people, in the texts of events, verdicts and diagnoses.

use std::fmt;
#[cfg(feature = "serde")]
use std::time::Duration;

/// Bytes in the unit in which they read well, with one digit after the point: `16.1 GiB`.
pub(crate) struct Bytes(pub(crate) f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        let (unit, name) = match size {
            _ if size >= 1_073_741_824.0 => (1_073_741_824.0, "GiB"),
            _ if size >= 1_048_576.0 => (1_048_576.0, "MiB"),
            _ if size >= 1_024.0 => (1_024.0, "KiB"),
            _ => (1.0, "B"),
        };
        write!(f, "{:.1} {name}", self.0 / unit)
    }
}

impl From<u64> for Bytes {
    /// To 53 binary digits.
    fn from(bytes: u64) -> Bytes {
        Bytes(bytes as f64)
    }
}

/// A time as a number of seconds.
#[cfg(feature = "serde")]
pub(crate) fn seconds<S: serde::Serializer>(
    time: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        for (bytes, told) in [
            (0.0, "0.0 B"),
            (1023.0, "1023.0 B"),
            (1024.0, "1.0 KiB"),
            (-2_097_152.0, "-2.0 MiB"),
            (17_234_395_136.0, "16.1 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), told);
        }
        assert_eq!(Bytes::from(u64::MAX).to_string(), "17179869184.0 GiB");
    }
}
