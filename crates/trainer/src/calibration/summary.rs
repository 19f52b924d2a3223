//! What a calibration brings, on rows that its map was not fitted to.

use std::collections::HashMap;

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use super::{Calibration, CalibrationMethod, ProbabilityScores};
use crate::classifier::{own_log_losses, own_probabilities};
use crate::params::HeadKind;
use crate::prepared::HeldOut;

/// Parts of the held-out rows of a fixed split, which has no folds to take turns.
const PARTS: usize = 5;

/// How a head was calibrated and what that brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// Which map.
    pub method: CalibrationMethod,
    /// Held-out rows that the head's map was fitted to.
    pub n: usize,
    /// Parts of these rows that took turns for `after`: the folds of the cross-validation.
    pub parts: usize,
    /// The held-out rows with the probabilities of the uncalibrated models, for heads that have any.
    pub before: Option<ProbabilityScores>,
    /// The held-out rows, each with a map fitted to those of the other parts: no row scores a map that has seen it. None where
    /// the rows do not make two parts.
    pub after: Option<ProbabilityScores>,
}

/// Calibrated predictions of held-out rows, each by a map that had not seen it.
#[derive(Debug, Clone)]
pub(crate) struct CrossFitted {
    pub(crate) probabilities: Array2<f64>,
    pub(crate) predicted: Vec<usize>,
    pub(crate) log_losses: Vec<f64>,
}

/// Fits a map to the held-out rows, and says what it brings.
pub(crate) fn cross_fit(
    method: CalibrationMethod,
    kind: HeadKind,
    held_out: &HeldOut,
) -> (Calibration, CalibrationSummary, Option<CrossFitted>) {
    let HeldOut { scores, labels, predicted, .. } = held_out;
    let calibration = Calibration::fit(method, scores.view(), labels);
    let before = own_probabilities(kind, scores).map(|probabilities| {
        let losses = own_log_losses(kind, scores.view(), labels);
        ProbabilityScores::new(probabilities.view(), predicted, &losses, labels)
    });
    let part_of = parts(held_out);
    let parts = part_of.iter().max().map_or(0, |last| last + 1);
    let crossed = (parts > 1).then(|| fit_in_turn(method, held_out, &part_of, parts));
    let after = crossed.as_ref().map(|crossed| {
        ProbabilityScores::new(crossed.probabilities.view(), &crossed.predicted, &crossed.log_losses, labels)
    });
    let summary =
        CalibrationSummary { method, n: labels.len(), parts, before: before.flatten(), after: after.flatten() };
    (calibration, summary, crossed)
}

/// The part of each row: its fold, or where there is one fold only, one of a few that hold each class in turn. Rows of one group
/// are in one part.
fn parts(held_out: &HeldOut) -> Vec<usize> {
    let HeldOut { folds, groups, labels, .. } = held_out;
    if folds.iter().any(|&fold| fold != folds[0]) {
        return folds.clone();
    }
    let mut part_of: HashMap<usize, usize> = HashMap::new();
    let mut next: HashMap<usize, usize> = HashMap::new();
    let of = |(&group, &label): (&usize, &usize)| {
        *part_of.entry(group).or_insert_with(|| {
            let next = next.entry(label).or_default();
            *next += 1;
            (*next - 1) % PARTS
        })
    };
    groups.iter().zip(labels).map(of).collect()
}

fn fit_in_turn(method: CalibrationMethod, held_out: &HeldOut, part_of: &[usize], parts: usize) -> CrossFitted {
    let HeldOut { scores, labels, predicted: own, .. } = held_out;
    let mut crossed = CrossFitted {
        probabilities: Array2::zeros(scores.dim()),
        predicted: vec![0; labels.len()],
        log_losses: vec![0.0; labels.len()],
    };
    for part in 0..parts {
        let (inside, others): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&row| part_of[row] == part);
        let labels_of = |rows: &[usize]| rows.iter().map(|&row| labels[row]).collect::<Vec<_>>();
        let map = Calibration::fit(method, scores.select(Axis(0), &others).view(), &labels_of(&others));
        let scores = scores.select(Axis(0), &inside);
        let probabilities = map.probabilities(scores.view());
        let own: Vec<usize> = inside.iter().map(|&row| own[row]).collect();
        let predicted = map.predict(scores.view(), probabilities.view(), &own);
        let losses = map.log_losses(scores.view(), probabilities.view(), &labels_of(&inside));
        for (index, &row) in inside.iter().enumerate() {
            crossed.probabilities.row_mut(row).assign(&probabilities.row(index));
            (crossed.predicted[row], crossed.log_losses[row]) = (predicted[index], losses[index]);
        }
    }
    crossed
}
