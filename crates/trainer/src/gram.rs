//! Inner products of centred rows, and of columns, in tiles that threads share out.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use crate::centring::Centring;
use crate::features::Features;
use crate::reduction::ROW_BLOCK;

/// Columns handled at once; a constant like [`ROW_BLOCK`].
const COLUMN_BLOCK: usize = 512;

/// Ranges of columns that are handled together.
pub(crate) fn column_blocks(columns: usize) -> impl Iterator<Item = Range<usize>> {
    (0..columns).step_by(COLUMN_BLOCK).map(move |start| start..columns.min(start + COLUMN_BLOCK))
}

/// Inner products of the centred rows `left` with the centred rows `right`. Of rows that are not in memory, `memory` bytes are read at
/// a time: each pair of such tiles meets once.
pub(crate) fn inner_products(
    x: Features,
    centring: &Centring,
    left: &[usize],
    right: &[usize],
    memory: u64,
) -> Array2<f64> {
    let symmetric = std::ptr::eq(left, right);
    let mut gram = Array2::zeros((left.len(), right.len()));
    if let Features::Memory(view) = x.reborrow() {
        fill(Tile { x: view, rows: left }, Tile { x: view, rows: right }, centring, symmetric, gram.view_mut());
        return gram;
    }
    // Whole blocks, so that sums are taken as they would be in memory.
    let rows = memory as usize / 2 / (size_of::<f32>() * x.ncols());
    let rows = (rows / ROW_BLOCK).max(1) * ROW_BLOCK;
    for (i, left) in left.chunks(rows).enumerate() {
        let left_rows = x.gather(left);
        let left_tile = Tile { x: left_rows.view(), rows: &(0..left.len()).collect::<Vec<_>>() };
        let top = i * rows;
        for (j, right) in right.chunks(rows).enumerate().filter(|(j, _)| !symmetric || *j <= i) {
            let same = symmetric && i == j;
            let other;
            let right_rows = if same {
                left_rows.view()
            } else {
                other = x.gather(right);
                other.view()
            };
            let right_tile = Tile { x: right_rows, rows: &(0..right.len()).collect::<Vec<_>>() };
            let start = j * rows;
            let (tall, wide) = (top..top + left.len(), start..start + right.len());
            fill(left_tile, right_tile, centring, same, gram.slice_mut(s![tall.clone(), wide.clone()]));
            if symmetric && !same {
                let (done, mut mirror) = gram.multi_slice_mut((s![tall.clone(), wide.clone()], s![wide, tall]));
                mirror.assign(&done.t());
            }
        }
    }
    gram
}

/// Some rows of a matrix in memory.
#[derive(Clone, Copy)]
struct Tile<'a> {
    x: ArrayView2<'a, f32>,
    rows: &'a [usize],
}

/// Inner products of two sets of rows, which are the same if `symmetric`.
fn fill(left: Tile, right: Tile, centring: &Centring, symmetric: bool, mut gram: ArrayViewMut2<f64>) {
    let tiles: Vec<(usize, usize)> = (0..left.rows.len().div_ceil(ROW_BLOCK))
        .flat_map(|i| (0..right.rows.len().div_ceil(ROW_BLOCK)).map(move |j| (i, j)))
        .filter(|&(i, j)| !symmetric || j <= i)
        .collect();
    let range = |rows: &[usize], tile: usize| tile * ROW_BLOCK..rows.len().min((tile + 1) * ROW_BLOCK);
    let products: Vec<Array2<f64>> = tiles
        .par_iter()
        .map(|&(i, j)| {
            let left = Tile { rows: &left.rows[range(left.rows, i)], ..left };
            let right = Tile { rows: &right.rows[range(right.rows, j)], ..right };
            let mut sum = Array2::zeros((left.rows.len(), right.rows.len()));
            let mut left_buffer = Array2::zeros((left.rows.len(), COLUMN_BLOCK));
            let mut right_buffer = Array2::zeros((right.rows.len(), COLUMN_BLOCK));
            for columns in column_blocks(left.x.ncols()) {
                let mut left_block = left_buffer.slice_mut(s![.., ..columns.len()]);
                let mut right_block = right_buffer.slice_mut(s![.., ..columns.len()]);
                centre(left, centring, columns.clone(), &mut left_block);
                centre(right, centring, columns, &mut right_block);
                general_mat_mul(1.0, &left_block, &right_block.t(), 1.0, &mut sum);
            }
            sum
        })
        .collect();
    for (&(i, j), product) in tiles.iter().zip(&products) {
        let (rows, columns) = (range(left.rows, i), range(right.rows, j));
        gram.slice_mut(s![rows.clone(), columns.clone()]).assign(product);
        if symmetric && i != j {
            gram.slice_mut(s![columns, rows]).assign(&product.t());
        }
    }
}

/// Writes some columns of some rows, centred and scaled.
fn centre(tile: Tile, centring: &Centring, columns: Range<usize>, out: &mut ArrayViewMut2<f64>) {
    let (mean, factor) = (&centring.mean[columns.clone()], &centring.factor[columns.clone()]);
    for (&row, mut out) in tile.rows.iter().zip(out.outer_iter_mut()) {
        let values = tile.x.slice(s![row, columns.clone()]);
        for (((out, &value), mean), factor) in out.iter_mut().zip(&values).zip(mean).zip(factor) {
            *out = (f64::from(value) - mean) * factor;
        }
    }
}

/// Some columns of some rows, centred and scaled.
pub(crate) fn centred_columns(x: Features, centring: &Centring, rows: &[usize], columns: Range<usize>) -> Array2<f64> {
    let (mean, factor) = (&centring.mean[columns.clone()], &centring.factor[columns.clone()]);
    let mut out = Array2::zeros((rows.len(), columns.len()));
    let blocks = out.axis_chunks_iter_mut(Axis(0), ROW_BLOCK).into_par_iter().zip(rows.par_chunks(ROW_BLOCK));
    blocks.for_each(|(mut out, rows)| {
        x.each(rows, &mut Vec::new(), |place, row| {
            for (((out, &value), mean), factor) in
                out.row_mut(place).iter_mut().zip(&row[columns.clone()]).zip(mean).zip(factor)
            {
                *out = (f64::from(value) - mean) * factor;
            }
        });
    });
    out
}

/// Inner products of the columns of `matrix`.
pub(crate) fn column_products(matrix: ArrayView2<f64>) -> Array2<f64> {
    let blocks: Vec<Range<usize>> = column_blocks(matrix.ncols()).collect();
    let tiles: Vec<(usize, usize)> = (0..blocks.len()).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
    let block = |index: usize| matrix.slice(s![.., blocks[index].clone()]);
    let products: Vec<Array2<f64>> = tiles.par_iter().map(|&(i, j)| block(i).t().dot(&block(j))).collect();
    let mut gram = Array2::zeros((matrix.ncols(), matrix.ncols()));
    for (&(i, j), product) in tiles.iter().zip(&products) {
        gram.slice_mut(s![blocks[i].clone(), blocks[j].clone()]).assign(product);
        gram.slice_mut(s![blocks[j].clone(), blocks[i].clone()]).assign(&product.t());
    }
    gram
}
