//! Whether one of two candidates is better: on the same folds, or on the same rows.

use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// The difference of two candidates that were scored on the same folds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedTest {
    /// Mean of the differences of their scores, first minus second.
    pub difference: f64,
    /// Its standard error, corrected for what folds share.
    pub standard_error: f64,
    /// Two-sided p: how likely a difference at least as large is if they are equally good.
    pub p: f64,
}

/// The corrected resampled t-test of Nadeau and Bengio (Inference for the generalization error, Machine Learning 52, 2003,
/// 239–281), in the form for r times repeated K-fold cross-validation of Bouckaert and Frank (2004): t is the mean of the J = r·K
/// differences over √((1/J + n_test/n_train) S²), with n_test/n_train = 1/(K − 1), compared with Student's distribution of J − 1
/// degrees of freedom. The plain paired t-test takes folds for independent although their training rows overlap, and finds
/// differences that are none.
///
/// `None` where fewer than two folds have both scores. Scores of the two stand in the same order, repeat after repeat.
pub fn corrected_resampled_t(first: &[Option<f64>], second: &[Option<f64>], repeats: usize) -> Option<PairedTest> {
    let folds = first.len() / repeats.max(1);
    let differences: Vec<f64> = first.iter().zip(second).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
    if differences.len() < 2 || folds < 2 {
        return None;
    }
    let count = differences.len() as f64;
    let difference = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|d| (d - difference).powi(2)).sum::<f64>() / (count - 1.0);
    let standard_error = (variance * (1.0 / count + 1.0 / (folds as f64 - 1.0))).sqrt();
    // Differences that are all the same up to rounding: either there is none, or there is no doubt about it.
    let p = if standard_error > 1e-12 {
        let student = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
        2.0 * student.sf((difference / standard_error).abs())
    } else {
        f64::from(difference.abs() <= 1e-12)
    };
    Some(PairedTest { difference, standard_error, p })
}

/// McNemar's test (1947) in its exact form: two-sided p of `only_first` rows that only the first of two classifiers has right and
/// `only_second` that only the second has, if each such row is as likely to be of one kind as of the other.
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let rows = (only_first + only_second) as u64;
    let Ok(coin) = Binomial::new(0.5, rows) else { return 1.0 };
    (2.0 * coin.cdf(only_first.min(only_second) as u64)).min(1.0)
}

/// Holm's step-down adjustment (1979) of p-values for having looked at all of them.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|&a, &b| ps[a].total_cmp(&ps[b]));
    let (mut adjusted, mut least) = (vec![0.0; ps.len()], 0f64);
    for (rank, &index) in order.iter().enumerate() {
        least = least.max((ps[index] * (ps.len() - rank) as f64).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(scores: &[f64]) -> Vec<Option<f64>> {
        scores.iter().copied().map(Some).collect()
    }

    #[test]
    fn by_hand() {
        // Differences 0.1, 0.2, 0.3, 0.2, 0.2: mean 0.2, S² = 0.005, error √(0.005 (1/5 + 1/4)) = 0.047434, t = 4.2164. The p is
        // that of scipy.stats.t.sf(4.216370213557839, 4) * 2.
        let (a, b) = (some(&[0.6, 0.8, 0.9, 0.7, 0.9]), some(&[0.5, 0.6, 0.6, 0.5, 0.7]));
        let found = corrected_resampled_t(&a, &b, 1).unwrap();
        assert!((found.difference - 0.2).abs() < 1e-12);
        assert!((found.standard_error - 0.00225f64.sqrt()).abs() < 1e-12);
        assert!((found.p - 0.013_516_881_5).abs() < 1e-9, "{}", found.p);
        let back = corrected_resampled_t(&b, &a, 1).unwrap();
        assert!(back.difference == -found.difference && (back.p - found.p).abs() < 1e-15);
    }

    #[test]
    fn repeats_do_not_make_certain() {
        let (a, b) = ([0.6, 0.8, 0.9, 0.7, 0.9], [0.5, 0.85, 0.8, 0.7, 0.8]);
        let p = |repeats: usize| {
            corrected_resampled_t(&some(&a.repeat(repeats)), &some(&b.repeat(repeats)), repeats).unwrap().p
        };
        assert!(p(50) > 0.05 && p(1) > 0.05, "{} {}", p(50), p(1));
    }

    #[test]
    fn equals_and_gaps() {
        let scores = some(&[0.5, 0.6, 0.7]);
        assert_eq!(corrected_resampled_t(&scores, &scores, 1).unwrap().p, 1.0);
        assert_eq!(corrected_resampled_t(&some(&[1.0, 1.0]), &some(&[0.5, 0.5]), 1).unwrap().p, 0.0);
        assert_eq!(corrected_resampled_t(&scores[..1], &scores[..1], 1), None);
        assert_eq!(corrected_resampled_t(&[Some(1.0), None], &[None, Some(1.0)], 1), None);
    }

    #[test]
    fn mcnemar_against_binomial_tails() {
        // 2 · P(X ≤ 1) of 10 throws is 22/1024; scipy.stats.binomtest(5, 30).pvalue for the other.
        assert!((mcnemar(1, 9) - 22.0 / 1024.0).abs() < 1e-12);
        assert!((mcnemar(25, 5) - 0.000_324_914_2).abs() < 1e-9, "{}", mcnemar(25, 5));
        assert_eq!((mcnemar(0, 0), mcnemar(4, 4)), (1.0, 1.0));
    }

    #[test]
    fn holm_by_hand() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.9]);
        for (got, expected) in adjusted.iter().zip([0.04, 0.09, 0.09, 0.9]) {
            assert!((got - expected).abs() < 1e-12, "{adjusted:?}");
        }
    }
}
