//! What cross-validation found, and which C it recommends.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::classifier::own_log_losses;
use crate::criterion::{Measured, Metric, Said};
use crate::engine::{Certificate, Measure};
use crate::grid::around;
use crate::metrics::Metrics;
use crate::params::HeadKind;
use crate::spread::Spread;
use crate::tuned::Tuned;

/// How the validation rows were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Stratified k-fold over groups.
    KFold,
    /// One fixed split.
    Holdout,
    /// None.
    None,
}

/// Scores of every C, and the predictions of the best on rows it had not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// How the validation rows were chosen.
    pub scheme: Scheme,
    /// Number of folds of each repeat; 1 for a fixed split.
    pub folds: usize,
    /// How often the rows were dealt out to folds.
    pub repeats: usize,
    /// Seed of the folds, of the first repeat; the others follow it.
    pub seed: u64,
    /// What C was chosen by: what `fold_score` and the other scores of a point are.
    pub metric: Metric,
    /// One entry per C, by ascending C.
    pub points: Vec<GridPoint>,
    /// Index into `points` of the best mean of the metric; of equals the one of the smoothest model: the smallest C, the most
    /// neighbours.
    pub best: usize,
    /// Scores of the best C over all rows, each predicted by the model that had not seen it; with several repeats that of the
    /// first, so that every row counts once. C was chosen on the same rows, so this is slightly optimistic.
    pub out_of_fold: Metrics,
    /// Folds that lack rows of a class, where that matters for the metric.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub gaps: Vec<String>,
    /// Seconds of all fits together, as the clock on the wall saw them.
    pub seconds: f64,
}

/// Scores of one C.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// Where on the grid.
    #[serde(flatten)]
    pub tuned: Tuned,
    /// 0 for the candidates given, 1 and more for those that were tried around the best.
    pub round: usize,
    /// The metric on each fold, repeat after repeat; none where its rows do not define it.
    pub fold_score: Vec<Option<f64>>,
    /// Mean of the folds' scores, of those that there are.
    pub mean_score: f64,
    /// Standard error of that mean: over the folds, corrected for what repeats share (Nadeau and Bengio 2003: the variance of
    /// J folds times 1/J + n_test/n_train), or for a fixed split from the spread of its rows.
    pub score_standard_error: f64,
    /// Accuracy on each fold, repeat after repeat.
    pub fold_accuracy: Vec<f64>,
    /// Mean of the folds' accuracies.
    pub mean_accuracy: f64,
    /// Standard error of that mean, made likewise.
    pub accuracy_standard_error: f64,
    /// Mean negative log-likelihood over all held-out rows of all repeats in nats, for heads with probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_loss: Option<f64>,
    /// `C · Σ loss + ½‖W‖²` on each fold's training rows; empty for heads that do not minimise it.
    pub fold_objective: Vec<f64>,
    /// The worst certificate among the folds.
    pub certificate: Certificate,
    /// Solver iterations over all folds, where known.
    pub iterations: Option<usize>,
}

/// Result of one C on one fold.
pub(crate) struct FoldScore {
    pub(crate) predicted: Vec<usize>,
    pub(crate) log_losses: Option<Vec<f64>>,
    /// The metric; none where the fold does not define it.
    pub(crate) score: Option<Measured>,
    pub(crate) accuracy: Option<Measured>,
    pub(crate) objective: Option<f64>,
    pub(crate) certificate: Certificate,
    pub(crate) iterations: Option<usize>,
}

impl FoldScore {
    /// Scores of the held-out rows of a fold: n × k of them, and the classes that they say.
    pub(crate) fn new(
        kind: HeadKind,
        metric: Metric,
        scores: ArrayView2<f64>,
        predicted: Vec<usize>,
        truth: &[usize],
    ) -> Self {
        let log_losses = kind.is_probabilistic().then(|| own_log_losses(kind, scores, truth));
        let said = Said { scores: scores.reborrow(), predicted: &predicted, log_losses: log_losses.as_deref() };
        Self {
            score: metric.measure(&said, truth),
            accuracy: Metric::Accuracy.measure(&said, truth),
            predicted,
            log_losses,
            objective: None,
            certificate: Certificate::new(Measure::ClosedForm, 0.0, 0.0),
            iterations: None,
        }
    }

    /// The same with how the fit went.
    pub(crate) fn solved(self, objective: Option<f64>, certificate: Certificate, iterations: Option<usize>) -> Self {
        Self { objective, certificate, iterations, ..self }
    }
}

/// What all points of a selection share.
pub(crate) struct Setting<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) repeats: usize,
    pub(crate) seed: u64,
    pub(crate) kind: HeadKind,
    pub(crate) metric: Metric,
    pub(crate) classes: &'a [String],
    /// Labels of each fold's held-out rows.
    pub(crate) truth: &'a [Vec<usize>],
}

/// The values of C tried so far.
pub(crate) struct Tried<'a> {
    setting: Setting<'a>,
    gaps: Vec<String>,
    /// Ascending along the grid.
    points: Vec<GridPoint>,
    /// Beside each point the results of its folds.
    scores: Vec<Vec<FoldScore>>,
}

impl<'a> Tried<'a> {
    /// None yet.
    ///
    /// # Errors
    /// [`Error::UndefinedMetric`] where no fold defines the metric.
    pub(crate) fn new(setting: Setting<'a>) -> Result<Self, Error> {
        let gaps = setting.metric.gaps(setting.truth, setting.classes)?;
        Ok(Self { setting, gaps, points: Vec::new(), scores: Vec::new() })
    }

    /// Adds values of C, each with a result for every fold. `scores[fold][index of c]`.
    pub(crate) fn add(&mut self, round: usize, cs: &[f64], scores: Vec<Vec<FoldScore>>) {
        let mut folds: Vec<_> = scores.into_iter().map(Vec::into_iter).collect();
        for &c in cs {
            let scores: Vec<FoldScore> = folds.iter_mut().filter_map(Iterator::next).collect();
            let place = self.points.partition_point(|point| point.tuned.value() < c);
            self.points
                .insert(place, grid_point(Tuned::of(self.setting.kind, c), round, self.setting.repeats, &scores));
            self.scores.insert(place, scores);
        }
    }

    /// Values of C to try around the best.
    pub(crate) fn around_best(&self) -> Vec<f64> {
        let cs: Vec<f64> = self.points.iter().map(|point| point.tuned.value()).collect();
        around(&cs, best_point(self.setting.metric, &self.points))
    }

    /// The best of them, and what it predicted.
    pub(crate) fn finish(self, seconds: f64) -> CrossValidation {
        let Setting { scheme, repeats, seed, metric, classes, truth, .. } = self.setting;
        let best = best_point(metric, &self.points);
        let folds = truth.len() / repeats;
        let chosen = &self.scores[best][..folds];
        let predicted: Vec<usize> = chosen.iter().flat_map(|fold| fold.predicted.iter().copied()).collect();
        let losses = chosen.iter().map(|fold| fold.log_losses.as_deref()).collect::<Option<Vec<_>>>();
        let losses = losses.map(|losses| losses.concat());
        let out_of_fold = Metrics::new(classes, &truth[..folds].concat(), &predicted, losses.as_deref());
        let Self { points, gaps, .. } = self;
        CrossValidation { scheme, folds, repeats, seed, metric, points, best, out_of_fold, gaps, seconds }
    }
}

impl CrossValidation {
    /// The recommended point.
    pub fn best(&self) -> &GridPoint {
        &self.points[self.best]
    }

    /// What a reader of the scores should know: fits that did not converge, a best C at the end of the grid, folds that lack
    /// rows of a class.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .points
            .iter()
            .filter(|point| !point.certificate.converged)
            .map(|point| {
                let Certificate { measure, value, tolerance, .. } = &point.certificate;
                format!("{}: not converged ({measure:?} {value:.1e}, wanted {tolerance:.0e})", point.tuned)
            })
            .collect();
        let best = self.best().tuned;
        let smaller = self.points.iter().any(|point| point.tuned.value() < best.value());
        let larger = self.points.iter().any(|point| point.tuned.value() > best.value());
        // Fewer than one neighbour there are not.
        if smaller != larger && best != Tuned::Neighbors(1) {
            let end = if larger { "smallest" } else { "largest" };
            let (symbol, value) = (best.symbol().unwrap_or("one"), best.value());
            warnings.push(format!("the best {symbol}, {value}, is the {end} one tried; a wider grid may do better"));
        }
        warnings.extend(self.gaps.iter().cloned());
        warnings
    }
}

fn grid_point(tuned: Tuned, round: usize, repeats: usize, folds: &[FoldScore]) -> GridPoint {
    let scores: Vec<Option<Measured>> = folds.iter().map(|fold| fold.score).collect();
    let accuracies: Vec<Option<Measured>> = folds.iter().map(|fold| fold.accuracy).collect();
    let (score, accuracy) = (Spread::of(&scores, repeats), Spread::of(&accuracies, repeats));
    // Of equal certificates the first.
    let worst = folds.iter().map(|fold| &fold.certificate).reduce(|a, b| if b.value > a.value { b } else { a });
    let losses = folds.iter().map(|fold| fold.log_losses.as_deref()).collect::<Option<Vec<_>>>();
    let rows: usize = folds.iter().map(|fold| fold.predicted.len()).sum();
    GridPoint {
        tuned,
        round,
        fold_score: scores.iter().map(|fold| fold.map(|measured| measured.value)).collect(),
        mean_score: score.mean,
        score_standard_error: score.standard_error,
        fold_accuracy: accuracies.iter().flatten().map(|measured| measured.value).collect(),
        mean_accuracy: accuracy.mean,
        accuracy_standard_error: accuracy.standard_error,
        log_loss: losses.map(|losses| losses.iter().copied().flatten().sum::<f64>() / rows as f64),
        fold_objective: folds.iter().filter_map(|fold| fold.objective).collect(),
        certificate: worst.cloned().unwrap_or_else(|| Certificate::new(Measure::RelativeWeightError, 0.0, 0.0)),
        iterations: folds.iter().map(|fold| fold.iterations).sum(),
    }
}

/// The best mean; means that differ by rounding alone are equal, and of equals the smoothest model wins.
fn best_point(metric: Metric, points: &[GridPoint]) -> usize {
    let merit = |point: &GridPoint| metric.merit(point.mean_score);
    let top = points.iter().map(merit).fold(f64::NEG_INFINITY, f64::max);
    (0..points.len())
        .filter(|&index| merit(&points[index]) > top - 1e-12)
        .min_by(|&a, &b| points[a].tuned.roughness().total_cmp(&points[b].tuned.roughness()))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// What two classes are predicted as against what they are.
    fn fold(predicted: &[usize], truth: &[usize], error: f64) -> FoldScore {
        let scores = Array2::from_shape_fn((truth.len(), 2), |(row, class)| f64::from(predicted[row] == class));
        let certificate = Certificate::new(Measure::RelativeDualityGap, error, 1e-4);
        FoldScore::new(HeadKind::Svm, Metric::Accuracy, scores.view(), predicted.to_vec(), truth).solved(
            Some(1.0),
            certificate,
            None,
        )
    }

    fn cross_validation(cs: &[f64], scores: Vec<Vec<FoldScore>>, truth: &[Vec<usize>]) -> CrossValidation {
        let classes: Vec<String> = vec!["a".into(), "b".into()];
        let (scheme, metric) = (Scheme::KFold, Metric::Accuracy);
        let kind = HeadKind::Svm;
        let setting = Setting { scheme, repeats: 1, seed: 0, kind, metric, classes: &classes, truth };
        let mut tried = Tried::new(setting).unwrap();
        tried.add(0, cs, scores);
        tried.finish(0.0)
    }

    #[test]
    fn scores_by_hand_and_ties_to_the_smallest_c() {
        // Two C are right on 3 of 4 in one fold and 2 of 2 in the other, in different places.
        let truth = [vec![0, 0, 1, 1], vec![0, 1]];
        let first = |predicted: &[usize], error| fold(predicted, &truth[0], error);
        let second = || fold(&[0, 1], &truth[1], 0.0);
        let scores = vec![
            vec![first(&[0, 0, 1, 0], 0.0), first(&[0, 0, 0, 1], 0.0), first(&[1, 1, 0, 0], 0.5)],
            vec![second(), second(), second()],
        ];
        let found = cross_validation(&[10.0, 1.0, 0.1], scores, &truth);
        let point = &found.points[2];
        assert_eq!(found.points.iter().map(|point| point.tuned.value()).collect::<Vec<_>>(), [0.1, 1.0, 10.0]);
        assert_eq!(point.fold_accuracy, [0.75, 1.0]);
        assert_eq!(point.fold_score, [Some(0.75), Some(1.0)]);
        assert_eq!((point.mean_accuracy, point.mean_score), (0.875, 0.875));
        assert!((point.accuracy_standard_error - 0.125).abs() < 1e-15);
        assert_eq!(found.best().tuned, Tuned::C(1.0));
        assert_eq!(found.out_of_fold.confusion, [[3, 0], [1, 2]]);
        let warnings = found.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("C = 0.1: not converged"), "{warnings:?}");
    }

    #[test]
    fn the_end_of_the_grid_is_mentioned() {
        let truth = [vec![0, 1]];
        let scores = vec![vec![fold(&[0, 0], &truth[0], 0.0), fold(&[0, 1], &truth[0], 0.0)]];
        let found = cross_validation(&[1.0, 10.0], scores, &truth);
        assert!(found.warnings()[0].contains("largest"), "{:?}", found.warnings());
        let one = cross_validation(&[1.0], vec![vec![fold(&[0, 0], &truth[0], 0.0)]], &truth);
        assert!(one.warnings().is_empty());
        let binomial = (0.25f64 / 2.0).sqrt();
        assert!((one.best().accuracy_standard_error - binomial).abs() < 1e-15, "binomial for a single split");
    }
}
