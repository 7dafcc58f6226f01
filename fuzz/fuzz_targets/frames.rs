//! The live stream: arbitrary bytes after a handshake never panic and change nothing, and what the
//! server says is whole frames of JSON, as RFC 6455 has them.
#![no_main]

mod connection;

use serde_json::Value;

const HANDSHAKE: &[u8] = b"GET /api/system/live HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: plimsoll\r\n\r\n";

/// The first bytes of a text, a close, a ping and a pong, each the last of its message.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Takes so many bytes off the front.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at_checked(length).expect("a whole frame");
    *rest = left;
    taken
}

/// The next frame: its first byte and what it carries. From a server it is not masked, and its
/// length is told in as few bytes as can be.
fn frame<'a>(rest: &mut &'a [u8]) -> (u8, &'a [u8]) {
    let head = take(rest, 2);
    let (length, least) = match head[1] {
        126 => {
            let length = take(rest, 2).try_into().unwrap();
            (u16::from_be_bytes(length).into(), 126)
        }
        127 => {
            let length = take(rest, 8).try_into().unwrap();
            (u64::from_be_bytes(length), 1 << 16)
        }
        short => (short.into(), 0),
    };
    assert!(length >= least, "a length of {length} in too many bytes");
    (head[0], take(rest, length as usize))
}

fn check(mut rest: &[u8]) {
    let mut kinds = Vec::new();
    while !rest.is_empty() {
        let (kind, payload) = frame(&mut rest);
        // A ping that came before the client's close may still be answered.
        let is_late = kinds.contains(&CLOSE);
        assert!(!is_late || kind == PONG, "{kind:#x} after a close");
        match kind {
            TEXT => {
                let message: Value = serde_json::from_slice(payload).expect("JSON");
                let is_first = kinds.is_empty();
                assert_eq!(message["type"] == "hello", is_first, "{message}");
            }
            CLOSE => {
                let reason = payload.get(2..).unwrap_or_default();
                assert!(std::str::from_utf8(reason).is_ok(), "{payload:?}");
                assert!(payload.len() != 1 && payload.len() <= 125, "{payload:?}");
            }
            PING | PONG => assert!(payload.len() <= 125, "{payload:?}"),
            other => panic!("a frame that begins with {other:#x}"),
        }
        kinds.push(kind);
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first byte says how long the pieces are in which the rest comes.
    let (length, frames) = match bytes.split_first() {
        Some((&length, frames)) => (usize::from(length) + 1, frames),
        None => (1, bytes),
    };
    let answer = connection::answer([HANDSHAKE].into_iter().chain(frames.chunks(length)));
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let head = head.expect("an answer to the handshake") + 4;
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
    check(&answer[head..]);
});
