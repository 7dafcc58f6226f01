//! The admin surface: arbitrary bytes on a connection never panic, every answer is HTTP, and nothing
//! changes.
#![no_main]

mod connection;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let answer = connection::answer([bytes].into_iter());
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{answer:?}"
    );
});
