//! An audit log in memory: who saw whose record, line by line, for ever. The list of lines doubles
//! whenever it is full, so that there are steps in the growth, ever higher and ever rarer.

use crate::scenario::visits::Visits;
use crate::store::CHILDREN;

pub fn run(mut visits: Visits) {
    let mut log: Vec<String> = Vec::new();
    let mut owed = 0;
    loop {
        owed += visits.serve() as i64;
        while owed > 0 {
            let child = 1 + visits.random.below(CHILDREN);
            let staff = 1 + visits.random.below(2_000);
            let line = format!(
                "entry {}: staff {staff:04} read child {child:05}; fields: name, born, room, \
                 notes; reason: care",
                log.len()
            );
            owed -= (size_of::<String>() + line.capacity()) as i64;
            log.push(line);
        }
    }
}
