//! The file of a snapshot.

use crate::testing::figure::{ALL, Figure};
use crate::testing::{Expected, Measurement};
use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const HEADER: &str =
    "# Allocation figures. Renewed by PLIMSOLL_UPDATE=1; ranges are kept while they hold.\n";

/// Why a snapshot does not hold.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Letters that no file's name should have.
    Name,
    Missing {
        path: PathBuf,
        found: String,
    },
    Damaged {
        path: PathBuf,
        line: usize,
        text: String,
        why: String,
    },
    Unreadable(PathBuf, io::Error),
    NotWritable(PathBuf, io::Error),
    Differs {
        path: PathBuf,
        diff: String,
    },
}

const RENEW: &str = "`PLIMSOLL_UPDATE=1 cargo test`";

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Name => f.write_str(
                "the name of a snapshot has letters, digits, spaces, `-`, `_` and `.`, and does not \
                 begin with `.`",
            ),
            Trouble::Missing { path, found } => write!(
                f,
                "{} is not there; {RENEW} writes it with what was found:\n{found}",
                path.display()
            ),
            Trouble::Damaged { path, line, text, why } => write!(
                f,
                "{}:{line} is damaged: {why}, found `{text}`\n  repair the line, or delete the file \
                 and have {RENEW} write it\n",
                path.display()
            ),
            Trouble::Unreadable(path, error) => {
                write!(f, "{} cannot be read: {error}", path.display())
            }
            Trouble::NotWritable(path, error) => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
            Trouble::Differs { path, diff } => write!(
                f,
                "found other figures than in {}; if they are right, {RENEW} renews it\n{diff}",
                path.display()
            ),
        }
    }
}

/// A file as it was read.
pub(super) struct Kept {
    lines: Vec<Line>,
}

enum Line {
    /// A comment, or an empty line.
    Text(String),
    Figure(&'static Figure, Expected, String),
}

impl Kept {
    pub(super) fn read(path: &Path, found: &Measurement) -> Result<Kept, Trouble> {
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::Missing {
                path: path.into(),
                found: fresh(found),
            },
            _ => Trouble::Unreadable(path.into(), error),
        })?;
        let mut kept = Kept { lines: Vec::new() };
        for (number, text) in text.lines().enumerate() {
            let line = kept.parse(text).map_err(|why| Trouble::Damaged {
                path: path.into(),
                line: number + 1,
                text: text.into(),
                why,
            })?;
            kept.lines.push(line);
        }
        if kept.figures().next().is_none() {
            return Err(Trouble::Damaged {
                path: path.into(),
                line: kept.lines.len() + 1,
                text: String::new(),
                why: "expected at least one figure".into(),
            });
        }
        Ok(kept)
    }

    pub(super) fn figures(&self) -> impl Iterator<Item = (&'static Figure, Expected)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Text(_) => None,
            Line::Figure(figure, expected, _) => Some((*figure, *expected)),
        })
    }

    fn parse(&self, text: &str) -> Result<Line, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return Ok(Line::Text(text.into()));
        }
        let (name, value) = trimmed
            .split_once('=')
            .ok_or("expected `figure = number or range`")?;
        let name = name.trim();
        let figure = ALL.iter().find(|figure| figure.name == name);
        let Some(figure) = figure else {
            let names: Vec<_> = ALL.iter().map(|figure| figure.name).collect();
            return Err(format!("expected one of {}", names.join(", ")));
        };
        if self.figures().any(|(other, _)| other.name == name) {
            return Err(format!("expected `{name}` once"));
        }
        let expected = parse_expected(value.trim())
            .ok_or("expected a number or a range, as 3, ..=100, 10..20 or 64..")?;
        Ok(Line::Figure(figure, expected, text.into()))
    }
}

/// A number or a range, as they are shown.
pub(super) fn parse_expected(text: &str) -> Option<Expected> {
    let number = |text: &str| -> Option<i128> {
        let digits: String = text
            .chars()
            .filter(|&digit| digit != ',' && digit != '_')
            .collect();
        let number = digits.parse().ok()?;
        // What a figure can be, so that a difference of two can be told.
        (i128::from(i64::MIN)..=i128::from(u64::MAX))
            .contains(&number)
            .then_some(number)
    };
    let end = |text: &str| match text {
        "" => Some(None),
        text => number(text).map(Some),
    };
    let Some((low, high)) = text.split_once("..") else {
        let exact = number(text)?;
        return Some(Expected::between(Some(exact), Some(exact), false));
    };
    let low = end(low.trim())?;
    match high.trim().strip_prefix('=') {
        Some(high) => Some(Expected::between(low, Some(number(high.trim())?), false)),
        None => {
            let high = end(high.trim())?;
            Some(Expected::between(
                low,
                high.map(|high| high - 1),
                high.is_some(),
            ))
        }
    }
}

/// What a new file would say.
fn fresh(found: &Measurement) -> String {
    let mut text = String::from(HEADER);
    for figure in ALL {
        let _ = writeln!(text, "{} = {}", figure.name, (figure.of)(found));
    }
    text
}

/// Writes the file, or what in it no longer holds.
pub(super) fn renew(path: &Path, found: &Measurement) -> Result<(), Trouble> {
    let text = match Kept::read(path, found) {
        Err(Trouble::Missing { .. }) => fresh(found),
        Err(trouble) => return Err(trouble),
        Ok(kept) => {
            let mut text = String::new();
            for line in &kept.lines {
                let _ = match line {
                    Line::Figure(figure, expected, _) if !expected.holds((figure.of)(found)) => {
                        writeln!(text, "{} = {}", figure.name, (figure.of)(found))
                    }
                    Line::Text(line) | Line::Figure(.., line) => writeln!(text, "{line}"),
                };
            }
            text
        }
    };
    write(path, &text).map_err(|error| Trouble::NotWritable(path.into(), error))
}

/// Whole or not at all: a test that is killed leaves no half of a file.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Two tests may write one snapshot.
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let own = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("heap.{}.{own}", std::process::id()));
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in [
            "3", "-3", "1,000", "..=100", "..100", "10..20", "10..=20", "64..", "..", "-5..=5",
        ] {
            let expected = parse_expected(text).unwrap();
            assert_eq!(expected.to_string(), text);
        }
        let least = i128::MIN.to_string();
        let most = format!("..{}", i128::MAX);
        for text in [
            "", "three", "1.5", "..=", "3..x", "=3", "1...2", &least, &most,
        ] {
            assert_eq!(parse_expected(text), None, "{text}");
        }
    }
}
