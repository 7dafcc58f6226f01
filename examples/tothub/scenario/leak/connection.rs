//! Buffers that outlive their connections. The tablets in the rooms connect, send what they have
//! recorded, and close. The service keeps a buffer for each connection in a registry, to be removed
//! when the tablet says goodbye: and no tablet ever does.
//!
//! What is sent is its length in four bytes, the lowest first, and then as many bytes.

use crate::scenario::thread;
use crate::scenario::visits::{Visits, scan};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// More than any tablet sends.
const MOST: usize = 16 << 20;
/// For a tablet that has stopped in the middle.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn start(visits: Visits) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread("recordings", move || receive_all(&listener))?;
    thread("tablets", move || send_all(address, visits))
}

fn receive_all(listener: &TcpListener) {
    let mut registry = HashMap::new();
    for (number, connection) in (0u64..).zip(listener.incoming()) {
        match connection.and_then(receive) {
            Ok(buffer) => {
                registry.insert(number, buffer);
            }
            Err(error) => tracing::warn!(%error, "a recording was not received"),
        }
    }
}

fn receive(mut connection: TcpStream) -> io::Result<Vec<u8>> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST {
        let wrong = format!("its length is {length}: expected {MOST} at the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
    }
    let mut buffer = vec![0; length];
    connection.read_exact(&mut buffer)?;
    Ok(buffer)
}

fn send_all(address: SocketAddr, mut visits: Visits) {
    loop {
        let recording = scan(visits.serve().min(MOST));
        if let Err(error) = send(address, &recording) {
            tracing::warn!(%error, "a recording was not sent");
        }
    }
}

fn send(address: SocketAddr, recording: &[u8]) -> io::Result<()> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(&(recording.len() as u32).to_le_bytes())?;
    connection.write_all(recording)
}
