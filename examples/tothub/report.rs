//! The nightly report: one walk over all children, a batch at a time.

use crate::store::Store;
use serde::Serialize;
use std::collections::BTreeMap;

/// Children read at once.
const BATCH: u32 = 1_000;

#[derive(Default, Serialize)]
pub struct Report {
    pub children: u64,
    pub days_present: u64,
    pub with_allergies: u64,
    pub by_room: BTreeMap<String, u64>,
}

pub fn nightly(store: &Store) -> rusqlite::Result<Report> {
    let mut report = Report::default();
    let mut last = 0;
    loop {
        let batch = store.children(last, BATCH)?;
        let Some(end) = batch.last() else {
            return Ok(report);
        };
        last = end.id;
        for child in batch {
            report.children += 1;
            report.days_present += u64::from(store.days_present(child.id)?);
            report.with_allergies += u64::from(!child.notes.ends_with("none."));
            *report.by_room.entry(child.room).or_default() += 1;
        }
    }
}
