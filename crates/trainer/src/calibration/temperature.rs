//! One temperature T for all classes: the minimum of the log loss of softmax(scores / T).
//!
//! In β = 1/T the log loss is convex, so its slope has one zero, which is found by Newton's method in log β, with bisection
//! where a step would leave the bracket.

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

/// How far log β may go from that at which scores differ by about 1: beyond, the rows are told apart without a mistake (or not
/// at all), and no finite T is the best. scikit-learn ends there as well.
const REACH: f64 = 10.0;

/// Rows summed in one go: a constant, so that the sum does not depend on the number of threads.
const BLOCK: usize = 1024;

/// The temperature that makes the labels likeliest.
pub(super) fn fit(scores: ArrayView2<f64>, labels: &[usize]) -> f64 {
    let unit = spread(scores);
    if unit == 0.0 {
        return 1.0;
    }
    let (mut low, mut high) = (-REACH, REACH);
    let mut at: f64 = 0.0;
    for _ in 0..200 {
        let (slope, curvature) = derivatives(scores, labels, at.exp() / unit);
        // By the logarithm of β.
        let (slope, curvature) = (slope * at.exp() / unit, curvature * (at.exp() / unit).powi(2));
        if slope > 0.0 {
            high = at
        } else {
            low = at
        }
        // Newton's step for β, told in log β.
        let along = if curvature > 0.0 { 1.0 - slope / curvature } else { 0.0 };
        let newton = if along > 0.0 { at + along.ln() } else { f64::NAN };
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        let moved = (next - at).abs();
        at = next;
        if moved < 1e-13 || high - low < 1e-13 {
            break;
        }
    }
    unit * (-at).exp()
}

/// Mean distance of the best score from the mean of all.
fn spread(scores: ArrayView2<f64>) -> f64 {
    let of = |row: ndarray::ArrayView1<f64>| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top - row.sum() / row.len() as f64
    };
    scores.outer_iter().map(of).sum::<f64>() / scores.nrows().max(1) as f64
}

/// First and second derivative of the summed log loss by β.
fn derivatives(scores: ArrayView2<f64>, labels: &[usize], beta: f64) -> (f64, f64) {
    let of_row = |row: ndarray::ArrayView1<f64>, label: usize| {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Moments of the scores below the best, by the probabilities of their classes.
        let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
        for &score in row {
            let below = score - top;
            let weight = (beta * below).exp();
            total += weight;
            first += weight * below;
            second += weight * below * below;
        }
        let mean = first / total;
        (mean - (row[label] - top), second / total - mean * mean)
    };
    let blocks: Vec<(f64, f64)> = scores
        .axis_chunks_iter(Axis(0), BLOCK)
        .into_par_iter()
        .zip(labels.par_chunks(BLOCK))
        .map(|(rows, labels)| {
            let rows = rows.outer_iter().zip(labels).map(|(row, &label)| of_row(row, label));
            rows.fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
        })
        .collect();
    blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1))
}
