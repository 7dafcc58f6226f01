//! How old the process is. A restart in place keeps the process, and so its age.

use std::time::{Duration, SystemTime};

/// Since the process was started; zero where that cannot be told.
pub fn age() -> Duration {
    linux_age().unwrap_or_default()
}

/// When the process was started, in seconds since 1970.
pub fn started_unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.saturating_sub(age()).as_secs())
}

fn linux_age() -> Option<Duration> {
    // Field 22 is the start in ticks of a hundredth of a second since boot; the name in field 2 may
    // hold spaces, but ends with the last parenthesis.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = &stat[stat.rfind(')')? + 2..];
    let ticks: f64 = after_name.split(' ').nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - ticks / 100.0).ok()
}
