//! Mean products of columns that are not orthogonal, for a preconditioner that knows how they depend on each other.

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{Mat, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::engine::Rows;
use crate::engine::products::{add_symmetric, lower, tiles};
use crate::engine::rows::Precision;
use crate::features::BLOCK;

/// Rows that are in memory at once: enough for the products to be worth their overhead, few enough for the processor's cache.
const ROWS: usize = 1024;

/// ZᵀZ / n in f32, which a preconditioner is content with; only the lower triangle.
#[derive(Debug)]
pub(super) struct Covariance(Mat<f32>);

/// The Cholesky factor of bend · ZᵀZ / n + I.
pub(super) struct Factor(Mat<f32>);

impl Covariance {
    /// Goes through the rows once.
    pub(super) fn new(rows: &Rows) -> Self {
        let (n, width) = rows.dim();
        let mut sums = tiles(width);
        let mut values = vec![0f32; ROWS.min(n) * width];
        for start in (0..n).step_by(ROWS) {
            let len = ROWS.min(n - start);
            let values = &mut values[..len * width];
            values.par_chunks_mut(BLOCK * width).enumerate().for_each(|(index, out)| {
                let start = start + index * BLOCK;
                f32::fill(rows, start..start + out.len() / width, &mut Vec::new(), out);
            });
            add_symmetric(&mut sums, MatRef::from_row_major_slice(values, len, width).transpose(), 1.0 / n as f32);
        }
        Self(lower(width, &sums))
    }

    /// The mean square of each column.
    pub(super) fn diagonal(&self) -> Array1<f64> {
        (0..self.0.nrows()).map(|column| f64::from(self.0[(column, column)])).collect()
    }

    /// `None` if rounding leaves nothing that has a factor.
    pub(super) fn factor(&self, bend: f64) -> Option<Factor> {
        let width = self.0.nrows();
        let mut lower = Mat::from_fn(width, width, |row, column| {
            let product = bend as f32 * self.0[(row, column)];
            if row == column { product + 1.0 } else { product }
        });
        let largest = (0..width).fold(0f32, |top, index| top.max(lower[(index, index)]));
        let regularization = LltRegularization {
            dynamic_regularization_delta: 1e-5 * largest,
            dynamic_regularization_epsilon: 1e-6 * largest,
        };
        // One thread: the result would depend on their number.
        let scratch = cholesky_in_place_scratch::<f32>(width, Par::Seq, Default::default());
        let stack = &mut MemBuffer::new(scratch);
        cholesky_in_place(lower.as_mut(), regularization, Par::Seq, MemStack::new(stack), Default::default()).ok()?;
        Some(Factor(lower))
    }
}

impl Factor {
    /// The solutions for the right sides in the columns of `right`.
    pub(super) fn solve(&self, right: ArrayView2<f64>) -> Array2<f64> {
        let mut solution = Mat::from_fn(right.nrows(), right.ncols(), |row, column| right[[row, column]] as f32);
        let stack = &mut MemBuffer::new(StackReq::EMPTY);
        solve_in_place(self.0.as_ref(), solution.as_mut(), Par::Seq, MemStack::new(stack));
        Array2::from_shape_fn(right.dim(), |(row, column)| f64::from(solution[(row, column)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;

    #[test]
    fn it_solves_what_it_says() {
        let (x, _) = clusters(400, 300, 3, 1);
        let covariance = Covariance::new(&x.view().into());
        let right = Array2::from_shape_fn((300, 4), |(i, j)| (i % 7) as f64 - j as f64);
        for bend in [0.0, 3.0, 1e4] {
            let solution = covariance.factor(bend).unwrap().solve(right.view());
            let back = x.t().dot(&x).dot(&solution) * (bend / 400.0) + &solution;
            assert!((&back - &right).iter().all(|difference| difference.abs() < 2e-3), "{bend}");
        }
    }
}
