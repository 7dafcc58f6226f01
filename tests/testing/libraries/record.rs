//! Writes records as text. The bug: one of its ways allocates as if that could not fail.

use std::collections::TryReserveError;

#[derive(Debug, Default)]
pub struct Records<const BUG: bool> {
    text: String,
}

impl<const BUG: bool> Records<BUG> {
    pub fn add(&mut self, name: &str, value: Option<&str>) -> Result<(), TryReserveError> {
        let written = value.unwrap_or("");
        let quoted = if written.contains(' ') { 2 } else { 0 };
        let needed = name.len() + written.len() + quoted + 2;
        if BUG && quoted > 0 {
            // The rare case, written in haste.
            self.text.push_str(&format!("{name}=\"{written}\"\n"));
            return Ok(());
        }
        self.text.try_reserve(needed)?;
        let quote = if quoted > 0 { "\"" } else { "" };
        for part in [name, "=", quote, written, quote, "\n"] {
            self.text.push_str(part);
        }
        Ok(())
    }

    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }
}
