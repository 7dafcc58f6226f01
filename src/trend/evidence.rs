//! What speaks for a growth being a leak, weighed.
//!
//! A test of significance alone cries leak at most healthy machines, because healthy processes grow
//! too: they warm up, fill caches, follow the day, refill after a restart. So a growth has to pass
//! nine questions, and the belief in a leak is the product of the answers, each between 0 and 1:
//! one firm no is enough. The answers are logistic curves around a threshold, so that nothing tips at
//! a hair, and the weakest of them names the reason when the verdict is no.
//!
//! The thresholds were chosen on generated series (`benches/leak_corpus`) and on half of the labelled
//! machines of a public data set (Huawei's, of ansjin/memory_leak_detection); the benchmark reports on
//! a seed that they were not chosen on.

use super::points::Channel;
use super::shape::Course;
use super::window::Finding;

/// Standard errors that the slope has to be above nothing. Far more than a test at 95 % asks for,
/// because several windows and beginnings are tried at every sample.
const SIGNIFICANT: Answer = Answer::from(4.2, 0.6);

/// The slope at the end over the mean slope: what levels off falls below. An exponential approach
/// that is one time constant old is at 0.58, a square root at 0.5.
const HELD: Answer = Answer::from(0.62, 0.07);

/// The share of earlier time in which as much was held. A twentieth is what a peak may take.
const SEEN: Answer = Answer::until(0.06, 0.015);

/// The largest earlier rise over this one, unless this one goes well beyond all that was held.
const RISEN: Answer = Answer::until(0.75, 0.06);
const BEYOND: Answer = Answer::from(0.25, 0.05);

/// The share of the growth that came at one stroke, or at two: a deployment, a table that was
/// loaded.
const ONE_JUMP: Answer = Answer::until(0.55, 0.05);
const TWO_JUMPS: Answer = Answer::until(0.85, 0.04);

/// Half an hour and a little of growth, in logarithms: TotHub's window is 50 minutes, and the
/// healthy services of the DeathStarBench testbed that grow do so for 28.
const LONG: Answer = Answer::from(0.0, 0.1);
const LONG_SECONDS: f64 = 2280.0;

/// Or a tenth of the time that is left to the limit, in logarithms.
const SOON: Answer = Answer::from(0.0, 0.15);
const SOON_SHARE: f64 = 0.10;

/// Points of the growth, and samples of all history.
const POINTS: Answer = Answer::from(22.0, 3.0);
const SAMPLES: Answer = Answer::from(60.0, 4.0);

/// Cycles seen, where there is a cycle; or how far it went beyond one swing of it.
const CYCLES: Answer = Answer::from(2.3, 0.12);
const SWINGS: Answer = Answer::from(1.5, 0.1);

/// The growth over the level (or the limit, if that is nearer), in logarithms: below some
/// thousandths nobody minds.
const LARGE: Answer = Answer::from(0.0, 0.2);
const LARGE_SHARE: f64 = 0.006;

/// The slope of the piece before over this one's: what slows down was faster before.
const SLOWER: Answer = Answer::until(1.5, 0.12);

/// The share of this slope that a curve of the whole window that levels off leads one to expect.
const EXPLAINED: Answer = Answer::until(0.65, 0.06);

/// The highest that the slope of the last two fifths, and that of the low watermarks, can be, over the
/// slope.
const LATE: Answer = Answer::from(0.4, 0.08);

/// The blocks' growth over the bytes': what is forgotten is forgotten block by block. One buffer that
/// grows leaves some doubt, but can be a leak too.
const BLOCKS: Answer = Answer::from(0.1, 0.03);
const ONE_BUFFER: f64 = 0.7;

/// A threshold, and how fast belief changes around it.
struct Answer {
    at: f64,
    width: f64,
}

impl Answer {
    /// Yes from there on up.
    const fn from(at: f64, width: f64) -> Answer {
        Answer { at, width }
    }

    /// Yes up to there.
    const fn until(at: f64, width: f64) -> Answer {
        Answer { at, width: -width }
    }

    fn to(&self, value: f64) -> f64 {
        1.0 / (1.0 + (-(value - self.at) / self.width).exp())
    }
}

/// A question that growth has to pass before it is called a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Question {
    /// Is there a slope, beyond what noise makes?
    IsSignificant,
    /// Does it hold, to the end, or does it level off?
    Holds,
    /// Is what is held now new to this program?
    IsNew,
    /// Does it grow bit by bit, or did it jump?
    IsGradual,
    /// Has it been seen for long enough?
    IsLongEnough,
    /// Are there enough samples?
    HasSamples,
    /// Is it more than a part of a cycle?
    IsBeyondCycle,
    /// Is it large enough to matter?
    IsLarge,
    /// Do the live blocks grow with the bytes?
    GrowsInBlocks,
}

/// The answers, in the order of [`Question`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence([f64; 9]);

const QUESTIONS: [Question; 9] = [
    Question::IsSignificant,
    Question::Holds,
    Question::IsNew,
    Question::IsGradual,
    Question::IsLongEnough,
    Question::HasSamples,
    Question::IsBeyondCycle,
    Question::IsLarge,
    Question::GrowsInBlocks,
];

impl Evidence {
    /// Weighs a finding, after so many samples in all.
    pub(super) fn of(finding: &Finding, limit: Option<f64>, samples: u64) -> Evidence {
        let slope = finding.line.slope;
        if slope <= 0.0 {
            return Evidence([
                0.0,
                1.0,
                1.0,
                1.0,
                1.0,
                SAMPLES.to(samples as f64),
                1.0,
                1.0,
                1.0,
            ]);
        }
        let span = finding.to - finding.from;
        Evidence([
            significant(finding),
            holds(finding, slope, span),
            is_new(finding),
            ONE_JUMP.to(finding.jump) * TWO_JUMPS.to(finding.jumps),
            long_enough(slope, span, room(finding.now, limit)),
            POINTS.to(finding.points as f64) * SAMPLES.to(samples as f64),
            beyond_cycle(finding, span),
            large(finding, limit),
            finding.blocks.map_or(1.0, |share| {
                ONE_BUFFER + (1.0 - ONE_BUFFER) * BLOCKS.to(share)
            }),
        ])
    }

    /// The belief that it is a leak.
    pub(super) fn belief(&self) -> f64 {
        self.0.iter().product()
    }

    /// What speaks against it most.
    pub(super) fn weakest(&self) -> Question {
        let mut weakest = 0;
        for (place, answer) in self.0.iter().enumerate() {
            if *answer < self.0[weakest] {
                weakest = place;
            }
        }
        QUESTIONS[weakest]
    }
}

/// What is left to the limit; without one, as much again as is held. Never nothing, so that what has
/// reached the limit has some time left in the figures.
fn room(now: f64, limit: Option<f64>) -> f64 {
    limit.map_or(now.abs(), |limit| (limit - now).max(0.02 * limit))
}

fn significant(finding: &Finding) -> f64 {
    // With few degrees of freedom large ratios are common: shrunk about as Student's quantiles grow.
    let shrunk = |z: f64, freedom: f64| z / (1.0 + 4.0 / freedom);
    let straight = shrunk(finding.line.z(), finding.line.freedom);
    let curves = finding.channel == Channel::Mean
        && finding.jump < 0.35
        && finding.shape.course() == Course::Accelerates;
    let curved = if curves {
        shrunk(finding.shape.z, finding.shape.freedom)
    } else {
        0.0
    };
    SIGNIFICANT.to(straight.max(curved))
}

fn holds(finding: &Finding, slope: f64, span: f64) -> f64 {
    let mut answer = HELD.to(finding.shape.held) * EXPLAINED.to(finding.explained);
    if let Some((before, length)) = finding.before
        && length > 0.25 * span
    {
        answer *= SLOWER.to(before / slope);
    }
    if let Some(late) = finding.late {
        answer *= LATE.to((late.slope + 1.5 * late.error) / slope);
    }
    if let Some(floor) = finding.floor {
        answer *= LATE.to((floor.slope + 1.645 * floor.error) / slope);
    }
    answer
}

fn is_new(finding: &Finding) -> f64 {
    let past = &finding.past;
    let mut answer = SEEN.to(past.seen);
    // A rise like many before it is none, unless it goes well beyond them.
    if past.bins >= 8 {
        let risen = RISEN.to(past.rise / finding.growth);
        let beyond = BEYOND.to((finding.now - past.high) / finding.growth);
        answer *= risen.max(beyond);
    }
    answer
}

fn long_enough(slope: f64, span: f64, room: f64) -> f64 {
    let left = room / slope;
    let long = LONG.to((span / LONG_SECONDS).ln());
    let soon = SOON.to((span / left / SOON_SHARE).ln());
    long.max(soon)
}

fn beyond_cycle(finding: &Finding, span: f64) -> f64 {
    match (finding.swing, finding.cycle) {
        (Some(swing), _) if swing > 0.0 => SWINGS.to(finding.growth / swing),
        (_, Some(cycle)) => CYCLES.to(span / cycle),
        _ => 1.0,
    }
}

fn large(finding: &Finding, limit: Option<f64>) -> f64 {
    let level = finding.now.abs();
    let whole = limit.map_or(level, |limit| limit.min(4.0 * level));
    LARGE.to((finding.growth / whole.max(f64::MIN_POSITIVE) / LARGE_SHARE).ln())
}
