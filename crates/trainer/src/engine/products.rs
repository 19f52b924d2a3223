//! Products of all rows with a few columns, threads sharing the rows.

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::kernel::{Panels, Scalar};
use super::rows::{Blocks, Buffer};
use crate::features::BLOCK;

/// Side of the tiles that inner products are made in.
const TILE: usize = 256;
/// Parts that sums are taken in, at most; a constant, so that they come out the same on every number of threads.
const PARTS: usize = 16;

/// The scores Z w (columns × n) of some columns of weights w (columns × r).
pub(super) fn scores<T: Scalar>(rows: &impl Blocks<T>, weights: ArrayView2<T>) -> Array2<T> {
    let n = rows.dim().0;
    let outputs = weights.nrows();
    let panels = columns(weights);
    let mut out = Array2::zeros((outputs, n));
    let found = parts(n, |part| {
        let mut out = Array2::zeros((outputs, part.len()));
        let mut scores = Panels::zeros(BLOCK, outputs);
        let mut row = vec![T::zero(); outputs];
        blocks(rows, part.clone(), |start, block| {
            T::scores(block, &panels, &mut scores);
            for offset in 0..block.len() {
                scores.get(offset, &mut row);
                let mut column = out.column_mut(start - part.start + offset);
                column.iter_mut().zip(&row).for_each(|(out, &score)| *out = score);
            }
        });
        out
    });
    for (part, found) in found {
        out.slice_mut(ndarray::s![.., part]).assign(&found);
    }
    out
}

/// The weights Zᵀ β (columns × r) of some columns of multipliers β (columns × n); summed up in f64.
pub(super) fn combinations<T: Scalar>(rows: &impl Blocks<T>, multipliers: ArrayView2<T>) -> Array2<f64> {
    let (n, r) = rows.dim();
    let outputs = multipliers.nrows();
    let found = parts(n, |part| {
        let mut sum = Panels::zeros(r, outputs);
        let mut factors = Panels::zeros(BLOCK, outputs);
        blocks(rows, part, |start, block| {
            for offset in 0..block.len() {
                factors.set(offset, &multipliers.column(start + offset).to_vec());
            }
            T::pull_back(block, &factors, &mut sum);
        });
        sum
    });
    let mut out = Array2::zeros((outputs, r));
    let mut row = vec![T::zero(); outputs];
    for (_, sum) in found {
        for (column, mut out) in out.axis_iter_mut(Axis(1)).enumerate() {
            sum.get(column, &mut row);
            out.iter_mut().zip(&row).for_each(|(out, value)| *out += value.to_f64().unwrap_or(f64::NAN));
        }
    }
    out
}

/// `scale` · A Aᵀ in tiles on and below the diagonal, each with its first row and column. The same on every number of threads.
pub(super) fn symmetric(a: MatRef<f32>, scale: f32) -> Vec<Tile<f32>> {
    let mut tiles = tiles(a.nrows());
    add_symmetric(&mut tiles, a, scale);
    tiles
}

/// First row, first column and values of a part of a matrix.
pub(super) type Tile<T> = (usize, usize, Mat<T>);

/// Tiles of a symmetric matrix on and below the diagonal, all 0.
pub(super) fn tiles<T: ComplexField>(n: usize) -> Vec<Tile<T>> {
    let starts = || (0..n).step_by(TILE);
    let len = |start: usize| TILE.min(n - start);
    starts()
        .flat_map(|i| starts().take_while(move |&j| j <= i).map(move |j| (i, j, Mat::zeros(len(i), len(j)))))
        .collect()
}

/// The tiles as the lower triangle of one matrix.
pub(super) fn lower<T: ComplexField>(n: usize, tiles: &[Tile<T>]) -> Mat<T> {
    let mut out = Mat::zeros(n, n);
    for (row, column, product) in tiles {
        out.submatrix_mut(*row, *column, product.nrows(), product.ncols()).copy_from(product);
    }
    out
}

/// Adds `scale` · A Aᵀ.
pub(super) fn add_symmetric<T: ComplexField>(tiles: &mut [Tile<T>], a: MatRef<T>, scale: T) {
    tiles.par_iter_mut().for_each(|(i, j, sum)| {
        let (left, right) = (a.subrows(*i, sum.nrows()), a.subrows(*j, sum.ncols()));
        matmul(sum.as_mut(), Accum::Add, left, right.transpose(), scale.clone(), Par::Seq);
    });
}

/// Runs `work` on parts of `n` rows that depend on their number alone.
fn parts<R: Send>(
    n: usize,
    work: impl Fn(std::ops::Range<usize>) -> R + Sync + Send,
) -> Vec<(std::ops::Range<usize>, R)> {
    let count = n.div_ceil(BLOCK).clamp(1, PARTS);
    let ranges: Vec<_> = (0..count).map(|part| n * part / count..n * (part + 1) / count).collect();
    ranges.into_par_iter().map(|part| (part.clone(), work(part))).collect()
}

/// Hands out the blocks of a part, each with the number of its first row.
fn blocks<T: Scalar>(rows: &impl Blocks<T>, part: std::ops::Range<usize>, mut work: impl FnMut(usize, &[&[T]])) {
    let mut buffer = Buffer::default();
    for start in part.clone().step_by(BLOCK) {
        work(start, &rows.block(start..part.end.min(start + BLOCK), &mut buffer));
    }
}

/// One column for each row of `weights`.
fn columns<T: Scalar>(weights: ArrayView2<T>) -> Panels<T> {
    let mut panels = Panels::zeros(weights.ncols(), weights.nrows());
    for (column, values) in weights.axis_iter(Axis(1)).enumerate() {
        panels.set(column, &values.to_vec());
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;

    #[test]
    fn they_are_matrix_products() {
        for (rows, columns, outputs) in [(1, 1, 1), (63, 5, 2), (1500, 40, 17)] {
            let (x, _) = clusters(rows, columns, 2, 3);
            let weights = Array2::from_shape_fn((outputs, columns), |(i, j)| (i * 7 % 5) as f64 - j as f64 / 9.0);
            let close = |found: Array2<f64>, expected: Array2<f64>, tolerance: f64| {
                assert_eq!(found.dim(), expected.dim());
                let size = expected.iter().fold(1f64, |top, value| top.max(value.abs()));
                assert!((found - expected).iter().all(|difference| difference.abs() <= tolerance * size));
            };
            let found = scores(&x.view(), weights.view());
            close(found.clone(), weights.dot(&x.t()), 1e-12);
            close(combinations(&x.view(), found.view()), found.dot(&x), 1e-12);
            let (single, few) = (x.mapv(|value| value as f32), weights.mapv(|value| value as f32));
            let rough = scores(&single.view(), few.view());
            close(combinations(&single.view(), rough.view()), found.dot(&x), 1e-4);
            close(rough.mapv(f64::from), found, 1e-4);
        }
    }
}
