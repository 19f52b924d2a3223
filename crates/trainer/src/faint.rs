//! Coordinates of rows that vary by very different amounts along different directions: features in other units, one row far out.
//!
//! The matrix of inner products holds squares, so what is 1e-6 of the largest in the rows is 1e-12 of it there and half lost. But its
//! eigenvectors U, with the rows X̃ turned by them, part the strong from the faint: X̂ = UᵀX̃ has rows of falling size D, each right
//! to the last digits, and nearly orthogonal. What is left to do is well-conditioned: D⁻¹X̂X̂ᵀD⁻¹ = LLᵀ by Cholesky. With
//! Q = L⁻¹D⁻¹X̂, whose rows are orthonormal, X̃ = U D L Q. (Cholesky QR with a preconditioner, after Drmač and Veselić 2008, "New fast
//! and accurate Jacobi SVD algorithm".)

use std::collections::HashSet;
use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis, s};
use rayon::prelude::*;

use crate::features::Features;

/// Rows at once; a constant, so that sums are taken in the same order on every number of threads.
const BLOCK: usize = 128;
/// Sizes below this share of the largest are rounding.
const ROUNDING: f64 = 1e-13;
/// Rows of D⁻¹X̂ that are as near as this to the span of those before them depend on these.
const DEPENDENT: f64 = 1e-6;

/// The rank that centred rows can have: rows that differ, less one for the mean; and no more than columns that vary.
pub(crate) fn rank(x: Features, rows: &[usize]) -> usize {
    let Some(first) = rows.first() else { return 0 };
    let first = x.gather(&[*first]);
    // A sum that hardly any two rows share: equal rows always do, and it is only a matter of time if others do.
    let hash = |row: &[f32]| {
        row.iter().fold(0u64, |hash, value| {
            (hash ^ u64::from(value.to_bits())).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
        })
    };
    let (hashes, varies): (Vec<Vec<u64>>, Vec<Vec<bool>>) = rows
        .par_chunks(BLOCK)
        .map(|rows| {
            let (mut hashes, mut varies) = (Vec::with_capacity(rows.len()), vec![false; x.ncols()]);
            x.each(rows, &mut Vec::new(), |_, row| {
                hashes.push(hash(row));
                varies.iter_mut().zip(row).zip(&first).for_each(|((varies, a), b)| *varies |= a != b);
            });
            (hashes, varies)
        })
        .unzip();
    let distinct: HashSet<u64> = hashes.into_iter().flatten().collect();
    let varying = (0..x.ncols()).filter(|&column| varies.iter().any(|varies| varies[column])).count();
    (distinct.len() - 1).min(varying)
}

/// Columns whose size is not rounding beside the largest; at least one.
pub(crate) fn kept(rows: &Array2<f64>) -> Vec<usize> {
    let mut squares = Array1::<f64>::zeros(rows.ncols());
    for row in rows.outer_iter() {
        squares.zip_mut_with(&row, |sum, value| *sum += value * value);
    }
    let largest = squares.iter().fold(0f64, |top, &value| top.max(value));
    let cut = largest * ROUNDING * ROUNDING;
    let kept: Vec<usize> = (0..rows.ncols()).filter(|&column| squares[column] > cut).collect();
    if kept.is_empty() { vec![0] } else { kept }
}

/// Z = U D L (n × r), and U D⁻¹ L⁻ᵀ (n × r), the combinations of rows that are Qᵀ. `vectors`: U, the strongest first. `block` gives some
/// columns of all rows.
pub(crate) fn coordinates(
    vectors: &Array2<f64>,
    columns: &[Range<usize>],
    block: &dyn Fn(Range<usize>) -> Array2<f64>,
) -> (Array2<f64>, Array2<f64>) {
    let n = vectors.nrows();
    let gram = turned_products(vectors, columns, block);
    let sizes = gram.diag().mapv(|square| square.max(0.0).sqrt());
    let largest = sizes.iter().fold(0f64, |top, &size| top.max(size));
    let mut order: Vec<usize> = (0..n).filter(|&index| sizes[index] > ROUNDING * largest).collect();
    order.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]).then(a.cmp(&b)));

    // L row by row; `own` are the rows that are not combinations of those before, and have a column.
    let mut lower = Array2::<f64>::zeros((order.len(), order.len()));
    let mut own: Vec<usize> = Vec::new();
    for (at, &index) in order.iter().enumerate() {
        let mut square = 1.0;
        for column in 0..own.len() {
            let other = own[column];
            let inner = gram[[index, order[other]]] / (sizes[index] * sizes[order[other]]);
            let product = lower.slice(s![at, ..column]).dot(&lower.slice(s![other, ..column]));
            let value = (inner - product) / lower[[other, column]];
            lower[[at, column]] = value;
            square -= value * value;
        }
        if square > DEPENDENT * DEPENDENT {
            lower[[at, own.len()]] = square.sqrt();
            own.push(at);
        }
    }
    let r = own.len();
    let scaled = Array2::from_shape_fn((order.len(), r), |(at, column)| sizes[order[at]] * lower[[at, column]]);
    let reduced = vectors.select(Axis(1), &order).dot(&scaled);
    let mut back = Array2::<f64>::zeros((r, n));
    for (column, &at) in own.iter().enumerate() {
        let mut row = &vectors.column(order[at]) / sizes[order[at]];
        for before in 0..column {
            row.scaled_add(-lower[[at, before]], &back.row(before));
        }
        back.row_mut(column).assign(&(row / lower[[at, column]]));
    }
    (reduced, back.reversed_axes())
}

/// X̂X̂ᵀ for X̂ = UᵀX̃.
fn turned_products(
    vectors: &Array2<f64>,
    columns: &[Range<usize>],
    block: &dyn Fn(Range<usize>) -> Array2<f64>,
) -> Array2<f64> {
    let n = vectors.nrows();
    let count = n.div_ceil(BLOCK);
    let range = |tile: usize| tile * BLOCK..n.min((tile + 1) * BLOCK);
    let mut tiles: Vec<(usize, usize, Array2<f64>)> = (0..count)
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .map(|(i, j)| (i, j, Array2::zeros((range(i).len(), range(j).len()))))
        .collect();
    for columns in columns {
        let rows = block(columns.clone());
        let turned: Vec<Array2<f64>> =
            (0..count).into_par_iter().map(|tile| vectors.slice(s![.., range(tile)]).t().dot(&rows)).collect();
        tiles.par_iter_mut().for_each(|(i, j, sum)| general_mat_mul(1.0, &turned[*i], &turned[*j].t(), 1.0, sum));
    }
    let mut gram = Array2::zeros((n, n));
    for (i, j, product) in &tiles {
        gram.slice_mut(s![range(*i), range(*j)]).assign(product);
        gram.slice_mut(s![range(*j), range(*i)]).assign(&product.t());
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eigen::PrincipalAxes;
    use crate::random::SplitMix64;

    /// Columns in units 1e7 apart: of the small ones, inner products in f64 keep two digits.
    #[test]
    fn faint_columns_are_kept_to_the_last_digits() {
        let mut random = SplitMix64::new(3);
        let rows = Array2::from_shape_fn((20, 50), |(_, column)| {
            let value = (random.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
            if column < 5 { value } else { 1e-7 * value }
        });
        let axes = PrincipalAxes::new(&rows.dot(&rows.t())).unwrap();
        assert_eq!(axes.clear(), 5);
        let block = |columns: Range<usize>| rows.slice(s![.., columns]).to_owned();
        let (reduced, back) = coordinates(&axes.vectors, &[0..30, 30..50], &block);
        assert_eq!((reduced.dim(), back.dim()), ((20, 20), (20, 20)));
        // X̃ = Z Q with orthonormal Q, in the small columns too.
        let q = back.t().dot(&rows);
        let unit = q.dot(&q.t()) - Array2::<f64>::eye(20);
        assert!(unit.iter().all(|value| value.abs() < 1e-6), "{unit}");
        let again = reduced.dot(&q);
        for ((row, column), value) in rows.indexed_iter() {
            let size = if column < 5 { 1.0 } else { 1e-7 };
            assert!((again[[row, column]] - value).abs() < 1e-7 * size, "{row} {column}");
        }
    }

    #[test]
    fn rank_counts_rows_and_columns_that_differ() {
        let x = ndarray::array![[1.0f32, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 5.0, 4.0], [1.0, 0.0, 0.0]];
        assert_eq!(rank(x.view().into(), &[0, 1, 2, 3]), 2);
        assert_eq!(rank(x.view().into(), &[0, 1, 2]), 1);
        assert_eq!(rank(x.view().into(), &[0, 1]), 0);
        let mut z = Array2::<f64>::zeros((2, 3));
        assert_eq!(kept(&z), [0]);
        z[[0, 1]] = 1.0;
        z[[1, 2]] = 1e-10;
        assert_eq!(kept(&z), [1, 2]);
    }
}
