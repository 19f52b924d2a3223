//! Means over folds, with their standard errors.

use crate::criterion::Measured;

/// Mean of a score over folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) standard_error: f64,
}

impl Spread {
    /// Over the folds that define the score, of which there has to be one.
    ///
    /// Of several folds the standard error is that of their mean, √(S²/J) with the sample variance S² of J folds; of a single one
    /// it is that of its rows.
    pub(crate) fn of(folds: &[Option<Measured>]) -> Self {
        let defined: Vec<Measured> = folds.iter().copied().flatten().collect();
        if let [only] = defined[..] {
            return Self { mean: only.value, standard_error: only.standard_error };
        }
        let count = defined.len() as f64;
        let mean = defined.iter().map(|fold| fold.value).sum::<f64>() / count;
        let squares: f64 = defined.iter().map(|fold| (fold.value - mean).powi(2)).sum();
        Self { mean, standard_error: (squares / (count - 1.0) / count).sqrt() }
    }
}
