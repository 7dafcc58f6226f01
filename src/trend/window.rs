//! One ring's stretch of history, looked at on its own: where growth began, and what speaks for it
//! being a leak.

use super::cycle::cycle;
use super::fit::{self, Beside, Line, line};
use super::history::History;
use super::points::{
    Channel, Points, floors, largest_jumps, least_squares, quantile, smoothed, tail, thinned,
};
use super::precedent::{Before, before};
use super::segments::{COARSE, Division, Piece, divide, noise};
use super::shape::{Shape, compare};

/// Candidates for the beginning of the growth, besides the window's own.
const BEGINNINGS: usize = 6;

/// The points of the shortest piece.
const PIECE: usize = 4;

/// A part of so many of a growth's points is left out at its beginning.
const TRIMMED: usize = 25;

/// From this share of the growth on, a jump is fitted beside the line.
const JUMPED: f64 = 0.35;

/// Fewer low watermarks make no line.
const FLOORS: usize = 4;

/// Low watermarks are few: their interval has to be narrower by this.
const CLEARLY: f64 = 0.8;

/// Fewer points than this say nothing.
const LEAST: usize = 12;

/// From this share on the blocks grow with the bytes, and nothing more need be asked.
const BLOCKS_SHOW: f64 = 0.25;

/// Blocks surely grow if they do by so many standard errors, and by so many blocks.
const SURELY: f64 = 4.0;
const SOME_BLOCKS: f64 = 30.0;

/// Blocks of so many bytes each are the largest that noise may hide. If it could hide smaller ones,
/// nothing is known: they would be few.
const LARGE_BLOCK: f64 = 65_536.0;

/// A stretch at the end of a window, and what was found about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finding {
    /// Where it begins and ends, in seconds.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) points: usize,
    pub(super) channel: Channel,
    pub(super) line: Line,
    pub(super) shape: Shape,
    pub(super) cycle: Option<f64>,
    /// The largest jump's share of all growth.
    pub(super) jump: f64,
    /// The two largest jumps'.
    pub(super) jumps: f64,
    /// Growth from begin to end, by the line.
    pub(super) growth: f64,
    /// The level at the end, by the line.
    pub(super) now: f64,
    /// How far the peaks stand above the line, without the few highest.
    pub(super) above: f64,
    /// The growth of the blocks over that of the bytes, each as a share of what there is, or 1 where they
    /// surely grow; `None` where blocks are not known, or not well enough.
    pub(super) blocks: Option<f64>,
    pub(super) past: Before,
    /// Of the last two fifths alone.
    pub(super) late: Option<Line>,
    /// Of the low watermarks.
    pub(super) floor: Option<Line>,
    /// Where it is too short for the window's cycle, how far that swings.
    pub(super) swing: Option<f64>,
    /// The share of its slope that the curve of the whole window leads one to expect, if that one
    /// levels off.
    pub(super) explained: f64,
    /// The slope of the piece before it, and how long that lasted.
    pub(super) before: Option<(f64, f64)>,
}

/// The bins of a ring as points of their means and of their low watermarks.
pub(super) struct Window {
    pub(super) mean: Points,
    low: Points,
    high: Points,
    blocks: Points,
    /// Without the cycle, and with at most [`COARSE`] points.
    clean: Points,
    ring: usize,
    cycle: Option<f64>,
    /// A cycle of this window or of a coarser one, and how far it swings.
    pub(super) swing: Option<(f64, f64)>,
}

impl Window {
    /// `swing` is what a coarser window found.
    pub(super) fn new(history: &History, ring: usize, swing: Option<(f64, f64)>) -> Window {
        let (mut mean, mut blocks) = (Points::new(), Points::new());
        let (mut low, mut high) = (Points::new(), Points::new());
        let bins = history.bins(ring);
        let count = history.bins(ring).count();
        for bin in bins.skip(count.saturating_sub(super::MOST)) {
            mean.push(bin.seconds, bin.mean);
            low.push(bin.seconds, f64::from(bin.low));
            high.push(bin.seconds, f64::from(bin.high));
            if bin.blocks >= 0.0 {
                blocks.push(bin.seconds, f64::from(bin.blocks));
            }
        }
        let step = mean.step();
        let cycle = cycle(&mean).map(|points| points * step);
        let clean = match cycle {
            Some(cycle) => coarse(&smoothed(&mean, cycle)),
            None => coarse(&mean),
        };
        let mut window = Window {
            ring,
            mean,
            low,
            high,
            blocks,
            clean,
            cycle,
            swing,
        };
        if let Some(cycle) = cycle {
            window.swing = Some((cycle, window.swing()));
        }
        window
    }

    /// The pieces of the window, the last ones if there are many.
    fn pieces(&self) -> Division {
        let clean = &self.clean;
        // A cycle that is nearly as long as the window leaves little of it.
        if clean.n < 2 * PIECE {
            return Division::whole();
        }
        let mut sorted = clean.y;
        let high = quantile(&mut sorted[..clean.n], 0.95);
        let range = high - quantile(&mut sorted[..clean.n], 0.05);
        let least = 1e-5 * clean.y().iter().fold(0.0, |most: f64, y| most.max(y.abs()));
        let sigma = noise(clean).max(0.002 * range).max(least).max(1e-9);
        let mut penalty = 12.0 * (clean.n as f64).ln() * sigma * sigma;
        loop {
            let division = divide(clean, Piece::Line, PIECE, penalty);
            if division.starts().len() <= BEGINNINGS {
                return division;
            }
            penalty *= 4.0;
        }
    }

    /// Calls back with a finding for every beginning that is worth one.
    pub(super) fn findings(&self, history: &History, mut each: impl FnMut(Finding)) {
        if self.mean.n < LEAST {
            return;
        }
        let division = self.pieces();
        let mut before = None;
        let mut whole = None;
        for (place, &start) in division.starts().iter().enumerate() {
            let from = if place == 0 {
                0
            } else {
                self.index(self.clean.t[start])
            };
            let end = division
                .starts()
                .get(place + 1)
                .copied()
                .unwrap_or(self.clean.n);
            if let Some(mut finding) = self.finding(history, from, before) {
                finding.explained = whole
                    .as_ref()
                    .map_or(0.0, |whole| explains(whole, &finding));
                each(finding);
                if place == 0 {
                    whole = Some(finding);
                }
            }
            before = Some(least_squares(&self.clean, start, end));
        }
        if let Some(at) = whole.and_then(|whole: Finding| whole.shape.begins) {
            let from = (at * self.mean.n as f64) as usize;
            let end = self.clean.n * from / self.mean.n;
            let before = (end >= 3).then(|| least_squares(&self.clean, 0, end));
            if let Some(finding) = self.finding(history, from, before) {
                each(finding);
            }
        }
    }

    /// How far the means swing around their course, without the few most and least.
    fn swing(&self) -> f64 {
        let Some(cycle) = self.cycle else { return 0.0 };
        let smooth = smoothed(&self.mean, cycle);
        let mut rest = [0.0; super::MOST];
        let mut n = 0;
        let mut at = 0;
        for (t, y) in self.mean.t().iter().zip(self.mean.y()) {
            while at + 1 < smooth.n && smooth.t[at + 1] <= *t {
                at += 1;
            }
            rest[n] = y - smooth.y[at];
            n += 1;
        }
        let high = quantile(&mut rest[..n], 0.95);
        high - quantile(&mut rest[..n], 0.05)
    }

    fn blocks_with(&self, from: usize, growth: f64, now: f64) -> Option<f64> {
        // Only where they are known for every bin.
        if self.blocks.n != self.mean.n || growth <= 0.0 {
            return None;
        }
        let (slope, length) = least_squares(&self.blocks, from, self.blocks.n);
        let last = self.blocks.y[self.blocks.n - 1].max(1.0);
        let share = (slope * length / last) / (growth / now.abs().max(f64::MIN_POSITIVE));
        if share > BLOCKS_SHOW {
            return Some(share);
        }
        // Few blocks among many, each far larger than the others, or one that grows.
        let line = line(&tail(&self.blocks, from), Beside::default())?;
        let (rise, doubt) = (line.slope * length, SURELY * line.error * length);
        if rise > doubt.max(SOME_BLOCKS) {
            return Some(1.0);
        }
        (doubt < growth / LARGE_BLOCK).then_some(share)
    }

    /// How far the peaks stand above a line, from one point on: what all but one in twenty keep below.
    fn peaks_above(&self, from: usize, line: &Line, end: f64) -> f64 {
        let high = tail(&self.high, from);
        let mut above = [0.0; super::MOST];
        for (place, (t, y)) in high.t().iter().zip(high.y()).enumerate() {
            above[place] = y - (line.end - line.slope * (end - t));
        }
        quantile(&mut above[..high.n], 0.95).max(0.0)
    }

    /// The means from a time on.
    pub(super) fn since(&self, from: f64) -> Points {
        tail(&self.mean, self.index(from))
    }

    fn index(&self, t: f64) -> usize {
        self.mean.t().partition_point(|&at| at < t)
    }

    /// What the time from one point on comes to; `piece` is the slope of the piece before it, and how
    /// long that lasted.
    fn finding(
        &self,
        history: &History,
        from: usize,
        piece: Option<(f64, f64)>,
    ) -> Option<Finding> {
        if self.mean.n - from < LEAST {
            return None;
        }
        // Where a growth begins is not known to the point; a little of the time before it would bend
        // the slope, and a little less of it does not.
        let from = match from {
            0 => 0,
            _ => from + ((self.mean.n - from) / TRIMMED).max(1),
        };
        let mean = tail(&self.mean, from);
        let span = mean.span();
        let cycle = self.cycle.filter(|cycle| cycle * 2.0 <= span);
        let smooth = cycle.map(|cycle| smoothed(&mean, cycle));
        let smooth = smooth.as_ref().unwrap_or(&mean);
        let floors = floors(&tail(&self.low, from), cycle);
        let floor = match floors.n {
            FLOORS.. => line(&floors, Beside::default()),
            _ => None,
        };
        let (channel, mut line) = surest(&mean, floor, cycle)?;

        let growth = (line.slope * span).max(f64::MIN_POSITIVE);
        let jumps = largest_jumps(smooth);
        let jump = jumps[0].1 / growth;
        let has_jumped = jump > JUMPED && cycle.is_none();
        if has_jumped {
            let beside = Beside {
                jump: Some(jumps[0].0),
                ..Beside::default()
            };
            line = fit::line(&mean, beside).unwrap_or(line);
        }
        let course = match channel {
            Channel::Floor => &floors,
            Channel::Mean => &mean,
            Channel::Seasonal => smooth,
        };
        // The last low watermark is older than the last point. A jump is fitted to the means.
        let end = match channel {
            Channel::Floor if !has_jumped => floors.t[floors.n - 1],
            _ => mean.t[mean.n - 1],
        };
        // Few low watermarks, or few cycles, show no course; what they were taken from does.
        let shape = compare(course)
            .or_else(|| compare(smooth))
            .or_else(|| compare(&mean))?;
        let swing = match self.swing {
            Some((cycle, swing)) if span < 2.0 * cycle => Some(swing),
            _ => None,
        };
        let now = line.end + line.slope * (mean.t[mean.n - 1] - end);
        Some(Finding {
            from: mean.t[0],
            to: mean.t[mean.n - 1],
            points: mean.n,
            channel,
            line,
            shape,
            cycle,
            jump,
            jumps: (jumps[0].1 + jumps[1].1) / growth,
            growth: line.slope * span,
            now,
            above: self.peaks_above(from, &line, end),
            blocks: self.blocks_with(from, line.slope * span, now),
            past: before(history, self.ring, mean.t[0], now - line.sigma),
            late: fit::line(&tail(course, course.n * 3 / 5), Beside::default()),
            floor,
            swing,
            explained: 0.0,
            before: piece,
        })
    }
}

/// At most [`COARSE`] points of them.
fn coarse(points: &Points) -> Points {
    thinned(points, points.n.div_ceil(COARSE).max(1))
}

/// The line with the narrowest interval: through the means, through the means with a cycle beside it,
/// or, if that is clearly better, through the low watermarks.
fn surest(mean: &Points, floor: Option<Line>, cycle: Option<f64>) -> Option<(Channel, Line)> {
    let width = |line: &Line| line.error * fit::student(fit::NINETY, line.freedom);
    let mut best = (Channel::Mean, line(mean, Beside::default())?);
    let beside = Beside {
        cycle,
        ..Beside::default()
    };
    if cycle.is_some()
        && let Some(seasonal) = line(mean, beside)
        && width(&seasonal) < width(&best.1)
    {
        best = (Channel::Seasonal, seasonal);
    }
    match floor {
        Some(floor) if width(&floor) < CLEARLY * width(&best.1) => Some((Channel::Floor, floor)),
        _ => Some(best),
    }
}

/// The share of a finding's slope that a longer one's curve has there, if that curve slows down.
fn explains(whole: &Finding, finding: &Finding) -> f64 {
    if whole.shape.slows < 0.9 || finding.line.slope <= 0.0 {
        return 0.0;
    }
    let u = (finding.from - whole.from) / (whole.to - whole.from);
    whole.shape.mean_slope * whole.shape.share_from(u.clamp(0.0, 0.95)) / finding.line.slope
}
