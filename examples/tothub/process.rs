//! How long the service has run, over all restarts in place: those keep the process and its
//! environment, in which the first image leaves when it began. The process itself may be older, as
//! when `cargo run` has compiled in it first.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// `PID:SECONDS`, the seconds since boot; the id tells it from what another process left.
const BEGAN: &str = "TOTHUB_BEGAN";

/// Seconds since boot at which the first image began.
static FIRST: OnceLock<f64> = OnceLock::new();

/// Notes the beginning. To be called first of all, while there is one thread.
pub fn begin() {
    let own = std::process::id();
    let left = std::env::var(BEGAN).ok().and_then(|text| {
        let (id, seconds) = text.split_once(':')?;
        (id.parse() == Ok(own)).then(|| seconds.parse().ok())?
    });
    let Some(began) = left.or_else(uptime) else {
        return;
    };
    // SAFETY: there is one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var(BEGAN, format!("{own}:{began}")) };
    let _ = FIRST.set(began);
}

/// Since the first image began; zero where that cannot be told.
pub fn age() -> Duration {
    let passed = uptime().zip(FIRST.get()).map(|(now, began)| now - began);
    passed
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}

/// When the first image began, in seconds since 1970.
pub fn started_unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.saturating_sub(age()).as_secs())
}

/// To the nanosecond: by `/proc/uptime`, in hundredths of a second, a record's next image could begin before the
/// last row of the one before.
fn uptime() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is ours to write.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
        (failed == 0).then(|| now.tv_sec as f64 + now.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(target_os = "linux"))]
    None
}
