//! What a preconditioner knows of the columns.

use ndarray::Array1;

use super::covariance::Covariance;
use super::{LARGE, WIDEST};
use crate::engine::Rows;
use crate::engine::rows::{Blocks, Buffer};
use crate::features::BLOCK;

/// What is known of the columns of all training rows.
#[derive(Debug)]
pub(crate) struct Columns {
    /// Mean square of each.
    pub(super) moments: Array1<f64>,
    /// Where they are not orthogonal: how they depend on each other.
    pub(super) covariance: Option<Covariance>,
}

impl Columns {
    /// `orthogonal`: whether the columns are.
    pub(crate) fn new(rows: &Rows, orthogonal: bool) -> Self {
        let (n, width) = rows.dim();
        if orthogonal || width > WIDEST || n * width < LARGE {
            return Self { moments: mean_squares(rows), covariance: None };
        }
        let covariance = Covariance::new(rows);
        Self { moments: covariance.diagonal(), covariance: Some(covariance) }
    }
}

/// Mean square of each column.
fn mean_squares(rows: &Rows) -> Array1<f64> {
    let (n, width) = rows.dim();
    let mut sum = Array1::zeros(width);
    let mut buffer = Buffer::default();
    for start in (0..n).step_by(BLOCK) {
        for row in rows.block(start..n.min(start + BLOCK), &mut buffer).iter() {
            sum.iter_mut().zip(*row).for_each(|(sum, value): (&mut f64, &f64)| *sum += value * value);
        }
    }
    sum / n as f64
}

/// For tests: columns of which only these mean squares are known.
#[cfg(test)]
pub(super) fn of_matrix(matrix: &ndarray::Array2<f64>) -> Columns {
    let moments = matrix.mapv(|value| value * value).mean_axis(ndarray::Axis(0)).unwrap_or_default();
    Columns { moments, covariance: None }
}
