//! Inner products of all rows, in f32.

use faer::MatRef;
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::engine::products::symmetric;
use crate::engine::rows::row_major;

/// Columns are filled up with zeros to a multiple of this, for loops over whole blocks.
pub(super) const BLOCK: usize = 64;

/// Inner products of all rows, symmetric to the last bit.
///
/// f32 halves the memory and the time: residuals made with it are only steered by, and made anew in f64 before anything is claimed.
#[derive(Debug)]
pub(crate) struct Gram {
    blocks: Vec<[f32; BLOCK]>,
    /// Blocks of one row.
    stride: usize,
}

impl Gram {
    /// The n × n inner products of the rows of `features`.
    pub(crate) fn new(features: ArrayView2<f64>) -> Self {
        let rows = row_major(features);
        let (n, r) = rows.dim();
        let mut gram = Self::zeros(n);
        let width = gram.stride * BLOCK;
        let values = gram.blocks.as_flattened_mut();
        let all = MatRef::from_row_major_slice(rows.as_slice().unwrap_or_default(), n, r);
        for (top, left, product) in symmetric(all, 1.0) {
            // Tiles on the diagonal are whole, and not symmetric to the last bit.
            for (column, products) in (left..).zip(product.col_iter()) {
                for (row, &value) in (top..).zip(products.iter()).filter(|(row, _)| *row >= column) {
                    values[row * width + column] = value;
                    values[column * width + row] = value;
                }
            }
        }
        gram
    }

    fn zeros(n: usize) -> Self {
        let stride = n.div_ceil(BLOCK);
        Self { blocks: vec![[0f32; BLOCK]; n * stride], stride }
    }

    /// The inner products of some of the rows.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let mut out = Self::zeros(rows.len());
        let width = out.stride * BLOCK;
        out.blocks.as_flattened_mut().par_chunks_mut(width.max(1)).zip(rows).for_each(|(out, &row)| {
            let own = self.row(row).as_flattened();
            out.iter_mut().zip(rows).for_each(|(out, &column)| *out = own[column]);
        });
        out
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
            let columns = x.t().as_standard_layout().into_owned();
            assert_eq!(Gram::new(columns.t()).blocks, gram.blocks, "column-major");
            let some: Vec<usize> = (0..rows).rev().step_by(3).collect();
            let part = gram.select(&some);
            for (at, &row) in some.iter().enumerate() {
                assert!(some.iter().enumerate().all(|(to, &column)| part.at(at, to) == gram.at(row, column)));
            }
            for ((row, column), value) in exact.indexed_iter() {
                assert!((f64::from(gram.at(row, column)) - value).abs() < 1e-6);
                assert_eq!(gram.at(row, column), gram.at(column, row));
            }
        }
    }
}
