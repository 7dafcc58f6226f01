//! Series of memory whose truth is known: every shape that a healthy or a leaking process is known
//! to draw, at random sizes, from a seed.

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

/// What a process really does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    // Leaks.
    Linear,
    Exponential,
    Steps,
    LoadProportional,
    Intermittent,
    // Healthy.
    Flat,
    Cycle,
    Sawtooth,
    WarmUp,
    CacheFill,
    Batch,
    Deployment,
    Refill,
    LoadRamp,
    Fragmentation,
    OneTimeGrowth,
}

pub const LEAKS: [Kind; 5] = [
    Kind::Linear,
    Kind::Exponential,
    Kind::Steps,
    Kind::LoadProportional,
    Kind::Intermittent,
];

pub const HEALTHY: [Kind; 11] = [
    Kind::Flat,
    Kind::Cycle,
    Kind::Sawtooth,
    Kind::WarmUp,
    Kind::CacheFill,
    Kind::Batch,
    Kind::Deployment,
    Kind::Refill,
    Kind::LoadRamp,
    Kind::Fragmentation,
    Kind::OneTimeGrowth,
];

/// Slopes of injected leaks, in shares of the limit an hour.
pub const SLOPES: [f64; 6] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2];

/// A series and its truth.
pub struct Case {
    pub kind: Kind,
    pub leaks: bool,
    /// Patterns that describe it rightly.
    pub patterns: &'static [&'static str],
    pub limit: f64,
    pub interval: f64,
    /// Seconds and bytes.
    pub series: Vec<(f64, f64)>,
    /// When the leak begins, in seconds.
    pub onset: f64,
    /// Bytes a second, on average from the onset on.
    pub slope: f64,
    /// The level at the end, without what is beside it.
    pub level: f64,
    /// How far what is beside it swings up.
    pub swing: f64,
    /// The slope that was asked for, in shares of the limit an hour.
    pub asked: f64,
    /// The noise's standard deviation and its memory from a sample to the next.
    pub sigma: f64,
    pub rho: f64,
}

/// What lies under a leak.
#[derive(Clone, Copy)]
enum Under {
    Nothing,
    Cycle {
        period: f64,
        height: f64,
        phase: f64,
    },
    Sawtooth {
        period: f64,
        height: f64,
        regular: bool,
    },
}

impl Under {
    fn height(self) -> f64 {
        match self {
            Under::Nothing => 0.0,
            Under::Cycle { height, .. } | Under::Sawtooth { height, .. } => height,
        }
    }
}

pub struct Generator {
    random: Pcg64Mcg,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            random: Pcg64Mcg::seed_from_u64(seed),
        }
    }

    fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random.random::<f64>()
    }

    /// Even over orders of magnitude.
    fn scale(&mut self, low: f64, high: f64) -> f64 {
        self.within(low.ln(), high.ln()).exp()
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.random::<f64>() < share
    }

    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.random)
    }

    fn samples(&mut self) -> usize {
        match self.random.random_range(0..4) {
            0 => 100,
            1 => 2016,
            _ => self.scale(150.0, 2000.0) as usize,
        }
    }

    fn interval(&mut self) -> f64 {
        [5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0][self.random.random_range(0..7)]
    }

    fn limit(&mut self) -> f64 {
        self.scale(128.0, 65_536.0) * 1_048_576.0
    }

    /// A leak of a kind at a slope, over whatever a process does beside it.
    pub fn leak(&mut self, kind: Kind, asked: f64) -> Case {
        let limit = self.limit();
        let asked_now = asked * self.scale(0.8, 1.25);
        let n = self.samples();
        let begins = if self.chance(0.5) {
            0.0
        } else {
            self.within(0.25, 0.6)
        };
        // As long as it takes to grow by so much, within what people record.
        let growth = self.scale(0.02, 0.45);
        let wanted = growth / asked_now * 3600.0 / (1.0 - begins);
        let wanted = wanted.max(3000.0);
        let interval = (wanted / n as f64).clamp(1.0, 900.0);
        let span = interval * n as f64;
        let growth = asked_now * span * (1.0 - begins) / 3600.0;
        let onset = begins * span;
        let base = self.within(0.1, (0.9 - growth).clamp(0.12, 0.5));
        let times = self.within(2.5, 12.0);
        let after = (span - onset) / times;
        let height = growth * self.scale(0.1, 1.5);
        let under = match self.random.random_range(0..4) {
            0 => Under::Cycle {
                period: after,
                height: height.min(0.15),
                phase: self.within(0.0, 1.0),
            },
            1 => Under::Sawtooth {
                period: (after / 2.0).max(6.0 * interval),
                height: height.min(0.15),
                regular: self.chance(0.5),
            },
            _ => Under::Nothing,
        };
        let (sigma, rho) = self.noise(growth * 0.25);
        let each = self.scale(5.0, 120.0) * 60.0;
        let each = each.clamp((span - onset) / 60.0, (span - onset) / 4.0);
        let double = (span - onset) / self.within(1.3, 4.0);
        let at = |t: f64| -> f64 {
            let since = t - onset;
            if since <= 0.0 {
                return 0.0;
            }
            let share = since / (span - onset);
            growth
                * match kind {
                    Kind::Exponential => {
                        let grown = |x: f64| (x * std::f64::consts::LN_2 / double).exp() - 1.0;
                        grown(since) / grown(span - onset)
                    }
                    Kind::Steps => ((since / each).floor() * each / (span - onset)).min(1.0),
                    Kind::Intermittent => {
                        // On for half of each stretch, at twice the rate.
                        let stretch = (span - onset) / 8.0;
                        let (whole, part) = ((since / stretch).floor(), (since / stretch).fract());
                        (whole + (part * 2.0).min(1.0)) / 8.0
                    }
                    Kind::LoadProportional => {
                        // The load goes up and down by seven tenths, and the leak with it.
                        let turn = std::f64::consts::TAU * since / ((span - onset) / 6.0);
                        share + 0.7 * (1.0 - turn.cos()) / (std::f64::consts::TAU * 6.0)
                    }
                    _ => share,
                }
        };
        let curve: Vec<f64> = (0..n).map(|i| base + at(i as f64 * interval)).collect();
        let series = self.series(&curve, interval, limit, under, sigma, rho);
        let steps = (span - onset) / each;
        let stairs_show = growth / steps > 3.0 * sigma && each >= 5.0 * interval;
        let patterns: &[&str] = match kind {
            Kind::Exponential => &["exponential"],
            // Stairs that are finer than the noise, or than the samples, are a ramp to everybody.
            Kind::Steps if stairs_show && matches!(under, Under::Nothing) => &["step"],
            Kind::Steps => &["step", "linear"],
            Kind::Intermittent => &["linear", "step"],
            _ => &["linear"],
        };
        Case {
            kind,
            leaks: true,
            patterns,
            limit,
            interval,
            series,
            onset,
            slope: at(span) * limit / (span - onset),
            level: curve.last().copied().unwrap_or(base) * limit,
            swing: under.height() * limit,
            asked,
            sigma: sigma * limit,
            rho,
        }
    }

    /// A healthy process of a kind.
    pub fn healthy(&mut self, kind: Kind) -> Case {
        let limit = self.limit();
        let n = self.samples();
        let interval = self.interval();
        let span = n as f64 * interval;
        let base = self.within(0.1, 0.45);
        let height = self.scale(0.02, 0.4);
        let (sigma, rho) = self.noise(height * 0.2);
        let mut under = Under::Nothing;
        let times = self.within(2.2, 14.0);
        match kind {
            Kind::Cycle => {
                under = Under::Cycle {
                    period: span / times,
                    height,
                    phase: self.within(0.0, 1.0),
                }
            }
            Kind::Sawtooth => {
                let period = (span / times / self.within(1.0, 6.0)).max(5.0 * interval);
                under = Under::Sawtooth {
                    period,
                    height,
                    regular: self.chance(0.5),
                };
            }
            Kind::Flat => {}
            _ if self.chance(0.3) => {
                under = Under::Cycle {
                    period: span / times,
                    height: height * self.within(0.05, 0.3),
                    phase: self.within(0.0, 1.0),
                };
            }
            _ => {}
        }
        let tau = span / self.within(2.5, 12.0);
        let begin = span * self.within(0.1, 0.5);
        let length = span * self.within(0.05, 0.2);
        let slow = span * self.within(0.05, 0.3);
        let down = self.chance(0.5);
        let kept = self.within(0.5, 1.0);
        let reached = self.within(0.3, 0.7);
        // A ramp that still rises at the end of a series is a leak to everybody.
        let ramp = (length + slow).min(0.7 * span - begin);
        let linear = self.chance(0.5);
        let curve: Vec<f64> = (0..n)
            .map(|i| {
                let t = i as f64 * interval;
                let since = t - begin;
                base + height
                    * match kind {
                        Kind::WarmUp => 1.0 - (-t / tau).exp(),
                        // Ever fewer misses, until the cap.
                        Kind::CacheFill => {
                            ((1.0 + t / (0.02 * span)).ln() / (1.0 + reached / 0.02).ln()).min(1.0)
                        }
                        Kind::Batch if since < 0.0 => 0.0,
                        Kind::Batch if since < length => since / length,
                        Kind::Batch => (-(since - length) / slow).exp(),
                        Kind::Deployment => f64::from(u8::from(since >= 0.0)),
                        // Full, emptied, and full again.
                        Kind::Refill if since < 0.0 => 1.0,
                        Kind::Refill if linear => (since / ramp).min(1.0),
                        Kind::Refill => 1.0 - (-since / (length * 0.7)).exp(),
                        Kind::LoadRamp if since < 0.0 => 0.0,
                        Kind::LoadRamp if since < ramp => since / ramp,
                        Kind::LoadRamp if down => (1.0 - (since - ramp) / ramp).max(1.0 - kept),
                        Kind::LoadRamp => 1.0,
                        Kind::Fragmentation => {
                            (1.0 - (-t / tau).exp()) * 0.85 + 0.15 * (t / span).sqrt()
                        }
                        Kind::OneTimeGrowth => (since / length).clamp(0.0, 1.0),
                        _ => 0.0,
                    }
            })
            .collect();
        let series = self.series(&curve, interval, limit, under, sigma, rho);
        let patterns: &[&str] = match kind {
            Kind::Flat => &["stable"],
            Kind::Cycle => &["periodic"],
            Kind::Sawtooth => &["sawtooth", "periodic"],
            Kind::WarmUp | Kind::CacheFill | Kind::Fragmentation => &["warm_up"],
            Kind::Deployment => &["step"],
            Kind::Batch => &["spike", "stable"],
            Kind::OneTimeGrowth => &["step", "warm_up"],
            Kind::Refill | Kind::LoadRamp => &["stable", "warm_up", "step", "spike"],
            _ => &[],
        };
        Case {
            kind,
            leaks: false,
            patterns,
            limit,
            interval,
            series,
            onset: 0.0,
            slope: 0.0,
            level: curve.last().copied().unwrap_or(base) * limit,
            swing: under.height() * limit,
            asked: 0.0,
            sigma: sigma * limit,
            rho,
        }
    }

    fn noise(&mut self, most: f64) -> (f64, f64) {
        let sigma = self.scale(0.0002, 0.01).min(most);
        let rho = [0.0, 0.0, 0.5, 0.8, 0.95][self.random.random_range(0..5)];
        (sigma, rho)
    }

    /// Adds what a process does besides, and what measuring does: noise that remembers, spikes, times
    /// that are not quite even, whole pages.
    fn series(
        &mut self,
        curve: &[f64],
        interval: f64,
        limit: f64,
        under: Under,
        sigma: f64,
        rho: f64,
    ) -> Vec<(f64, f64)> {
        let mut noise = sigma * self.normal();
        let spikes = if self.chance(0.3) {
            self.within(0.001, 0.02)
        } else {
            0.0
        };
        let jitter = if self.chance(0.5) {
            self.within(0.0, 0.2)
        } else {
            0.0
        };
        let (mut tooth, mut length) = (self.within(0.0, 1.0), 1.0);
        curve
            .iter()
            .enumerate()
            .map(|(i, level)| {
                let t = i as f64 * interval;
                noise = rho * noise + (1.0 - rho * rho).sqrt() * sigma * self.normal();
                let besides = match under {
                    Under::Nothing => 0.0,
                    Under::Cycle {
                        period,
                        height,
                        phase,
                    } => {
                        0.5 * height * (1.0 + (std::f64::consts::TAU * (t / period + phase)).sin())
                    }
                    Under::Sawtooth {
                        period,
                        height,
                        regular,
                    } => {
                        tooth += interval / period / length;
                        if tooth >= 1.0 {
                            tooth = 0.0;
                            length = if regular { 1.0 } else { self.within(0.6, 1.4) };
                        }
                        height * tooth
                    }
                };
                let spike = if self.chance(spikes) {
                    sigma * self.within(5.0, 30.0)
                } else {
                    0.0
                };
                let share = (level + besides + noise + spike).max(0.001);
                let late = if i == 0 {
                    0.0
                } else {
                    interval * self.within(0.0, jitter)
                };
                (t + late, (share * limit / 4096.0).round() * 4096.0)
            })
            .collect()
    }
}
