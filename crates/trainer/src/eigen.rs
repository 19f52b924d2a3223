//! Symmetric eigendecomposition, and which of it is noise.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};
use ndarray::{Array1, Array2, s};

use crate::Error;

/// Eigenvalues below this share of the largest are lost in the rounding of a matrix of inner products, or soon will be.
const CLEAR: f64 = 1e-9;
/// Eigenvalues below this share of the largest are rounding, where all that can vary is clear.
const NOISE: f64 = 1e-12;

/// The directions in which data vary, the strongest first.
pub(crate) struct PrincipalAxes {
    /// Square roots of the eigenvalues: the singular values of the data; 0 where rounding made an eigenvalue negative.
    pub(crate) sizes: Array1<f64>,
    /// Eigenvectors as columns.
    pub(crate) vectors: Array2<f64>,
}

impl PrincipalAxes {
    /// All axes of a matrix of inner products (n × n).
    ///
    /// # Errors
    /// [`Error::Eigen`] if the eigendecomposition does not converge.
    pub(crate) fn new(gram: &Array2<f64>) -> Result<Self, Error> {
        let (values, vectors) = eigen(gram)?;
        let n = values.len();
        let sizes = values.iter().rev().map(|value| value.max(0.0).sqrt()).collect();
        let vectors = Array2::from_shape_fn((n, n), |(row, column)| vectors[[row, n - 1 - column]]);
        Ok(Self { sizes, vectors })
    }

    fn above(&self, share: f64) -> usize {
        let cut = share.sqrt() * self.sizes.first().copied().unwrap_or(0.0);
        self.sizes.iter().filter(|size| **size > cut).count()
    }

    /// How many axes stand out from rounding.
    pub(crate) fn clear(&self) -> usize {
        self.above(CLEAR)
    }

    /// Only those that are not noise, but at least one: solvers need a column even if nothing varies.
    pub(crate) fn strong(self) -> Self {
        let kept = self.above(NOISE);
        if kept == 0 {
            return Self { sizes: Array1::ones(1), vectors: Array2::zeros((self.vectors.nrows(), 1)) };
        }
        let (sizes, vectors) = (self.sizes.slice(s![..kept]).to_owned(), self.vectors.slice(s![.., ..kept]).to_owned());
        Self { sizes, vectors }
    }
}

/// Eigenvalues, ascending, and eigenvectors as columns. One thread: faer's result depends on the degree of parallelism.
///
/// # Errors
/// [`Error::Eigen`] if it does not converge.
pub(crate) fn eigen(gram: &Array2<f64>) -> Result<(Vec<f64>, Array2<f64>), Error> {
    let n = gram.nrows();
    let matrix = Mat::from_fn(n, n, |row, column| gram[[row, column]]);
    let mut vectors = Mat::zeros(n, n);
    let mut values = Diag::zeros(n);
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    self_adjoint_evd(
        matrix.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| Error::Eigen { rows: n })?;
    let values = values.column_vector().iter().copied().collect();
    Ok((values, Array2::from_shape_fn((n, n), |(row, column)| vectors[(row, column)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_matrix_of_rank_two() {
        // Inner products of the rows (3, 0), (0, 2) and (3, 0).
        let gram = array![[9.0, 0.0, 9.0], [0.0, 4.0, 0.0], [9.0, 0.0, 9.0]];
        let axes = PrincipalAxes::new(&gram).unwrap();
        assert_eq!(axes.clear(), 2);
        let axes = axes.strong();
        assert_eq!(axes.sizes.len(), 2);
        assert!((axes.sizes[0] - 18f64.sqrt()).abs() < 1e-12 && (axes.sizes[1] - 2.0).abs() < 1e-12);
        let scaled = &axes.vectors * &axes.sizes;
        assert!((scaled.dot(&scaled.t()) - gram).iter().all(|difference| difference.abs() < 1e-12));
    }

    #[test]
    fn nothing_varies() {
        let axes = PrincipalAxes::new(&Array2::zeros((4, 4))).unwrap();
        assert_eq!(axes.clear(), 0);
        assert!(axes.strong().vectors.iter().all(|value| *value == 0.0));
    }
}
