//! Days, sped up: as many sessions are open as the hour suggests. They follow a sine from a few at
//! night to thousands at noon, and back. A day takes a sixth of `--for`, or 20 seconds.

use crate::scenario::visits::{A_SECOND, Visits};
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(20);
const DAYS: u32 = 6;
/// Sessions open at noon, each of a visit's share of the rate.
const NOON: f64 = 90.0 * A_SECOND;
/// The part of them that is open at night.
const NIGHT: f64 = 0.05;

pub fn run(mut visits: Visits, duration: Option<Duration>) {
    let day = duration.map_or(DAY, |duration| duration / DAYS);
    let start = Instant::now();
    let mut sessions = VecDeque::new();
    loop {
        let bytes = visits.serve();
        let days = start.elapsed().as_secs_f64() / day.as_secs_f64();
        let noonness = (1.0 - (TAU * days).cos()) / 2.0;
        let wanted = (NOON * (NIGHT + (1.0 - NIGHT) * noonness)) as usize;
        while sessions.len() < wanted {
            sessions.push_back(visits.children(bytes));
        }
        // Who came first leaves first.
        sessions.drain(..sessions.len() - wanted);
    }
}
