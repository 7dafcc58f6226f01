//! Reading the kernel's small text files without allocating.
//!
//! `File::open` copies a path of up to 383 bytes to the stack (it allocates for a longer one), and
//! the text goes into a buffer that the caller brings. A file that is not there costs no allocation
//! either: that is everyday for control groups, whose topmost has no limit files.

use super::error::FigureError;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Room for the largest of the files that are read again and again: `/proc/self/status` is about
/// 1.5 KiB, and grows with the number of processors by a few bytes each.
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

/// How many bytes the file has, up to the size of the buffer.
fn fill(path: &Path, buffer: &mut [u8; BUFFER]) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        match file.read(&mut buffer[length..]) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
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
