//! H-score: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019, in the
//! shrunk form of Ibrahim, Ponomareva and Mazumder, "Newer is not always better: Rethinking transferability metrics, their
//! peculiarities, stability and performance", ECML PKDD 2022 (arXiv:2110.06893).

use super::{Axes, centred, members, sound};
use crate::Error;
use ndarray::{Array2, ArrayView2};

/// The shrunk H-score of `features` (n × d) for `labels` (below `classes`): the spread of the class means in units of the spread
/// of the features, tr(Σ_α⁻¹ (1 − α) Σ_z). Here Σ is the covariance of the features (divided by n) and Σ_z that of the class
/// means (each weighted by its rows), and Σ_α = (1 − α) Σ + α tr(Σ)/d I with the α of Ledoit and Wolf (2004), without which the
/// score of more features than rows is that of any labels. It is at most the number of classes less one; the higher, the better.
///
/// # Errors
/// When there are no rows, features that are not finite, labels that do not fit, fewer than two classes, or rows that are all the
/// same.
pub fn h_score(features: ArrayView2<f32>, labels: &[usize], classes: usize) -> Result<f64, Error> {
    let rows = centred(sound(features, labels, classes)?);
    let (n, d) = (rows.nrows() as f64, rows.ncols() as f64);
    let total: f64 = rows.iter().map(|value| value * value).sum();
    if total <= 0.0 {
        return Err(Error::ConstantFeatures { rows: rows.nrows() });
    }
    let axes = Axes::of(&rows)?;
    let alpha = ledoit_wolf(&rows, &axes);
    let ridge = alpha * total / (n * d);
    let mut score = 0.0;
    for class in members(labels, classes) {
        for (axis, &energy) in axes.vectors.columns().into_iter().zip(&axes.energies) {
            // The mean of the class along this direction of the features.
            let mean = energy.sqrt() * class.iter().map(|&row| axis[row]).sum::<f64>() / class.len() as f64;
            score += class.len() as f64 / n * mean * mean / ((1.0 - alpha) * energy / n + ridge);
        }
    }
    Ok((1.0 - alpha) * score)
}

/// Ledoit and Wolf's shrinkage of the covariance of centred rows towards a multiple of the identity, as
/// `sklearn.covariance.ledoit_wolf_shrinkage` has it.
fn ledoit_wolf(rows: &Array2<f64>, axes: &Axes) -> f64 {
    let (n, d) = (rows.nrows() as f64, rows.ncols() as f64);
    let fourth: f64 = rows.outer_iter().map(|row| row.dot(&row).powi(2)).sum();
    let squared = axes.energies.iter().map(|energy| energy * energy).sum::<f64>() / (n * n);
    let mean = axes.energies.sum() / (n * d);
    let away = (squared / d - mean * mean).max(0.0);
    let noise = ((fourth / n - squared) / (n * d)).max(0.0).min(away);
    if noise == 0.0 { 0.0 } else { noise / away }
}
