//! The listening end of a WebSocket, as RFC 6455 has it: no more than the tests need.

use super::parse;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Stream {
    socket: TcpStream,
    /// The subprotocol that was agreed on.
    pub protocol: Option<String>,
}

/// What a frame says.
#[derive(Debug)]
pub enum Frame {
    Text(Value),
    Close(u16, String),
    /// A ping or a pong.
    Control,
}

/// The handshake's request.
pub fn handshake(address: SocketAddr) -> String {
    format!(
        "GET /api/system/live HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: plimsoll\r\n\r\n"
    )
}

impl Stream {
    pub fn open(address: SocketAddr) -> Stream {
        let mut socket = TcpStream::connect(address).expect("a connection");
        let patience = Some(Duration::from_secs(30));
        socket.set_read_timeout(patience).unwrap();
        socket.write_all(handshake(address).as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a handshake's answer");
            head.push(byte[0]);
        }
        let answer = parse(&String::from_utf8_lossy(&head));
        assert_eq!(answer.status, 101, "{answer:?}");
        Stream {
            socket,
            protocol: answer.header("sec-websocket-protocol").map(str::to_owned),
        }
    }

    /// The next frame, as far as one comes; from the server they are not masked and never in parts.
    pub fn next(&mut self) -> io::Result<Frame> {
        let mut head = [0; 2];
        self.socket.read_exact(&mut head)?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.socket.read_exact(&mut length)?;
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.socket.read_exact(&mut length)?;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload)?;
        Ok(match head[0] {
            0x81 => Frame::Text(serde_json::from_slice(&payload).expect("JSON")),
            0x88 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Frame::Close(code, String::from_utf8_lossy(&payload[2..]).into_owned())
            }
            0x89 | 0x8a => Frame::Control,
            other => panic!("a frame that begins with {other:#x}"),
        })
    }

    /// The next message of a type.
    pub fn next_of(&mut self, kind: &str) -> Value {
        loop {
            match self.next().expect("a message") {
                Frame::Text(message) if message["type"] == kind => return message,
                Frame::Close(code, reason) => panic!("closed with {code}: {reason}"),
                _ => {}
            }
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}
