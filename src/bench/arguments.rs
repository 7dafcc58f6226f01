//! The command line of a benchmark program.

use super::bencher::SAMPLES;
use super::comparison::Thresholds;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
Usage: cargo bench --bench NAME -- [OPTIONS] [FILTER]...

Runs the benchmarks whose name contains one of the FILTERs, or all.

Options:
      --exact                  a FILTER is the whole name
      --skip TEXT              leave out names that contain TEXT
      --list                   print the names, and run nothing
      --quick                  10 samples in 0.1 s, for a first look
      --samples N              samples for each benchmark, 5 to 10000
      --json FILE              write the report to FILE
      --compare FILE           compare with the report in FILE
      --time-threshold P       with --compare: changes of time up to P percent are the same [5]
      --figure-threshold P     with --compare: growth of figures up to P percent is the same [0]
      --test                   run each once, and measure nothing; so without --bench
      --bench                  measure; cargo bench gives it
  -h, --help                   print this

Exit codes: 0 when all ran and nothing is worse, 1 when something is worse, 2
for arguments or a file that cannot be used, and for a benchmark that measured
nothing.
";

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    pub(super) filters: Vec<String>,
    pub(super) skip: Vec<String>,
    pub(super) exact: bool,
    pub(super) list: bool,
    pub(super) quick: bool,
    pub(super) once: bool,
    pub(super) help: bool,
    pub(super) samples: Option<usize>,
    pub(super) json: Option<PathBuf>,
    pub(super) compare: Option<PathBuf>,
    pub(super) thresholds: Thresholds,
}

impl Arguments {
    /// From what follows the program's name. The error is a line for people.
    pub(super) fn parse(given: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments::default();
        let (mut bench, mut test, mut ignored) = (false, false, false);
        let mut given = given.into_iter();
        while let Some(one) = given.next() {
            let (flag, mut attached) = match one.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => {
                    (flag.to_owned(), Some(value.to_owned()))
                }
                _ => (one, None),
            };
            let mut value = |expected: &str| {
                attached
                    .take()
                    .or_else(|| given.next())
                    .ok_or_else(|| format!("`{flag}` has no value: expected {expected}"))
            };
            match flag.as_str() {
                "--bench" => bench = true,
                "--test" => test = true,
                "--exact" => arguments.exact = true,
                "--list" => arguments.list = true,
                "--quick" => arguments.quick = true,
                "-h" | "--help" => arguments.help = true,
                // Test runners ask for ignored tests alone: there are none.
                "--ignored" => ignored = true,
                // What runners of tests say, and what means nothing here.
                "--nocapture" | "--no-capture" | "--show-output" | "--include-ignored" | "-q"
                | "--quiet" => {}
                "--format" | "--color" | "--test-threads" => drop(value("a word")?),
                "--skip" => arguments.skip.push(value("a part of a name")?),
                "--samples" => {
                    arguments.samples = Some(samples(&value("a number from 5 to 10000")?)?);
                }
                "--json" => arguments.json = Some(value("a file to write")?.into()),
                "--compare" => arguments.compare = Some(value("a report to read")?.into()),
                "--time-threshold" => {
                    arguments.thresholds.time = percent(&flag, &value("percent")?)?;
                }
                "--figure-threshold" => {
                    arguments.thresholds.figures = percent(&flag, &value("percent")?)?;
                }
                unknown if unknown.starts_with('-') && unknown.len() > 1 => {
                    return Err(format!(
                        "`{unknown}` is not an option: expected one of those that --help tells"
                    ));
                }
                filter => arguments.filters.push(filter.to_owned()),
            }
            if let Some(value) = attached {
                return Err(format!(
                    "`{flag}` takes no value, and was given `{value}`: expected `{flag}` alone"
                ));
            }
        }
        arguments.once = test || !bench;
        if ignored {
            // No name contains it: names are not empty, and what follows is longer than any.
            arguments.exact = true;
            arguments.filters = vec![String::new()];
        }
        for (file, flag) in [
            (&arguments.json, "--json"),
            (&arguments.compare, "--compare"),
        ] {
            if file.is_some() && arguments.once && !arguments.list {
                return Err(format!(
                    "`{flag}` wants figures, and with --test, or without --bench, nothing is \
                     measured: expected `cargo bench`, or --bench as well"
                ));
            }
        }
        Ok(arguments)
    }

    /// Whether a benchmark is to run.
    pub(super) fn selects(&self, name: &str) -> bool {
        let fits = |text: &String| {
            if self.exact {
                name == text
            } else {
                name.contains(text.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skip.iter().any(fits)
    }
}

fn samples(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(samples) if SAMPLES.contains(&samples) => Ok(samples),
        _ => Err(format!(
            "`--samples {text}` cannot be used: expected a number from 5 to 10000"
        )),
    }
}

/// As a share of one.
fn percent(flag: &str, text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=1_000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!(
            "`{flag} {text}` cannot be used: expected percent from 0 to 1000"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn each_fault_names_the_value_and_what_was_expected() {
        for (line, wanted) in [
            ("--bench --samples", "`--samples` has no value"),
            ("--bench --samples 4", "`--samples 4`"),
            ("--bench --samples=NaN", "from 5 to 10000"),
            ("--bench --time-threshold -1", "`--time-threshold -1`"),
            ("--bench --figure-threshold nan", "from 0 to 1000"),
            ("--bench --faster", "`--faster` is not an option"),
            ("--bench --quick=yes", "`--quick` takes no value"),
            ("--json out", "nothing is measured"),
            ("--bench --test --compare old", "`--compare` wants figures"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(
                error.contains(wanted) && error.contains("expected"),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn names_are_selected_by_part_or_whole() {
        let by_part = parse("--bench sort join --skip big").unwrap();
        assert!(by_part.selects("sort/100") && by_part.selects("join"));
        assert!(!by_part.selects("sort/big") && !by_part.selects("other"));
        let whole = parse("--bench --exact sort/1").unwrap();
        assert!(whole.selects("sort/1") && !whole.selects("sort/10"));
        assert!(!parse("--list --ignored").unwrap().selects("join"));
    }

    #[test]
    fn without_bench_each_runs_once() {
        assert!(parse("").unwrap().once && parse("--bench --test").unwrap().once);
        assert!(parse("--test-threads=1 --show-output").unwrap().once);
        let measured = parse("--bench --time-threshold=2%").unwrap();
        assert!(!measured.once);
        assert_eq!(measured.thresholds.time, 0.02);
    }
}
