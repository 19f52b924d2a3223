//! LogME: You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021
//! (arXiv:2102.11005).

use super::{Axes, members, sound};
use crate::Error;
use ndarray::ArrayView2;

/// The regularisation is looked for within this factor of the largest squared singular value, on both sides.
const REACH: f64 = 1e8;
/// Points of the first look, evenly spaced in the logarithm; the best is then closed in on.
const POINTS: usize = 65;

/// The largest log evidence per row of a Bayesian linear regression from `features` (n × d, no intercept, as published) to
/// membership in a class, averaged over the classes: the higher, the better the layer suits the labels.
///
/// `labels` count from 0 to below `classes`; classes without rows are left out. The paper finds the precisions of weights and
/// noise by a fixed-point iteration, which is stopped after a few rounds; here their ratio is maximised over directly, where the
/// noise has a closed form, so that the result is the maximum itself.
///
/// # Errors
/// When there are no rows, features that are not finite, labels that do not fit, or fewer than two classes.
pub fn log_me(features: ArrayView2<f32>, labels: &[usize], classes: usize) -> Result<f64, Error> {
    let rows = sound(features, labels, classes)?;
    let axes = Axes::of(&rows)?;
    let classes = members(labels, classes);
    let evidence = |class: &Vec<usize>| {
        // Inner products of the 0/1 target with the left singular vectors.
        let parts: Vec<f64> =
            axes.vectors.columns().into_iter().map(|axis| class.iter().map(|&row| axis[row]).sum()).collect();
        Target {
            energies: axes.energies.as_slice().unwrap_or_default(),
            parts,
            length: class.len() as f64,
            rows: labels.len() as f64,
        }
        .largest_evidence()
    };
    Ok(classes.iter().map(evidence).sum::<f64>() / classes.len() as f64)
}

/// One regression target in the coordinates of the features.
struct Target<'a> {
    /// Squared singular values of the features.
    energies: &'a [f64],
    /// The target along each left singular vector.
    parts: Vec<f64>,
    /// Its squared length.
    length: f64,
    rows: f64,
}

impl Target<'_> {
    /// Log evidence per row where weights have `ratio` times the precision of the noise, whose own precision is the best one:
    /// the target is then normal with covariance σ²(I + F Fᵀ / ratio), and σ² its mean square in that metric.
    fn evidence(&self, ratio: f64) -> f64 {
        let explained: f64 = self.parts.iter().map(|part| part * part).sum();
        let shrunk: f64 =
            self.energies.iter().zip(&self.parts).map(|(energy, part)| part * part * ratio / (ratio + energy)).sum();
        let noise = (((self.length - explained).max(0.0) + shrunk) / self.rows).max(f64::MIN_POSITIVE);
        let volume: f64 = self.energies.iter().map(|energy| (energy / ratio).ln_1p()).sum();
        -0.5 * ((2.0 * std::f64::consts::PI * noise).ln() + 1.0 + volume / self.rows)
    }

    fn largest_evidence(&self) -> f64 {
        let top = self.energies.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let step = 2.0 * REACH.ln() / (POINTS - 1) as f64;
        let at = |position: f64| self.evidence(top * (position * step - REACH.ln()).exp());
        let best = (0..POINTS).map(|point| point as f64).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap_or(0.0);
        // Golden-section search between its neighbours.
        let shrink = (5f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = ((best - 1.0).max(0.0), (best + 1.0).min((POINTS - 1) as f64));
        for _ in 0..60 {
            let (left, right) = (high - shrink * (high - low), low + shrink * (high - low));
            if at(left) < at(right) { low = left } else { high = right }
        }
        at(0.5 * (low + high)).max(at(best))
    }
}
