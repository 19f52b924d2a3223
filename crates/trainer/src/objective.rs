//! Objectives and losses in f64, as scikit-learn writes them: `C · Σ wᵢ lossᵢ + ½‖W‖²`, the bias free or a weight like others.
//!
//! `scores` have one column for two classes (positive means class 1) and one per class otherwise.

use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::metrics::log_sum_exp;
use crate::model::LinearModel;
use crate::params::{Bias, ClassWeight, HeadParams, Loss};

/// Number of linear functions a head of `classes` classes has: one for two classes, else one each.
pub(crate) fn outputs(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

/// What a head minimises on one training set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Objective<'a> {
    head: HeadParams,
    labels: &'a [usize],
    classes: usize,
    weights: Option<&'a [f64]>,
}

/// One class against the rest.
pub(crate) struct Sides {
    /// Which rows are on the positive side.
    pub(crate) positive: Vec<bool>,
    /// How much each row counts.
    pub(crate) weight: Vec<f64>,
}

impl<'a> Objective<'a> {
    /// `weights`: how much each row counts, `None` for all the same.
    pub(crate) fn new(head: &HeadParams, labels: &'a [usize], classes: usize, weights: Option<&'a [f64]>) -> Self {
        Self { head: *head, labels, classes, weights }
    }

    /// How much a row counts by itself, whatever its class.
    fn own_weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// How much each row counts, and what that is multiplied by where the row is on the negative and on the positive side of each
    /// output.
    pub(crate) fn row_and_side_weights(&self) -> (Vec<f64>, Vec<[f64; 2]>) {
        let outputs = outputs(self.classes);
        if self.head.loss() == Loss::Logistic {
            return (self.row_weights(), vec![[1.0; 2]; outputs]);
        }
        let own = (0..self.labels.len()).map(|row| self.own_weight(row)).collect();
        (own, (0..outputs).map(|output| self.side_weights(output)).collect())
    }

    /// What the weight of a row is multiplied by where it is on the negative and on the positive side of an output. Balanced:
    /// n / (2 · rows of the side), with rows counted by their weights.
    fn side_weights(&self, output: usize) -> [f64; 2] {
        if self.head.class_weight == ClassWeight::None {
            return [1.0; 2];
        }
        let mut counts = [0.0; 2];
        for (row, &label) in self.labels.iter().enumerate() {
            counts[usize::from(label == self.positive_class(output))] += self.own_weight(row);
        }
        let half = 0.5 * (counts[0] + counts[1]);
        counts.map(|count| half / count)
    }

    /// The class that an output says yes to.
    fn positive_class(&self, output: usize) -> usize {
        if outputs(self.classes) == 1 { 1 } else { output }
    }

    /// How much each row counts in a loss of all classes together. Balanced: n / (k · n_c), with rows counted by their weights.
    pub(crate) fn row_weights(&self) -> Vec<f64> {
        let rows = 0..self.labels.len();
        let own = rows.clone().map(|row| self.own_weight(row));
        match self.head.class_weight {
            ClassWeight::None => own.collect(),
            ClassWeight::Balanced => {
                let mut counts = vec![0.0; self.classes];
                rows.for_each(|row| counts[self.labels[row]] += self.own_weight(row));
                let share = counts.iter().sum::<f64>() / self.classes as f64;
                own.zip(self.labels).map(|(own, &label)| own * share / counts[label]).collect()
            }
        }
    }

    /// The two sides of one output.
    pub(crate) fn sides(&self, output: usize) -> Sides {
        let (class, factors) = (self.positive_class(output), self.side_weights(output));
        let positive: Vec<bool> = self.labels.iter().map(|&label| label == class).collect();
        let weight = |(row, &side): (usize, &bool)| self.own_weight(row) * factors[usize::from(side)];
        let weight = positive.iter().enumerate().map(weight).collect();
        Sides { positive, weight }
    }

    /// The objective from scores and weights (outputs × features).
    pub(crate) fn value(&self, scores: ArrayView2<f64>, weights: &Array2<f64>, c: f64) -> f64 {
        c * self.row_losses().of_rows(0, scores) + 0.5 * weights.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// What rows lose, for scores that come a block at a time.
    pub(crate) fn row_losses(&self) -> RowLosses<'a> {
        let (own, sides) = self.row_and_side_weights();
        RowLosses { loss: self.head.loss(), labels: self.labels, own, sides }
    }
}

/// What the rows of one training set lose.
pub(crate) struct RowLosses<'a> {
    loss: Loss,
    labels: &'a [usize],
    own: Vec<f64>,
    sides: Vec<[f64; 2]>,
}

impl RowLosses<'_> {
    /// Sum of the weighted losses of the rows from `start` on that have these scores: for logistic heads negative log-likelihoods in
    /// nats, binary for one column of scores, multinomial otherwise.
    pub(crate) fn of_rows(&self, start: usize, scores: ArrayView2<f64>) -> f64 {
        let binary = scores.ncols() == 1;
        let of_row = |(row, scores): (usize, ArrayView1<f64>)| {
            let label = self.labels[start + row];
            let loss = if self.loss == Loss::Logistic && !binary {
                log_sum_exp(scores.iter()) - scores[label]
            } else {
                let of_output = |(output, &score): (usize, &f64)| {
                    let positive = label == if binary { 1 } else { output };
                    let margin = if positive { score } else { -score };
                    self.sides[output][usize::from(positive)] * self.loss.of_margin(margin)
                };
                scores.iter().enumerate().map(of_output).sum()
            };
            self.own[start + row] * loss
        };
        scores.outer_iter().enumerate().map(of_row).sum()
    }
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
    head: &HeadParams,
) -> Result<f64, crate::Error> {
    if labels.len() != features.nrows() {
        return Err(crate::Error::Length { what: "the labels array", got: labels.len(), rows: features.nrows() });
    }
    crate::samples::check_labels(labels, model.classes().len())?;
    let scores = model.decision(features)?;
    let (weights, scores) = model.collapse(&scores);
    let value = Objective::new(head, labels, model.classes().len(), None).value(scores.view(), &weights, model.c());
    Ok(match head.bias {
        Bias::Free => value,
        Bias::Regularized => value + 0.5 * model.outputs_bias().iter().map(|bias| bias * bias).sum::<f64>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::HeadKind;
    use ndarray::array;

    fn loss(kind: HeadKind, class_weight: ClassWeight, scores: Array2<f64>, labels: &[usize]) -> f64 {
        let head = HeadParams { class_weight, ..HeadParams::new(kind) };
        let classes = scores.ncols().max(2);
        Objective::new(&head, labels, classes, None).value(scores.view(), &Array2::zeros((1, 1)), 1.0)
    }

    #[test]
    fn losses_by_hand() {
        let softplus = |t: f64| Loss::Logistic.of_margin(-t);
        assert!((softplus(0.0) - 2f64.ln()).abs() < 1e-15);
        assert_eq!(softplus(1e4), 1e4);
        assert_eq!(softplus(-1e4), 0.0);
        let two = loss(HeadKind::Logistic, ClassWeight::None, array![[0.3], [-2.0]], &[1, 0]);
        assert!((two - ((1.0 + (-0.3f64).exp()).ln() + (1.0 + (-2.0f64).exp()).ln())).abs() < 1e-12);
        // A third class that no row could be of leaves the binary model, with the scores shared out over both classes.
        let both = loss(HeadKind::Logistic, ClassWeight::None, array![[-0.15, 0.15, -1e9], [1.0, -1.0, -1e9]], &[1, 0]);
        assert!((two - both).abs() < 1e-12);
        // One row of class 1 weighs 3/2, two of class 0 3/4 each.
        let scores = array![[0.5], [2.0], [-3.0]];
        let balanced = loss(HeadKind::Logistic, ClassWeight::Balanced, scores, &[1, 0, 0]);
        assert!((balanced - (1.5 * softplus(-0.5) + 0.75 * (softplus(2.0) + softplus(-3.0)))).abs() < 1e-12);
    }

    #[test]
    fn hinge_by_hand() {
        let scores = || array![[0.5], [2.0], [-3.0]];
        assert_eq!(loss(HeadKind::Svm, ClassWeight::None, scores(), &[1, 0, 0]), 0.5 + 3.0);
        // One positive row weighs 3/2, two negative ones 3/4 each.
        let balanced = loss(HeadKind::Svm, ClassWeight::Balanced, scores(), &[1, 0, 0]);
        assert!((balanced - (1.5 * 0.5 + 0.75 * 3.0)).abs() < 1e-15);
    }
}
