//! How often verdicts are right, and how right their figures are.

use crate::generator::{Case, Kind, SLOPES};
use crate::peers::PEERS;
use plimsoll::trend::{Detector, Sample, Subject, Verdict};
use std::collections::BTreeMap;

/// What a replay of one case came to.
pub struct Outcome {
    pub verdict: Verdict,
    /// Times at which a leak was announced before there was one.
    false_alarms: usize,
    /// From the onset to the first announcement after it, in seconds.
    delay: Option<f64>,
    peers: [bool; PEERS.len()],
}

/// Replays a case sample by sample.
pub fn replay(case: &Case) -> Outcome {
    let mut detector = Detector::new(case.interval, Subject::Recorded);
    let (mut was, mut false_alarms, mut delay) = (false, 0, None);
    for &(seconds, bytes) in &case.series {
        let sample = Sample {
            seconds,
            bytes,
            blocks: None,
        };
        detector.push(sample, Some(case.limit));
        let is = detector.verdict().is_leak();
        if is && !was {
            if !case.leaks || seconds < case.onset {
                false_alarms += 1;
            } else {
                delay = delay.or(Some(seconds - case.onset));
            }
        }
        was = is;
    }
    Outcome {
        verdict: detector.verdict(),
        false_alarms,
        delay,
        peers: PEERS.map(|(_, rule)| rule(&case.series, case.limit)),
    }
}

/// True and false, positive and negative.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub tp: usize,
    pub fp: usize,
    pub fn_: usize,
    pub tn: usize,
}

impl Counts {
    pub fn add(&mut self, said: bool, is: bool) {
        match (said, is) {
            (true, true) => self.tp += 1,
            (true, false) => self.fp += 1,
            (false, true) => self.fn_ += 1,
            (false, false) => self.tn += 1,
        }
    }

    fn precision(&self) -> f64 {
        ratio(self.tp, self.tp + self.fp)
    }

    fn recall(&self) -> f64 {
        ratio(self.tp, self.tp + self.fn_)
    }

    fn f1(&self) -> f64 {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    pub fn print(&self, name: &str) {
        let (low, high) = wilson(self.tp, self.tp + self.fn_);
        println!(
            "  {name:33} precision {:.3}  recall {:.3} ({low:.2}-{high:.2})  F1 {:.3}   TP {} FP {} FN {} TN {}",
            self.precision(),
            self.recall(),
            self.f1(),
            self.tp,
            self.fp,
            self.fn_,
            self.tn
        );
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Wilson's 95 % interval of a rate.
fn wilson(part: usize, whole: usize) -> (f64, f64) {
    if whole == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (whole as f64, 1.96);
    let p = part as f64 / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    (middle - half, middle + half)
}

/// Whether the pattern of a verdict describes the case.
fn fits(case: &Case, outcome: &Outcome) -> bool {
    case.patterns.contains(&outcome.verdict.pattern.as_str())
}

pub fn report(cases: &[Case], outcomes: &[Outcome]) {
    let mut ours = Counts::default();
    let mut peers = [Counts::default(); PEERS.len()];
    for (case, outcome) in cases.iter().zip(outcomes) {
        ours.add(outcome.verdict.is_leak(), case.leaks);
        for (counts, said) in peers.iter_mut().zip(outcome.peers) {
            counts.add(said, case.leaks);
        }
    }
    println!("  verdicts at the end of each series (recall with Wilson's 95 % interval)");
    ours.print("plimsoll");
    for (counts, (name, _)) in peers.iter().zip(PEERS) {
        counts.print(name);
    }
    right_by_kind(cases, outcomes);
    slopes(cases, outcomes);
    alarms(cases, outcomes);
    patterns(cases, outcomes);
    calibration(cases, outcomes);
}

fn right_by_kind(cases: &[Case], outcomes: &[Outcome]) {
    let mut kinds: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let (right, all) = kinds.entry(case.kind).or_default();
        *right += usize::from(outcome.verdict.is_leak() == case.leaks);
        *all += 1;
    }
    print!("  right by kind:");
    for (place, (kind, (right, all))) in kinds.iter().enumerate() {
        print!(
            "{} {kind:?} {right}/{all}",
            if place % 6 == 5 { "\n   " } else { "" }
        );
    }
    println!();
}

fn slopes(cases: &[Case], outcomes: &[Outcome]) {
    let (mut errors, mut covered, mut all) = (Vec::new(), 0, 0);
    let (mut limits, mut limits_covered) = (Vec::new(), 0);
    for (case, outcome) in cases.iter().zip(outcomes) {
        // The mean slope of an exponential depends on where it is taken to begin.
        if !case.leaks || !outcome.verdict.is_leak() || case.kind == Kind::Exponential {
            continue;
        }
        let verdict = &outcome.verdict;
        let truth = case.slope * 3_600.0;
        errors.push((verdict.slope_bytes_per_hour / truth - 1.0).abs());
        covered += usize::from((verdict.slope_low..=verdict.slope_high).contains(&truth));
        all += 1;
        // A peak ends it.
        let left = (case.limit - case.level - case.swing) / case.slope;
        if let Some(forecast) = verdict.time_to_limit {
            limits.push((forecast.seconds / left - 1.0).abs());
            limits_covered += usize::from(
                left >= 0.98 * forecast.soonest
                    && forecast.latest.is_none_or(|latest| left <= 1.02 * latest),
            );
        }
    }
    println!(
        "  slope: median error {:.1} %, 90 % interval covers {:.1} % of {all}",
        100.0 * quantile(&mut errors, 0.5),
        100.0 * ratio(covered, all)
    );
    println!(
        "  time to limit: median error {:.1} %, its interval (2 % of slack) covers {:.1} %",
        100.0 * quantile(&mut limits, 0.5),
        100.0 * ratio(limits_covered, limits.len())
    );
}

fn alarms(cases: &[Case], outcomes: &[Outcome]) {
    let (mut days, mut alarms, mut quiet, mut healthy) = (0.0, 0, 0, 0);
    let mut delays: BTreeMap<usize, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let end = case.series.last().map_or(0.0, |last| last.0);
        days += if case.leaks { case.onset } else { end } / 86_400.0;
        alarms += outcome.false_alarms;
        if !case.leaks {
            healthy += 1;
            quiet += usize::from(outcome.false_alarms == 0);
        } else if let (Some(delay), Some(place)) = (
            outcome.delay,
            SLOPES.iter().position(|slope| *slope == case.asked),
        ) {
            let (hours, ratios) = delays.entry(place).or_default();
            hours.push(delay / 3_600.0);
            ratios.push(delay / least_delay(case));
        }
    }
    println!(
        "  replay: {alarms} false alarms in {days:.0} process-days, {:.3} a day; none at all in {:.0} % of {healthy} healthy series",
        alarms as f64 / days,
        100.0 * ratio(quiet, healthy)
    );
    print!("  delay, median hours (times the least that noise allows):");
    for (place, (mut hours, mut ratios)) in delays {
        print!(
            "  {} %/h {:.1} ({:.1})",
            100.0 * SLOPES[place],
            quantile(&mut hours, 0.5),
            quantile(&mut ratios, 0.5)
        );
    }
    println!();
}

/// The least time in which a slope stands out of its noise by four standard errors: the variance of a
/// least squares slope under first order autocorrelation, solved for time.
fn least_delay(case: &Case) -> f64 {
    let memory = (1.0 + case.rho) / (1.0 - case.rho);
    let noise = 12.0 * 16.0 * case.sigma * case.sigma * case.interval * memory;
    (noise / (case.slope * case.slope)).cbrt()
}

fn patterns(cases: &[Case], outcomes: &[Outcome]) {
    let mut table: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    let (mut right, mut all) = (0, 0);
    for (case, outcome) in cases.iter().zip(outcomes) {
        if case.leaks && outcome.verdict.is_leak() {
            right += usize::from(fits(case, outcome));
            all += 1;
        }
        *table
            .entry((case.kind, outcome.verdict.pattern.as_str()))
            .or_default() += 1;
    }
    println!(
        "  pattern right for {:.1} % of the {all} leaks found; all of them:",
        100.0 * ratio(right, all)
    );
    let mut last = None;
    for ((kind, pattern), count) in table {
        if last != Some(kind) {
            print!("{}    {kind:?}:", if last.is_some() { "\n" } else { "" });
            last = Some(kind);
        }
        print!(" {pattern} {count}");
    }
    println!();
}

fn calibration(cases: &[Case], outcomes: &[Outcome]) {
    let mut bins = [(0.0, 0, 0); 10];
    let mut brier = 0.0;
    for (case, outcome) in cases.iter().zip(outcomes) {
        let confidence = outcome.verdict.confidence;
        if confidence == 0.0 {
            continue;
        }
        let right = outcome.verdict.is_leak() == case.leaks;
        let bin = &mut bins[((confidence * 10.0) as usize).min(9)];
        bin.0 += confidence;
        bin.1 += usize::from(right);
        bin.2 += 1;
        brier += (confidence - f64::from(u8::from(right))).powi(2);
    }
    let all: usize = bins.iter().map(|bin| bin.2).sum();
    let error: f64 = bins
        .iter()
        .map(|bin| (bin.0 - bin.1 as f64).abs())
        .sum::<f64>()
        / all.max(1) as f64;
    print!(
        "  confidence: expected calibration error {error:.3}, Brier {:.3}; said and right:",
        brier / all.max(1) as f64
    );
    for (said, right, count) in bins.into_iter().filter(|bin| bin.2 > 0) {
        print!(
            "  {:.2} {:.2} ({count})",
            said / count as f64,
            ratio(right, count)
        );
    }
    println!();
}

pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values[((share * values.len() as f64) as usize).min(values.len() - 1)]
}
