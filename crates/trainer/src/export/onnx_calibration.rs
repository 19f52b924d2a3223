//! The part of a graph that turns scores into probabilities and a label.
//!
//! ```text
//! logits:       scores ─ (Div by T) ─ Softmax ─ probabilities;   scores ─ ArgMax ─ label
//! one by one:   scores ─ map of each class ─ divided by their sum ─ probabilities
//!               scores, probabilities ─ the best score among the likeliest ─ ArgMax ─ label
//! ```

use super::onnx::{Parts, doubles, integers, operation, size};
use crate::calibration::{Calibration, Curve, TIE};

/// What a label is taken from when there is nothing but scores, or a temperature, which changes no order.
pub(super) fn label_of_scores(parts: &mut Parts) {
    parts.node(operation("ArgMax", &["scores_double"], "label", &[("axis", 1), ("keepdims", 0)]));
}

/// `probabilities_double` and `label` from `scores_double`, N × classes.
pub(super) fn calibrated(parts: &mut Parts, calibration: &Calibration, classes: usize) {
    if let Calibration::Temperature { temperature } = calibration {
        parts.constant(doubles("temperature", vec![], [*temperature].iter()));
        parts.node(operation("Div", &["scores_double", "temperature"], "logits", &[]));
        parts.node(operation("Softmax", &["logits"], "probabilities_double", &[("axis", 1)]));
        return label_of_scores(parts);
    }
    let outputs = if classes == 2 { 1 } else { classes };
    let scores = if classes == 2 {
        parts.constant(doubles("second_less_first", vec![2, 1], [-1.0, 1.0].iter()));
        parts.node(operation("MatMul", &["scores_double", "second_less_first"], "difference", &[]));
        "difference"
    } else {
        "scores_double"
    };
    match calibration {
        Calibration::Platt { slope, intercept } => {
            parts.constant(doubles("slope", vec![size(outputs)], slope.iter()));
            parts.constant(doubles("intercept", vec![size(outputs)], intercept.iter()));
            parts.node(operation("Mul", &[scores, "slope"], "sloped", &[]));
            parts.node(operation("Add", &["sloped", "intercept"], "shifted", &[]));
            parts.node(operation("Sigmoid", &["shifted"], "shares", &[]));
        }
        Calibration::Isotonic { curves } => interpolated(parts, scores, curves),
        Calibration::Temperature { .. } => {}
    }
    parts.constant(doubles("one", vec![], [1.0].iter()));
    if classes == 2 {
        parts.node(operation("Sub", &["one", "shares"], "rest", &[]));
        parts.node(operation("Concat", &["rest", "shares"], "probabilities_double", &[("axis", 1)]));
    } else {
        // Where all shares are 0, each becomes 1, and their quotients uniform.
        parts.constant(integers("along_classes", &[1]));
        parts.constant(doubles("none", vec![], [0.0].iter()));
        parts.node(operation("ReduceSum", &["shares", "along_classes"], "sum", &[("keepdims", 1)]));
        parts.node(operation("Equal", &["sum", "none"], "sum_is_none", &[]));
        parts.cast("sum_is_none", "sum_is_none_double");
        parts.node(operation("Add", &["shares", "sum_is_none_double"], "shares_of_some", &[]));
        parts.node(operation("ReduceSum", &["shares_of_some", "along_classes"], "sum_of_some", &[("keepdims", 1)]));
        parts.node(operation("Div", &["shares_of_some", "sum_of_some"], "probabilities_double", &[]));
    }
    label_of_the_likeliest(parts);
}

/// About how many numbers a map takes.
pub(super) fn numbers(calibration: &Calibration) -> usize {
    match calibration {
        Calibration::Temperature { .. } => 1,
        Calibration::Platt { slope, intercept } => slope.len() + intercept.len(),
        Calibration::Isotonic { curves } => {
            3 * curves.len() * curves.iter().map(|curve| curve.scores().len()).max().unwrap_or(0)
        }
    }
}

/// For each class its curve: the first value and the part of every rise that lies below the score.
fn interpolated(parts: &mut Parts, scores: &str, curves: &[Curve]) {
    let (outputs, longest) = (curves.len(), curves.iter().map(|curve| curve.scores().len()).max().unwrap_or(1));
    // At least one rise, if of 0, so that no array is empty.
    let rises = (longest - 1).max(1);
    let (mut start, mut width, mut rise) = (Vec::new(), Vec::new(), Vec::new());
    for curve in curves {
        let knots: Vec<_> = curve.scores().windows(2).zip(curve.probabilities().windows(2)).collect();
        for at in 0..rises {
            let (from, wide, up) = match knots.get(at) {
                Some((scores, levels)) => (scores[0], scores[1] - scores[0], levels[1] - levels[0]),
                None => (0.0, 1.0, 0.0),
            };
            start.push(from);
            width.push(wide);
            rise.push(up);
        }
    }
    let shape = || vec![size(outputs), size(rises)];
    let first: Vec<f64> = curves.iter().map(|curve| curve.probabilities()[0]).collect();
    parts.constant(doubles("rise_from", shape(), start.iter()));
    parts.constant(doubles("rise_width", shape(), width.iter()));
    parts.constant(doubles("rise", shape(), rise.iter()));
    parts.constant(doubles("first_share", vec![size(outputs)], first.iter()));
    parts.constant(doubles("rise_start", vec![], [0.0].iter()));
    parts.constant(doubles("rise_end", vec![], [1.0].iter()));
    parts.constant(integers("along_rises", &[2]));
    parts.node(operation("Unsqueeze", &[scores, "along_rises"], "scores_for_rises", &[]));
    parts.node(operation("Sub", &["scores_for_rises", "rise_from"], "beyond", &[]));
    parts.node(operation("Div", &["beyond", "rise_width"], "along", &[]));
    parts.node(operation("Max", &["along", "rise_start"], "along_from_0", &[]));
    parts.node(operation("Min", &["along_from_0", "rise_end"], "along_0_to_1", &[]));
    parts.node(operation("Mul", &["along_0_to_1", "rise"], "risen", &[]));
    parts.node(operation("ReduceSum", &["risen", "along_rises"], "risen_in_all", &[("keepdims", 0)]));
    parts.node(operation("Add", &["risen_in_all", "first_share"], "shares", &[]));
}

/// Of the likeliest classes the one of the best score, as [`Calibration::predict`] has it.
fn label_of_the_likeliest(parts: &mut Parts) {
    parts.constant(doubles("tie", vec![], [TIE].iter()));
    parts.constant(doubles("least", vec![], [f64::NEG_INFINITY].iter()));
    parts.node(operation("ArgMax", &["probabilities_double"], "likeliest", &[("axis", 1), ("keepdims", 1)]));
    parts.node(operation("GatherElements", &["probabilities_double", "likeliest"], "top", &[("axis", 1)]));
    parts.node(operation("Sub", &["top", "tie"], "nearly_top", &[]));
    parts.node(operation("Less", &["probabilities_double", "nearly_top"], "is_less_likely", &[]));
    parts.node(operation("Where", &["is_less_likely", "least", "scores_double"], "scores_of_likeliest", &[]));
    parts.node(operation("ArgMax", &["scores_of_likeliest"], "label", &[("axis", 1), ("keepdims", 0)]));
}
