//! Means over folds, with their standard errors.

use crate::criterion::Measured;

/// Mean of a score over folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) standard_error: f64,
}

impl Spread {
    /// Over the folds that define the score, of which there has to be one; `repeats`: how often the rows were dealt out.
    ///
    /// The standard error of a single fold is that of its rows. Of several it is that of their mean, √(S²/J), with the sample
    /// variance S² of J folds. Folds of several repeats share most of their rows, and S²/J would shrink with every repeat
    /// although no row is added. There it is √((1/J + n_test/n_train) S²), the corrected resampled variance of Nadeau and Bengio
    /// (Inference for the generalization error, Machine Learning 52, 2003, 239–281), which Bouckaert and Frank (2004)
    /// recommend for repeated cross-validation; with K folds n_test/n_train is 1/(K − 1).
    pub(crate) fn of(scores: &[Option<Measured>], repeats: usize) -> Self {
        let folds = scores.len() / repeats;
        let defined: Vec<Measured> = scores.iter().copied().flatten().collect();
        if let [only] = defined[..] {
            return Self { mean: only.value, standard_error: only.standard_error };
        }
        let count = defined.len() as f64;
        let mean = defined.iter().map(|fold| fold.value).sum::<f64>() / count;
        let variance = defined.iter().map(|fold| (fold.value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let shared = if repeats > 1 { 1.0 / (folds as f64 - 1.0) } else { 0.0 };
        Self { mean, standard_error: (variance * (1.0 / count + shared)).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(values: &[f64]) -> Vec<Option<Measured>> {
        values.iter().map(|&value| Some(Measured { value, standard_error: 0.25 })).collect()
    }

    #[test]
    fn by_hand() {
        let once = Spread::of(&folds(&[0.5, 0.7, 0.6, 0.8]), 1);
        assert!((once.mean - 0.65).abs() < 1e-15);
        assert!((once.standard_error - (0.05_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
        // Two repeats of two folds: half of the rows test, as many as train.
        let twice = Spread::of(&folds(&[0.5, 0.7, 0.6, 0.8]), 2);
        assert!((twice.standard_error - (0.05_f64 / 3.0 * (0.25 + 1.0)).sqrt()).abs() < 1e-15);
        assert_eq!(Spread::of(&folds(&[0.9]), 1), Spread { mean: 0.9, standard_error: 0.25 });
        let gaps = [folds(&[0.5, 0.7]), vec![None], folds(&[0.6, 0.8])].concat();
        assert_eq!(Spread::of(&gaps, 1), once);
    }

    #[test]
    fn repeats_do_not_make_certain() {
        let values = [0.5, 0.7, 0.6, 0.8, 0.65];
        let error = |repeats: usize| Spread::of(&folds(&values.repeat(repeats)), repeats).standard_error;
        assert!(error(100) > error(1), "the same rows again prove nothing");
    }
}
