//! Reading the kernel's small text files without allocating.
//!
//! `File::open` copies a path of up to 383 bytes to the stack (it allocates for a longer one), and
//! the text goes into a buffer that the caller brings. A file that is not there costs no allocation
//! either: that is everyday for control groups, whose topmost has no limit files.

use super::error::FigureError;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Room for the largest of the files that are read again and again as a whole, or for what is wanted of a
/// longer one: `/proc/self/status` names every group that the user is in.
pub(crate) const BUFFER: usize = 8 * 1024;

/// Reads a file that fits the buffer.
pub(crate) fn read<'a>(path: &Path, buffer: &'a mut [u8; BUFFER]) -> Result<&'a [u8], FigureError> {
    let length = fill(path, buffer).map_err(|error| FigureError::io(path, error))?;
    within(path, buffer, length)
}

/// [`read`], with `None` for a file that is not there.
pub(crate) fn read_if_there<'a>(
    path: &Path,
    buffer: &'a mut [u8; BUFFER],
) -> Result<Option<&'a [u8]>, FigureError> {
    match fill(path, buffer) {
        Ok(length) => within(path, buffer, length).map(Some),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(FigureError::io(path, error)),
    }
}

/// Those lines of a file of any length that begin with one of these fields and a colon. Together they fit
/// the buffer.
pub(crate) fn read_fields<'a>(
    path: &Path,
    fields: &[&str],
    buffer: &'a mut [u8; BUFFER],
) -> Result<&'a [u8], FigureError> {
    let kept = keep_fields(path, fields, buffer).map_err(|error| FigureError::io(path, error))?;
    within(path, buffer, kept)
}

/// How many bytes of the buffer the lines take.
fn keep_fields(path: &Path, fields: &[&str], buffer: &mut [u8; BUFFER]) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let is_wanted = |line: &[u8]| {
        let has = |field: &&str| line.strip_prefix(field.as_bytes());
        fields
            .iter()
            .filter_map(has)
            .any(|rest| rest.starts_with(b":"))
    };
    // Behind what is kept stands the beginning of a line, or nothing while the rest of one is skipped that
    // does not fit.
    let (mut kept, mut length, mut skips) = (0, 0, false);
    while kept < BUFFER {
        if length == BUFFER {
            let line = &buffer[kept..];
            let names = fields.iter().map(|field| field.len());
            // A wanted line that does not fit, or one too short to tell.
            if is_wanted(line) || line.len() <= names.max().unwrap_or(0) {
                return Ok(BUFFER);
            }
            (length, skips) = (kept, true);
        }
        let end = length + read_more(&mut file, &mut buffer[length..])?;
        if end == length {
            let is_last = !skips && is_wanted(&buffer[kept..length]);
            return Ok(if is_last { length } else { kept });
        }
        let mut at = kept;
        while let Some(line) = buffer[at..end].iter().position(|&byte| byte == b'\n') {
            let next = at + line + 1;
            if !std::mem::take(&mut skips) && is_wanted(&buffer[at..next]) {
                buffer.copy_within(at..next, kept);
                kept += next - at;
            }
            at = next;
        }
        if skips {
            at = end;
        }
        buffer.copy_within(at..end, kept);
        length = kept + end - at;
    }
    Ok(kept)
}

/// How many bytes the file has, up to the size of the buffer.
fn fill(path: &Path, buffer: &mut [u8; BUFFER]) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        match read_more(&mut file, &mut buffer[length..])? {
            0 => return Ok(length),
            more => length += more,
        }
    }
}

fn read_more(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// A full buffer may hold only the start of a file, and the start of a number is another number.
fn within<'a>(
    path: &Path,
    buffer: &'a [u8; BUFFER],
    length: usize,
) -> Result<&'a [u8], FigureError> {
    if length == BUFFER {
        return Err(FigureError::malformed(
            path,
            buffer,
            "a file of less than 8 KiB",
        ));
    }
    Ok(&buffer[..length])
}

/// A decimal number: digits alone, no sign, at most `u64::MAX`.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// The value of a line `field:  <number> kB`, in bytes; `None` when there is no such line.
pub(crate) fn kilobytes(
    path: &Path,
    text: &[u8],
    field: &'static str,
) -> Result<Option<u64>, FigureError> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| {
        line.strip_prefix(field.as_bytes())
            .and_then(|rest| rest.strip_prefix(b":"))
    });
    let Some(value) = line else {
        return Ok(None);
    };
    value
        .trim_ascii()
        .strip_suffix(b" kB")
        .and_then(|number| decimal(number.trim_ascii_end()))
        .and_then(|number| number.checked_mul(1024))
        .map(Some)
        .ok_or_else(|| FigureError::malformed(path, value, "a number of kB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_that_fit_are_a_number() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [
            "",
            "-1",
            "+1",
            "1 ",
            "0x10",
            "12abc",
            "18446744073709551616",
        ] {
            assert_eq!(decimal(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let path = Path::new("status");
        let text = b"VmRSSX:\t1 kB\nVmRSS:\t    20 kB\n";
        assert_eq!(kilobytes(path, text, "VmRSS").unwrap(), Some(20 * 1024));
        assert_eq!(kilobytes(path, text, "VmSwap").unwrap(), None);
        let said = kilobytes(path, b"VmRSS: many kB\n", "VmRSS").unwrap_err();
        assert!(said.to_string().contains("many kB"), "{said}");
    }

    #[test]
    fn of_a_file_of_any_length_the_lines_that_are_wanted_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for long in [
            0,
            10,
            5_000,
            BUFFER - 1,
            BUFFER,
            BUFFER + 1,
            20_000,
            700_000,
        ] {
            for (wanted, last) in [("A: 1\nB:2\n", ""), ("A: 1\nB:2", "B:2")] {
                let noise = "x".repeat(long);
                let [a, b] = [&wanted[..5], wanted.get(5..).unwrap()];
                let text = format!("Groups:{noise}\n{a}AB: 3\nC A: 4\n{noise}\n{b}");
                std::fs::write(file.path(), text).unwrap();
                let mut buffer = [0; BUFFER];
                let read = read_fields(file.path(), &["A", "B"], &mut buffer).unwrap();
                assert_eq!(read, wanted.as_bytes(), "{long} {last}");
            }
        }
        // More than there is room for is refused, and not cut.
        std::fs::write(file.path(), "A: 1\n".repeat(BUFFER / 5 + 1)).unwrap();
        assert!(read_fields(file.path(), &["A"], &mut [0; BUFFER]).is_err());
        let mut buffer = [0; BUFFER];
        let none = read_fields(file.path(), &["B"], &mut buffer).unwrap();
        assert_eq!(none, b"");
    }

    #[test]
    fn a_file_beyond_the_buffer_is_refused_and_not_cut() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'1'; BUFFER]).unwrap();
        assert!(read(file.path(), &mut [0; BUFFER]).is_err());
        std::fs::write(file.path(), vec![b'1'; BUFFER - 1]).unwrap();
        assert_eq!(
            read(file.path(), &mut [0; BUFFER]).unwrap().len(),
            BUFFER - 1
        );
    }
}
