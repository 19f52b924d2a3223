//! Metrics by hand, against scikit-learn, and what must hold of them on any scores.

use super::*;
use crate::metrics::{argmax_rows, log_losses};
use ndarray::{Array2, array};
use proptest::prelude::*;
use serde_json::Value;

const ALL: [Metric; 4] = [Metric::Accuracy, Metric::Balanced, Metric::LogLoss, Metric::Auc];

/// Scores of two classes from one column.
fn binary(scores: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((scores.len(), 2), |(row, class)| if class == 1 { scores[row] } else { -scores[row] })
}

fn value(metric: Metric, scores: &Array2<f64>, truth: &[usize]) -> f64 {
    measure(metric, scores.view(), truth).unwrap().value
}

/// The metric of scores that are logits.
fn measure(metric: Metric, scores: ArrayView2<f64>, truth: &[usize]) -> Option<Measured> {
    let (predicted, losses) = (argmax_rows(scores.reborrow()), log_losses(scores.reborrow(), truth));
    metric.measure(&Said { scores: scores.reborrow(), predicted: &predicted, log_losses: Some(&losses) }, truth)
}

#[test]
fn by_hand() {
    // Positive rows at 1 and 3, negative rows at 0, 1 and 2: of six pairs three are right, one is a tie.
    let scores = binary(&[1.0, 3.0, 0.0, 1.0, 2.0]);
    let truth = [1, 1, 0, 0, 0];
    assert_eq!(value(Metric::Auc, &scores, &truth), 4.5 / 6.0);
    // Zero goes to the first class: predicted are 1 1 0 1 1.
    assert_eq!(value(Metric::Accuracy, &scores, &truth), 3.0 / 5.0);
    assert!((value(Metric::Balanced, &scores, &truth) - (1.0 + 1.0 / 3.0) / 2.0).abs() < 1e-15);
    let loss = [-2.0, -6.0, 0.0, 2.0, 4.0].map(|margin: f64| margin.exp().ln_1p());
    assert!((value(Metric::LogLoss, &scores, &truth) - loss.iter().sum::<f64>() / 5.0).abs() < 1e-15);
}

#[test]
fn standard_errors_by_hand() {
    let scores = binary(&[1.0, 3.0, 0.0, 1.0, 2.0]);
    let truth = [1, 1, 0, 0, 0];
    let error = |metric: Metric| measure(metric, scores.view(), &truth).unwrap().standard_error;
    assert!((error(Metric::Accuracy) - (0.6 * 0.4 / 5.0_f64).sqrt()).abs() < 1e-15, "binomial");
    // One recall is 1, the other 1/3 of three rows.
    assert!((error(Metric::Balanced) - 0.5 * (2.0 / 9.0 / 3.0_f64).sqrt()).abs() < 1e-15);
    // Placements of the positive rows are 1/2 and 1, of the negative ones 1, 3/4 and 1/2.
    let variance = (0.0625 + 0.0625) / 4.0 + (0.0625 + 0.0 + 0.0625) / 9.0;
    assert!((error(Metric::Auc) - f64::sqrt(variance)).abs() < 1e-15, "DeLong's, with n for n - 1");
    assert_eq!(measure(Metric::LogLoss, binary(&[0.0; 5]).view(), &truth).unwrap().standard_error, 0.0);
}

#[test]
fn as_scikit_learn_says() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/golden/metrics.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let rows: Vec<Vec<f64>> = serde_json::from_value(case["scores"].clone()).unwrap();
        let truth: Vec<usize> = serde_json::from_value(case["truth"].clone()).unwrap();
        let scores = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
        for metric in ALL {
            let (got, expected) = (value(metric, &scores, &truth), case[metric.name()].as_f64().unwrap());
            assert!((got - expected).abs() < 1e-12, "{} {metric}: {got} instead of {expected}", case["name"]);
        }
    }
}

#[test]
fn rows_of_one_class_have_no_curve_but_a_recall() {
    let scores = binary(&[1.0, -1.0, 2.0]);
    assert_eq!(measure(Metric::Auc, scores.view(), &[1, 1, 1]), None);
    assert_eq!(roc_auc(scores.view(), &[0, 0, 0]), None);
    assert!((value(Metric::Balanced, &scores, &[1, 1, 1]) - 2.0 / 3.0).abs() < 1e-15);
    // A class in none of the rows takes no part.
    let three = array![[3.0, 0.0, 9.0], [1.0, 2.0, 9.0], [2.0, 1.0, 9.0]];
    assert_eq!(value(Metric::Auc, &three, &[0, 1, 0]), 1.0);
    for metric in ALL {
        assert_eq!(measure(metric, Array2::zeros((0, 3)).view(), &[]), None, "{metric}");
    }
}

#[test]
fn folds_that_lack_a_class_are_told() {
    let names = ["ant", "bee", "fly"].map(String::from);
    let gaps = |metric: Metric, folds: &[&[usize]]| {
        metric.gaps(&folds.iter().map(|fold| fold.to_vec()).collect::<Vec<_>>(), &names)
    };
    for metric in ALL {
        assert!(gaps(metric, &[&[0, 1, 2], &[2, 1, 0]]).unwrap().is_empty());
    }
    let folds: [&[usize]; 4] = [&[0, 1, 2], &[0, 1], &[0, 1], &[2, 2]];
    let balanced = gaps(Metric::Balanced, &folds).unwrap();
    assert_eq!(balanced.len(), 1);
    assert!(balanced[0].contains("3 of 4 folds lack held-out rows of 'ant', 'bee', 'fly'"), "{balanced:?}");
    let auc = gaps(Metric::Auc, &folds).unwrap();
    assert!(auc[0].contains("2 of 4 folds lack held-out rows of 'fly': there the AUC is the mean"), "{auc:?}");
    assert!(auc[1].contains("in 1 of 4 folds all held-out rows are of one class"), "{auc:?}");
    assert!(gaps(Metric::LogLoss, &folds).unwrap().is_empty());
    let error = gaps(Metric::Auc, &[&[1, 1]]).unwrap_err().to_string();
    assert!(error.contains("the AUC is undefined") && error.contains("--metric accuracy"), "{error}");
}

#[test]
fn names_and_digits() {
    for metric in ALL {
        assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
        assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
    }
    assert_eq!(ALL.map(|metric| metric.digits(0.84753)), ["84.8", "84.8", "0.8475", "0.8475"]);
    assert_eq!(Metric::LogLoss.merit(2.0), -2.0);
    assert!(Metric::LogLoss.check(HeadKind::Ridge).is_err() && Metric::Auc.check(HeadKind::Ridge).is_ok());
}

proptest! {
    #[test]
    fn the_area_is_that_of_any_rising_map(
        rows in prop::collection::vec((-20i32..20, any::<bool>()), 2..60),
        shift in -5.0..5.0f64,
    ) {
        let truth: Vec<usize> = rows.iter().map(|&(_, positive)| usize::from(positive)).collect();
        let scores: Vec<f64> = rows.iter().map(|&(score, _)| f64::from(score) / 4.0).collect();
        let area = |map: &dyn Fn(f64) -> f64| {
            let mapped: Vec<f64> = scores.iter().map(|&score| map(score)).collect();
            measure(Metric::Auc, binary(&mapped).view(), &truth)
        };
        let plain = area(&|score| score);
        prop_assert_eq!(plain, area(&|score| (score + shift).exp()));
        prop_assert_eq!(plain, area(&|score| score.powi(3)));
        if let Some(plain) = plain {
            let turned = area(&|score| -score).unwrap();
            prop_assert!((plain.value + turned.value - 1.0).abs() < 1e-15);
            prop_assert!((plain.standard_error - turned.standard_error).abs() < 1e-12);
        }
    }

    #[test]
    fn with_classes_of_equal_size_balanced_accuracy_is_accuracy(
        predicted in prop::collection::vec(0usize..4, 1..20),
    ) {
        // Each class has as many rows as there are predictions.
        let truth: Vec<usize> = (0..4).flat_map(|class| vec![class; predicted.len()]).collect();
        let predicted: Vec<usize> = (0..4).flat_map(|shift| predicted.iter().map(move |p| (p + shift / 2) % 4)).collect();
        let scores = Array2::from_shape_fn((truth.len(), 4), |(row, class)| f64::from(predicted[row] == class));
        let [accuracy, balanced] =
            [Metric::Accuracy, Metric::Balanced].map(|metric| measure(metric, scores.view(), &truth).unwrap());
        prop_assert!((accuracy.value - balanced.value).abs() < 1e-12);
    }
}

#[test]
fn differences_have_signs() {
    let shown = [0.0834, -0.0834, -0.0001].map(|difference| Metric::Accuracy.signed_digits(difference));
    assert_eq!(shown, ["+8.3", "−8.3", "0.0"]);
}
