//! Nested cross-validation: what choosing C is worth on rows that had no part in the choice.
//!
//! The score of the best C of a cross-validation is optimistic, for C was chosen by it. Here rows are held out of the whole
//! selection, and the one head that it makes is scored on them, as Varma and Simon proposed (Bias in error estimation when using
//! cross-validation for model selection, BMC Bioinformatics 7:91, 2006). It judges the way to a head: each outer fold may choose
//! another C, and none of these heads is the one that is kept.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use std::time::Instant;

use crate::Error;
use crate::classifier::Verdicts;
use crate::criterion::{Measured, Metric, Said};
use crate::features::{Features, SomeRows};
use crate::folds::stratified_folds;
use crate::interval::{Estimate, student};
use crate::metrics::Metrics;
use crate::prepared::Prepared;
use crate::samples::Samples;
use crate::splits::Split;
use crate::spread::Spread;
use crate::train_params::TrainValidParams;
use crate::tuned::Tuned;

/// Scores of a selection on rows that it had not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NestedValidation {
    /// What each outer fold chose its C by, and what its score is.
    pub metric: Metric,
    /// Seed of the outer folds.
    pub seed: u64,
    /// One entry per outer fold.
    pub outer: Vec<OuterFold>,
    /// Mean of the metric over the outer folds that define it. The interval is Student's over the folds; there is none that is
    /// quite right, for the training rows of folds overlap (Bengio and Grandvalet 2004).
    pub score: Estimate,
    /// Standard error of that mean over the folds.
    pub score_standard_error: f64,
    /// Scores over all rows together, each predicted by the head of the fold that held it out.
    pub metrics: Metrics,
    /// What a reader of the scores should know.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
    /// Seconds of everything.
    pub seconds: f64,
}

/// What a selection without the rows of one outer fold came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OuterFold {
    /// What the inner folds chose.
    #[serde(flatten)]
    pub tuned: Tuned,
    /// Rows that chose and trained.
    pub n_train: usize,
    /// Rows that were held out, and scored.
    pub n_test: usize,
    /// The mean of the metric over the inner folds at that C.
    pub inner_score: f64,
    /// The metric on the held-out rows; none where they do not define it.
    pub score: Option<f64>,
    /// Accuracy on the held-out rows.
    pub accuracy: f64,
}

/// Outer folds, drawn and known to have rows enough of every class for the inner ones.
pub(crate) struct OuterFolds {
    splits: Vec<Split>,
}

impl OuterFolds {
    /// Draws the folds; groups stay whole. `count`: how many.
    ///
    /// # Errors
    /// Anything wrong with the samples, and classes too small for the outer folds, or in what is left for the inner ones.
    pub(crate) fn draw(samples: &Samples, params: &TrainValidParams, count: usize) -> Result<Self, Error> {
        samples.check()?;
        let fold_of = stratified_folds(samples.labels, samples.groups, samples.classes, count, params.seed())?;
        let splits: Vec<Split> = (0..count).map(|fold| Split::of(samples, &fold_of, fold)).collect();
        for (fold, split) in splits.iter().enumerate() {
            let of_fold = |source: Error| Error::OuterFold { fold: fold + 1, folds: count, source: Box::new(source) };
            if split.test.is_empty() {
                return Err(of_fold(Error::Split("it has no row to score".into())));
            }
            let pick = |values: &[usize]| split.train.iter().map(|&row| values[row]).collect::<Vec<_>>();
            let (labels, groups) = (pick(samples.labels), pick(samples.groups));
            let inner = params.validation().folds();
            stratified_folds(&labels, &groups, samples.classes, inner, params.seed()).map_err(of_fold)?;
        }
        Ok(Self { splits })
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.splits.len()
    }

    /// Selects, fits and scores once for each outer fold, one after another. `done` is called after each fit of an inner fold.
    ///
    /// # Errors
    /// Those of [`Prepared`], with the fold, and [`Error::UndefinedMetric`].
    pub(crate) fn validate(
        &self,
        samples: &Samples,
        params: &TrainValidParams,
        done: &(dyn Fn() + Sync),
    ) -> Result<NestedValidation, Error> {
        let started = Instant::now();
        let (metric, classes) = (params.search().compared_by(), samples.classes);
        let labels_of = |rows: &[usize]| rows.iter().map(|&row| samples.labels[row]).collect::<Vec<_>>();
        let truth: Vec<Vec<usize>> = self.splits.iter().map(|split| labels_of(&split.test)).collect();
        let mut warnings = metric.gaps(&truth, classes)?;
        let mut outer = Vec::new();
        let mut scores: Vec<Option<Measured>> = Vec::new();
        let mut predicted = Vec::new();
        let mut losses = Vec::new();
        for (fold, (split, truth)) in self.splits.iter().zip(&truth).enumerate() {
            let of_fold =
                |source| Error::OuterFold { fold: fold + 1, folds: self.splits.len(), source: Box::new(source) };
            let train = Rows::of(samples, &split.train);
            // Nothing is shared with the rows held out: means, deviations, coordinates and folds are made of the others alone.
            let (samples_of_fold, validation) = (train.samples(classes), params.validation());
            let memory = params.memory();
            let prepared = Prepared::within(memory, samples_of_fold, validation, params.scaling(), params.seed())
                .and_then(|prepared| prepared.for_heads(std::slice::from_ref(params.head())))
                .map_err(of_fold)?;
            let selection = prepared.cross_validate(params.head(), params.search(), done).map_err(of_fold)?;
            let best = selection.best();
            let fitted = prepared.fit(params.head(), best.tuned.value()).map_err(of_fold)?;
            if !fitted.report.certificate.converged {
                warnings.push(format!("outer fold {}: the fit at {} did not converge", fold + 1, best.tuned));
            }
            let verdicts = fitted.model.verdicts_of_rows(samples.features, &split.test).map_err(of_fold)?;
            let own_losses = fitted.model.log_losses(&verdicts, truth);
            let Verdicts { decision, predicted: own, .. } = verdicts;
            let said = Said { scores: decision.view(), predicted: &own, log_losses: own_losses.as_deref() };
            let score = metric.measure(&said, truth);
            let right = own.iter().zip(truth).filter(|(predicted, truth)| predicted == truth).count();
            outer.push(OuterFold {
                tuned: best.tuned,
                n_train: split.train.len(),
                n_test: split.test.len(),
                inner_score: best.mean_score,
                score: score.map(|score| score.value),
                accuracy: right as f64 / truth.len() as f64,
            });
            scores.push(score);
            predicted.extend(own);
            losses.extend(own_losses.unwrap_or_default());
        }
        let losses = params.head().kind.is_probabilistic().then_some(&losses[..]);
        let metrics = Metrics::new(classes, &truth.concat(), &predicted, losses);
        let spread = Spread::of(&scores, 1);
        let top = if metric.is_bounded() { 1.0 } else { f64::INFINITY };
        let defined = scores.iter().flatten().count();
        Ok(NestedValidation {
            metric,
            seed: params.seed(),
            outer,
            score: student(spread.mean, spread.standard_error, defined, (0.0, top)),
            score_standard_error: spread.standard_error,
            metrics,
            warnings,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

/// Some rows of samples.
struct Rows<'a> {
    features: Part<'a>,
    labels: Vec<usize>,
    groups: Vec<usize>,
    scored: Option<Vec<bool>>,
    weights: Option<Vec<f64>>,
}

/// Their features: copied, or read when they are needed.
enum Part<'a> {
    Memory(Array2<f32>),
    Stored(SomeRows<'a>),
}

impl<'a> Rows<'a> {
    fn of<'s: 'a>(samples: &Samples<'s>, rows: &'a [usize]) -> Self {
        Self {
            features: match samples.features.reborrow() {
                Features::Memory(view) => Part::Memory(view.select(Axis(0), rows)),
                Features::Stored(source) => Part::Stored(SomeRows { source, rows }),
            },
            labels: pick(samples.labels, rows),
            groups: pick(samples.groups, rows),
            scored: samples.scored.map(|scored| pick(scored, rows)),
            weights: samples.weights.map(|weights| pick(weights, rows)),
        }
    }

    fn samples<'b>(&'b self, classes: &'b [String]) -> Samples<'b> {
        Samples {
            features: match &self.features {
                Part::Memory(rows) => rows.view().into(),
                Part::Stored(source) => Features::Stored(source),
            },
            labels: &self.labels,
            groups: &self.groups,
            classes,
            scored: self.scored.as_deref(),
            weights: self.weights.as_deref(),
        }
    }
}

fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| values[row]).collect()
}
