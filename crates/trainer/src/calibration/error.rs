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

/// What [`ProbabilityScores`] are made of, some rows at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProbabilityTally {
    n: usize,
    right: usize,
    /// Sum of the probabilities of predicted classes in each bin, and how many of these are right.
    bins: [(f64, usize); ECE_BINS],
    log_loss: f64,
    brier: f64,
}

impl ProbabilityTally {
    /// Adds n × k probabilities with the classes predicted from them; `log_losses`: one per row.
    pub(crate) fn add(
        &mut self,
        probabilities: ArrayView2<f64>,
        predicted: &[usize],
        log_losses: &[f64],
        labels: &[usize],
    ) {
        for ((row, &predicted), &label) in probabilities.outer_iter().zip(predicted).zip(labels) {
            let confidence = row[predicted];
            let hit = usize::from(predicted == label);
            let (sum, hits) = &mut self.bins[((confidence * ECE_BINS as f64) as usize).min(ECE_BINS - 1)];
            (*sum, *hits) = (*sum + confidence, *hits + hit);
            self.right += hit;
            let square = |(class, &p): (usize, &f64)| (p - f64::from(u8::from(class == label))).powi(2);
            self.brier += row.iter().enumerate().map(square).sum::<f64>();
        }
        self.log_loss += log_losses.iter().sum::<f64>();
        self.n += labels.len();
    }

    /// The scores of all rows; none without rows.
    pub(crate) fn scores(&self) -> Option<ProbabilityScores> {
        let n = self.n as f64;
        let gaps: f64 = self.bins.iter().map(|&(sum, hits)| (sum - hits as f64).abs()).sum();
        (self.n > 0).then(|| ProbabilityScores {
            n: self.n,
            accuracy: self.right as f64 / n,
            expected_calibration_error: gaps / n,
            log_loss: self.log_loss / n,
            brier: self.brier / n,
        })
    }
}

impl ProbabilityScores {
    /// Scores n × k probabilities with the classes predicted from them; `log_losses`: one per row. None without rows.
    pub(crate) fn new(
        probabilities: ArrayView2<f64>,
        predicted: &[usize],
        log_losses: &[f64],
        labels: &[usize],
    ) -> Option<Self> {
        let mut tally = ProbabilityTally::default();
        tally.add(probabilities, predicted, log_losses, labels);
        tally.scores()
    }
}

/// Negative logarithms of the true classes' probabilities, which are taken to be at least 2.2e-16.
pub(crate) fn log_losses(probabilities: ArrayView2<f64>, labels: &[usize]) -> Vec<f64> {
    let loss = |p: f64| -p.max(f64::EPSILON).ln();
    probabilities.outer_iter().zip(labels).map(|(row, &label)| loss(row[label]).max(0.0)).collect()
}
