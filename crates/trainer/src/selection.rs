//! What cross-validation found, and which C it recommends.

use serde::{Deserialize, Serialize};

use crate::engine::Certificate;
use crate::metrics::Metrics;
use crate::params::HeadKind;
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
    /// Number of folds; 1 for a fixed split.
    pub folds: usize,
    /// Seed of the folds.
    pub seed: u64,
    /// One entry per C.
    pub points: Vec<GridPoint>,
    /// Index into `points` of the highest mean accuracy; of equals the one of the smoothest model: the smallest C, the most neighbours.
    pub best: usize,
    /// Scores of the best C over all rows, each predicted by the model that had not seen it. C was chosen on the same rows, so this
    /// is slightly optimistic.
    pub out_of_fold: Metrics,
    /// Seconds of all fits together, as the clock on the wall saw them.
    pub seconds: f64,
}

/// Scores of one C.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// Where on the grid.
    #[serde(flatten)]
    pub tuned: Tuned,
    /// Accuracy on each fold.
    pub fold_accuracy: Vec<f64>,
    /// Mean of the folds' accuracies.
    pub mean: f64,
    /// Standard error of that mean: over the folds, or for a fixed split from the binomial distribution.
    pub standard_error: f64,
    /// Mean negative log-likelihood over all held-out rows in nats, for heads with probabilities.
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
    pub(crate) objective: Option<f64>,
    pub(crate) certificate: Certificate,
    pub(crate) iterations: Option<usize>,
}

impl CrossValidation {
    /// `scores[fold][index of c]`; `truth`: labels of the held-out rows, fold after fold.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        kind: HeadKind,
        scheme: Scheme,
        seed: u64,
        classes: &[String],
        cs: &[f64],
        scores: &[Vec<FoldScore>],
        truth: &[usize],
        seconds: f64,
    ) -> Self {
        let points: Vec<GridPoint> = cs
            .iter()
            .enumerate()
            .map(|(index, &c)| grid_point(Tuned::of(kind, c), scores.iter().map(|fold| &fold[index]), truth))
            .collect();
        let best = best_point(&points);
        let pick = |fold: &Vec<FoldScore>| fold[best].predicted.clone();
        let predicted: Vec<usize> = scores.iter().flat_map(pick).collect();
        let losses: Option<Vec<f64>> = kind
            .is_probabilistic()
            .then(|| scores.iter().flat_map(|fold| fold[best].log_losses.iter().flatten().copied()).collect());
        let out_of_fold = Metrics::new(classes, truth, &predicted, losses.as_deref());
        Self { scheme, folds: scores.len(), seed, points, best, out_of_fold, seconds }
    }

    /// The recommended point.
    pub fn best(&self) -> &GridPoint {
        &self.points[self.best]
    }

    /// What a reader of the scores should know: fits that did not converge, a best C at the end of the grid.
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
            warnings.push(format!("the best, {best}, is the {end} one tried; a wider grid may do better"));
        }
        warnings
    }
}

fn grid_point<'a>(tuned: Tuned, folds: impl Iterator<Item = &'a FoldScore>, truth: &[usize]) -> GridPoint {
    let mut rest = truth;
    let mut point = GridPoint {
        tuned,
        fold_accuracy: Vec::new(),
        mean: 0.0,
        standard_error: 0.0,
        log_loss: None,
        fold_objective: Vec::new(),
        certificate: Certificate::new(crate::engine::Measure::RelativeWeightError, 0.0, 0.0),
        iterations: Some(0),
    };
    let mut loss = Some(0.0);
    for fold in folds {
        let (labels, after) = rest.split_at(fold.predicted.len());
        rest = after;
        let right = labels.iter().zip(&fold.predicted).filter(|(truth, predicted)| truth == predicted).count();
        let worse = point.fold_accuracy.is_empty() || fold.certificate.value > point.certificate.value;
        if worse {
            point.certificate = fold.certificate.clone();
        }
        point.fold_accuracy.push(right as f64 / labels.len() as f64);
        point.fold_objective.extend(fold.objective);
        point.iterations = point.iterations.zip(fold.iterations).map(|(sum, more)| sum + more);
        loss = loss.zip(fold.log_losses.as_ref()).map(|(sum, losses): (f64, _)| sum + losses.iter().sum::<f64>());
    }
    point.log_loss = loss.map(|sum| sum / truth.len() as f64);
    let folds = point.fold_accuracy.len() as f64;
    point.mean = point.fold_accuracy.iter().sum::<f64>() / folds;
    point.standard_error = if point.fold_accuracy.len() == 1 {
        (point.mean * (1.0 - point.mean) / truth.len() as f64).sqrt()
    } else {
        let squares: f64 = point.fold_accuracy.iter().map(|accuracy| (accuracy - point.mean).powi(2)).sum();
        (squares / (folds - 1.0) / folds).sqrt()
    };
    point
}

/// The highest mean; means that differ by rounding alone are equal, and of equals the smoothest model wins.
fn best_point(points: &[GridPoint]) -> usize {
    let top = points.iter().map(|point| point.mean).fold(f64::NEG_INFINITY, f64::max);
    (0..points.len())
        .filter(|&index| points[index].mean > top - 1e-12)
        .min_by(|&a, &b| points[a].tuned.roughness().total_cmp(&points[b].tuned.roughness()))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Measure;

    fn fold(predicted: &[usize], error: f64) -> FoldScore {
        FoldScore {
            predicted: predicted.to_vec(),
            log_losses: None,
            objective: Some(1.0),
            certificate: Certificate::new(Measure::RelativeDualityGap, error, 1e-4),
            iterations: None,
        }
    }

    fn cross_validation(cs: &[f64], scores: &[Vec<FoldScore>], truth: &[usize]) -> CrossValidation {
        let classes: Vec<String> = vec!["a".into(), "b".into()];
        CrossValidation::new(HeadKind::Svm, Scheme::KFold, 0, &classes, cs, scores, truth, 0.0)
    }

    #[test]
    fn scores_by_hand_and_ties_to_the_smallest_c() {
        // Both C are right on 3 of 4 in one fold and 2 of 2 in the other, in different places.
        let scores = [
            vec![fold(&[0, 0, 1, 0], 0.0), fold(&[0, 0, 0, 1], 0.0), fold(&[1, 1, 0, 0], 0.5)],
            vec![fold(&[0, 1], 0.0), fold(&[0, 1], 0.0), fold(&[0, 1], 0.0)],
        ];
        let found = cross_validation(&[10.0, 1.0, 0.1], &scores, &[0, 0, 1, 1, 0, 1]);
        assert_eq!(found.points[0].fold_accuracy, [0.75, 1.0]);
        assert_eq!(found.points[0].mean, 0.875);
        assert!((found.points[0].standard_error - 0.125).abs() < 1e-15);
        assert_eq!(found.best().tuned, Tuned::C(1.0));
        assert_eq!(found.out_of_fold.confusion, [[3, 0], [1, 2]]);
        let warnings = found.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("C = 0.1: not converged"), "{warnings:?}");
    }

    #[test]
    fn the_end_of_the_grid_is_mentioned() {
        let scores = [vec![fold(&[0, 0], 0.0), fold(&[0, 1], 0.0)]];
        let found = cross_validation(&[1.0, 10.0], &scores, &[0, 1]);
        assert!(found.warnings()[0].contains("largest"), "{:?}", found.warnings());
        let one = cross_validation(&[1.0], &[vec![fold(&[0, 0], 0.0)]], &[0, 1]);
        assert!(one.warnings().is_empty());
        assert!((one.best().standard_error - (0.25f64 / 2.0).sqrt()).abs() < 1e-15, "binomial for a single split");
    }
}
