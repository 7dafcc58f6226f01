//! The command line.

use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: tothub [--scenario none|leak] [--for SECONDS] [--governor on|off|watchdog]
              [--limit BYTES] [--leak-mib-per-second N] [--cooldown SECONDS]
              [--sustained SECONDS] [--budget RESTARTS_AN_HOUR] [--port N] [--data FOLDER]

  --scenario leak          forgets memory for as long as it runs
  --leak-mib-per-second N  that much of it, 1 to 10000 (default 12)
  --for SECONDS            ends then, counted from the start of the process over all restarts
  --governor off           watches, but neither acts nor restarts
  --governor watchdog      looks at resident memory every 30 s and restarts at 80 %, as others do
  --limit BYTES            holds itself to this, as 256MiB; else to what the system allows
  --cooldown SECONDS       between two restarts (default 5 when leaking, else 300)
  --sustained SECONDS      above the restart line before a restart (default 1 when leaking, else 10)
  --budget N               restarts in an hour, 1 to 1000 (default 1000 when leaking, else 3)
  --port N                 on 127.0.0.1 (default 5000; 0 takes a free one)
  --data FOLDER            for database and state (default target/tothub)
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    None,
    Leak { mib_per_second: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governor {
    Off,
    On,
    Watchdog,
}

#[derive(Debug)]
pub struct Flags {
    pub scenario: Scenario,
    pub duration: Option<Duration>,
    pub governor: Governor,
    pub limit: Option<u64>,
    pub cooldown: Duration,
    pub sustained: Option<Duration>,
    pub budget: u32,
    pub port: u16,
    pub data: PathBuf,
}

impl Flags {
    /// `None` when help was asked for.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Flags>, String> {
        let mut leaks = false;
        let mut mib_per_second = 12;
        let mut cooldown = None;
        let mut budget = None;
        let mut flags = Flags {
            scenario: Scenario::None,
            duration: None,
            governor: Governor::On,
            limit: None,
            cooldown: Duration::ZERO,
            sustained: None,
            budget: 0,
            port: 5000,
            data: PathBuf::from("target/tothub"),
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
                "--scenario" => leaks = choice(&flag, &value()?, ["none", "leak"])? == 1,
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
                "--leak-mib-per-second" => {
                    mib_per_second = number(&flag, &value()?, 1, 10_000)?;
                }
                "--cooldown" => cooldown = Some(number(&flag, &value()?, 0, 1_000_000)?),
                "--budget" => budget = Some(number(&flag, &value()?, 1, 1000)? as u32),
                "--port" => flags.port = number(&flag, &value()?, 0, 65_535)? as u16,
                "--data" => flags.data = PathBuf::from(value()?),
                _ => return Err(format!("unknown flag `{flag}`")),
            }
        }
        if leaks {
            flags.scenario = Scenario::Leak { mib_per_second };
            flags.sustained = flags.sustained.or(Some(Duration::from_secs(1)));
        }
        flags.cooldown = Duration::from_secs(cooldown.unwrap_or(if leaks { 5 } else { 300 }));
        flags.budget = budget.unwrap_or(if leaks { 1000 } else { 3 });
        Ok(Some(flags))
    }
}

fn choice<const N: usize>(flag: &str, value: &str, choices: [&str; N]) -> Result<usize, String> {
    choices
        .iter()
        .position(|&choice| choice == value)
        .ok_or_else(|| {
            let expected = choices.map(|choice| format!("`{choice}`")).join(" or ");
            format!("`{flag}` is `{value}`: expected {expected}")
        })
}

fn number(flag: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!(
            "`{flag}` is `{value}`: expected a whole number from {least} to {most}"
        )),
    }
}

/// Digits, and a unit if one is wanted.
fn bytes(flag: &str, value: &str) -> Result<u64, String> {
    let wrong = || format!("`{flag}` is `{value}`: expected bytes above 0, as 268435456 or 256MiB");
    let digits = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(wrong)
}
