//! The messages of the live stream.

use super::Clock;
use super::event::EventAnswer;
use super::leak::LeakAnalysis;
use super::memory::{Image, MemoryStats};
use super::unix_seconds;
use crate::governor::{Monitor, Parts};
use serde::Serialize;
use std::time::SystemTime;

/// One message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Message {
    /// The first.
    Hello { image: Image },
    /// Once a second.
    Sample(Box<Sample>),
    /// As it happens.
    Event { event: Box<EventAnswer> },
}

/// What a dashboard shows.
#[derive(Serialize)]
pub(crate) struct Sample {
    at_unix_seconds: f64,
    #[serde(flatten)]
    stats: MemoryStats,
    /// As of the monitor's last look; null before the first.
    parts: Option<Parts>,
    leak: LeakAnalysis,
    is_shedding: bool,
    is_draining: bool,
    /// By all actions so far.
    given_back_bytes: u64,
    /// Who listens.
    clients: usize,
}

impl Sample {
    pub(crate) fn of(monitor: &Monitor, clients: usize) -> Sample {
        let clock = Clock::of(monitor);
        Sample {
            at_unix_seconds: unix_seconds(SystemTime::now()),
            stats: monitor.status().into(),
            parts: monitor.last_parts(),
            leak: LeakAnalysis::of(&monitor.leak_verdict(), clock),
            is_shedding: monitor.is_shedding(),
            is_draining: monitor.is_draining(),
            given_back_bytes: monitor.summary().given_back_bytes,
            clients,
        }
    }
}
