//! Scores of predictions against labels.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::calibration::ProbabilityScores;
use crate::criterion::Metric;
use crate::interval::{Estimate, mean_of_proportions, wilson};

/// How good predictions are; everything with the number of rows it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of rows scored.
    pub n: usize,
    /// Share of rows predicted right, with Wilson's 95 % interval.
    pub accuracy: Estimate,
    /// Mean recall over the classes that occur, with a 95 % interval.
    pub balanced_accuracy: Estimate,
    /// Mean negative log-likelihood of the true class in nats, for heads with probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_loss: Option<f64>,
    /// Expected calibration error, for heads with probabilities; see [`ProbabilityScores`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expected_calibration_error: Option<f64>,
    /// Brier score over all classes, 0 to 2, for heads with probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub brier: Option<f64>,
    /// Area under the ROC curve, over several classes the mean of each against the rest, where one model scored all rows
    /// and some class is neither absent nor alone; see [`crate::Metric::Auc`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auc: Option<f64>,
    /// One entry per class, in the order of the head.
    pub per_class: Vec<ClassMetrics>,
    /// `confusion[t][p]`: rows of class `t` predicted as class `p`.
    pub confusion: Vec<Vec<usize>>,
}

/// How good predictions are for one class. Ratios of nothing to nothing are absent, not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Name of the class.
    pub class: String,
    /// Rows of this class.
    pub support: usize,
    /// Rows predicted as this class.
    pub predicted: usize,
    /// Share of the rows predicted as this class that are of it.
    pub precision: Option<f64>,
    /// Share of the rows of this class that were predicted as it.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
}

impl Metrics {
    /// Scores predicted class indices against true ones.
    ///
    /// `log_losses`: the negative log-likelihood of each row's true class, in nats.
    ///
    /// # Panics
    /// If the arrays differ in length or hold an index that is no class.
    pub fn new(classes: &[String], truth: &[usize], predicted: &[usize], log_losses: Option<&[f64]>) -> Self {
        assert_eq!(truth.len(), predicted.len(), "one prediction per row");
        let mut confusion = vec![vec![0usize; classes.len()]; classes.len()];
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            confusion[truth][predicted] += 1;
        }
        let right: usize = (0..classes.len()).map(|class| confusion[class][class]).sum();
        let ratio = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        let per_class: Vec<ClassMetrics> = classes
            .iter()
            .enumerate()
            .map(|(class, name)| {
                let hits = confusion[class][class];
                let support = confusion[class].iter().sum();
                let predicted = confusion.iter().map(|row| row[class]).sum();
                ClassMetrics {
                    class: name.clone(),
                    support,
                    predicted,
                    precision: ratio(hits, predicted),
                    recall: ratio(hits, support),
                    f1: ratio(2 * hits, support + predicted),
                }
            })
            .collect();
        Self {
            n: truth.len(),
            accuracy: wilson(right, truth.len()),
            balanced_accuracy: mean_of_proportions(
                per_class.iter().enumerate().map(|(class, scores)| (confusion[class][class], scores.support)),
            ),
            log_loss: log_losses
                .filter(|losses| !losses.is_empty())
                .map(|losses| losses.iter().sum::<f64>() / losses.len() as f64),
            expected_calibration_error: None,
            brier: None,
            auc: None,
            per_class,
            confusion,
        }
    }

    /// The same with what the probabilities are worth.
    pub(crate) fn with_probabilities(self, scores: Option<ProbabilityScores>) -> Self {
        Self {
            expected_calibration_error: scores.map(|scores| scores.expected_calibration_error),
            brier: scores.map(|scores| scores.brier),
            ..self
        }
    }
}

impl Metrics {
    /// The value of one metric, where it is known.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Accuracy => Some(self.accuracy.value),
            Metric::Balanced => Some(self.balanced_accuracy.value),
            Metric::LogLoss => self.log_loss,
            Metric::Auc => self.auc,
        }
    }
}

/// Index of the largest score in each row; the first of equals.
pub(crate) fn argmax_rows(scores: ArrayView2<f64>) -> Vec<usize> {
    let best = |(best, top): (usize, f64), (index, &score): (usize, &f64)| {
        if score > top { (index, score) } else { (best, top) }
    };
    scores.outer_iter().map(|row| row.iter().enumerate().fold((0, f64::NEG_INFINITY), best).0).collect()
}

/// log Σ exp of one row of scores, safe for scores of any size.
pub(crate) fn log_sum_exp<'a>(scores: impl Iterator<Item = &'a f64> + Clone) -> f64 {
    let top = scores.clone().fold(f64::NEG_INFINITY, |top, &score| top.max(score));
    top + scores.map(|&score| (score - top).exp()).sum::<f64>().ln()
}

/// Negative log-likelihood of each row's true class when the scores are logits, in nats.
pub(crate) fn log_losses(scores: ArrayView2<f64>, truth: &[usize]) -> Vec<f64> {
    // Rounding can put the difference a hair below 0 when the true class has all the probability.
    scores.outer_iter().zip(truth).map(|(row, &truth)| (log_sum_exp(row.iter()) - row[truth]).max(0.0)).collect()
}

/// Turns each row of logits into probabilities, in place.
pub(crate) fn softmax_rows(scores: &mut Array2<f64>) {
    for mut row in scores.outer_iter_mut() {
        // Divided by their own sum, so that it is 1 however large the scores are.
        let top = row.fold(f64::NEG_INFINITY, |top, &score| top.max(score));
        row.mapv_inplace(|score| (score - top).exp());
        let sum = row.sum();
        row /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn names() -> Vec<String> {
        ["cat", "dog", "fox"].map(String::from).to_vec()
    }

    #[test]
    fn by_hand() {
        let truth = [0, 0, 0, 0, 1, 1];
        let metrics = Metrics::new(&names(), &truth, &[0, 0, 0, 1, 1, 0], Some(&[0.5, 0.5, 0.5, 1.5, 0.5, 2.5]));
        assert_eq!(metrics.confusion, [[3, 1, 0], [1, 1, 0], [0, 0, 0]]);
        assert!((metrics.accuracy.value - 4.0 / 6.0).abs() < 1e-15);
        assert!((metrics.balanced_accuracy.value - (0.75 + 0.5) / 2.0).abs() < 1e-15, "the fox never occurs");
        assert_eq!(metrics.log_loss, Some(1.0));
        let cat = &metrics.per_class[0];
        assert_eq!((cat.precision, cat.recall, cat.f1, cat.support), (Some(0.75), Some(0.75), Some(0.75), 4));
        let fox = &metrics.per_class[2];
        assert_eq!((fox.precision, fox.recall, fox.f1, fox.support), (None, None, None, 0));
    }

    #[test]
    fn survives_json() {
        let metrics = Metrics::new(&names(), &[0, 1, 2], &[0, 1, 1], None);
        let text = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
    }

    #[test]
    fn huge_logits_neither_overflow_nor_lose_the_loss() {
        let scores = array![[1000.0, 0.0], [-1e5, 1e5]];
        assert_eq!(log_losses(scores.view(), &[1, 0]), [1000.0, 2e5]);
        let mut probabilities = scores;
        softmax_rows(&mut probabilities);
        assert_eq!(probabilities, array![[1.0, 0.0], [0.0, 1.0]]);
        let mut equal = array![[1e9 / 3.0, 1e9 / 3.0]];
        softmax_rows(&mut equal);
        assert_eq!(equal, array![[0.5, 0.5]]);
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(argmax_rows(array![[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]].view()), [0, 1]);
    }
}
