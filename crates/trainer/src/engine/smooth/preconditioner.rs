//! An approximate inverse of the Hessian that costs next to nothing to apply.
//!
//! The Hessian of the logistic objective is Σᵢ (costᵢ (diag(pᵢ) − pᵢpᵢᵀ)) ⊗ z̃ᵢz̃ᵢᵀ + I, with z̃ the row and a 1 for the bias; that of
//! the other losses the same with a diagonal first factor. In solver
//! coordinates the columns are orthogonal and centred; if besides the first factor were the same for all rows, say B / n, the
//! Hessian would be B ⊗ diag(mean z̃²) + I, which the eigenvectors of B make diagonal. It is not, but close enough for L-BFGS and
//! conjugate gradients to have little left to learn.

use ndarray::{Array2, s};

use super::columns::Columns;
use super::covariance::Factor;
use super::objective::Objective;
use crate::Error;
use crate::eigen::eigen;
use crate::engine::kernel::Scalar;

/// Outputs beyond which the eigenvectors of B cost more than they save, and only its diagonal is used.
const MANY_OUTPUTS: usize = 256;
/// Curvature assumed for the bias at least, as a share of the total cost: rows that are all sure leave none.
const FLAT: f64 = 1e-6;

/// See the module.
pub(super) struct Preconditioner {
    /// Eigenvectors of B as columns; none where its diagonal has to do.
    basis: Option<Array2<f64>>,
    /// The approximate Hessian in that basis, (r + 1) × outputs.
    curvature: Array2<f64>,
    /// Takes the place of all but its last row where columns are not orthogonal; for the mean bend of all outputs.
    factor: Option<Factor>,
}

impl Preconditioner {
    /// Approximates the Hessian at the θ that these bends belong to.
    ///
    /// # Errors
    /// [`Error::Eigen`], which finite scores have not been seen to cause.
    pub(super) fn new<T: Scalar>(
        objective: &Objective<T>,
        bends: &Array2<T>,
        columns: &Columns,
    ) -> Result<Self, Error> {
        if Self::has_basis(objective, columns) {
            let (values, vectors) = eigen(&objective.total_bend(bends))?;
            Ok(Self::with(objective, columns, &values, Some(vectors)))
        } else {
            Ok(Self::with(objective, columns, &objective.total_bends(bends).to_vec(), None))
        }
    }

    /// [`Self::new`] for the bends at θ.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub(super) fn at<T: Scalar>(
        objective: &Objective<T>,
        theta: &Array2<f64>,
        columns: &Columns,
    ) -> Result<Self, Error> {
        if Self::has_basis(objective, columns) {
            Self::new(objective, &objective.bends(theta), columns)
        } else {
            Ok(Self::with(objective, columns, &objective.total_bends_at(theta).to_vec(), None))
        }
    }

    fn has_basis<T: Scalar>(objective: &Objective<T>, columns: &Columns) -> bool {
        objective.is_coupled() && columns.covariance.is_none() && objective.outputs() <= MANY_OUTPUTS
    }

    fn with<T: Scalar>(
        objective: &Objective<T>,
        columns: &Columns,
        values: &[f64],
        basis: Option<Array2<f64>>,
    ) -> Self {
        let Columns { moments, covariance } = columns;
        let floor = FLAT * objective.total_cost();
        let curvature =
            Array2::from_shape_fn((moments.len() + 1, values.len()), |(row, output)| match moments.get(row) {
                Some(moment) => moment * values[output].max(0.0) + 1.0,
                None => values[output].max(floor),
            });
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let factor = covariance.as_ref().and_then(|covariance| covariance.factor(mean));
        Self { basis, curvature, factor }
    }

    /// The approximate inverse times `gradient`.
    pub(super) fn apply(&self, gradient: &Array2<f64>) -> Array2<f64> {
        let mut out = match &self.basis {
            Some(basis) => (gradient.dot(basis) / &self.curvature).dot(&basis.t()),
            None => gradient / &self.curvature,
        };
        if let Some(factor) = &self.factor {
            let r = gradient.nrows() - 1;
            out.slice_mut(s![..r, ..]).assign(&factor.solve(gradient.slice(s![..r, ..])));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, logistic_problem};
    use ndarray::Array1;

    fn columns(moments: Array1<f64>) -> Columns {
        Columns { moments, covariance: None }
    }

    /// At θ = 0 all rows have the same probabilities, and with orthogonal columns the approximation is exact.
    #[test]
    fn it_is_the_inverse_where_all_rows_are_alike() {
        let labels = [0, 1, 2, 0];
        let x = ndarray::array![[1.0, 2.0], [-1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]];
        let problem = logistic_problem(x.view(), &labels, 3);
        let objective = Objective::<f64>::new(&problem, 5.0);
        let probabilities = objective.bends(&objective.zeros());
        let preconditioner =
            Preconditioner::new(&objective, &probabilities, &columns(ndarray::array![1.0, 4.0])).unwrap();
        let mut direction = Array2::from_shape_fn((3, 3), |(i, j)| (1.0 + i as f64) * (j as f64 - 1.0));
        // A common change of all biases changes nothing, so it cannot be told from the product.
        direction.row_mut(2).assign(&ndarray::array![0.5, -1.0, 0.5]);
        let back = preconditioner.apply(&objective.curvature(&probabilities, &direction));
        assert!((&back - &direction).iter().all(|difference| difference.abs() < 1e-9), "{back} {direction}");
    }

    #[test]
    fn sure_rows_leave_it_positive() {
        let (x, labels) = clusters(20, 4, 2, 1);
        let problem = logistic_problem(x.view(), &labels, 2);
        let objective = Objective::<f64>::new(&problem, 1.0);
        let sure = Array2::from_shape_fn((20, 1), |(row, _)| (row % 2) as f64);
        let preconditioner = Preconditioner::new(&objective, &sure, &columns(Array1::ones(4))).unwrap();
        assert!(preconditioner.apply(&Array2::ones((5, 1))).iter().all(|value| *value > 0.0 && value.is_finite()));
    }
}
