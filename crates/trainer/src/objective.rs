//! Objectives and losses in f64, as scikit-learn writes them: `C · Σ loss + ½‖W‖²`, the bias free.
//!
//! `scores` have one column for two classes (positive means class 1) and one per class otherwise.

use ndarray::{Array2, ArrayView2};

use crate::metrics::log_sum_exp;
use crate::model::LinearModel;
use crate::params::{ClassWeight, HeadKind};

/// Number of linear functions a head of `classes` classes has: one for two classes, else one each.
pub(crate) fn outputs(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

/// log(1 + eᵗ), safe for t of any size.
pub(crate) fn softplus(t: f64) -> f64 {
    t.max(0.0) + (-t.abs()).exp().ln_1p()
}

/// Sum of negative log-likelihoods in nats: binary logistic for one column of scores, multinomial otherwise.
pub(crate) fn logistic_loss(scores: ArrayView2<f64>, labels: &[usize]) -> f64 {
    let rows = scores.outer_iter().zip(labels);
    if scores.ncols() == 1 {
        rows.map(|(row, &label)| softplus(if label == 1 { -row[0] } else { row[0] })).sum()
    } else {
        rows.map(|(row, &label)| log_sum_exp(row.iter()) - row[label]).sum()
    }
}

/// One class against the rest.
pub(crate) struct Sides {
    /// Which rows are on the positive side.
    pub(crate) positive: Vec<bool>,
    /// How much a positive row counts.
    pub(crate) for_positive: f64,
    /// How much a negative row counts.
    pub(crate) for_negative: f64,
}

impl Sides {
    /// Sum of the weighted hinge losses max(0, 1 − y s).
    pub(crate) fn hinge<'a>(&self, scores: impl Iterator<Item = &'a f64>) -> f64 {
        let loss = |(&score, &positive): (&f64, &bool)| {
            if positive {
                self.for_positive * (1.0 - score).max(0.0)
            } else {
                self.for_negative * (1.0 + score).max(0.0)
            }
        };
        scores.zip(&self.positive).map(loss).sum()
    }
}

/// The two sides of output `output` of an SVM.
pub(crate) fn hinge_sides(labels: &[usize], outputs: usize, output: usize, class_weight: ClassWeight) -> Sides {
    let class = if outputs == 1 { 1 } else { output };
    let positive: Vec<bool> = labels.iter().map(|&label| label == class).collect();
    let count = positive.iter().filter(|side| **side).count() as f64;
    let n = labels.len() as f64;
    let (for_positive, for_negative) = match class_weight {
        ClassWeight::None => (1.0, 1.0),
        ClassWeight::Balanced => (n / (2.0 * count), n / (2.0 * (n - count))),
    };
    Sides { positive, for_positive, for_negative }
}

/// Sum of the hinge losses over outputs and rows.
pub(crate) fn hinge_loss(scores: ArrayView2<f64>, labels: &[usize], class_weight: ClassWeight) -> f64 {
    let outputs = scores.ncols();
    (0..outputs)
        .map(|output| hinge_sides(labels, outputs, output, class_weight).hinge(scores.column(output).iter()))
        .sum()
}

/// The objective from scores and weights (outputs × features) of one head.
pub(crate) fn from_scores(
    kind: HeadKind,
    scores: ArrayView2<f64>,
    weights: &Array2<f64>,
    labels: &[usize],
    c: f64,
    class_weight: ClassWeight,
) -> f64 {
    let loss = match kind {
        HeadKind::Logistic => logistic_loss(scores, labels),
        HeadKind::Svm => hinge_loss(scores, labels, class_weight),
    };
    c * loss + 0.5 * weights.iter().map(|weight| weight * weight).sum::<f64>()
}

/// The objective that `model` has on raw features x (n × d), at its own C.
///
/// For a model trained with standardisation this is not what was minimised: there the penalty is on the weights of the standardised
/// features.
///
/// # Errors
/// [`crate::Error::Width`] if the features have another width than the model, [`crate::Error::Label`] and
/// [`crate::Error::Length`] for labels that do not fit.
pub fn objective(
    model: &LinearModel,
    features: ArrayView2<f32>,
    labels: &[usize],
    class_weight: ClassWeight,
) -> Result<f64, crate::Error> {
    if labels.len() != features.nrows() {
        return Err(crate::Error::Length { what: "the labels array", got: labels.len(), rows: features.nrows() });
    }
    crate::samples::check_labels(labels, model.classes().len())?;
    let scores = model.decision(features)?;
    let (weights, scores) = model.collapse(&scores);
    Ok(from_scores(model.kind(), scores.view(), &weights, labels, model.c(), class_weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn losses_by_hand() {
        assert!((softplus(0.0) - 2f64.ln()).abs() < 1e-15);
        assert_eq!(softplus(1e4), 1e4);
        assert_eq!(softplus(-1e4), 0.0);
        let two = logistic_loss(array![[0.3], [-2.0]].view(), &[1, 0]);
        assert!((two - ((1.0 + (-0.3f64).exp()).ln() + (1.0 + (-2.0f64).exp()).ln())).abs() < 1e-12);
        // A binary model is the multinomial one with the scores shared out over both classes.
        let both = logistic_loss(array![[-0.15, 0.15], [1.0, -1.0]].view(), &[1, 0]);
        assert!((two - both).abs() < 1e-12);
    }

    #[test]
    fn hinge_by_hand() {
        assert_eq!(hinge_loss(array![[0.5], [2.0], [-3.0]].view(), &[1, 0, 0], ClassWeight::None), 0.5 + 3.0);
        // One positive row weighs 3/2, two negative ones 3/4 each.
        let balanced = hinge_loss(array![[0.5], [2.0], [-3.0]].view(), &[1, 0, 0], ClassWeight::Balanced);
        assert!((balanced - (1.5 * 0.5 + 0.75 * 3.0)).abs() < 1e-15);
    }
}
