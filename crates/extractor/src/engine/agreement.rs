//! How closely two computations of the same taps agree.

use crate::graph::Tap;
use serde::Serialize;

/// The cosine that a reduced precision must reach on every image, in every tap, to count as the same features.
pub const SAME_FEATURES: f64 = 0.9995;

/// How the values of one tap compare with a reference, over several images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// The tap, `layer:pool`.
    pub layer: String,
    /// The lowest cosine between an image's values and its reference.
    pub lowest: f64,
    /// The mean of the cosines.
    pub mean: f64,
    /// The largest difference between two values, as a share of the largest value of the reference.
    pub largest_difference: f64,
}

impl Agreement {
    /// Whether every image's values point where the reference does.
    pub fn holds(&self) -> bool {
        self.lowest >= SAME_FEATURES
    }
}

/// Compares `values` with `reference`, each with images × [`Tap::width`] numbers for every tap.
pub fn agreements(taps: &[Tap], reference: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<Agreement> {
    let of_tap = |((tap, reference), values): ((&Tap, &Vec<f32>), &Vec<f32>)| {
        let width = tap.width();
        let cosines: Vec<f64> =
            reference.chunks_exact(width).zip(values.chunks_exact(width)).map(|(a, b)| cosine(a, b)).collect();
        let size = reference.iter().fold(0.0_f64, |most, &value| most.max(f64::from(value.abs())));
        let apart = reference.iter().zip(values).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
        // A value that is no number is as far away as can be.
        let largest = apart.fold(0.0_f64, |most, d| if d.is_nan() { f64::INFINITY } else { most.max(d) });
        Agreement {
            layer: tap.dataset(),
            lowest: cosines.iter().copied().fold(1.0, f64::min),
            mean: cosines.iter().sum::<f64>() / cosines.len().max(1) as f64,
            largest_difference: if largest == 0.0 { 0.0 } else { largest / size },
        }
    };
    taps.iter().zip(reference).zip(values).map(of_tap).collect()
}

/// The cosine of the angle between two vectors: 1 for two of nothing but zeros, 0 where one has a value that is no number.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let (aa, bb) = (dot(a, a), dot(b, b));
    if aa == 0.0 && bb == 0.0 {
        return 1.0;
    }
    let cosine = dot(a, b) / (aa.sqrt() * bb.sqrt());
    if cosine.is_finite() { cosine.min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Pool, Shape};

    fn tap() -> Tap {
        Tap { layer: "fc".into(), pool: Pool::Flatten, node: 1, shape: Shape::Vector(2), stored: vec![2] }
    }

    fn compare(reference: &[f32], values: &[f32]) -> Agreement {
        agreements(&[tap()], &[reference.to_vec()], &[values.to_vec()]).remove(0)
    }

    #[test]
    fn the_worst_image_counts() {
        let agreement = compare(&[1.0, 0.0, 3.0, 4.0], &[1.0, 1.0, 3.0, 4.0]);
        assert!((agreement.lowest - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!((agreement.mean - (1.0 + 0.5_f64.sqrt()) / 2.0).abs() < 1e-12);
        assert_eq!(agreement.largest_difference, 0.25);
        assert!(!agreement.holds());
        assert!(compare(&[1.0, 2.0], &[1.0, 2.0]).holds());
    }

    #[test]
    fn silence_agrees_with_silence_and_nothing_with_what_is_no_number() {
        let silent = compare(&[0.0, 0.0], &[0.0, 0.0]);
        assert!(silent.holds() && silent.largest_difference == 0.0);
        assert!(!compare(&[0.0, 0.0], &[0.0, 1.0]).holds());
        for broken in [f32::NAN, f32::INFINITY] {
            let agreement = compare(&[1.0, 1.0], &[1.0, broken]);
            assert!(!agreement.holds() && agreement.largest_difference == f64::INFINITY, "{agreement:?}");
        }
    }
}
