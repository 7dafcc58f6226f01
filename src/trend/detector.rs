//! Follows a series, sample by sample, and says what it makes of it.
//!
//! What every look believes is carried on: a growth has to be believed for a tenth of its own length
//! before it is called a leak, and a leak has to stop for two fifths of it, or give back two thirds,
//! before it is called over. That is what keeps a verdict from flickering, and costs a tenth of the
//! time to detection.

use super::advice::{Advice, Recommendation, Subject};
use super::evidence::Evidence;
use super::fit::{NINETY, student};
use super::history::{History, RINGS, Sample};
use super::pattern::{self, Pattern};
use super::points::Channel;
use super::verdict::{Forecast, Judgement, Severity, Verdict};
use super::window::{Finding, Window};
use std::fmt;

/// The time constants of belief, as shares of the growth's length: towards a leak, away from one
/// that has paused, and away from one that has given back two thirds of its growth.
const RISE: f64 = 0.10;
const PAUSE: f64 = 0.40;
const FALL: f64 = 0.03;

/// A leak is one from this belief on, and until this one.
const ON: f64 = 0.5;
const OFF: f64 = 0.4;

/// A look counts for so many intervals at the most, however long the last one is ago: of the usual ones,
/// or of those that the samples come at by now.
const LONGEST_STEP: f64 = 8.0;

/// Fewer samples than this are too few for any verdict.
const SAMPLES: u64 = 60;

/// And for less time than this, for a verdict on what does not show its course.
const SECONDS: f64 = 2_000.0;

/// Intervals of slopes are widened by this: the noise's memory is estimated, and a little too
/// short. More where the growth began in the middle, as its beginning is estimated too.
const WIDER: f64 = 1.2;
const WIDER_INSIDE: f64 = 1.4;

/// Verdicts are never surer than this: of a hundred of the surest, one or two are wrong.
const SUREST: f64 = 0.985;

/// What the finest windows found last, ring by ring.
#[derive(Clone, Copy, Default)]
struct Look {
    /// The likeliest leak of all beginnings.
    best: Option<Finding>,
    /// From the window's own beginning.
    wide: Option<(Finding, Pattern)>,
    /// A cycle, and how far it swings.
    swing: Option<(f64, f64)>,
    /// It rises by stairs to the end.
    is_stairs: bool,
}

/// A growth that was taken for a leak.
#[derive(Clone, Copy)]
struct Suspect {
    length: f64,
    start: f64,
    growth: f64,
}

/// Follows one series.
///
/// ```
/// use plimsoll::trend::{Detector, Sample, Subject};
///
/// // A gibibyte that grows by 5 % of its limit of two an hour, looked at every half minute.
/// let limit = 2.0 * 1024.0 * 1024.0 * 1024.0;
/// let mut detector = Detector::new(30.0, Subject::Recorded);
/// for step in 0..100 {
///     let seconds = f64::from(step) * 30.0;
///     let noise = f64::from(step * 7919 % 100) / 100.0 * 0.002 * limit;
///     let bytes = 0.5 * limit + 0.05 * limit * seconds / 3600.0 + noise;
///     detector.push(Sample { seconds, bytes, blocks: None }, Some(limit));
/// }
/// let verdict = detector.verdict();
/// assert!(verdict.is_leak());
/// let hours = verdict.seconds_to_limit().unwrap() / 3600.0;
/// assert!((8.0..10.5).contains(&hours), "{hours}");
/// ```
#[derive(Clone)]
pub struct Detector {
    history: History,
    subject: Subject,
    looks: [Look; RINGS],
    belief: f64,
    is_leak: bool,
    /// It has not been too early before: it is not again.
    has_judged: bool,
    suspect: Option<Suspect>,
    /// The last samples, a little smoothed.
    recent: f64,
    /// The last two distances of samples.
    steps: [f64; 2],
    /// What else takes of the limit, in the samples' unit.
    beside: f64,
    verdict: Verdict,
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("subject", &self.subject)
            .field("history", &self.history)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

impl Detector {
    /// For samples that come about this many seconds apart: at least 0.001; what is not finite counts
    /// as 1. Reserves all memory that it will ever need, some 70 KiB.
    #[must_use]
    pub fn new(interval: f64, subject: Subject) -> Detector {
        Detector {
            history: History::new(interval),
            subject,
            looks: [Look::default(); RINGS],
            belief: 0.0,
            is_leak: false,
            has_judged: false,
            suspect: None,
            recent: 0.0,
            steps: [0.0; 2],
            beside: 0.0,
            verdict: Verdict::default(),
        }
    }

    /// Takes a sample in, under a limit if there is one, in the samples' unit. A limit that is not
    /// finite or not above 0 is none; samples that [`History::push`] leaves out are left out.
    ///
    /// # Cost
    ///
    /// Allocates nothing. Looks anew at the windows that the sample completes a bin of: some 0.4 ms on average,
    /// 1.3 at the most while fewer than 4,000 samples have been seen.
    pub fn push(&mut self, sample: Sample, limit: Option<f64>) {
        let before = self.history.last();
        let closed = self.history.push(sample);
        let Some(last) = self.history.last().filter(|last| Some(*last) != before) else {
            return;
        };
        let limit = limit.filter(|limit| limit.is_finite() && *limit > 0.0);
        let whole = self.history.whole();
        // From the coarsest: what swings there explains what rises in a finer one.
        let is_new = self.looks[whole].wide.is_none();
        let closed = if is_new { whole + 1 } else { closed };
        for ring in (0..closed.clamp(1, whole + 1)).rev() {
            let swing = self.looks.get(ring + 1).and_then(|look| look.swing);
            self.looks[ring] = look(&self.history, ring, swing, limit);
        }
        let best = self.best(whole, limit);
        // One look after a gap says no more than any other.
        let [step, before_it] = self.steps;
        let most = LONGEST_STEP * self.history.interval().max(step.min(before_it));
        let passed = before.map_or(0.0, |before| last.seconds - before.seconds);
        self.steps = [passed, step];
        let passed = passed.min(most);
        self.recent = match before {
            Some(_) => self.recent + 0.4 * (last.bytes - self.recent),
            None => last.bytes,
        };
        self.believe(best, last.seconds, passed);
        self.verdict = self.judge(best, whole, limit);
        self.has_judged |= self.verdict.judgement != Judgement::Insufficient;
    }

    /// So much of the limit is taken by what is not in the series: it has that much less of a way to go.
    pub(crate) fn set_beside(&mut self, beside: f64) {
        self.beside = beside;
    }

    /// What is to be said about the series so far. Costs nothing: it was made with the last sample.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What has been seen.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    fn best(&self, whole: usize, limit: Option<f64>) -> Option<(Finding, Evidence)> {
        // The limit may be another by now, and the samples more.
        let samples = self.history.samples();
        let found = self.looks[..=whole].iter().filter_map(|look| look.best);
        likeliest(found, limit, samples)
    }

    fn believe(&mut self, best: Option<(Finding, Evidence)>, now: f64, passed: f64) {
        let Some((finding, evidence)) = best else {
            return;
        };
        let believed = evidence.belief();
        if !believed.is_finite() {
            return;
        }
        if believed >= ON {
            self.suspect = Some(Suspect {
                length: now - finding.from,
                start: finding.now - finding.growth,
                growth: finding.growth,
            });
        }
        let Some(suspect) = self.suspect else {
            return;
        };
        let levels_off = finding.shape.slows > 0.9 && finding.shape.held < 0.5;
        let share = if believed > self.belief || levels_off {
            RISE
        } else if self.recent < suspect.start + suspect.growth / 3.0 {
            FALL
        } else {
            PAUSE
        };
        let constant = (share * suspect.length).max(f64::MIN_POSITIVE);
        self.belief += (believed - self.belief) * (1.0 - (-passed / constant).exp());
        self.is_leak = self.belief >= if self.is_leak { OFF } else { ON };
    }

    fn judge(
        &self,
        best: Option<(Finding, Evidence)>,
        whole: usize,
        limit: Option<f64>,
    ) -> Verdict {
        let wide = self.looks[whole].wide;
        let mut verdict = Verdict {
            subject: self.subject,
            ..Verdict::default()
        };
        let Some(((finding, evidence), (wide, rest))) = best.zip(wide) else {
            if self.has_judged {
                return self.verdict;
            }
            self.too_early(&mut verdict);
            return verdict;
        };
        if self.is_leak {
            verdict.judgement = Judgement::Leak;
            let growth = pattern::of_growth(&finding);
            // Fine stairs are only seen in a fine window.
            let is_stairs = self.looks[..=whole].iter().any(|look| look.is_stairs);
            verdict.pattern = if is_stairs { Pattern::Step } else { growth };
            verdict.confidence = self.belief.clamp(ON, SUREST);
            if finding.line.slope <= 0.0 && self.verdict.is_leak() {
                // It pauses: what was measured while it grew still stands.
                let confidence = verdict.confidence;
                return Verdict {
                    confidence,
                    ..self.verdict
                };
            }
            self.measure(&mut verdict, &finding, growth == Pattern::Exponential);
            verdict.since = Some(finding.from);
            verdict.time_to_limit =
                limit.and_then(|limit| self.forecast(&verdict, &finding, limit));
            verdict.severity = Severity::of_leak(verdict.seconds_to_limit());
            self.advise(&mut verdict, &finding);
            return verdict;
        }
        verdict.pattern = rest;
        verdict.doubt = Some(evidence.weakest());
        self.measure(&mut verdict, &wide, false);
        let shows = matches!(
            rest,
            Pattern::Periodic | Pattern::Sawtooth | Pattern::WarmUp | Pattern::Step
        );
        let early = self.history.samples() < SAMPLES
            || (self.history.span() < SECONDS && !shows && !self.has_judged);
        if early {
            self.too_early(&mut verdict);
            return verdict;
        }
        verdict.judgement = Judgement::NoLeak;
        verdict.confidence = (1.0 - self.belief.max(0.5 * evidence.belief())).clamp(ON, SUREST);
        verdict.advice.push(match rest {
            Pattern::WarmUp => Recommendation::LeaveRoom,
            _ => Recommendation::Nothing,
        });
        verdict
    }

    fn too_early(&self, verdict: &mut Verdict) {
        verdict.judgement = Judgement::Insufficient;
        verdict.confidence = 0.0;
        let span = self.history.span();
        let samples = self.history.samples().max(2) as f64;
        let wanting = (SAMPLES as f64 - samples).max(0.0) * span / (samples - 1.0);
        verdict.advice = Advice::default();
        verdict.advice.push(Recommendation::Wait {
            seconds: wanting.max(SECONDS - span).max(0.0),
        });
    }

    /// The slope and its interval.
    fn measure(&self, verdict: &mut Verdict, finding: &Finding, is_curved: bool) {
        let line = &finding.line;
        let (slope, error, freedom) = if is_curved {
            (
                finding.shape.mean_slope,
                finding.shape.mean_error,
                finding.shape.freedom,
            )
        } else {
            (line.slope, line.error, line.freedom)
        };
        let first = self.history.first().unwrap_or(0.0);
        let is_inside = finding.from > first + 0.02 * self.history.span();
        let wider = if is_inside { WIDER_INSIDE } else { WIDER };
        let half = wider * error * student(NINETY, freedom);
        verdict.slope_bytes_per_hour = 3_600.0 * slope;
        let faster = if is_curved {
            finding.shape.end_slope
        } else {
            1.0
        };
        verdict.current_bytes_per_hour = 3_600.0 * slope * faster;
        verdict.slope_low = 3_600.0 * (slope - half);
        verdict.slope_high = 3_600.0 * (slope + half);
    }

    /// When the limit is reached: at a slope that stays, or at one that grows as it has.
    fn forecast(&self, verdict: &Verdict, finding: &Finding, limit: f64) -> Option<Forecast> {
        // A finding is as old as its ring's last bin.
        let last = self.history.last().map_or(finding.to, |last| last.seconds);
        let since = last - finding.to;
        let line = finding.now + finding.line.slope * since;
        let has_fallen = self.recent < line - 3.0 * finding.line.sigma;
        // What ends a program is a peak, and not the middle of what swings, nor its floor. And what
        // curves up, or has just jumped, stands above the line.
        let peak = finding.above + if has_fallen { self.recent } else { line };
        let room = (limit - self.beside - peak.max(self.recent)).max(0.0);
        let after = |slope_per_hour: f64| -> Option<f64> {
            let slope = slope_per_hour / 3_600.0;
            if slope <= 0.0 {
                return None;
            }
            let seconds = if verdict.pattern == Pattern::Exponential {
                let fold = finding.shape.e_fold;
                fold * (1.0 + room / (slope * finding.shape.end_slope * fold)).ln()
            } else {
                room / slope
            };
            seconds.is_finite().then_some(seconds)
        };
        Some(Forecast {
            seconds: after(verdict.slope_bytes_per_hour)?,
            soonest: after(verdict.slope_high)?,
            latest: after(verdict.slope_low),
        })
    }

    fn advise(&self, verdict: &mut Verdict, finding: &Finding) {
        let slope = verdict.slope_bytes_per_hour;
        verdict.advice.push(Recommendation::Grows {
            subject: self.subject,
            bytes_per_hour: slope,
            seconds: finding.to - finding.from,
        });
        if let Some(forecast) = verdict.time_to_limit {
            verdict.advice.push(Recommendation::ReachesLimit(forecast));
        }
        verdict.advice.push(match verdict.severity {
            Severity::High | Severity::Critical => Recommendation::Act(verdict.severity),
            _ if finding.blocks.is_some_and(|share| share < 0.1) => {
                Recommendation::LookForOneBuffer
            }
            _ => Recommendation::Compare {
                bytes: slope,
                seconds: 3_600.0,
            },
        });
    }
}

/// Looks at one ring's window.
fn look(history: &History, ring: usize, swing: Option<(f64, f64)>, limit: Option<f64>) -> Look {
    let window = Window::new(history, ring, swing);
    let samples = history.samples();
    let mut best: Option<(Finding, Evidence)> = None;
    let mut wide = None;
    window.findings(history, |finding| {
        let both = best.map(|(best, _)| best).into_iter().chain([finding]);
        best = likeliest(both, limit, samples);
        wide = wide.or(Some(finding));
    });
    Look {
        best: best.map(|(finding, _)| finding),
        wide: wide.map(|finding| (finding, pattern::of_rest(&finding, &window.mean))),
        swing: window.swing,
        is_stairs: best.is_some_and(|(finding, evidence)| {
            evidence.belief() > 0.1
                && finding.channel == Channel::Mean
                && pattern::is_stairs(&window.since(finding.from), finding.line.slope)
        }),
    }
}

/// The finding that is likeliest a leak; of nearly equal ones, the first. What begins later than a
/// finding is told better by one that begins there.
fn likeliest(
    findings: impl Iterator<Item = Finding>,
    limit: Option<f64>,
    samples: u64,
) -> Option<(Finding, Evidence)> {
    let mut best: Option<(f64, Finding, Evidence)> = None;
    for finding in findings {
        let evidence = Evidence::of(&finding, limit, samples);
        let apt = evidence.belief() * (1.0 - 0.6 * finding.shape.later);
        if best.as_ref().is_none_or(|(most, ..)| apt > 1.02 * most) {
            best = Some((apt, finding, evidence));
        }
    }
    best.map(|(_, finding, evidence)| (finding, evidence))
}
