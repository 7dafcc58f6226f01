//! What others have: a look at resident memory every 30 seconds, as PM2 does for
//! `max_memory_restart`, and a restart above a threshold. For comparison.

use plimsoll::Monitor;
use std::sync::Weak;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(30);
/// Of the limit.
const THRESHOLD: f64 = 0.80;

pub fn start(app: Weak<crate::App>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            while let Some(app) = app.upgrade() {
                look(&app.monitor);
                drop(app);
                std::thread::sleep(INTERVAL);
            }
        })
        .map(drop)
}

fn look(monitor: &Monitor) {
    let status = monitor.status();
    let resident = status.process.map_or(0, |process| process.resident_bytes);
    if resident as f64 >= THRESHOLD * status.limit.bytes as f64 {
        restart();
    }
}

#[cfg(unix)]
fn restart() {
    use std::os::unix::process::CommandExt;
    let mut arguments = std::env::args_os();
    if let (Some(_), Ok(program)) = (arguments.next(), std::env::current_exe()) {
        let error = std::process::Command::new(program).args(arguments).exec();
        tracing::error!(%error, "the watchdog could not restart the program");
    }
}

#[cfg(not(unix))]
fn restart() {
    std::process::exit(1);
}
