//! Who lives: no governor, a watchdog that looks every 30 seconds, Plimsoll; side by side in memory
//! control groups of 512 MiB, while the service leaks 1, 10 and 100 MiB a second.
//!
//! `cargo bench --bench survival` (as root, on Linux; ten minutes)
#![allow(clippy::print_stdout, reason = "a program, not a library")]

#[cfg(target_os = "linux")]
#[path = "../tests/group/mod.rs"]
mod group;
#[cfg(target_os = "linux")]
#[path = "../tests/tothub/mod.rs"]
mod tothub;

#[cfg(target_os = "linux")]
fn main() {
    linux::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("control groups are Linux's");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::group::Group;
    use super::tothub;
    use std::path::Path;
    use std::process::Command;
    use std::time::Instant;

    const LIMIT: u64 = 512 << 20;
    const GOVERNORS: [(&str, &str); 3] = [
        ("off", "none"),
        ("watchdog", "watchdog, every 30 s"),
        ("on", "Plimsoll"),
    ];
    /// MiB a second, and for how many seconds.
    const LEAKS: [(u64, u64); 3] = [(1, 600), (10, 180), (100, 60)];

    pub fn run() {
        let service = tothub::built();
        println!("| leak | governor | outcome | after | restarts |\n|---|---|---|---|---|");
        let rows: Vec<String> = std::thread::scope(|scope| {
            let runs: Vec<_> = LEAKS
                .iter()
                .flat_map(|&leak| GOVERNORS.map(|governor| (leak, governor)))
                .map(|(leak, governor)| {
                    let service = &service;
                    scope.spawn(move || survive(service, leak, governor))
                })
                .collect();
            let row = |run: std::thread::ScopedJoinHandle<'_, String>| run.join();
            runs.into_iter()
                .map(row)
                .map(|row| row.expect("a run"))
                .collect()
        });
        for row in rows {
            println!("{row}");
        }
    }

    fn survive(service: &Path, (leak, seconds): (u64, u64), governor: (&str, &str)) -> String {
        let (flag, name) = governor;
        let data = tempfile::tempdir().expect("a folder");
        let start = |more: &[&str]| {
            let mut command = Command::new(service);
            command
                .args(["--port", "0", "--data"])
                .arg(data.path())
                .args(more);
            command
        };
        // Filled outside the limit, as a deployed service's database is.
        start(&["--for", "1"]).output().expect("runs");
        let group = match Group::new(&format!("{flag}-{leak}"), LIMIT) {
            Ok(group) => group,
            Err(why) => return format!("| {leak} MiB/s | {name} | no control group: {why} | | |"),
        };
        let (leak, seconds) = (leak.to_string(), seconds.to_string());
        let mut command = start(&["--scenario", "leak", "--leak-mib-per-second", &leak]);
        // At 100 MiB a second an image lives for four seconds: a longer cooldown would be the end.
        command.args(["--for", &seconds, "--governor", flag, "--cooldown", "1"]);
        let begun = Instant::now();
        let output = group.start(&mut command).wait_with_output().expect("runs");
        let lasted = begun.elapsed().as_secs();
        let images = String::from_utf8_lossy(&output.stdout)
            .matches("tothub listens")
            .count();
        let outcome = match (output.status.success(), group.kills()) {
            (true, 0) => "alive".to_owned(),
            (false, 1..) => "killed by the kernel".to_owned(),
            (_, kills) => format!("{}, {kills} kills", output.status),
        };
        let restarts = images.saturating_sub(1);
        format!("| {leak} MiB/s | {name} | {outcome} | {lasted} s | {restarts} |")
    }
}
