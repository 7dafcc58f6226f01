//! Records that point at each other: a child knows its guardians, and each guardian its children.
//! Both ends hold an `Arc`, so no count comes to zero when the service lets go, and nothing is
//! freed. A `Weak` at one end would mend it.

use crate::scenario::visits::Visits;
use crate::store::Child;
use std::sync::{Arc, Mutex, PoisonError};

/// A child with two guardians: the records and what they hold, for the rate. The counters of an
/// `Arc` take 16 bytes each, the texts some 70 and 50, and the lists 4 pointers each.
const BYTES_A_FAMILY: usize =
    3 * (16 + 32) + size_of::<ChildRecord>() + 2 * size_of::<Guardian>() + (70 + 50);

struct ChildRecord {
    child: Child,
    guardians: Mutex<Vec<Arc<Guardian>>>,
}

struct Guardian {
    name: String,
    phone: String,
    children: Mutex<Vec<Arc<ChildRecord>>>,
}

pub fn run(mut visits: Visits) {
    let mut owed = 0;
    loop {
        owed += visits.serve();
        let families = owed / BYTES_A_FAMILY;
        owed %= BYTES_A_FAMILY;
        for child in visits.page(families as u32) {
            let record = family(child);
            tracing::trace!("{}", card(&record));
        }
    }
}

fn family(child: Child) -> Arc<ChildRecord> {
    let record = Arc::new(ChildRecord {
        guardians: Mutex::default(),
        child,
    });
    for contact in [1, 2] {
        let id = record.child.id;
        let guardian = Arc::new(Guardian {
            name: format!("Guardian {id:05}/{contact}"),
            phone: format!("555 {id:05}{contact}"),
            children: Mutex::default(),
        });
        push(&guardian.children, Arc::clone(&record));
        push(&record.guardians, guardian);
    }
    record
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(item);
}

/// Whom to call when something has happened.
fn card(record: &ChildRecord) -> String {
    let guardians = record
        .guardians
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let calls: Vec<String> = guardians
        .iter()
        .map(|guardian| format!("{} {}", guardian.name, guardian.phone))
        .collect();
    format!("{}: {}", record.child.name, calls.join(", "))
}
