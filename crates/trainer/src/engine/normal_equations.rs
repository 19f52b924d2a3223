//! Weighted least squares with a free bias, exactly: what second-order methods solve in each step.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{Mat, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};

use super::products::{add_symmetric, lower, tiles};
use crate::params::Bias;

/// Rows handled at once; a constant, so that sums are taken in the same order on every number of threads.
const ROWS: usize = 512;

/// The rows of a problem with a column of ones for the bias, X̃ = (Z, 1); of zeros if it is not free, which leaves it 0.
pub(super) struct NormalEquations {
    rows: Array2<f64>,
    bias: Bias,
}

impl NormalEquations {
    pub(super) fn new(features: ArrayView2<f64>, bias: Bias) -> Self {
        let last = Array2::from_elem((features.nrows(), 1), if bias == Bias::Free { 1.0 } else { 0.0 });
        let rows = concatenate![Axis(1), features, last].as_standard_layout().into_owned();
        Self { rows, bias }
    }

    /// Columns of Z.
    pub(super) fn columns(&self) -> usize {
        self.rows.ncols() - 1
    }

    /// X̃ θ.
    pub(super) fn dot(&self, theta: &Array1<f64>) -> Array1<f64> {
        self.rows.dot(theta)
    }

    /// X̃ᵀ v, row after row: columns are far apart in memory.
    pub(super) fn columns_dot(&self, values: &Array1<f64>) -> Array1<f64> {
        let mut sum = Array1::zeros(self.rows.ncols());
        for (row, &value) in self.rows.outer_iter().zip(values) {
            sum.scaled_add(value, &row);
        }
        sum
    }

    /// Cholesky factor of diag(1, …, 1, 0) + X̃ᵀ diag(weight) X̃ for weights ≥ 0, with a 1 for a bias that is not free; `None` if that is
    /// not finite.
    pub(super) fn factor(&self, weight: &Array1<f64>) -> Option<Factor> {
        let size = self.rows.ncols();
        let mut sums = tiles(size);
        let mut scaled = vec![0.0; ROWS.min(self.rows.nrows()) * size];
        for (rows, weight) in self.rows.axis_chunks_iter(Axis(0), ROWS).zip(weight.axis_chunks_iter(Axis(0), ROWS)) {
            let scaled = &mut scaled[..rows.len()];
            for ((out, row), weight) in scaled.chunks_exact_mut(size).zip(rows.outer_iter()).zip(weight) {
                let root = weight.sqrt();
                out.iter_mut().zip(row).for_each(|(out, value)| *out = root * value);
            }
            add_symmetric(&mut sums, MatRef::from_row_major_slice(scaled, rows.nrows(), size).transpose(), 1.0);
        }
        let mut lower = lower(size, &sums);
        let mut largest = 0f64;
        for index in 0..size {
            if index + 1 < size || self.bias == Bias::Regularized {
                lower[(index, index)] += 1.0;
            }
            largest = largest.max(lower[(index, index)]);
        }
        // Without any weight nothing determines the bias.
        let last = &mut lower[(size - 1, size - 1)];
        *last = last.max(1e-12 * largest);
        Factor::new(lower)
    }
}

/// A Cholesky factor.
pub(super) struct Factor {
    lower: Mat<f64>,
}

impl Factor {
    /// Of the symmetric positive definite matrix with this lower triangle; `None` if that is not finite.
    pub(super) fn new(mut lower: Mat<f64>) -> Option<Self> {
        let size = lower.nrows();
        let largest = (0..size).fold(0f64, |top, index| top.max(lower[(index, index)]));
        // Pivots that rounding would make negative, where columns depend on each other or the bias is hardly determined.
        let regularization = LltRegularization {
            dynamic_regularization_delta: 1e-14 * largest,
            dynamic_regularization_epsilon: 1e-15 * largest,
        };
        // One thread: the result would depend on their number.
        let scratch = cholesky_in_place_scratch::<f64>(size, Par::Seq, Default::default());
        let stack = &mut MemBuffer::new(scratch);
        cholesky_in_place(lower.as_mut(), regularization, Par::Seq, MemStack::new(stack), Default::default()).ok()?;
        Some(Self { lower })
    }

    /// The solution for one right side.
    pub(super) fn solve(&self, right: Array1<f64>) -> Array1<f64> {
        let mut solution = Mat::from_fn(right.len(), 1, |row, _| right[row]);
        solve_in_place(
            self.lower.as_ref(),
            solution.as_mut(),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(faer::dyn_stack::StackReq::EMPTY)),
        );
        Array1::from_shape_fn(right.len(), |row| solution[(row, 0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;

    #[test]
    fn the_solution_satisfies_the_equations() {
        for (rows, columns) in [(30, 4), (600, 300)] {
            let (x, _) = clusters(rows, columns, 2, 3);
            let equations = NormalEquations::new(x.view(), Bias::Free);
            let weight = Array1::from_shape_fn(rows, |row| (row % 5) as f64);
            let right = Array1::from_shape_fn(columns + 1, |column| (column % 7) as f64 - 3.0);
            let solution = equations.factor(&weight).unwrap().solve(right.clone());
            let mut back = equations.columns_dot(&(equations.dot(&solution) * &weight));
            back += &solution;
            back[columns] -= solution[columns];
            assert!((&back - &right).iter().all(|difference| difference.abs() < 1e-8));
        }
    }
}
