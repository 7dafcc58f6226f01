//! The admin surface: arbitrary bytes on a connection never panic, and every answer is HTTP. Without its
//! token nothing is carried out, and nothing told but the page.
#![no_main]

mod connection;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let answer = connection::answer([bytes].into_iter());
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{answer:?}"
    );
    let refused = connection::answer_of_the_closed([bytes].into_iter());
    let text = String::from_utf8_lossy(&refused);
    for status in ["202 ", "101 "] {
        assert!(!text.contains(&format!("HTTP/1.1 {status}")), "{text}");
    }
    // In every answer that tells figures.
    assert!(!text.contains("\"live_bytes\""), "{text}");
});
