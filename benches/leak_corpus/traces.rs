//! Recorded series of real machines, read in place from a folder with an `index.csv` of files, labels
//! and units.

use crate::score::Counts;
use plimsoll::trend::{Detector, Sample, Subject};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Families by the beginning of a file's name.
fn family(file: &str) -> &str {
    file.split('_').next().unwrap_or(file)
}

pub fn report(folder: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    let index = fs::read_to_string(folder.join("index.csv")).map_err(said)?;
    let mut families: BTreeMap<String, (Counts, f64, usize)> = BTreeMap::new();
    for line in index.lines().skip(1) {
        let Some(file) = line.split(',').next() else {
            continue;
        };
        let leaks = line.contains(",leak,");
        if !leaks && !line.contains(",healthy,") {
            continue;
        }
        let text = fs::read_to_string(folder.join(file)).map_err(said)?;
        let series: Vec<(f64, f64)> = text
            .lines()
            .skip(1)
            .filter_map(|row| {
                let (t, value) = row.split_once(',')?;
                Some((t.parse().ok()?, value.parse().ok()?))
            })
            .collect();
        let mut steps: Vec<f64> = series
            .windows(2)
            .map(|pair| pair[1].0 - pair[0].0)
            .collect();
        let limit = line.contains(",percent,").then_some(100.0);
        let mut detector =
            Detector::new(crate::score::quantile(&mut steps, 0.5), Subject::Recorded);
        let (mut was, mut alarms) = (false, 0);
        for &(seconds, bytes) in &series {
            detector.push(
                Sample {
                    seconds,
                    bytes,
                    blocks: None,
                },
                limit,
            );
            let is = detector.verdict().is_leak();
            alarms += usize::from(is && !was);
            if std::env::var_os("PLIMSOLL_ALARMS").is_some() && is != was {
                println!(
                    "    {file} {:.1} h: {}",
                    seconds / 3_600.0,
                    if is { "leak" } else { "over" }
                );
            }
            was = is;
        }
        let (counts, days, false_alarms) = families.entry(family(file).to_owned()).or_default();
        counts.add(was, leaks);
        if !leaks {
            *days += detector.history().span() / 86_400.0;
            *false_alarms += alarms;
        }
    }
    let (mut all_days, mut all_alarms) = (0.0, 0);
    for (name, (counts, days, alarms)) in &families {
        counts.print(name);
        println!("    healthy ones in replay: {alarms} false alarms in {days:.1} process-days");
        all_days += days;
        all_alarms += alarms;
    }
    println!(
        "  all healthy ones: {all_alarms} false alarms in {all_days:.1} process-days, {:.4} a day",
        all_alarms as f64 / all_days
    );
    Ok(())
}
