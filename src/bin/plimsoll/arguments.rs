//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};

/// A load line for the heap: what a recorded series of memory says, and what benchmarks allocate.
#[derive(Parser)]
#[command(name = "plimsoll", version, subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Analyze(Analyze),
    BenchCompare(BenchCompare),
}

/// Compare two reports of `plimsoll::bench`: time by a test of ranks, allocations exactly.
#[derive(Args)]
#[command(after_help = "\
OLD and NEW are what `cargo bench --bench NAME -- --json FILE` wrote.

Time is worse when the Mann-Whitney U test tells the samples apart (p < 0.01)
and the median grew by more than --time-threshold. A figure is worse when it
grew by more than --figure-threshold.

Exit codes: 0 when nothing is worse, 1 when something is, 2 for bad input.")]
pub struct BenchCompare {
    /// Changes of time up to this many percent are the same
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percent)]
    pub time_threshold: f64,

    /// Growth of allocations and bytes up to this many percent is the same
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub figure_threshold: f64,

    /// The report to compare with
    pub old: PathBuf,

    /// The report that is judged
    pub new: PathBuf,
}

/// Percent, as a share of one.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=1_000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected percent from 0 to 1000".to_owned()),
    }
}

/// Say whether a recorded series is a leak, how fast it grows, and when the limit is reached.
#[derive(Args)]
#[command(after_help = "\
FILE is a CSV whose header names `t_seconds`, one of `bytes`, `percent` and
`value`, and `blocks` if they are known; columns in any order, others are
ignored. Or it is the JSON of a range query to Prometheus with one series
(/api/v1/query_range).

A `percent`, or a `value` that stays within 0 to 100, is percent of the limit.
--limit then says what it is percent of, or, up to 100, which percentage the
limit is; without one it is 100.

Exit codes: 0 when the series was read, 1 for a leak with --fail-on-leak, 2 for
bad input.")]
pub struct Analyze {
    /// The limit that memory is under: 268435456, 256MiB, 1.5GiB or 512MB
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub limit: Option<f64>,

    /// Print the verdict as one JSON object on one line
    #[arg(long)]
    pub json: bool,

    /// Print one JSON line at each change of verdict, as the monitor would have seen it
    #[arg(long)]
    pub replay: bool,

    /// Exit with 1 if it is a leak at the end, for soak tests
    #[arg(long)]
    pub fail_on_leak: bool,

    /// The recorded series, or - for standard input
    pub file: PathBuf,
}

impl Analyze {
    pub fn is_standard_input(&self) -> bool {
        self.file == Path::new("-")
    }

    /// What the input is called in messages.
    pub fn name(&self) -> String {
        if self.is_standard_input() {
            "standard input".to_owned()
        } else {
            self.file.display().to_string()
        }
    }
}

/// A number and, if wanted, a unit: of 1024 with an i, as control groups and Kubernetes count, of
/// 1000 without.
fn bytes(text: &str) -> Result<f64, String> {
    let wrong = || "expected bytes above 0, as 268435456, 256MiB, 1.5GiB or 512MB".to_owned();
    let trimmed = text.trim();
    let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match trimmed[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" | "ki" => 1_024.0,
        "mib" | "mi" => 1_048_576.0,
        "gib" | "gi" => 1_073_741_824.0,
        "tib" | "ti" => 1_099_511_627_776.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let bytes = number * factor;
    // Above 16 EiB no address reaches.
    if bytes > 0.0 && bytes <= 1.9e19 {
        Ok(bytes)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, bytes};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn limits_are_read_in_every_common_spelling() {
        for (text, expected) in [
            ("268435456", 268_435_456.0),
            ("256MiB", 268_435_456.0),
            ("256 mib", 268_435_456.0),
            ("256Mi", 268_435_456.0),
            ("1.5GiB", 1_610_612_736.0),
            ("512MB", 512e6),
            ("1e9", 1e9),
            ("80", 80.0),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for text in [
            "", "0", "-1", "nan", "inf", "MiB", "1XB", "1M", "1.2.3", "1e30", "0x10", "1 2",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
