//! A head: a model, what it is to be applied to, and how it was trained.

use std::ops::Deref;

use headstart_cache::Provenance;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::calibration::{CalibrationSummary, ProbabilityScores};
use crate::classifier::Model;
use crate::criterion::{Metric, roc_auc};
use crate::engine::Certificate;
use crate::interval::Estimate;
use crate::metrics::Metrics;
use crate::params::ClassWeight;
use crate::selection::Scheme;
use crate::{Error, samples};

/// A classifier on the vectors of one layer, with all that is needed to make those vectors again.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The model itself; its methods are the head's (a head derefs to it).
    pub model: Model,
    /// What vectors it takes.
    pub source: Source,
    /// How it was trained.
    pub training: TrainingSummary,
}

impl Deref for Head {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

/// Where a head's vectors come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Layer spec as in the cache, pool included: `layer4:gap`.
    pub layer: String,
    /// The pool of the layer spec: `gap`.
    pub pool: String,
    /// Provenance of the cache: backbone, weights, preprocessing. Absent only for vectors that came from no cache.
    pub provenance: Option<Provenance>,
}

/// How a head was trained, for people and reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Version of headstart.
    pub tool_version: String,
    /// Name of the solver.
    pub engine: String,
    /// Training rows.
    pub n: usize,
    /// Training rows of each class, in the order of the classes.
    pub class_counts: Vec<usize>,
    /// Whether features were standardised (the weights act on raw features all the same).
    pub standardize: bool,
    /// How much rows counted, by class.
    pub class_weight: ClassWeight,
    /// Seed of the folds.
    pub seed: u64,
    /// How C was chosen.
    pub scheme: Scheme,
    /// Folds of that choice.
    pub folds: usize,
    /// How often the rows were dealt out to folds; in files of older versions always once.
    #[serde(default = "once")]
    pub repeats: usize,
    /// Mean accuracy over the folds at the chosen C, if there were any.
    pub cv_mean: Option<f64>,
    /// Standard error of that accuracy.
    pub cv_standard_error: Option<f64>,
    /// What C was chosen by; in files of older versions always accuracy.
    #[serde(default)]
    pub metric: Metric,
    /// Mean of that metric over the folds at the chosen C, if there were any.
    #[serde(default)]
    pub cv_score: Option<f64>,
    /// Its standard error.
    #[serde(default)]
    pub cv_score_standard_error: Option<f64>,
    /// Accuracy over all held-out rows, with interval.
    pub cv_accuracy: Option<Estimate>,
    /// Accuracy by nested cross-validation, with interval, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nested_accuracy: Option<Estimate>,
    /// Objective on the training rows, for heads that have one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub objective: Option<f64>,
    /// How close to the optimum the weights are.
    pub certificate: Certificate,
    /// How the probabilities were calibrated; none if they were not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<CalibrationSummary>,
}

fn once() -> usize {
    1
}

/// Scores a model (or a [`Head`]) on labelled raw features.
///
/// Each row is scored as it is; leave augmented views out before.
///
/// # Errors
/// [`Error::NoRows`], labels that do not fit the model's classes, and those of [`Model::decision`].
pub fn evaluate(model: &Model, features: ArrayView2<f32>, labels: &[usize]) -> Result<Metrics, Error> {
    if features.nrows() == 0 {
        return Err(Error::NoRows);
    }
    if labels.len() != features.nrows() {
        return Err(Error::Length { what: "the labels array", got: labels.len(), rows: features.nrows() });
    }
    samples::check_labels(labels, model.classes().len())?;
    let verdicts = model.verdicts(features)?;
    let losses = model.log_losses(&verdicts, labels);
    let mut metrics = Metrics::new(model.classes(), labels, &verdicts.predicted, losses.as_deref());
    metrics.auc = roc_auc(verdicts.decision.view(), labels);
    Ok(match verdicts.probabilities.as_ref().zip(losses) {
        None => metrics,
        Some((probabilities, losses)) => metrics.with_probabilities(ProbabilityScores::new(
            probabilities.view(),
            &verdicts.predicted,
            &losses,
            labels,
        )),
    })
}
