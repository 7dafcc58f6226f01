//! A client for the tests: one request on a connection of its own.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod stream;

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        Some(value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `line` is a method and a path.
pub fn ask(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    stream
        .write_all(format!("{text}\r\n{body}").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    parse(&String::from_utf8_lossy(&answer))
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path}"), &[], "")
}

/// As the dashboard's page does.
pub fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let origin = format!("http://{address}");
    let headers = [("Origin", &*origin), ("Content-Type", "application/json")];
    ask(address, &format!("POST {path}"), &headers, body)
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Answer {
        status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
        headers: lines.filter_map(header).collect(),
        body: body.to_owned(),
    }
}
