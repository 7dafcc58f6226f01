//! The files that limits are found in and read from: arbitrary bytes never panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    plimsoll::figures::fuzz_limits(part(), part(), part());
});
