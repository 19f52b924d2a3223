//! Calibration against scikit-learn's, from the file that scripts/golden_calibration.py makes, and what holds for any scores.

use std::path::Path;

use headstart_trainer::{Calibration, CalibrationMethod};
use ndarray::{Array2, Axis};
use proptest::prelude::*;
use serde::Deserialize;

const METHODS: [CalibrationMethod; 3] =
    [CalibrationMethod::Platt, CalibrationMethod::Isotonic, CalibrationMethod::Temperature];

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<Vec<f64>>,
    labels: Vec<usize>,
    queries: Vec<Vec<f64>>,
    platt: Platt,
    isotonic: Isotonic,
    temperature: Option<Temperature>,
}

#[derive(Deserialize)]
struct Platt {
    slope: Vec<f64>,
    intercept: Vec<f64>,
    probabilities: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Isotonic {
    score: Vec<Vec<f64>>,
    probability: Vec<Vec<f64>>,
    probabilities: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Temperature {
    temperature: f64,
    probabilities: Vec<Vec<f64>>,
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[track_caller]
fn close(got: &[f64], wanted: &[f64], allowed: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= allowed * wanted.abs().max(1.0), "{what}: {got} instead of {wanted}");
    }
}

#[test]
fn scikit_learn_makes_the_same_of_the_same_scores() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/calibration.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), 6);
    for case in golden.cases {
        let (scores, queries) = (matrix(&case.scores), matrix(&case.queries));
        let fit = |method| Calibration::fit(method, scores.view(), &case.labels);
        let probabilities = |map: &Calibration| map.probabilities(queries.view()).into_raw_vec_and_offset().0;

        let map = fit(CalibrationMethod::Platt);
        let Calibration::Platt { slope, intercept } = &map else { panic!("{map:?}") };
        // Theirs stops at a gradient of 1e-6.
        let what = format!("{}, Platt", case.name);
        close(slope, &case.platt.slope, 2e-4, &what);
        close(intercept, &case.platt.intercept, 2e-4, &what);
        close(&probabilities(&map), &case.platt.probabilities.concat(), 1e-5, &what);

        let map = fit(CalibrationMethod::Isotonic);
        let Calibration::Isotonic { curves } = &map else { panic!("{map:?}") };
        let what = format!("{}, isotonic", case.name);
        assert_eq!(curves.len(), case.isotonic.score.len());
        for (curve, (score, probability)) in
            curves.iter().zip(case.isotonic.score.iter().zip(&case.isotonic.probability))
        {
            close(curve.scores(), score, 1e-12, &what);
            close(curve.probabilities(), probability, 1e-12, &what);
        }
        close(&probabilities(&map), &case.isotonic.probabilities.concat(), 1e-12, &what);

        let Some(theirs) = case.temperature else { continue };
        let map = fit(CalibrationMethod::Temperature);
        let Calibration::Temperature { temperature } = &map else { panic!("{map:?}") };
        let what = format!("{}, temperature", case.name);
        close(&[*temperature], &[theirs.temperature], 1e-6, &what);
        close(&probabilities(&map), &theirs.probabilities.concat(), 1e-6, &what);
    }
}

/// Numbers from 0 to 1 that are the same on every machine.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(2) + 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    }
}

/// Scores that know something of the labels, on a grid as coarse as `steps`, so that some are equal.
fn scored(rows: usize, classes: usize, steps: f64, seed: u64) -> (Array2<f64>, Vec<usize>) {
    let mut random = random(seed);
    let labels: Vec<usize> = (0..rows).map(|_| (random() * classes as f64) as usize).collect();
    let scores = Array2::from_shape_fn((rows, classes), |(row, class)| {
        let known = if labels[row] == class { 0.8 } else { 0.0 };
        ((random() + random() + known) * steps).round() / steps * 4.0 - 3.0
    });
    (scores, labels)
}

/// The class of the best score of each row, of equals the first.
fn largest(scores: &Array2<f64>) -> Vec<usize> {
    let best = |row: ndarray::ArrayView1<f64>| {
        (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
    };
    scores.outer_iter().map(best).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn probabilities_are_probabilities(seed: u64, rows in 2usize..80, classes in 2usize..6, exponent in -8i32..9) {
        let (mut scores, labels) = scored(rows, classes, 50.0, seed);
        scores *= 10f64.powi(exponent);
        // Scores beyond all that it was fitted to, as well.
        let queries = ndarray::concatenate(Axis(0), &[scores.view(), (&scores * 1e3).view()]).unwrap();
        for method in METHODS {
            let map = Calibration::fit(method, scores.view(), &labels);
            let probabilities = map.probabilities(queries.view());
            for row in probabilities.outer_iter() {
                prop_assert!(row.iter().all(|p| (0.0..=1.0).contains(p)), "{method:?} {row}");
                prop_assert!((row.sum() - 1.0).abs() < 1e-12, "{method:?} {row}");
            }
            let own = largest(&queries);
            let predicted = map.predict(queries.view(), probabilities.view(), &own);
            for (row, class) in probabilities.outer_iter().zip(predicted) {
                prop_assert!(row.iter().all(|&p| p <= row[class] + 1e-9), "{method:?} {row} {class}");
            }
        }
    }

    #[test]
    fn a_temperature_changes_no_prediction(seed: u64, rows in 2usize..80, classes in 2usize..6, exponent in -8i32..9) {
        let (mut scores, labels) = scored(rows, classes, 1e4, seed);
        scores *= 10f64.powi(exponent);
        let map = Calibration::fit(CalibrationMethod::Temperature, scores.view(), &labels);
        let Calibration::Temperature { temperature } = map else { panic!("{map:?}") };
        prop_assert!(temperature > 0.0 && temperature.is_finite());
        let probabilities = map.probabilities(scores.view());
        for ((row, shares), class) in
            scores.outer_iter().zip(probabilities.outer_iter()).zip(map.predict(scores.view(), probabilities.view(), &largest(&scores)))
        {
            prop_assert!(row.iter().all(|&score| score <= row[class]), "{row} {class}");
            prop_assert!(shares.iter().all(|&share| share <= shares[class]), "{shares} {class}");
        }
    }

    /// To the last bit.
    #[test]
    fn platt_and_isotonic_do_not_see_the_order_of_rows(seed: u64, rows in 2usize..60, classes in 2usize..5) {
        let (scores, labels) = scored(rows, classes, 20.0, seed);
        let mut random = random(seed ^ 1);
        let mut order: Vec<usize> = (0..rows).collect();
        (1..rows).rev().for_each(|at| order.swap(at, (random() * (at + 1) as f64) as usize));
        let shuffled: Vec<usize> = order.iter().map(|&row| labels[row]).collect();
        for method in [CalibrationMethod::Platt, CalibrationMethod::Isotonic] {
            let one = Calibration::fit(method, scores.view(), &labels);
            prop_assert_eq!(one, Calibration::fit(method, scores.select(Axis(0), &order).view(), &shuffled));
        }
    }
}
