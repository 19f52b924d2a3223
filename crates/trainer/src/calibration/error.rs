//! How far probabilities are from what happens.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

/// Bins of the expected calibration error, of equal width, as in Guo et al. (2017).
pub const ECE_BINS: usize = 15;

/// How good probabilities are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityScores {
    /// Rows scored.
    pub n: usize,
    /// Share of rows predicted right.
    pub accuracy: f64,
    /// Mean difference between the probability of the predicted class and the share that is right, over [`ECE_BINS`] bins of
    /// that probability, each counting by its rows: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities
    /// Using Bayesian Binning", 2015. 0 to 1.
    pub expected_calibration_error: f64,
    /// Mean negative log-likelihood of the true class in nats.
    pub log_loss: f64,
    /// Mean over the rows of Σ (probability − 1 for the true class, 0 for others)², over all classes (Brier, 1950): 0 to 2.
    pub brier: f64,
}

impl ProbabilityScores {
    /// Scores n × k probabilities with the classes predicted from them; `log_losses`: one per row. None without rows.
    pub(crate) fn new(
        probabilities: ArrayView2<f64>,
        predicted: &[usize],
        log_losses: &[f64],
        labels: &[usize],
    ) -> Option<Self> {
        if labels.is_empty() {
            return None;
        }
        let n = labels.len() as f64;
        let mut bins = [(0.0, 0.0); ECE_BINS];
        let (mut right, mut brier) = (0.0, 0.0);
        for ((row, &predicted), &label) in probabilities.outer_iter().zip(predicted).zip(labels) {
            let confidence = row[predicted];
            let hit = f64::from(u8::from(predicted == label));
            let bin = ((confidence * ECE_BINS as f64) as usize).min(ECE_BINS - 1);
            (bins[bin].0, bins[bin].1) = (bins[bin].0 + confidence, bins[bin].1 + hit);
            right += hit;
            let square = |(class, &p): (usize, &f64)| (p - f64::from(u8::from(class == label))).powi(2);
            brier += row.iter().enumerate().map(square).sum::<f64>();
        }
        Some(Self {
            n: labels.len(),
            accuracy: right / n,
            expected_calibration_error: bins.iter().map(|(confidence, hits)| (confidence - hits).abs()).sum::<f64>()
                / n,
            log_loss: log_losses.iter().sum::<f64>() / n,
            brier: brier / n,
        })
    }
}

/// Negative logarithms of the true classes' probabilities, which are taken to be at least 2.2e-16.
pub(crate) fn log_losses(probabilities: ArrayView2<f64>, labels: &[usize]) -> Vec<f64> {
    let loss = |p: f64| -p.max(f64::EPSILON).ln();
    probabilities.outer_iter().zip(labels).map(|(row, &label)| loss(row[label]).max(0.0)).collect()
}
