//! Inner products of all rows, in f32.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;

/// Columns are filled up with zeros to a multiple of this, for loops over whole blocks.
pub(super) const BLOCK: usize = 64;
/// Rows handled at once; a constant, so that sums are taken in the same order on every number of threads.
const ROWS: usize = 256;
/// Side of the squares that are mirrored at once, small enough for the first cache.
const SQUARE: usize = 32;

/// Inner products of all rows, symmetric to the last bit.
///
/// f32 halves the memory and the time: residuals made with it are only steered by, and made anew in f64 before anything is claimed.
pub(super) struct Gram {
    blocks: Vec<[f32; BLOCK]>,
    /// Blocks of one row.
    stride: usize,
}

impl Gram {
    /// The n × n inner products of the rows of `features`.
    pub(super) fn new(features: ArrayView2<f64>) -> Self {
        let rows = features.mapv(|value| value as f32);
        let n = rows.nrows();
        let stride = n.div_ceil(BLOCK);
        let mut blocks = vec![[0f32; BLOCK]; n * stride];
        let width = stride * BLOCK;
        let values = blocks.as_flattened_mut();
        values.par_chunks_mut(ROWS * width).enumerate().for_each(|(index, out)| {
            let start = index * ROWS;
            let end = n.min(start + ROWS);
            // Whole rows, so the shape always fits.
            let Ok(mut out) = ArrayViewMut2::from_shape((end - start, width), out) else { return };
            let mut out = out.slice_mut(s![.., ..end]);
            general_mat_mul(1.0, &rows.slice(s![start..end, ..]), &rows.slice(s![..end, ..]).t(), 0.0, &mut out);
        });
        for top in (0..n).step_by(SQUARE) {
            for left in (top..n).step_by(SQUARE) {
                for row in top..n.min(top + SQUARE) {
                    for column in left.max(row + 1)..n.min(left + SQUARE) {
                        values[row * width + column] = values[column * width + row];
                    }
                }
            }
        }
        Self { blocks, stride }
    }

    /// The inner products of a row with all rows, in blocks.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[[f32; BLOCK]] {
        &self.blocks[row * self.stride..(row + 1) * self.stride]
    }

    /// One inner product.
    #[inline(always)]
    pub(super) fn at(&self, row: usize, column: usize) -> f32 {
        self.row(row)[column / BLOCK][column % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;

    #[test]
    fn inner_products_and_symmetry() {
        for rows in [1, 31, 300, 513] {
            let (x, _) = clusters(rows, 7, 2, 3);
            let (gram, exact) = (Gram::new(x.view()), x.dot(&x.t()));
            for ((row, column), value) in exact.indexed_iter() {
                assert!((f64::from(gram.at(row, column)) - value).abs() < 1e-6);
                assert_eq!(gram.at(row, column), gram.at(column, row));
            }
        }
    }
}
