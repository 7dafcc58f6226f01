//! A report over two million rows: in batches, and with all of them in memory, in a control group of
//! 1 GiB, in turn; and who ends in one of 128 MiB.
//!
//! `cargo bench --features full --bench nightly` (as root, on Linux; a minute and a half)
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
    use std::time::{Duration, Instant};

    /// Of each side, in turn.
    const ROUNDS: usize = 9;
    const KINDS: [&str; 2] = ["in-batches", "all-at-once"];

    pub fn run() {
        let service = tothub::built();
        let data = tempfile::tempdir().expect("a folder");
        let mut filling = Command::new(&service);
        let filled = filling
            .args([
                "--attendance-days",
                "400",
                "--for",
                "1",
                "--port",
                "0",
                "--data",
            ])
            .arg(data.path())
            .output()
            .expect("the service runs");
        assert!(filled.status.success(), "{filled:?}");

        println!(
            "| limit | how | outcome | seconds, median (least–most) | on the heap |\n|---|---|---|---|---|"
        );
        let mut times = [Vec::new(), Vec::new()];
        let mut heaps = [String::new(), String::new()];
        for _ in 0..ROUNDS {
            for (place, kind) in KINDS.iter().enumerate() {
                let (took, said) = report(&service, data.path(), kind, 1 << 30);
                let heap = said.rsplit("at most ").next().unwrap_or_default();
                heaps[place] = heap.trim_end_matches(" on the heap").to_owned();
                times[place].push(took.expect("1 GiB is enough"));
            }
        }
        let mut medians = [0.0; 2];
        for (place, times) in times.iter_mut().enumerate() {
            times.sort();
            medians[place] = times[ROUNDS / 2].as_secs_f64();
            println!(
                "| 1 GiB | {} | done | {:.2} ({:.2}–{:.2}) | {} |",
                KINDS[place],
                medians[place],
                times[0].as_secs_f64(),
                times[ROUNDS - 1].as_secs_f64(),
                heaps[place]
            );
        }
        for kind in KINDS {
            let (took, _) = report(&service, data.path(), kind, 128 << 20);
            let outcome = if took.is_some() {
                "done"
            } else {
                "killed by the kernel"
            };
            let seconds = took.map_or("—".to_owned(), |took| {
                format!("{:.2}", took.as_secs_f64())
            });
            println!("| 128 MiB | {kind} | {outcome} | {seconds} | |");
        }
        println!(
            "\nin batches, at 1 GiB: {:.2} of the time of all at once",
            medians[0] / medians[1]
        );
    }

    /// How long it took, unless it was killed; and what it said last.
    fn report(service: &Path, data: &Path, kind: &str, limit: u64) -> (Option<Duration>, String) {
        let group = Group::new("nightly", limit).expect("a memory control group");
        let mut command = Command::new(service);
        command
            .args(["--attendance-days", "400", "--report", kind, "--data"])
            .arg(data);
        let begun = Instant::now();
        let output = group.start(&mut command).wait_with_output().expect("runs");
        let took = begun.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default().to_owned();
        // What ended otherwise says nothing of memory.
        assert!(
            output.status.success() || group.kills() > 0,
            "{kind}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success().then_some(took), last)
    }
}
