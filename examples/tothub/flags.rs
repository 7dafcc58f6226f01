//! The command line.

use crate::scenario::{Rates, Scenario};
use crate::store;
use crate::values::{bytes, choice, number};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: tothub [--scenario NAME] [--for SECONDS] [--governor on|off|watchdog]
              [--limit BYTES] [--interval-ms N]
              [--leak-mib-per-second N] [--rate-mib-per-minute N]
              [--cooldown SECONDS] [--sustained SECONDS] [--budget RESTARTS_AN_HOUR]
              [--port N] [--admin PORT] [--data FOLDER] [--record FILE] [--record-interval-ms N]
              [--attendance-days N] [--report in-batches|all-at-once]

  --scenario none          only answers (default)
  --scenario leak          forgets memory for as long as it runs
  --leak-mib-per-second N  that much of it, 1 to 10000 (default 12)
  --scenario NAME          is visited, and has one of five leaks:
                             leak-map         sessions that are never ended
                             leak-cycle       records that point at each other
                             leak-task        tasks that wait for ever
                             leak-connection  buffers that outlive their connections
                             leak-log         an audit log in memory
                           or one of five loads that look like it, and are healthy:
                             cache-fill       a cache that fills up to its cap
                             batch            a job that gives back what it takes
                             sawtooth         a buffer that is flushed again and again
                             daily            sessions by day and by night
                             start-up         data loaded when it is first asked for
  --rate-mib-per-minute N  that these leaks forget, or that these loads swing by in one and a half
                           minutes' worth, 1 to 1000 (default 24)
  --for SECONDS            ends then, counted from the start of the service over all restarts
  --governor off           watches, but neither acts nor restarts
  --governor watchdog      looks at resident memory every 30 s and restarts at 80 %, as others do
  --limit BYTES            holds itself to this, as 256MiB; else to what the system allows
  --interval-ms N          looks so often when nothing happens, 10 to 3600000 (default 1000)
  --cooldown SECONDS       between two restarts (default 5 when leaking, else 300)
  --sustained SECONDS      above the restart line before a restart (default 1 when leaking, else 10)
  --budget N               restarts in an hour, 1 to 1000 (default 1000 when leaking, else 3)
  --port N                 on 127.0.0.1 (default 5000; 0 takes a free one)
  --admin PORT             the dashboard there as well, on a thread of its own (0 takes a free one)
  --data FOLDER            for database and state (default target/tothub)
  --attendance-days N      5000 visits each, 1 to 1000 (default 30)
  --report in-batches      makes the nightly report, in batches that follow the memory there is, and ends
  --report all-at-once     the same with all visits in memory, as others do
  --record FILE            writes a CSV of the heap: t_seconds,bytes,blocks
  --record-interval-ms N   a row every so often, 1 to 3600000 (default 500)
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governor {
    Off,
    On,
    Watchdog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    InBatches,
    AllAtOnce,
}

#[derive(Debug)]
pub struct Flags {
    pub scenario: Scenario,
    pub rates: Rates,
    pub duration: Option<Duration>,
    pub governor: Governor,
    pub limit: Option<u64>,
    pub interval: Option<Duration>,
    pub cooldown: Duration,
    pub sustained: Option<Duration>,
    pub budget: u32,
    pub port: u16,
    pub admin: Option<u16>,
    pub data: PathBuf,
    pub attendance_days: u32,
    pub report: Option<Kind>,
    pub record: Option<PathBuf>,
    pub record_interval: Duration,
}

impl Flags {
    /// `None` when help was asked for.
    pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Option<Flags>, String> {
        let words = words.map(|word| {
            word.into_string()
                .map_err(|word| format!("`{}` is not UTF-8", word.display()))
        });
        let mut words = words.collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut cooldown = None;
        let mut budget = None;
        let mut flags = Flags {
            scenario: Scenario::None,
            rates: Rates {
                leak_mib_per_second: 12,
                mib_per_minute: 24,
            },
            duration: None,
            governor: Governor::On,
            limit: None,
            interval: None,
            cooldown: Duration::ZERO,
            sustained: None,
            budget: 0,
            port: 5000,
            admin: None,
            data: PathBuf::from("target/tothub"),
            attendance_days: store::DAYS,
            report: None,
            record: None,
            record_interval: Duration::from_millis(500),
        };
        while let Some(flag) = words.next() {
            if flag == "--help" || flag == "-h" {
                return Ok(None);
            }
            let mut value = || {
                words
                    .next()
                    .filter(|value| !value.starts_with("--"))
                    .ok_or(format!("`{flag}` wants a value"))
            };
            match flag.as_str() {
                "--scenario" => {
                    let choices = Scenario::ALL.map(|(name, _)| name);
                    flags.scenario = Scenario::ALL[choice(&flag, &value()?, choices)?].1;
                }
                "--governor" => {
                    let choices = ["off", "on", "watchdog"];
                    flags.governor = [Governor::Off, Governor::On, Governor::Watchdog]
                        [choice(&flag, &value()?, choices)?];
                }
                "--sustained" => {
                    let seconds = number(&flag, &value()?, 0, 1_000_000)?;
                    flags.sustained = Some(Duration::from_secs(seconds));
                }
                "--for" => {
                    let seconds = number(&flag, &value()?, 1, 1_000_000)?;
                    flags.duration = Some(Duration::from_secs(seconds));
                }
                "--limit" => flags.limit = Some(bytes(&flag, &value()?)?),
                "--interval-ms" => {
                    let milliseconds = number(&flag, &value()?, 10, 3_600_000)?;
                    flags.interval = Some(Duration::from_millis(milliseconds));
                }
                "--leak-mib-per-second" => {
                    flags.rates.leak_mib_per_second = number(&flag, &value()?, 1, 10_000)?;
                }
                "--rate-mib-per-minute" => {
                    flags.rates.mib_per_minute = number(&flag, &value()?, 1, 1_000)?;
                }
                "--cooldown" => cooldown = Some(number(&flag, &value()?, 0, 1_000_000)?),
                "--budget" => budget = Some(number(&flag, &value()?, 1, 1000)? as u32),
                "--port" => flags.port = number(&flag, &value()?, 0, 65_535)? as u16,
                "--admin" => flags.admin = Some(number(&flag, &value()?, 0, 65_535)? as u16),
                "--data" => flags.data = PathBuf::from(value()?),
                "--attendance-days" => {
                    flags.attendance_days = number(&flag, &value()?, 1, 1000)? as u32;
                }
                "--report" => {
                    let choices = ["in-batches", "all-at-once"];
                    let kinds = [Kind::InBatches, Kind::AllAtOnce];
                    flags.report = Some(kinds[choice(&flag, &value()?, choices)?]);
                }
                "--record" => flags.record = Some(PathBuf::from(value()?)),
                "--record-interval-ms" => {
                    let milliseconds = number(&flag, &value()?, 1, 3_600_000)?;
                    flags.record_interval = Duration::from_millis(milliseconds);
                }
                _ => return Err(format!("unknown flag `{flag}`")),
            }
        }
        let leaks = flags.scenario.leaks();
        if leaks {
            flags.sustained = flags.sustained.or(Some(Duration::from_secs(1)));
        }
        flags.cooldown = Duration::from_secs(cooldown.unwrap_or(if leaks { 5 } else { 300 }));
        flags.budget = budget.unwrap_or(if leaks { 1000 } else { 3 });
        Ok(Some(flags))
    }
}
