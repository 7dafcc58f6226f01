//! A CSV with columns found by name: `t_seconds`, one of `bytes`, `percent` and `value`, and
//! `blocks` if it is there.

use super::error::{Place, ReadError, short};
use super::{Kind, LARGEST, Rows, figure};
use crate::trend::Sample;
use csv::{Position, ReaderBuilder, StringRecord, Trim};

/// A column that is read.
#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    index: usize,
}

/// The columns that are read.
struct Columns {
    time: Column,
    figure: Column,
    kind: Kind,
    blocks: Option<Column>,
    all: usize,
}

pub(super) fn read(text: &str) -> Result<(Rows, Kind), ReadError> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let mut lines = Lines::of(text);
    let mut record = StringRecord::new();
    // Answers the line of the next record that is not blank.
    let mut next = |record: &mut StringRecord| -> Result<Option<usize>, ReadError> {
        while reader.read_record(record).map_err(|error| ReadError::Csv {
            found: error.to_string(),
        })? {
            if record.iter().any(|field| !field.is_empty()) {
                return Ok(Some(lines.number(record.position())));
            }
        }
        Ok(None)
    };
    let Some(line) = next(&mut record)? else {
        return Err(ReadError::Empty);
    };
    let columns = Columns::of(&record, line)?;
    let mut rows = Rows::default();
    while let Some(line) = next(&mut record)? {
        let sample = columns.sample(&record, line, &rows)?;
        rows.push(sample);
    }
    Ok((rows, columns.kind))
}

/// Counts lines. The parser's own count is off after blank lines and Windows' ends.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: usize,
}

impl Lines<'_> {
    fn of(text: &str) -> Lines<'_> {
        Lines {
            bytes: text.as_bytes(),
            at: 0,
            number: 1,
        }
    }

    /// The line that a record begins on, which comes after those that were asked for before.
    fn number(&mut self, position: Option<&Position>) -> usize {
        let begins = position.map_or(0, |position| position.byte() as usize);
        // The ends of the line before, and blank lines, still lie ahead.
        while let Some(byte) = self.bytes.get(self.at)
            && (self.at < begins || byte.is_ascii_whitespace())
        {
            self.number += usize::from(*byte == b'\n');
            self.at += 1;
        }
        self.number
    }
}

impl Columns {
    fn of(header: &StringRecord, line: usize) -> Result<Columns, ReadError> {
        let find = |name: &'static str| -> Result<Option<Column>, ReadError> {
            let mut found =
                (0..header.len()).filter(|&index| header[index].eq_ignore_ascii_case(name));
            let first = found.next();
            match found.next() {
                Some(_) => Err(ReadError::TwoColumns { line, name }),
                None => Ok(first.map(|index| Column { name, index })),
            }
        };
        let missing = |expected: &'static str| {
            let names: Vec<&str> = header.iter().collect();
            if names.iter().any(|name| name.parse::<f64>().is_ok()) {
                return ReadError::NoHeader {
                    line,
                    found: short(&names.join(",")),
                };
            }
            ReadError::NoColumn {
                line,
                found: format!("`{}`", short(&names.join(",")).escape_debug()),
                expected,
            }
        };
        let time = find("t_seconds")?.ok_or_else(|| missing("one named `t_seconds`"))?;
        let kinds = [
            ("bytes", Kind::Bytes),
            ("percent", Kind::Percent),
            ("value", Kind::Value),
        ];
        for (name, kind) in kinds {
            if let Some(figure) = find(name)? {
                return Ok(Columns {
                    time,
                    figure,
                    kind,
                    blocks: find("blocks")?,
                    all: header.len(),
                });
            }
        }
        Err(missing("one named `bytes`, `percent` or `value`"))
    }

    fn sample(&self, record: &StringRecord, line: usize, rows: &Rows) -> Result<Sample, ReadError> {
        let more = record.iter().skip(self.all).any(|field| !field.is_empty());
        if record.len() < self.all || more {
            return Err(ReadError::Fields {
                line,
                found: record.len(),
                expected: self.all,
            });
        }
        let read = |column: Column| {
            let place = Place::Field {
                line,
                column: column.index + 1,
                name: column.name,
            };
            (&record[column.index], place)
        };
        let (time, place) = read(self.time);
        let seconds = rows.time(time, place)?;
        let (bytes, place) = read(self.figure);
        let bytes = self.kind.figure(bytes, place)?;
        let blocks = match self.blocks.map(read) {
            Some((blocks, place)) if !blocks.is_empty() => {
                let expected = "a number of blocks, 0 or more";
                Some(figure(blocks, place, expected, LARGEST)?)
            }
            _ => None,
        };
        Ok(Sample {
            seconds,
            bytes,
            blocks,
        })
    }
}
