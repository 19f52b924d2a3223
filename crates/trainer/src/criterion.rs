//! What candidates are compared by: accuracy, balanced accuracy, log-loss or the area under the ROC curve.

use std::collections::BTreeSet;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::params::HeadKind;
use crate::roc::{RocCurve, ranked_classes};

/// What C, and in a sweep layer and head, are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Share of rows predicted right.
    #[default]
    Accuracy,
    /// Mean recall over the classes that occur, as scikit-learn's `balanced_accuracy_score`.
    Balanced,
    /// Mean negative log-likelihood of the true class in nats; the lower, the better. Only of heads with probabilities.
    LogLoss,
    /// Area under the ROC curve of the scores, ties counted half. Several classes: the mean over each against the rest, as
    /// scikit-learn's `roc_auc_score(average="macro")` on one column of scores for each class. Columns are scores as
    /// [`crate::LinearModel::decision`] gives them: the softmax of several logits is no monotone map of one of them, so that
    /// probabilities would give other areas.
    Auc,
}

/// The value of a metric on one set of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// The metric itself.
    pub(crate) value: f64,
    /// Its standard error as far as these rows are a sample of others, from how much each of them sways the value (the
    /// infinitesimal jackknife of Efron 1982): for accuracy that of the binomial distribution, for the AUC that of DeLong,
    /// DeLong and Clarke-Pearson 1988 up to a factor of n / (n − 1).
    pub(crate) standard_error: f64,
}

/// What is said of some rows.
pub(crate) struct Said<'a> {
    /// n × k scores.
    pub(crate) scores: ArrayView2<'a, f64>,
    /// The class of each row, which need not be the first of the best scores.
    pub(crate) predicted: &'a [usize],
    /// Negative log-likelihoods of the true classes, where there are probabilities.
    pub(crate) log_losses: Option<&'a [f64]>,
}

impl Metric {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Balanced => "balanced",
            Self::LogLoss => "logloss",
            Self::Auc => "auc",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Balanced => "balanced accuracy",
            Self::LogLoss => "log-loss",
            Self::Auc => "AUC",
        }
    }

    /// Whether it is shown in percent.
    pub fn is_percentage(self) -> bool {
        matches!(self, Self::Accuracy | Self::Balanced)
    }

    /// Whether it lies between 0 and 1.
    pub fn is_bounded(self) -> bool {
        self != Self::LogLoss
    }

    /// What follows its numbers, with the space before it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Accuracy | Self::Balanced => " %",
            Self::LogLoss => " nats",
            Self::Auc => "",
        }
    }

    /// A value, or a standard error, as people read it, without its unit: 0.8475 is `84.8` for an accuracy and `0.8475` else.
    pub fn digits(self, value: f64) -> String {
        match (value.is_finite(), self.is_percentage()) {
            (false, _) => "–".into(),
            (true, true) => format!("{:.1}", 100.0 * value),
            (true, false) => format!("{value:.4}"),
        }
    }

    /// A difference of two values as people read it, with its sign unless it rounds to nothing.
    pub fn signed_digits(self, difference: f64) -> String {
        let digits = self.digits(difference.abs());
        match digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            true => digits,
            false => format!("{}{digits}", if difference > 0.0 { '+' } else { '−' }),
        }
    }

    /// The value as a number of which the higher is the better one.
    pub fn merit(self, value: f64) -> f64 {
        if self == Self::LogLoss { -value } else { value }
    }

    /// Refuses heads that the metric cannot judge.
    ///
    /// # Errors
    /// [`Error::Parameter`] for log-loss and a head without probabilities.
    pub fn check(self, kind: HeadKind) -> Result<(), Error> {
        if self == Self::LogLoss && !kind.is_probabilistic() {
            return Err(Error::Parameter {
                name: "--metric",
                value: format!("logloss, but heads of kind {kind} give no probabilities"),
                wanted: "choose accuracy, balanced or auc, or train logistic and knn heads only",
            });
        }
        Ok(())
    }

    /// The metric of what is said of n rows against their labels; none where these rows do not define it.
    pub(crate) fn measure(self, said: &Said, truth: &[usize]) -> Option<Measured> {
        match self {
            Self::Accuracy => {
                let right = said.predicted.iter().zip(truth).map(|(predicted, truth)| predicted == truth);
                mean(&right.map(|right| f64::from(u8::from(right))).collect::<Vec<_>>())
            }
            Self::Balanced => balanced(said.predicted, truth, said.scores.ncols()),
            Self::LogLoss => mean(said.log_losses?),
            Self::Auc => auc(said.scores, truth),
        }
    }

    /// What a reader should know about folds that lack rows of some class. `folds`: the labels of each fold's scored rows.
    ///
    /// # Errors
    /// [`Error::UndefinedMetric`] where no fold defines the metric.
    pub(crate) fn gaps(self, folds: &[Vec<usize>], classes: &[String]) -> Result<Vec<String>, Error> {
        if matches!(self, Self::Accuracy | Self::LogLoss) {
            return Ok(Vec::new());
        }
        let count = classes.len();
        let undefined = |fold: &Vec<usize>| self == Self::Auc && ranked_classes(fold, count).is_empty();
        let (empty, defined): (Vec<_>, Vec<_>) = folds.iter().partition(|fold| undefined(fold));
        if defined.is_empty() {
            return Err(Error::UndefinedMetric(self.title()));
        }
        let absent: Vec<Vec<usize>> = defined.iter().map(|fold| absent_classes(fold, count)).collect();
        let partial = absent.iter().filter(|absent| !absent.is_empty()).count();
        let (title, all) = (self.title(), folds.len());
        let mut gaps = Vec::new();
        if partial > 0 {
            let missing: BTreeSet<usize> = absent.into_iter().flatten().collect();
            let names: Vec<String> = missing.iter().map(|&class| format!("'{}'", classes[class])).collect();
            let place = if all == 1 { "the split lacks".into() } else { format!("{partial} of {all} folds lack") };
            gaps.push(format!(
                "{place} held-out rows of {}: there the {title} is the mean over the other classes",
                names.join(", ")
            ));
        }
        if !empty.is_empty() {
            gaps.push(format!(
                "in {} of {all} folds all held-out rows are of one class: they do not count for the {title}",
                empty.len()
            ));
        }
        Ok(gaps)
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

impl std::str::FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Accuracy, Self::Balanced, Self::LogLoss, Self::Auc]
            .into_iter()
            .find(|metric| metric.name() == text)
            .ok_or(Error::Parameter {
                name: "--metric",
                value: format!("'{text}'"),
                wanted: "choose accuracy, balanced, logloss or auc",
            })
    }
}

/// Area under the ROC curve of n × k scores, as [`Metric::Auc`] says: of classes that occur, but not in every row; none where
/// there is no such class.
pub(crate) fn roc_auc(scores: ArrayView2<f64>, truth: &[usize]) -> Option<f64> {
    auc(scores, truth).map(|measured| measured.value)
}

fn mean(values: &[f64]) -> Option<Measured> {
    let value = values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then(|| measured(value, values.iter().map(|one| one - value)))
}

fn balanced(predicted: &[usize], truth: &[usize], classes: usize) -> Option<Measured> {
    let mut right = vec![0usize; classes];
    let mut rows = vec![0usize; classes];
    for (&predicted, &truth) in predicted.iter().zip(truth) {
        rows[truth] += 1;
        right[truth] += usize::from(predicted == truth);
    }
    let present = rows.iter().filter(|&&rows| rows > 0).count();
    let recall = |class: usize| right[class] as f64 / rows[class] as f64;
    let value = (0..classes).filter(|&class| rows[class] > 0).map(recall).sum::<f64>() / present as f64;
    let sway = predicted.iter().zip(truth).map(|(predicted, &class)| {
        let weight = truth.len() as f64 / (present * rows[class]) as f64;
        weight * (f64::from(u8::from(*predicted == class)) - recall(class))
    });
    (present > 0).then(|| measured(value, sway))
}

/// The classes that no row has.
fn absent_classes(truth: &[usize], classes: usize) -> Vec<usize> {
    let mut present = vec![false; classes];
    truth.iter().for_each(|&class| present[class] = true);
    (0..classes).filter(|&class| !present[class]).collect()
}

fn auc(scores: ArrayView2<f64>, truth: &[usize]) -> Option<Measured> {
    let classes = ranked_classes(truth, scores.ncols());
    // The two scores of two classes are each other's negatives and their curves the same.
    let classes = if scores.ncols() == 2 { &classes[..classes.len().min(1)] } else { &classes[..] };
    if classes.is_empty() {
        return None;
    }
    let mut value = 0.0;
    let mut sway = vec![0.0; truth.len()];
    for &class in classes {
        let positive: Vec<bool> = truth.iter().map(|&truth| truth == class).collect();
        let curve = RocCurve::new(scores.column(class), &positive);
        value += curve.area / classes.len() as f64;
        for (sway, (placement, &positive)) in sway.iter_mut().zip(curve.placements.iter().zip(&positive)) {
            let side = if positive { curve.positives } else { truth.len() - curve.positives };
            *sway += (placement - curve.area) * truth.len() as f64 / side as f64 / classes.len() as f64;
        }
    }
    Some(measured(value, sway.into_iter()))
}

/// `sway`: how much each row moves the value, times the number of rows.
fn measured(value: f64, sway: impl ExactSizeIterator<Item = f64>) -> Measured {
    let rows = sway.len() as f64;
    Measured { value, standard_error: sway.map(|sway| sway * sway).sum::<f64>().sqrt() / rows }
}

#[cfg(test)]
mod tests;
