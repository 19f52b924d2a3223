//! A head: a model, what it is to be applied to, and how it was trained.

use std::ops::Deref;

use headstart_cache::Provenance;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::calibration::{CalibrationSummary, ProbabilityTally};
use crate::classifier::Model;
use crate::criterion::{Metric, roc_auc};
use crate::engine::Certificate;
use crate::features::Features;
use crate::interval::Estimate;
use crate::metrics::Metrics;
use crate::params::{Bias, ClassWeight, DEFAULT_TOLERANCE, SvmLoss};
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
    /// What an SVM paid for rows within the margin; absent for other heads, and in files of headstart before it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<SvmLoss>,
    /// What the bias cost. Files of headstart before it could cost anything do not say.
    #[serde(default)]
    pub bias: Bias,
    /// What the certificate of each fit had to reach.
    #[serde(default = "default_tolerance")]
    pub tolerance: f64,
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

fn default_tolerance() -> f64 {
    DEFAULT_TOLERANCE
}

/// Scores a model (or a [`Head`]) on labelled raw features.
///
/// Each row is scored as it is; leave augmented views out before.
///
/// # Errors
/// [`Error::NoRows`], labels that do not fit the model's classes, and those of [`Model::decision`]; rows that cannot be read.
pub fn evaluate<'f>(model: &Model, features: impl Into<Features<'f>>, labels: &[usize]) -> Result<Metrics, Error> {
    Ok(evaluate_each(model, features, labels)?.0)
}

/// [`evaluate`], with the class that each row was taken for.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_each<'f>(
    model: &Model,
    features: impl Into<Features<'f>>,
    labels: &[usize],
) -> Result<(Metrics, Vec<usize>), Error> {
    let features = features.into();
    if features.nrows() == 0 {
        return Err(Error::NoRows);
    }
    if labels.len() != features.nrows() {
        return Err(Error::Length { what: "the labels array", got: labels.len(), rows: features.nrows() });
    }
    samples::check_labels(labels, model.classes().len())?;
    model.check_width(features.ncols())?;
    features.check_finite()?;
    evaluate_rows(model, features, &(0..labels.len()).collect::<Vec<_>>(), labels)
}

/// Scores that are in memory at once.
const MOST_SCORES: usize = 1 << 22;
/// Scores up to which all are kept for the area under the ROC curve, which needs them together: 256 MB.
const MOST_KEPT: usize = 1 << 25;

/// Scores a model on the rows of these numbers, which have these labels, some rows at a time, and says what it took each for.
///
/// # Errors
/// When rows cannot be read.
pub(crate) fn evaluate_rows(
    model: &Model,
    features: Features,
    rows: &[usize],
    labels: &[usize],
) -> Result<(Metrics, Vec<usize>), Error> {
    let classes = model.classes().len();
    let mut kept = (rows.len() * classes <= MOST_KEPT).then(|| Vec::with_capacity(rows.len() * classes));
    let (mut predicted, mut losses) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let mut tally = ProbabilityTally::default();
    let chunk = (MOST_SCORES / classes).max(1);
    for (rows, labels) in rows.chunks(chunk).zip(labels.chunks(chunk)) {
        let verdicts = model.verdicts_of_rows(features, rows)?;
        if let (Some(probabilities), Some(own)) = (&verdicts.probabilities, model.log_losses(&verdicts, labels)) {
            tally.add(probabilities.view(), &verdicts.predicted, &own, labels);
            losses.extend(own);
        }
        predicted.extend(verdicts.predicted);
        if let Some(kept) = &mut kept {
            kept.extend(verdicts.decision.iter().copied());
        }
    }
    let losses = model.has_probabilities().then_some(&losses[..]);
    let mut metrics = Metrics::new(model.classes(), labels, &predicted, losses).with_probabilities(tally.scores());
    // A score for each row and class, so the shape fits.
    let kept = kept.and_then(|kept| Array2::from_shape_vec((rows.len(), classes), kept).ok());
    metrics.auc = kept.and_then(|kept| roc_auc(kept.view(), labels));
    Ok((metrics, predicted))
}
