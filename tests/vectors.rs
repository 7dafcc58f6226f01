//! The field's tests of trend, held to pyMannKendall and scipy.
//!
//! `tests/vectors/make.py` made the data and names the versions.

use plimsoll::trend::{mann_kendall, mann_kendall_hamed_rao, theil_sen};

const SERIES: &str = include_str!("vectors/series.csv");
const EXPECTED: &str = include_str!("vectors/expected.csv");

/// A series and what the references say of it.
struct Vector {
    name: &'static str,
    t: Vec<f64>,
    y: Vec<f64>,
    expected: Vec<f64>,
}

impl Vector {
    fn expected(&self, column: &str) -> f64 {
        let place = EXPECTED.lines().next().unwrap().split(',').skip(1);
        self.expected[place.into_iter().position(|name| name == column).unwrap()]
    }

    fn check(&self, column: &str, ours: f64) {
        let theirs = self.expected(column);
        // Relative, and for what is nothing but rounding, absolute.
        let allowed = 1e-9 * theirs.abs() + 1e-12;
        assert!(
            (ours - theirs).abs() <= allowed,
            "{} of {}: {ours}, not {theirs}",
            column,
            self.name
        );
    }
}

fn numbers(fields: std::str::Split<'static, char>) -> Vec<f64> {
    fields.map(|field| field.parse().unwrap()).collect()
}

fn vectors() -> Vec<Vector> {
    let row = |line: &'static str| {
        let mut fields = line.split(',');
        (fields.next().unwrap(), numbers(fields))
    };
    let vectors: Vec<_> = EXPECTED
        .lines()
        .skip(1)
        .map(row)
        .map(|(name, expected)| {
            let rows = SERIES.lines().skip(1).map(row);
            let (t, y) = rows
                .filter(|(of, _)| *of == name)
                .map(|(_, point)| (point[0], point[1]))
                .unzip();
            Vector {
                name,
                t,
                y,
                expected,
            }
        })
        .collect();
    assert!(vectors.len() >= 12);
    vectors
}

#[test]
fn mann_kendall_is_that_of_pymannkendall() {
    for vector in vectors() {
        let ours = mann_kendall(&vector.y).unwrap();
        vector.check("s", ours.s);
        vector.check("variance", ours.variance);
        vector.check("z", ours.z);
    }
}

#[test]
fn hamed_and_rao_s_correction_is_that_of_pymannkendall() {
    let (mut compared, mut without) = (0, 0);
    for vector in vectors() {
        let ours = mann_kendall_hamed_rao(&vector.y).unwrap();
        vector.check("s", ours.s);
        // The residuals of a straight line have no ranks to correlate: the reference divides
        // nothing by nothing, we leave the variance as it was.
        if vector.expected("hamed_rao_variance").is_nan() {
            assert_eq!(ours, mann_kendall(&vector.y).unwrap(), "{}", vector.name);
            without += 1;
            continue;
        }
        vector.check("hamed_rao_variance", ours.variance);
        // And where the correction leaves a variance below nothing, its root.
        if vector.expected("hamed_rao_z").is_nan() {
            assert_eq!(ours.z, 0.0, "{}", vector.name);
            continue;
        }
        vector.check("hamed_rao_z", ours.z);
        compared += 1;
    }
    assert!(compared >= 9 && without >= 1, "{compared}, {without}");
}

#[test]
fn the_slope_of_theil_and_sen_is_that_of_scipy_with_its_interval() {
    for vector in vectors() {
        let ours = theil_sen(&vector.t, &vector.y).unwrap();
        vector.check("sen", ours.slope);
        vector.check("sen_low", ours.low);
        vector.check("sen_high", ours.high);
    }
}

#[test]
fn a_trend_turned_upside_down_has_the_same_size() {
    for vector in vectors() {
        let down: Vec<f64> = vector.y.iter().map(|y| -y).collect();
        for test in [mann_kendall, mann_kendall_hamed_rao] {
            let (up, down) = (test(&vector.y).unwrap(), test(&down).unwrap());
            assert_eq!((up.s, up.z), (-down.s, -down.z), "{}", vector.name);
            assert_eq!(up.variance, down.variance, "{}", vector.name);
        }
        let (up, down) = (
            theil_sen(&vector.t, &vector.y).unwrap(),
            theil_sen(&vector.t, &down).unwrap(),
        );
        assert_eq!(up.slope, -down.slope, "{}", vector.name);
    }
}

#[test]
fn what_cannot_be_tested_has_no_answer() {
    let long = vec![0.0; 2_049];
    for values in [
        &[][..],
        &[1.0, 2.0],
        &[1.0, f64::NAN, 2.0],
        &[1.0, f64::INFINITY, 2.0],
        &long,
    ] {
        assert_eq!(mann_kendall(values), None);
        assert_eq!(mann_kendall_hamed_rao(values), None);
        let times: Vec<f64> = (0..values.len()).map(|i| i as f64).collect();
        assert_eq!(theil_sen(&times, values), None);
    }
    let y = [1.0, 2.0, 3.0];
    for t in [
        &[0.0, 1.0][..],
        &[0.0, 1.0, 1.0],
        &[0.0, 2.0, 1.0],
        &[0.0, f64::NAN, 1.0],
        &[0.0, 1.0, f64::INFINITY],
        &[f64::NEG_INFINITY, 0.0, 1.0],
    ] {
        assert_eq!(theil_sen(t, &y), None, "{t:?}");
    }
    assert!(mann_kendall(&long[1..]).is_some());
}

#[test]
fn no_slope_is_nothing_and_not_less_than_nothing() {
    let flat = theil_sen(&[0.0, 1.0, 2.0, 3.0], &[5.0; 4]).unwrap();
    for figure in [flat.slope, flat.low, flat.high] {
        assert_eq!(figure.to_bits(), 0.0f64.to_bits(), "{figure:?}");
    }
}

#[test]
fn the_largest_numbers_have_finite_slopes() {
    let y = [-f64::MAX, -f64::MAX, f64::MAX, f64::MAX];
    let sen = theil_sen(&[0.0, 1e-3, 0.5, 1.0], &y).unwrap();
    for figure in [sen.slope, sen.low, sen.high] {
        assert!(figure.is_finite(), "{sen:?}");
    }
    let test = mann_kendall_hamed_rao(&y).unwrap();
    assert!(test.variance.is_finite() && test.z.is_finite(), "{test:?}");
}
