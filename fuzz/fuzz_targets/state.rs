//! The state file: arbitrary bytes never panic, and what is accepted reads back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll::fuzz_state(bytes));
