//! Mean and standard deviation of each feature, in one pass over the rows.

use ndarray::Array1;
use rayon::prelude::*;

use crate::features::{BLOCK, Features};

/// Parts that sums are taken in, at most; a constant, so that they come out the same on every number of threads.
const PARTS: usize = 16;

/// What is known of the columns of some rows.
#[derive(Debug, Clone)]
struct Moments {
    rows: f64,
    mean: Array1<f64>,
    /// Σ (value − mean)².
    spread: Array1<f64>,
}

impl Moments {
    fn none(width: usize) -> Self {
        Self { rows: 0.0, mean: Array1::zeros(width), spread: Array1::zeros(width) }
    }

    /// Of a block, row-major: its mean first and then the squares, so that a large mean costs no digits.
    fn of_block(block: &[f32], width: usize) -> Self {
        let mut found = Self { rows: (block.len() / width) as f64, ..Self::none(width) };
        for row in block.chunks_exact(width) {
            found.mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        found.mean /= found.rows;
        let mean = found.mean.as_slice().unwrap_or_default();
        for row in block.chunks_exact(width) {
            for ((sum, &value), mean) in found.spread.iter_mut().zip(row).zip(mean) {
                let off = f64::from(value) - mean;
                *sum += off * off;
            }
        }
        found
    }

    /// Of these rows and others together (Chan, Golub and LeVeque 1983).
    fn and(mut self, other: &Self) -> Self {
        if self.rows == 0.0 {
            return other.clone();
        }
        let rows = self.rows + other.rows;
        let share = other.rows / rows;
        let off = &other.mean - &self.mean;
        self.spread = self.spread + &other.spread + &off * &off * (self.rows * share);
        self.mean.scaled_add(share, &off);
        Self { rows, ..self }
    }
}

/// Mean and (population) standard deviation of each column over some rows; a column that only rounding keeps from being constant has
/// standard deviation 0.
pub(crate) fn column_statistics(x: Features, rows: &[usize]) -> (Array1<f64>, Array1<f64>) {
    let width = x.ncols();
    let count = rows.len().div_ceil(BLOCK).clamp(1, PARTS);
    let parts: Vec<Moments> = (0..count)
        .into_par_iter()
        .map(|part| {
            let rows = &rows[rows.len() * part / count..rows.len() * (part + 1) / count];
            let (mut buffer, mut block) = (Vec::new(), Vec::new());
            rows.chunks(BLOCK).fold(Moments::none(width), |sum, rows| {
                block.clear();
                x.each(rows, &mut buffer, |_, values| block.extend_from_slice(values));
                sum.and(&Moments::of_block(&block, width))
            })
        })
        .collect();
    let Moments { mean, spread, .. } = parts.iter().fold(Moments::none(width), Moments::and);
    let n = rows.len() as f64;
    let deviation = spread.iter().zip(&mean).map(|(spread, mean)| {
        let root = (spread / n).sqrt();
        if root <= n * f64::EPSILON * mean.abs() { 0.0 } else { root }
    });
    let deviation = deviation.collect();
    (mean, deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_large_mean_costs_no_digits_and_constants_have_no_deviation() {
        let x = Array2::from_shape_fn((1000, 3), |(row, column)| match column {
            0 => 1e6 + (row % 5) as f32,
            1 => 0.1,
            _ => (row % 2) as f32 * 1e-20,
        });
        let rows: Vec<usize> = (0..1000).collect();
        let (mean, deviation) = column_statistics(x.view().into(), &rows);
        assert!((mean[0] - 1_000_002.0).abs() < 1e-8 && (deviation[0] - 2f64.sqrt()).abs() < 1e-9);
        assert_eq!(deviation[1], 0.0);
        assert!((deviation[2] / 5e-21 - 1.0).abs() < 1e-6);
        let (few, _) = column_statistics(x.view().into(), &[0, 4]);
        assert_eq!(few[0], 1_000_002.0);
    }
}
