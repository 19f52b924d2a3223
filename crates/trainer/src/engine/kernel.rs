//! Products of a block of rows with a few columns: scores from weights, and back from slopes to a gradient.
//!
//! General matrix products pack both sides into panels first. With few outputs that costs as much as the product: on 64 × 2048 rows
//! and 10 outputs, faer reached 46 and matrixmultiply 20 Gflop/s where this reached 66 (one core with AVX-512, others busy). Here
//! outputs lie in panels of sixteen from the start, rows are read where they lie, and each number read is used on a whole panel.

use pulp::Simd;

use super::rows::Precision;

/// Outputs of a panel.
pub(in crate::engine) const LANES: usize = 16;
/// Rows whose sums are kept in registers at once.
const ROWS: usize = 8;

/// A matrix with one column for each output, in panels of [`LANES`] columns, the last filled up with zeros: panel after panel, and
/// in each row after row.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Panels<T> {
    values: Vec<[T; LANES]>,
    rows: usize,
}

impl<T: Copy + Default> Panels<T> {
    pub(in crate::engine) fn zeros(rows: usize, columns: usize) -> Self {
        Self { values: vec![[T::default(); LANES]; rows * columns.div_ceil(LANES)], rows }
    }

    /// Copies a row out.
    pub(in crate::engine) fn get(&self, row: usize, out: &mut [T]) {
        for (panel, out) in out.chunks_mut(LANES).enumerate() {
            out.copy_from_slice(&self.values[panel * self.rows + row][..out.len()]);
        }
    }

    /// Copies a row in.
    pub(in crate::engine) fn set(&mut self, row: usize, values: &[T]) {
        for (panel, values) in values.chunks(LANES).enumerate() {
            self.values[panel * self.rows + row][..values.len()].copy_from_slice(values);
        }
    }
}

/// f32 or f64.
pub(in crate::engine) trait Scalar: ndarray::NdFloat + Default + Precision {
    /// `scores` = `block` · `weights`: the first rows of `scores`, one for each row of `block` (as wide as `weights` is high).
    fn scores(block: &[&[Self]], weights: &Panels<Self>, scores: &mut Panels<Self>);

    /// `gradient` += `block`ᵀ · `slopes`, with the shapes of [`Self::scores`].
    fn pull_back(block: &[&[Self]], slopes: &Panels<Self>, gradient: &mut Panels<Self>);
}

macro_rules! scalar {
    ($float:ty, $module:ident, $lanes:ident, $vector:ident, $splat:ident, $mul_add:ident, $as_simd:ident, $as_mut_simd:ident) => {
        impl Scalar for $float {
            fn scores(block: &[&[Self]], weights: &Panels<Self>, scores: &mut Panels<Self>) {
                pulp::Arch::new().dispatch($module::Scores { block, weights, scores });
            }

            fn pull_back(block: &[&[Self]], slopes: &Panels<Self>, gradient: &mut Panels<Self>) {
                pulp::Arch::new().dispatch($module::PullBack { block, slopes, gradient });
            }
        }

        mod $module {
            use super::{LANES, Panels, ROWS, Simd};

            pub(super) struct Scores<'a> {
                pub(super) block: &'a [&'a [$float]],
                pub(super) weights: &'a Panels<$float>,
                pub(super) scores: &'a mut Panels<$float>,
            }

            pub(super) struct PullBack<'a> {
                pub(super) block: &'a [&'a [$float]],
                pub(super) slopes: &'a Panels<$float>,
                pub(super) gradient: &'a mut Panels<$float>,
            }

            impl pulp::WithSimd for Scores<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    match LANES / S::$lanes {
                        1 => self.go::<S, 1>(simd),
                        2 => self.go::<S, 2>(simd),
                        4 => self.go::<S, 4>(simd),
                        8 => self.go::<S, 8>(simd),
                        _ => self.go::<S, 16>(simd),
                    }
                }
            }

            impl pulp::WithSimd for PullBack<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    match LANES / S::$lanes {
                        1 => self.go::<S, 1>(simd),
                        2 => self.go::<S, 2>(simd),
                        4 => self.go::<S, 4>(simd),
                        8 => self.go::<S, 8>(simd),
                        _ => self.go::<S, 16>(simd),
                    }
                }
            }

            impl Scores<'_> {
                #[inline(always)]
                fn go<S: Simd, const V: usize>(self, simd: S) {
                    let width = self.weights.rows;
                    let high = self.scores.rows;
                    let panels = self.weights.values.chunks_exact(width).zip(self.scores.values.chunks_exact_mut(high));
                    for (weights, scores) in panels {
                        for (rows, scores) in self.block.chunks(ROWS).zip(scores.chunks_mut(ROWS)) {
                            if rows.len() == ROWS {
                                rows_of_scores::<S, V, ROWS>(simd, rows, weights, scores);
                            } else {
                                for (row, score) in rows.chunks(1).zip(scores.chunks_mut(1)) {
                                    rows_of_scores::<S, V, 1>(simd, row, weights, score);
                                }
                            }
                        }
                    }
                }
            }

            impl PullBack<'_> {
                #[inline(always)]
                fn go<S: Simd, const V: usize>(self, simd: S) {
                    let width = self.gradient.rows;
                    let high = self.slopes.rows;
                    let panels =
                        self.slopes.values.chunks_exact(high).zip(self.gradient.values.chunks_exact_mut(width));
                    for (slopes, gradient) in panels {
                        for (rows, slopes) in self.block.chunks(ROWS).zip(slopes.chunks(ROWS)) {
                            if rows.len() == ROWS {
                                rows_of_slopes::<S, V, ROWS>(simd, rows, slopes, gradient);
                            } else {
                                for (row, slope) in rows.chunks(1).zip(slopes.chunks(1)) {
                                    rows_of_slopes::<S, V, 1>(simd, row, slope, gradient);
                                }
                            }
                        }
                    }
                }
            }

            #[inline(always)]
            fn rows_of_scores<S: Simd, const V: usize, const R: usize>(
                simd: S,
                block: &[&[$float]],
                weights: &[[$float; LANES]],
                scores: &mut [[$float; LANES]],
            ) {
                let width = weights.len();
                let mut sums = [[simd.$splat(0.0); V]; R];
                let mut rows = [&[][..]; R];
                for row in 0..R {
                    rows[row] = &block[row][..width];
                }
                for column in 0..width {
                    let weights = S::$as_simd(&weights[column]).0;
                    for row in 0..R {
                        let value = simd.$splat(rows[row][column]);
                        for lane in 0..V {
                            sums[row][lane] = simd.$mul_add(value, weights[lane], sums[row][lane]);
                        }
                    }
                }
                for row in 0..R {
                    S::$as_mut_simd(&mut scores[row]).0[..V].copy_from_slice(&sums[row]);
                }
            }

            #[inline(always)]
            fn rows_of_slopes<S: Simd, const V: usize, const R: usize>(
                simd: S,
                block: &[&[$float]],
                slopes: &[[$float; LANES]],
                gradient: &mut [[$float; LANES]],
            ) {
                let width = gradient.len();
                let mut factors = [[simd.$splat(0.0); V]; R];
                let mut rows = [&[][..]; R];
                for row in 0..R {
                    factors[row].copy_from_slice(&S::$as_simd(&slopes[row]).0[..V]);
                    rows[row] = &block[row][..width];
                }
                for column in 0..width {
                    let sums = S::$as_mut_simd(&mut gradient[column]).0;
                    for lane in 0..V {
                        let mut sum = sums[lane];
                        for row in 0..R {
                            sum = simd.$mul_add(simd.$splat(rows[row][column]), factors[row][lane], sum);
                        }
                        sums[lane] = sum;
                    }
                }
            }
        }
    };
}

scalar!(f32, single, F32_LANES, f32s, splat_f32s, mul_add_f32s, as_simd_f32s, as_mut_simd_f32s);
scalar!(f64, double, F64_LANES, f64s, splat_f64s, mul_add_f64s, as_simd_f64s, as_mut_simd_f64s);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn panels<T: Scalar>(matrix: &Array2<T>) -> Panels<T> {
        let mut out = Panels::zeros(matrix.nrows(), matrix.ncols());
        for (row, values) in matrix.outer_iter().enumerate() {
            out.set(row, &values.to_vec());
        }
        out
    }

    fn check<T: Scalar>(tolerance: f64) {
        let number = |value: usize| T::from((value * 37 % 101) as f64 / 50.0 - 1.0).unwrap();
        for (rows, width, outputs) in [(1, 1, 1), (7, 5, 3), (8, 30, 16), (21, 40, 17), (64, 9, 50)] {
            let block = Array2::from_shape_fn((rows, width), |(i, j)| number(i * 13 + j * 7));
            let weights = Array2::from_shape_fn((width, outputs), |(i, j)| number(i * 3 + j * 11));
            let z: Vec<&[T]> = block.as_slice().unwrap().chunks_exact(width).collect();
            let w = panels(&weights);
            // More room than rows, as in the last block of a part.
            let mut scores = Panels::zeros(rows + 3, outputs);
            T::scores(&z, &w, &mut scores);
            let expected = block.dot(&weights);
            let mut gradient = panels(&weights);
            T::pull_back(&z, &scores, &mut gradient);
            let pulled = block.t().dot(&expected) + &weights;
            let close = |found: &Panels<T>, expected: &Array2<T>| {
                let mut row = vec![T::zero(); outputs];
                for (index, expected) in expected.outer_iter().enumerate() {
                    found.get(index, &mut row);
                    for (a, b) in row.iter().zip(expected) {
                        assert!((*a - *b).to_f64().unwrap().abs() <= tolerance * (1.0 + b.to_f64().unwrap().abs()));
                    }
                }
            };
            close(&scores, &expected);
            close(&gradient, &pulled);
        }
    }

    #[test]
    fn they_are_matrix_products() {
        check::<f32>(1e-4);
        check::<f64>(1e-12);
    }
}
