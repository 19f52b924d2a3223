use super::*;
use ndarray::array;
use proptest::prelude::*;

#[test]
fn pooling_by_hand() {
    let pool = |values: &[f64]| isotonic::pool(&values.iter().map(|&value| (value, 1.0)).collect::<Vec<_>>());
    assert_eq!(pool(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    assert_eq!(pool(&[1.0, 3.0, 2.0, 2.0, 5.0]), [1.0, 7.0 / 3.0, 7.0 / 3.0, 7.0 / 3.0, 5.0]);
    assert_eq!(pool(&[3.0, 2.0, 1.0]), [2.0; 3]);
}

proptest! {
    #[test]
    fn pooled_means_rise_and_stay_as_they_are(values in prop::collection::vec((0.0f64..1.0, 0.1f64..3.0), 1..40)) {
        let blocks: Vec<(f64, f64)> = values.iter().map(|&(mean, weight)| (mean * weight, weight)).collect();
        let once = isotonic::pool(&blocks);
        prop_assert!(once.is_sorted());
        let again = isotonic::pool(&once.iter().map(|&mean| (mean, 1.0)).collect::<Vec<_>>());
        prop_assert_eq!(&again, &once);
    }

    #[test]
    fn curves_never_fall(rows in prop::collection::vec((-3.0f64..3.0, any::<bool>()), 1..40), at in prop::collection::vec(-4.0f64..4.0, 2..20)) {
        let curve = Curve::fit(rows);
        prop_assert!(curve.check().is_ok());
        let mut at = at;
        at.sort_by(f64::total_cmp);
        prop_assert!(at.iter().map(|&score| curve.at(score)).is_sorted());
    }
}

#[test]
fn scores_by_hand() {
    // Two rows in the bin up to 0.6, of which one is right, and one sure of what is wrong.
    let probabilities = array![[0.55, 0.45], [0.41, 0.59], [1.0, 0.0]];
    let losses = error::log_losses(probabilities.view(), &[0, 0, 1]);
    let scores = ProbabilityScores::new(probabilities.view(), &[0, 1, 0], &losses, &[0, 0, 1]).unwrap();
    assert!((scores.expected_calibration_error - ((0.55 + 0.59 - 1.0) + 1.0) / 3.0).abs() < 1e-15);
    let brier = 2.0 * (0.45f64.powi(2) + 0.59f64.powi(2) + 1.0) / 3.0;
    assert!((scores.brier - brier).abs() < 1e-15);
    assert!((scores.log_loss + (0.55f64.ln() + 0.41f64.ln() + f64::EPSILON.ln()) / 3.0).abs() < 1e-12);
    assert_eq!((scores.n, scores.accuracy), (3, 1.0 / 3.0));
    assert!(ProbabilityScores::new(Array2::zeros((0, 2)).view(), &[], &[], &[]).is_none());
}

#[test]
fn equal_probabilities_are_decided_by_the_scores_and_none_by_nothing() {
    let step = |at: f64| Curve::fit(vec![(at, false), (at + 1.0, true)]);
    let map = Calibration::Isotonic { curves: vec![step(0.0), step(0.0), step(5.0)] };
    let scores = array![[2.0, 3.0, 0.0], [-1.0, -2.0, -3.0], [0.0, 0.5, 5.25]];
    let probabilities = map.probabilities(scores.view());
    let third = 1.0 / 3.0;
    assert_eq!(probabilities, array![[0.5, 0.5, 0.0], [third, third, third], [0.0, 0.5 / 0.75, 0.25 / 0.75]]);
    assert_eq!(map.predict(scores.view(), probabilities.view(), &[1, 0, 2]), [1, 0, 1]);
    // Of equal votes a head may have chosen another than the first.
    assert_eq!(map.predict(scores.view(), probabilities.view(), &[0, 2, 2]), [0, 2, 1]);
}

#[test]
fn scores_that_say_nothing_leave_the_shares_of_the_classes() {
    let scores = Array2::zeros((10, 2));
    let labels = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1];
    let of = |method| Calibration::fit(method, scores.view(), &labels).probabilities(scores.view())[[0, 1]];
    assert!((of(CalibrationMethod::Isotonic) - 0.3).abs() < 1e-12);
    // Platt's targets of 4/5 and 1/9.
    assert!((of(CalibrationMethod::Platt) - (0.3 * 0.8 + 0.7 / 9.0)).abs() < 1e-9);
    assert_eq!(of(CalibrationMethod::Temperature), 0.5);
}

#[test]
fn maps_from_files_are_looked_at() {
    let platt = |slope: Vec<f64>, intercept: Vec<f64>| Calibration::Platt { slope, intercept };
    assert!(platt(vec![1.0], vec![0.0]).check(2).is_ok());
    assert!(platt(vec![1.0], vec![0.0]).check(3).unwrap_err().contains("1 outputs for 3 classes"));
    assert!(platt(vec![1.0], vec![]).check(2).unwrap_err().contains("intercept"));
    assert!(platt(vec![f64::NAN], vec![0.0]).check(2).unwrap_err().contains("finite"));
    assert!(Calibration::Temperature { temperature: 0.0 }.check(2).unwrap_err().contains("positive"));
    for curve in [
        r#"{"score": [], "probability": []}"#,
        r#"{"score": [1, 1], "probability": [0, 1]}"#,
        r#"{"score": [1, 2], "probability": [1, 0]}"#,
        r#"{"score": [1, 2], "probability": [0, 1.5]}"#,
    ] {
        let curves = vec![serde_json::from_str(curve).unwrap()];
        assert!(Calibration::Isotonic { curves }.check(2).unwrap_err().contains("rising"), "{curve}");
    }
}
