//! What is wrong with the fields of a command: all of it, not only the first.

use crate::http::problem::FieldFault;
use serde_json::Value;
use std::borrow::Cow;

/// All that is wrong, as it is found.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<FieldFault>);

impl Faults {
    pub(super) fn wrong(
        &mut self,
        field: &str,
        value: &Value,
        expected: impl Into<Cow<'static, str>>,
    ) {
        /// Of a value that makes no sense, enough to recognise it.
        const MOST: usize = 80;
        let mut value = value.to_string();
        if value.len() > MOST {
            let end = (0..=MOST).rev().find(|&end| value.is_char_boundary(end));
            value.truncate(end.unwrap_or(0));
            value.push('…');
        }
        self.0.push(FieldFault {
            field: field.to_owned(),
            value,
            expected: expected.into(),
        });
    }

    /// A field that there is not, among those that there are.
    pub(super) fn unknown(&mut self, field: &str, value: &Value, known: &'static str) {
        self.wrong(field, value, format!("one of the fields {known}"));
    }

    /// The fields of an object; none of what is not one.
    pub(super) fn fields<'a>(
        &mut self,
        field: &str,
        value: &'a Value,
        expected: &'static str,
    ) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        let object = value.as_object();
        if object.is_none() {
            self.wrong(field, value, expected);
        }
        object.into_iter().flatten()
    }

    pub(super) fn set<T>(
        &mut self,
        place: &mut T,
        (field, value): (&str, &Value),
        read: Option<T>,
        expected: &'static str,
    ) {
        match read {
            Some(read) => *place = read,
            None => self.wrong(field, value, expected),
        }
    }

    /// What was read, unless something was wrong.
    pub(super) fn or<T>(self, read: T) -> Result<T, Vec<FieldFault>> {
        match self.0.as_slice() {
            [] => Ok(read),
            _ => Err(self.0),
        }
    }
}
