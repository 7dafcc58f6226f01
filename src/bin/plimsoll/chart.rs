//! A small chart for the terminal: a line of Braille dots, the limit, and labels that a person reads.
//!
//! Drawn here because the libraries at hand (`textplots`) put the labels to the right, know no round
//! ticks, and compute in single precision, which Unix times do not survive.

use crate::analysis::Analysis;
use crate::units::{self, Scale};
use plimsoll::recorded::Unit;

/// Of the plot, in characters.
const WIDTH: usize = 60;
const HEIGHT: usize = 12;

/// Of a character, in dots.
const ACROSS: usize = 2;
const DOWN: usize = 4;

/// The bits of a character's dots in Braille, row by row.
const BITS: [[u8; ACROSS]; DOWN] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// The limit is drawn if it leaves the series at least this share of the height.
const NEAR: f64 = 0.35;

/// No line is drawn over a gap of more than so many intervals.
const GAP: f64 = 8.0;

/// Lines of text.
pub fn draw(analysis: &Analysis) -> Vec<String> {
    let samples = &analysis.series.samples;
    let unit = analysis.series.unit;
    let figures = || samples.iter().map(|sample| sample.bytes);
    let (low, high) = (
        figures().fold(f64::INFINITY, f64::min),
        figures().fold(0.0, f64::max),
    );
    let limit = analysis
        .limit
        .filter(|&limit| limit <= high || (high - low) >= NEAR * (limit - low));
    let ticks = Ticks::around(
        unit,
        low.min(limit.unwrap_or(low)),
        high.max(limit.unwrap_or(high)),
    );

    let mut dots = Dots([[0; WIDTH]; HEIGHT]);
    let span = analysis.series.span();
    let place = |seconds: f64, bytes: f64| {
        (
            part((seconds - analysis.first()) / span, WIDTH * ACROSS),
            part(1.0 - ticks.share(bytes), HEIGHT * DOWN),
        )
    };
    let gap = GAP * analysis.series.interval();
    for two in samples.windows(2) {
        let from = place(two[0].seconds, two[0].bytes);
        let to = place(two[1].seconds, two[1].bytes);
        if two[1].seconds - two[0].seconds > gap {
            dots.line(from, from);
            dots.line(to, to);
        } else {
            dots.line(from, to);
        }
    }

    let limit_row = limit.map(|limit| part(1.0 - ticks.share(limit), HEIGHT * DOWN) / DOWN);
    let labels: Vec<(usize, String)> = ticks
        .labels()
        .map(|(share, label)| (part(1.0 - share, HEIGHT * DOWN) / DOWN, label))
        .collect();
    let gutter = labels
        .iter()
        .map(|(_, label)| label.len())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::with_capacity(HEIGHT + 2);
    for row in 0..HEIGHT {
        let label = labels.iter().find(|(at, _)| *at == row);
        let (text, axis) = match label {
            Some((_, text)) => (text.as_str(), '┤'),
            None => ("", '│'),
        };
        let is_limit = limit_row == Some(row);
        let blank = if is_limit { '╌' } else { ' ' };
        let plot: String = (0..WIDTH)
            .map(|column| dots.character(column, row).unwrap_or(blank))
            .collect();
        let tail = if is_limit { " limit" } else { "" };
        lines.push(
            format!("{text:>gutter$} {axis}{plot}{tail}")
                .trim_end()
                .to_owned(),
        );
    }
    let blank = " ".repeat(gutter);
    lines.push(format!("{blank} └{}", axis(analysis, span)));
    lines.push(format!("{blank}  {}", times(analysis, span)));
    lines
}

/// The axis of time, with its ticks and the beginning of a leak.
fn axis(analysis: &Analysis, span: f64) -> String {
    let mut line = ['─'; WIDTH];
    (line[WIDTH / 2], line[WIDTH - 1]) = ('┬', '┐');
    if let Some(since) = analysis.verdict().since {
        line[part(since / span, WIDTH)] = '▲';
    }
    line.iter().collect()
}

/// What stands below the axis of time: the ends, as dates where they are dates, else how long it
/// took.
fn times(analysis: &Analysis, span: f64) -> String {
    let dates = (units::date(analysis.first()), units::date(analysis.last()));
    if let (true, (Some(first), Some(last))) = (analysis.is_unix(), dates) {
        return format!("{first:<30}{last:>26} UTC");
    }
    let (middle, end) = (units::span(span / 2.0), units::span(span));
    format!("{:<25}{middle:^11}{end:>24}", "0 s")
}

/// The place among so many that a share from 0 to 1 falls on.
fn part(share: f64, places: usize) -> usize {
    let last = places - 1;
    ((share * last as f64).round().max(0.0) as usize).min(last)
}

/// Round figures up the side.
struct Ticks {
    low: f64,
    step: f64,
    steps: usize,
    scale: Scale,
}

impl Ticks {
    fn around(unit: Unit, low: f64, high: f64) -> Ticks {
        // What hardly moves shall look like it.
        let least = (0.1 * high).max(1.0);
        let room = (least - (high - low)).max(0.0) / 2.0;
        let (mut low, high) = ((low - room).max(0.0), high + room);
        // From nothing on, where that costs little.
        if low < 0.4 * high {
            low = 0.0;
        }
        let mut scale = Scale::of(unit, high);
        let mut step = round_step((high - low) / scale.size / 4.0);
        if step < 0.01 {
            scale = scale.finer();
            step = round_step((high - low) / scale.size / 4.0);
        }
        let step = step * scale.size;
        // A hair more or less than a whole step is none.
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil().max(first + 1.0);
        Ticks {
            low: first * step,
            step,
            steps: (last - first) as usize,
            scale,
        }
    }

    fn share(&self, figure: f64) -> f64 {
        (figure - self.low) / (self.steps as f64 * self.step)
    }

    fn labels(&self) -> impl Iterator<Item = (f64, String)> {
        let step = self.step / self.scale.size;
        let places = (-step.log10()).ceil().clamp(0.0, 4.0) as usize;
        (0..=self.steps).map(move |tick| {
            let figure = (self.low + tick as f64 * self.step) / self.scale.size;
            let label = format!("{figure:.places$} {}", self.scale.name);
            (tick as f64 / self.steps as f64, label)
        })
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|&round| round >= step)
        .unwrap_or(10.0 * power)
}

/// The dots that are set, character by character.
struct Dots([[u8; WIDTH]; HEIGHT]);

impl Dots {
    fn line(&mut self, from: (usize, usize), to: (usize, usize)) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |from: usize, to: usize, step: usize| {
            let share = step as f64 / steps as f64;
            (from as f64 + (to as f64 - from as f64) * share).round() as usize
        };
        for step in 0..=steps {
            self.set(between(from.0, to.0, step), between(from.1, to.1, step));
        }
    }

    fn set(&mut self, x: usize, y: usize) {
        self.0[y / DOWN][x / ACROSS] |= BITS[y % DOWN][x % ACROSS];
    }

    fn character(&self, column: usize, row: usize) -> Option<char> {
        match self.0[row][column] {
            0 => None,
            dots => char::from_u32(0x2800 + u32::from(dots)),
        }
    }
}
