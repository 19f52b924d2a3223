//! Intervals for proportions, so that no score is quoted without its uncertainty.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The 97.5 % point of the normal distribution: two-sided 95 % intervals.
const Z95: f64 = 1.959_963_984_540_054;

/// A score with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The score itself, 0 to 1.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// How the interval was made: `wilson`, or `mover-wilson` for a mean of proportions.
    pub interval: String,
}

/// A proportion with Wilson's score interval (Wilson 1927), which stays within 0 and 1 and is honest for small n and for scores
/// near 1. With `n` = 0 nothing is known: the value is NaN and the interval 0 to 1.
pub fn wilson(successes: usize, n: usize) -> Estimate {
    let (value, low, high) = wilson_ends(successes, n);
    Estimate { value, low, high, interval: "wilson".into() }
}

fn wilson_ends(successes: usize, n: usize) -> (f64, f64, f64) {
    if n == 0 {
        return (f64::NAN, 0.0, 1.0);
    }
    let (n, p) = (n as f64, successes as f64 / n as f64);
    let z2 = Z95 * Z95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // At 0 and 1 the ends are exactly p; rounding must not put them a hair outside.
    (p, (centre - half).clamp(0.0, p), (centre + half).clamp(p, 1.0))
}

/// The mean of independent proportions, each given as (successes, n), with an interval put together from their Wilson intervals by
/// the method of variance estimates recovery (Zou and Donner 2008): the distances of the ends add in squares. Unlike the usual
/// normal interval it does not shrink to nothing when every class is right. Proportions with n = 0 are left out.
pub fn mean_of_proportions(counts: impl IntoIterator<Item = (usize, usize)>) -> Estimate {
    let (mut sum, mut below, mut above, mut terms) = (0.0, 0.0, 0.0, 0usize);
    for (successes, n) in counts {
        if n > 0 {
            let (p, low, high) = wilson_ends(successes, n);
            sum += p;
            below += (p - low).powi(2);
            above += (high - p).powi(2);
            terms += 1;
        }
    }
    let count = terms as f64;
    let value = if terms == 0 { f64::NAN } else { sum / count };
    let (low, high) = match terms {
        0 => (0.0, 1.0),
        _ => ((value - below.sqrt() / count).max(0.0), (value + above.sqrt() / count).min(1.0)),
    };
    Estimate { value, low, high, interval: "mover-wilson".into() }
}

/// The mean accuracy of heads that were trained on different draws of images and scored on the same `n` test images, with an
/// interval for other draws and other test images: the distances of the ends of Wilson's interval for the test images, and of
/// Student's for the mean over the draws, add in squares (the method of variance estimates recovery of Zou and Donner 2008). Of a
/// single training only the test images are uncertain.
pub fn mean_of_trainings(accuracies: &[f64], n: usize) -> Estimate {
    let count = accuracies.len() as f64;
    let mean = accuracies.iter().sum::<f64>() / count;
    let (_, low, high) = wilson_ends((mean * n as f64).round() as usize, n);
    let spread = match accuracies.len() {
        0 | 1 => 0.0,
        _ => {
            let variance = accuracies.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (count - 1.0);
            student_97_5(accuracies.len() - 1) * (variance / count).sqrt()
        }
    };
    // Rounding to whole images may put an end of Wilson's interval beyond the mean.
    let end = |distance: f64| distance.max(0.0).hypot(spread);
    let (low, high) = ((mean - end(mean - low)).max(0.0), (mean + end(high - mean)).min(1.0));
    Estimate { value: mean, low, high, interval: "mover-wilson-student".into() }
}

/// A mean with the interval of Student's t: `error` is its standard error over `folds` folds, `ends` what values there can be. Of
/// a single fold the error is taken for known.
pub(crate) fn student(mean: f64, error: f64, folds: usize, ends: (f64, f64)) -> Estimate {
    let half = student_97_5(folds.saturating_sub(1)) * error;
    let (low, high) = ((mean - half).max(ends.0), (mean + half).min(ends.1));
    Estimate { value: mean, low, high, interval: "student".into() }
}

/// The 97.5 % point of Student's distribution; 0 degrees of freedom stand for the normal one.
fn student_97_5(freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, freedom as f64).map_or(Z95, |student| student.inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_against_published_values() {
        // Newcombe 1998, table I: 81/263 and 15/148, and the two ends of the scale.
        for (successes, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)]
        {
            let got = wilson(successes, n);
            assert!((got.low - low).abs() < 5e-5 && (got.high - high).abs() < 5e-5, "{successes}/{n}: {got:?}");
        }
    }

    #[test]
    fn student_against_published_values() {
        for (freedom, expected) in [(1, 12.7062), (4, 2.7764), (11, 2.2010), (19, 2.0930), (30, 2.0423), (120, 1.9799)]
        {
            assert!((student_97_5(freedom) - expected).abs() < 2e-4, "{freedom}: {}", student_97_5(freedom));
        }
        let got = student(0.9, 0.1, 5, (0.0, 1.0));
        assert!((got.low - (0.9 - 0.277_644_510_5)).abs() < 1e-9 && got.high == 1.0, "{got:?}");
    }

    #[test]
    fn trainings_add_their_spread_to_that_of_the_test_images() {
        let (one, wilson) = (mean_of_trainings(&[0.8], 50), wilson(40, 50));
        assert!((one.low - wilson.low).abs() < 1e-15 && (one.high - wilson.high).abs() < 1e-15);
        let same = mean_of_trainings(&[0.8, 0.8, 0.8], 50);
        assert!((same.low - wilson.low).abs() < 1e-12, "draws that agree add nothing");
        let two = mean_of_trainings(&[0.7, 0.9], 50);
        // Student's interval of two draws: 12.7062 · √(0.02 / 2).
        let low = (0.8 - (0.8 - wilson.low).hypot(12.7062 * 0.1)).max(0.0);
        assert!((two.low - low).abs() < 1e-12 && two.value == 0.8, "{two:?}");
        assert!(mean_of_trainings(&[1.0, 1.0], 20).low < 0.9, "twenty images prove little");
    }

    #[test]
    fn nothing_known_without_rows() {
        let got = wilson(0, 0);
        assert!(got.value.is_nan() && got.low == 0.0 && got.high == 1.0);
    }

    #[test]
    fn one_proportion_is_wilson() {
        let (mean, single) = (mean_of_proportions([(7, 10), (0, 0)]), wilson(7, 10));
        assert!((mean.low - single.low).abs() < 1e-15 && (mean.high - single.high).abs() < 1e-15);
    }

    #[test]
    fn a_perfect_score_keeps_its_doubt() {
        let got = mean_of_proportions([(5, 5), (100, 100)]);
        assert_eq!(got.value, 1.0);
        assert_eq!(got.high, 1.0);
        assert!(got.low < 0.9, "five rows prove little: {got:?}");
    }
}
