//! What a detector promises about any series: figures that are figures, judgements that do not
//! depend on units, and no allocation.

use plimsoll::Plimsoll;
use plimsoll::trend::{
    Detector, History, Judgement, Pattern, Recommendation, Sample, Subject, Verdict,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

/// What is held, by the time or by the sample.
type Course = fn(f64) -> f64;

const LIMIT: f64 = 4.0 * 1024.0 * 1024.0 * 1024.0;

fn sample(seconds: f64, bytes: f64) -> Sample {
    Sample {
        seconds,
        bytes,
        blocks: None,
    }
}

/// Every figure is a finite number in its range, and so is every number that is put into words.
fn assert_sound(verdict: &Verdict) {
    let Verdict {
        slope_low,
        slope_high,
        slope_bytes_per_hour,
        confidence,
        ..
    } = *verdict;
    for figure in [slope_low, slope_bytes_per_hour, slope_high] {
        assert!(figure.is_finite(), "{verdict:?}");
    }
    assert!(slope_low <= slope_bytes_per_hour, "{verdict:?}");
    assert!(slope_bytes_per_hour <= slope_high, "{verdict:?}");
    assert!((0.0..=1.0).contains(&confidence), "{verdict:?}");
    if let Some(forecast) = verdict.time_to_limit {
        assert!(forecast.seconds.is_finite() && forecast.seconds >= 0.0);
        assert!(forecast.soonest >= 0.0 && forecast.soonest <= forecast.seconds);
        let latest = forecast.latest.unwrap_or(forecast.seconds);
        assert!(latest.is_finite() && latest >= forecast.seconds);
    }
    assert!(verdict.since.is_none_or(f64::is_finite), "{verdict:?}");
    assert_eq!(
        verdict.is_leak(),
        verdict.doubt.is_none() && verdict.since.is_some()
    );
    for advice in verdict.advice.iter() {
        let words = advice.to_string();
        assert!(!words.contains("NaN") && !words.contains("inf "), "{words}");
    }
    assert!(verdict.advice.iter().count() > 0, "{verdict:?}");
}

/// Follows a series to its end; every verdict on the way is sound.
fn follow(interval: f64, series: impl IntoIterator<Item = Sample>, limit: Option<f64>) -> Verdict {
    let mut detector = Detector::new(interval, Subject::Recorded);
    for sample in series {
        detector.push(sample, limit);
        if detector.history().samples() > 0 {
            assert_sound(&detector.verdict());
        }
    }
    detector.verdict()
}

/// A course in shares of the limit over so many samples half a minute apart, under noise.
fn half_minutes(
    n: u32,
    seed: u64,
    noise: f64,
    course: impl Fn(f64) -> f64,
) -> impl Iterator<Item = Sample> {
    let mut draw = Pcg64::seed_from_u64(seed);
    (0..n).map(move |i| {
        let seconds = f64::from(i) * 30.0;
        let news: f64 = draw.sample(StandardNormal);
        sample(seconds, LIMIT * (course(seconds) + noise * news))
    })
}

fn leaking(seconds: f64) -> f64 {
    0.5 + 0.05 * seconds / 3_600.0
}

fn warming_up(seconds: f64) -> f64 {
    0.3 + 0.25 * (1.0 - (-seconds / 480.0).exp())
}

fn level(_: f64) -> f64 {
    0.5
}

#[test]
fn in_a_window_of_100_samples_a_leak_of_5_percent_an_hour_is_found() {
    let mut found = 0;
    for seed in 0..20 {
        let verdict = follow(30.0, half_minutes(100, seed, 0.005, leaking), Some(LIMIT));
        found += u32::from(verdict.is_leak());
        if verdict.is_leak() {
            let slope = verdict.slope_bytes_per_hour / LIMIT;
            assert!((0.03..0.07).contains(&slope), "seed {seed}: {slope}");
            let hours = verdict.seconds_to_limit().unwrap() / 3_600.0;
            assert!((6.0..16.0).contains(&hours), "seed {seed}: {hours}");
        }
    }
    eprintln!("{found} of 20 leaks found");
    assert!(found >= 19, "{found}");
}

#[test]
fn in_a_window_of_100_samples_a_warm_up_that_levels_off_is_no_leak_at_any_time() {
    for seed in 0..20 {
        let mut detector = Detector::new(30.0, Subject::Recorded);
        for sample in half_minutes(100, seed, 0.005, warming_up) {
            detector.push(sample, Some(LIMIT));
            let verdict = detector.verdict();
            assert!(!verdict.is_leak(), "seed {seed} at {sample:?}: {verdict:?}");
        }
        assert_eq!(detector.verdict().pattern, Pattern::WarmUp, "seed {seed}");
    }
}

#[test]
fn a_level_is_no_leak_and_is_said_to_be_stable() {
    for seed in 0..20 {
        let verdict = follow(30.0, half_minutes(100, seed, 0.005, level), Some(LIMIT));
        assert_eq!(verdict.judgement, Judgement::NoLeak, "seed {seed}");
        assert_eq!(verdict.pattern, Pattern::Stable, "seed {seed}");
    }
}

#[test]
fn the_unit_changes_neither_judgement_nor_confidence() {
    let courses: [Course; 3] = [leaking, warming_up, level];
    for (place, course) in courses.into_iter().enumerate() {
        let series: Vec<_> = half_minutes(150, 3, 0.004, course).collect();
        let plain = follow(30.0, series.iter().copied(), Some(LIMIT));
        for power in [-20, -3, 1, 10, 30] {
            let unit = 2.0f64.powi(power);
            let scaled = series
                .iter()
                .map(|one| sample(one.seconds, one.bytes * unit));
            let verdict = follow(30.0, scaled, Some(LIMIT * unit));
            let what = format!("course {place} times 2^{power}");
            assert_eq!(verdict.judgement, plain.judgement, "{what}");
            assert_eq!(verdict.pattern, plain.pattern, "{what}");
            assert_eq!(verdict.confidence, plain.confidence, "{what}");
            let slope = plain.slope_bytes_per_hour * unit;
            assert_eq!(verdict.slope_bytes_per_hour, slope, "{what}");
            assert_eq!(
                verdict.seconds_to_limit(),
                plain.seconds_to_limit(),
                "{what}"
            );
        }
    }
}

#[test]
fn the_origin_of_time_changes_neither_judgement_nor_confidence() {
    // Bins begin at multiples of their width, of which the widest is this.
    let widest = 30.0 * 4f64.powi(7);
    let courses: [Course; 3] = [leaking, warming_up, level];
    for (place, course) in courses.into_iter().enumerate() {
        let series: Vec<_> = half_minutes(150, 4, 0.004, course).collect();
        let plain = follow(30.0, series.iter().copied(), Some(LIMIT));
        for shift in [
            -widest,
            widest,
            3_541.0 * widest,
            1_000.0,
            -77.7,
            1.7e9 + 13.0,
        ] {
            let shifted = series
                .iter()
                .map(|one| sample(one.seconds + shift, one.bytes));
            let verdict = follow(30.0, shifted, Some(LIMIT));
            let what = format!("course {place} at {shift}");
            assert_eq!(verdict.judgement, plain.judgement, "{what}");
            if shift % widest == 0.0 {
                let apart = (verdict.confidence - plain.confidence).abs();
                assert!(apart < 1e-9, "{what}: {apart}");
            }
        }
    }
}

#[test]
fn odd_series_have_a_sound_verdict_and_are_no_leak() {
    let odd: [(&str, Course); 8] = [
        ("zeros", |_| 0.0),
        ("constant", |_| 3e9),
        ("huge", |_| 1e18),
        ("huge and level under noise", |i| {
            1e18 + 1e15 * (i * 1.7).sin()
        }),
        ("extremes", |i| if i % 2.0 == 0.0 { 0.0 } else { 1e18 }),
        ("both signs", |i| if i % 2.0 == 0.0 { -1e18 } else { 1e18 }),
        ("one spike", |i| if i == 77.0 { 1e18 } else { 1.0 }),
        ("tiny", |_| f64::MIN_POSITIVE),
    ];
    for (what, course) in odd {
        for limit in [
            None,
            Some(LIMIT),
            Some(0.0),
            Some(f64::NAN),
            Some(1e-300),
            Some(1e300),
        ] {
            let series = (0..200).map(f64::from).map(|i| sample(i * 30.0, course(i)));
            let verdict = follow(30.0, series, limit);
            assert!(!verdict.is_leak(), "{what} under {limit:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_limit_out_of_all_proportion_is_never_reached() {
    let series = half_minutes(100, 1, 0.001, leaking).map(|one| Sample {
        bytes: one.bytes * 2.0f64.powi(-100),
        ..one
    });
    let verdict = follow(30.0, series, Some(1e300));
    assert!(verdict.is_leak(), "{verdict:?}");
    assert_eq!(verdict.time_to_limit, None);
}

#[test]
fn few_samples_are_insufficient() {
    for n in 0..30 {
        let series = half_minutes(n, 1, 0.0, leaking);
        let verdict = follow(30.0, series, Some(LIMIT));
        assert_eq!(verdict.judgement, Judgement::Insufficient, "{n}");
        assert_eq!(verdict.confidence, 0.0, "{n}");
    }
}

#[test]
fn what_is_not_finite_changes_no_verdict() {
    let mut detector = Detector::new(30.0, Subject::Heap);
    for sample in half_minutes(100, 1, 0.005, leaking) {
        detector.push(sample, Some(LIMIT));
    }
    let before = detector.verdict();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        detector.push(sample(3_000.0, bad), Some(LIMIT));
        detector.push(sample(bad, LIMIT), Some(LIMIT));
    }
    assert_eq!(detector.verdict(), before);
    assert_eq!(detector.history().samples(), 100);
}

fn any_bytes() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0f64..1e10,
        2 => Just(0.0),
        2 => Just(1e9),
        1 => -1e18f64..1e18,
        1 => Just(1e18),
        1 => prop::num::f64::ANY,
    ]
}

fn any_limit() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        Just(None),
        (0.0f64..1e11).prop_map(Some),
        prop::num::f64::ANY.prop_map(Some),
    ]
}

/// Pieces that a series is made of: so many samples, the steps between them, where they begin and
/// how they grow.
fn any_piece() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let step = prop_oneof![
        6 => Just(30.0),
        1 => 0.0f64..1e4,
        1 => Just(0.0),
        1 => -1e5f64..1e6,
        1 => prop::num::f64::ANY,
    ];
    let each = prop_oneof![Just(0.0), -1e7f64..1e7, -1e3f64..1e3];
    let wild = prop::collection::vec((step.clone(), any_bytes()), 1..40);
    let ramp = (1..120usize, step, any_bytes(), each)
        .prop_map(|(n, step, from, each)| (0..n).map(|i| (step, from + each * i as f64)).collect());
    prop_oneof![wild, ramp]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_series_panics_or_has_an_unsound_verdict(
        pieces in prop::collection::vec(any_piece(), 1..5),
        limit in any_limit(),
        interval in prop_oneof![4 => Just(30.0), 1 => prop::num::f64::ANY],
        blocks in prop_oneof![Just(None), any_bytes().prop_map(Some)],
    ) {
        let mut now = 0.0;
        let series = pieces.concat().into_iter().map(|(step, bytes)| {
            if f64::is_finite(now + step) {
                now += step;
            }
            Sample { seconds: now, bytes, blocks }
        });
        follow(interval, series, limit);
    }
}

#[test]
fn the_allocations_of_a_detector_are_counted() {
    let (detector, made) = plimsoll::measure(|| Box::new(Detector::new(1.0, Subject::Heap)));
    assert!(made.allocations > 0);
    assert!(made.net_bytes <= 80 * 1024, "{made:?}");
    drop(detector);
}

#[test]
fn history_allocates_when_it_is_made_and_never_again() {
    let (mut history, made) = plimsoll::measure(|| History::new(1.0));
    assert_eq!(made.allocations, 1);
    assert!(made.net_bytes <= 64 * 1024, "{made:?}");
    let ((), pushed) = plimsoll::measure(|| {
        for i in 0..100_000 {
            history.push(sample(f64::from(i), f64::from(i)));
        }
    });
    assert_eq!((pushed.allocations, pushed.reallocations), (0, 0));
}

#[test]
fn a_verdict_allocates_nothing() {
    let courses: [Course; 4] = [leaking, warming_up, level, |seconds| {
        0.5 + 0.1 * (seconds / 300.0).sin() + 0.02 * seconds / 3_600.0
    }];
    for course in courses {
        let mut detector = Detector::new(30.0, Subject::Heap);
        let series: Vec<_> = half_minutes(700, 1, 0.003, course).collect();
        let ((), worked) = plimsoll::measure(|| {
            for sample in &series {
                detector.push(*sample, Some(LIMIT));
                std::hint::black_box(detector.verdict());
            }
        });
        assert_eq!((worked.allocations, worked.reallocations), (0, 0));
        assert_eq!(worked.deallocations, 0);
    }
}

#[test]
fn a_leak_that_has_reached_the_limit_has_no_time_left() {
    let mut detector = Detector::new(30.0, Subject::Recorded);
    for step in 0..200 {
        let seconds = f64::from(step) * 30.0;
        let sample = Sample {
            seconds,
            bytes: 1e9 + 1e5 * seconds,
            blocks: None,
        };
        detector.push(sample, Some(1.5e9));
    }
    let verdict = detector.verdict();
    assert!(verdict.is_leak(), "{verdict:?}");
    assert_eq!(verdict.seconds_to_limit(), Some(0.0));
    assert_eq!(verdict.severity, plimsoll::trend::Severity::Critical);
}

#[test]
fn a_gap_does_not_wipe_a_leak_out() {
    let mut detector = Detector::new(30.0, Subject::Recorded);
    let mut push = |seconds: f64| {
        let sample = Sample {
            seconds,
            bytes: 1e9 + 1e4 * seconds,
            blocks: None,
        };
        detector.push(sample, Some(4e9));
        detector.verdict().is_leak()
    };
    let before = (0..1000).map(|step| push(f64::from(step) * 30.0)).last();
    assert_eq!(before, Some(true));
    // Nobody looks for eight hours, in which the process grows on.
    assert!((0..40).all(|step| push(58_800.0 + f64::from(step) * 30.0)));
}

/// The kernel ends what a peak carries over the limit, whatever the mean.
#[test]
fn the_limit_is_reached_when_the_peaks_reach_it() {
    const MIB: f64 = 1_048_576.0;
    // Teeth of ten minutes and 300 MiB, over a leak of 20 MiB an hour: at 600 of 800 after ten hours.
    let series = (0..600).map(|step| {
        let seconds = f64::from(step) * 60.0;
        let tooth = 300.0 * (seconds / 600.0).fract();
        sample(seconds, (100.0 + seconds / 180.0 + tooth) * MIB)
    });
    let verdict = follow(60.0, series, Some(800.0 * MIB));
    assert!(verdict.is_leak(), "{verdict:?}");
    let hours = verdict.seconds_to_limit().unwrap() / 3_600.0;
    assert!((9.0..11.5).contains(&hours), "{hours} h: {verdict:?}");
}

#[test]
fn what_grows_ever_faster_has_no_time_left_at_the_limit() {
    const MIB: f64 = 1_048_576.0;
    let bytes = |seconds: f64| (200.0 + 10.0 * (seconds / 4_320.0).exp()) * MIB;
    let until = |limit: f64| {
        let series = (0..=720).map(|step| f64::from(step) * 30.0);
        let series = series.map(|seconds| sample(seconds, bytes(seconds)));
        let verdict = follow(30.0, series, Some(limit));
        assert_eq!(verdict.pattern, Pattern::Exponential, "{verdict:?}");
        verdict.seconds_to_limit().unwrap()
    };
    let end = 720.0 * 30.0;
    assert!(until(bytes(end)) < 60.0);
    let ten_minutes = until(bytes(end + 600.0));
    assert!((500.0..720.0).contains(&ten_minutes), "{ten_minutes}");
}

/// 64 KiB and more at a time, among ten million small blocks.
#[test]
fn a_leak_of_large_blocks_among_small_ones_is_as_sure_as_any() {
    let of = |blocks: &dyn Fn(u32) -> f64| {
        let series = (0..400).map(|step| Sample {
            seconds: f64::from(step) * 30.0,
            bytes: 1e9 + f64::from(step) * 1_048_576.0,
            blocks: Some(blocks(step)),
        });
        follow(30.0, series, None)
    };
    let one_buffer = |verdict: &Verdict| {
        let mut advice = verdict.advice.iter();
        advice.any(|one| *one == Recommendation::LookForOneBuffer)
    };
    let large = of(&|step| 1e7 + f64::from(step));
    assert!(large.is_leak() && large.confidence > 0.9, "{large:?}");
    assert!(!one_buffer(&large), "{large:?}");
    // So many come and go that four hundred more cannot be told.
    let mut noise = Pcg64::seed_from_u64(7);
    let hidden: Vec<f64> = (0..400)
        .map(|_| 1e7 + 1e5 * noise.sample::<f64, _>(StandardNormal))
        .collect();
    let hidden = of(&|step| hidden[step as usize]);
    assert!(
        hidden.confidence > 0.9 && !one_buffer(&hidden),
        "{hidden:?}"
    );
    // And where they surely stay as many, it is one.
    let one = of(&|_| 1e7);
    assert!(one.is_leak() && one.confidence < 0.8, "{one:?}");
    assert!(one_buffer(&one), "{one:?}");
}

#[test]
fn a_leak_that_begins_late_beside_a_short_cycle_is_dated_rightly() {
    let series = (0..240).map(|step| {
        let late = f64::from(step - 150).max(0.0);
        sample(
            f64::from(step) * 60.0,
            1e9 + 2e7 * f64::from(step % 5) + 2e6 * late,
        )
    });
    let verdict = follow(60.0, series, None);
    assert!(verdict.is_leak(), "{verdict:?}");
    let since = verdict.since.unwrap() / 60.0;
    assert!((140.0..175.0).contains(&since), "{since}: {verdict:?}");
}

/// Most samples are a second apart, and the leak is in the minutes after them.
#[test]
fn samples_that_come_less_often_by_now_count_for_their_own_time() {
    let mut detector = Detector::new(1.0, Subject::Recorded);
    let noise = |step: u32| f64::from(step * 7919 % 100) * 1e5;
    (0..1_000).for_each(|step| detector.push(sample(f64::from(step), 1e9 + noise(step)), None));
    let mut found = None;
    for step in 0..100 {
        let seconds = f64::from(step) * 60.0;
        detector.push(
            sample(1_000.0 + seconds, 1e9 + noise(step) + 1e4 * seconds),
            None,
        );
        if detector.verdict().is_leak() {
            found = found.or(Some(seconds / 60.0));
        }
    }
    // Believed after LONG_SECONDS, and called after a tenth of that more.
    let minutes: f64 = found.expect("a leak");
    assert!(minutes < 60.0, "{minutes}");
}
