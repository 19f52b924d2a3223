//! Symmetric eigendecomposition, less its noise.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};
use ndarray::{Array1, Array2};

use crate::Error;

/// Eigenvalues below this share of the largest are dropped. It's the square of 1e-6, the size that rounding of f32 features has
/// relative to their spread; what lies below it in the Gram matrix is noise.
const EIGENVALUE_CUT: f64 = 1e-12;

/// The directions in which data vary, the strongest first.
pub(crate) struct PrincipalAxes {
    /// Square roots of the eigenvalues: the singular values of the data, r of them.
    pub(crate) sizes: Array1<f64>,
    /// Eigenvectors as columns, n × r.
    pub(crate) vectors: Array2<f64>,
}

/// The principal axes of a matrix of inner products (n × n), without those that are noise; `None` if none are left.
///
/// # Errors
/// [`Error::Eigen`] if the eigendecomposition does not converge.
pub(crate) fn principal_axes(gram: &Array2<f64>) -> Result<Option<PrincipalAxes>, Error> {
    let (values, vectors) = eigen(gram)?;
    let n = values.len();
    let cut = values.last().map_or(0.0, |largest| largest.max(0.0) * EIGENVALUE_CUT);
    let kept: Vec<usize> = (0..n).rev().filter(|&index| values[index] > cut).collect();
    if kept.is_empty() {
        return Ok(None);
    }
    let sizes = kept.iter().map(|&index| values[index].sqrt()).collect();
    let vectors = Array2::from_shape_fn((n, kept.len()), |(row, column)| vectors[[row, kept[column]]]);
    Ok(Some(PrincipalAxes { sizes, vectors }))
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
        let axes = principal_axes(&gram).unwrap().unwrap();
        assert_eq!(axes.sizes.len(), 2);
        assert!((axes.sizes[0] - 18f64.sqrt()).abs() < 1e-12 && (axes.sizes[1] - 2.0).abs() < 1e-12);
        let scaled = &axes.vectors * &axes.sizes;
        assert!((scaled.dot(&scaled.t()) - gram).iter().all(|difference| difference.abs() < 1e-12));
    }

    #[test]
    fn nothing_varies() {
        assert!(principal_axes(&Array2::zeros((4, 4))).unwrap().is_none());
    }
}
