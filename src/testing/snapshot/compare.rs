//! Held against what was found.

use super::file::{Kept, Trouble};
use crate::testing::Measurement;
use crate::testing::text::number;
use std::fmt::Write;
use std::path::Path;

/// The figures that differ, each with by how much.
pub(super) fn compare(path: &Path, kept: &Kept, found: &Measurement) -> Result<(), Trouble> {
    let mut diff = String::new();
    let mut differs = false;
    for (figure, expected) in kept.figures() {
        let found = (figure.of)(found);
        if expected.holds(found) {
            let _ = writeln!(diff, "    {} = {expected}", figure.name);
            continue;
        }
        differs = true;
        let _ = writeln!(diff, "  - {} = {expected}", figure.name);
        let _ = write!(diff, "  + {} = {}", figure.name, number(found));
        let by = expected.exact().map(|exact| found - exact);
        let _ = match by {
            Some(by) if by > 0 => writeln!(diff, "   (+{})", number(by)),
            Some(by) => writeln!(diff, "   ({})", number(by)),
            None => writeln!(diff),
        };
    }
    if differs {
        let path = path.into();
        return Err(Trouble::Differs { path, diff });
    }
    Ok(())
}
