//! The coordinates that solvers work in: f64, centred, of unit size, and no wider than there are rows.
//!
//! Every step leaves the problem the same. A free bias is not penalised, so centring moves nothing but the bias; one that is
//! regularized is the weight of a feature of ones, and nothing is centred but what standardisation asks for. Dividing all
//! features by one number `unit` is undone by C' = C · unit². And an L2-penalised linear model lies in the span of the training rows
//! and doesn't change under rotation, so with n ≤ d the n × n Gram matrix G = X̃X̃ᵀ = U S² Uᵀ says all: solvers see Z = U S, and
//! weights V found there belong to W = V S⁻¹ Uᵀ X̃ (Hastie and Tibshirani 2004). That is done once for all C, folds and classes.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::Error;
use crate::eigen::PrincipalAxes;
use crate::faint;
use crate::params::Bias;

/// Rows and columns handled at once. Constants, never derived from the number of cores: sums are then taken in the same order, and
/// the same seed gives the same bits, on every number of threads.
const ROW_BLOCK: usize = 128;
const COLUMN_BLOCK: usize = 512;

/// Features beyond which an eigendecomposition of their covariance costs more than it saves.
const WIDEST_ROTATION: usize = 2048;

/// A training set in solver coordinates, and the way back to raw features.
#[derive(Debug)]
pub(crate) struct Design {
    /// Mean of each feature over the training rows.
    mean: Array1<f64>,
    /// What each centred feature is divided by: its standard deviation if standardised, else 1; times `unit`.
    scale: Array1<f64>,
    /// Root mean square norm of the training rows before the division by it.
    unit: f64,
    bias: Bias,
    varies: bool,
    /// Training rows in solver coordinates, n × r, of root mean square norm 1, and of mean 0 if the bias is free.
    pub(crate) train: Array2<f64>,
    /// Held-out rows in the same coordinates.
    pub(crate) test: Array2<f64>,
    /// How weights get back to features.
    back: Back,
}

/// The way from weights on solver coordinates to weights on centred, scaled features.
#[derive(Debug)]
enum Back {
    /// They are the same.
    Same,
    /// Z = X̃ Q with this Q (d × r).
    Rotation(Array2<f64>),
    /// Z = U S = X̃ X̃ᵀ U S⁻¹: the training rows behind X̃, and U S⁻¹ (n × r).
    Rows(Vec<usize>, Array2<f64>),
}

impl Design {
    /// Puts the rows `train` of `x` into solver coordinates, and the rows `test` along with them; statistics come from `train` alone.
    /// If the bias is regularized, the last column of `x` is one of ones (see [`with_ones`]), whose weight is the bias.
    /// `rotate`: whether columns are to be made orthogonal even where that makes nothing smaller.
    ///
    /// # Errors
    /// [`Error::Eigen`] if the eigendecomposition fails, which finite features have not been seen to cause.
    pub(crate) fn build(
        x: ArrayView2<f32>,
        train: &[usize],
        test: &[usize],
        standardize: bool,
        bias: Bias,
        rotate: bool,
    ) -> Result<Self, Error> {
        let (own_mean, deviation) = column_statistics(x, train);
        let mut mean = own_mean.clone();
        if bias == Bias::Regularized {
            // What it costs to move the bias is not for nothing: features stay where they are, the last, of ones, in any case.
            let last = mean.len() - 1;
            mean.slice_mut(s![if standardize { last } else { 0 }..]).fill(0.0);
        }
        let mut scale = if standardize { deviation.clone() } else { Array1::ones(x.ncols()) };
        // A constant feature has nothing to scale (and what rounding leaves of it must not be blown up).
        scale
            .iter_mut()
            .zip(&deviation)
            .filter(|(_, deviation)| **deviation == 0.0)
            .for_each(|(scale, _)| *scale = 1.0);
        let offset = &own_mean - &mean;
        let squares = deviation.iter().zip(&offset).zip(&scale);
        let mean_square: f64 =
            squares.map(|((deviation, offset), scale)| (deviation.powi(2) + offset.powi(2)) / scale.powi(2)).sum();
        let varies = deviation.iter().any(|&deviation| deviation > 0.0);
        let unit = if mean_square > 0.0 { mean_square.sqrt() } else { 1.0 };
        scale *= unit;
        let mut design = Self {
            mean,
            scale,
            unit,
            bias,
            varies,
            train: Array2::zeros((0, 0)),
            test: Array2::zeros((0, 0)),
            back: Back::Same,
        };
        if train.len() <= x.ncols() {
            design.reduce(x, train, test)?;
        } else {
            design.train = design.rows(x, train);
            design.test = design.rows(x, test);
            if rotate {
                design.rotate()?;
            }
        }
        Ok(design)
    }

    /// Whether any feature varies over the training rows.
    pub(crate) fn varies(&self) -> bool {
        self.varies
    }

    /// Whether the columns of the training rows are orthogonal.
    pub(crate) fn is_orthogonal(&self) -> bool {
        !matches!(self.back, Back::Same)
    }

    /// Whether solvers see fewer columns than there are features.
    pub(crate) fn is_reduced(&self) -> bool {
        matches!(self.back, Back::Rows(..))
    }

    /// The C that makes the problem in these coordinates the same as `c` in the features' own.
    pub(crate) fn solver_c(&self, c: f64) -> f64 {
        c * self.unit * self.unit
    }

    /// An objective of the problem in these coordinates, in terms of the features' own.
    pub(crate) fn outer_objective(&self, objective: f64) -> f64 {
        objective / (self.unit * self.unit)
    }

    /// Weights (outputs × d) and bias that act on raw features, from those that act on solver coordinates (outputs × r).
    ///
    /// `x` must be the matrix that the design was built from.
    pub(crate) fn to_raw(
        &self,
        x: ArrayView2<f32>,
        weights: &Array2<f64>,
        bias: &Array1<f64>,
    ) -> (Array2<f64>, Array1<f64>) {
        let mut raw = match &self.back {
            Back::Same => weights.clone(),
            Back::Rotation(rotation) => weights.dot(&rotation.t()),
            Back::Rows(rows, back) => {
                let combination = weights.dot(&back.t());
                let blocks: Vec<Array2<f64>> = column_blocks(x.ncols())
                    .into_par_iter()
                    .map(|columns| {
                        let mut sum = Array2::zeros((weights.nrows(), columns.len()));
                        let mut buffer = Array2::zeros((ROW_BLOCK, columns.len()));
                        for (index, chunk) in rows.chunks(ROW_BLOCK).enumerate() {
                            let mut block = buffer.slice_mut(s![..chunk.len(), ..]);
                            self.fill(x, chunk, columns.clone(), &mut block);
                            let start = index * ROW_BLOCK;
                            let part = combination.slice(s![.., start..start + chunk.len()]);
                            general_mat_mul(1.0, &part, &block, 1.0, &mut sum);
                        }
                        sum
                    })
                    .collect();
                let mut raw = Array2::zeros((weights.nrows(), x.ncols()));
                for (columns, block) in column_blocks(x.ncols()).into_iter().zip(&blocks) {
                    raw.slice_mut(s![.., columns]).assign(block);
                }
                raw
            }
        };
        raw /= &self.scale;
        let mut bias = bias - &raw.dot(&self.mean);
        if self.bias == Bias::Regularized {
            let last = raw.ncols() - 1;
            bias += &raw.column(last);
            raw = raw.slice(s![.., ..last]).to_owned();
        }
        (raw, bias)
    }

    /// Centred, scaled rows as they are.
    fn rows(&self, x: ArrayView2<f32>, rows: &[usize]) -> Array2<f64> {
        let mut out = Array2::zeros((rows.len(), x.ncols()));
        out.axis_chunks_iter_mut(Axis(0), ROW_BLOCK)
            .into_par_iter()
            .zip(rows.par_chunks(ROW_BLOCK))
            .for_each(|(mut block, rows)| self.fill(x, rows, 0..x.ncols(), &mut block));
        out
    }

    /// Writes some columns of some rows, centred and scaled.
    fn fill(
        &self,
        x: ArrayView2<f32>,
        rows: &[usize],
        columns: std::ops::Range<usize>,
        out: &mut ndarray::ArrayViewMut2<f64>,
    ) {
        let mean = self.mean.slice(s![columns.clone()]);
        let scale = self.scale.slice(s![columns.clone()]);
        for (&row, mut out) in rows.iter().zip(out.outer_iter_mut()) {
            let values = x.slice(s![row, columns.clone()]);
            ndarray::Zip::from(&mut out)
                .and(&values)
                .and(&mean)
                .and(&scale)
                .for_each(|out, &value, &mean, &scale| *out = (f64::from(value) - mean) / scale);
        }
    }

    fn reduce(&mut self, x: ArrayView2<f32>, train: &[usize], test: &[usize]) -> Result<(), Error> {
        let gram = self.inner_products(x, train, train);
        let axes = PrincipalAxes::new(&gram)?;
        let rank = faint::rank(x, train) + usize::from(self.bias == Bias::Regularized);
        let (reduced, back) = if axes.clear() < rank {
            let tiles = |columns: std::ops::Range<usize>| {
                let mut block = Array2::zeros((train.len(), columns.len()));
                block
                    .axis_chunks_iter_mut(Axis(0), ROW_BLOCK)
                    .into_par_iter()
                    .zip(train.par_chunks(ROW_BLOCK))
                    .for_each(|(mut block, rows)| self.fill(x, rows, columns.clone(), &mut block));
                block
            };
            faint::coordinates(&axes.vectors, &column_blocks(x.ncols()), &tiles)
        } else {
            // Solvers need a column even if nothing varies.
            let PrincipalAxes { sizes, vectors } = axes.strong();
            (&vectors * &sizes, &vectors / &sizes)
        };
        self.test = self.inner_products(x, test, train).dot(&back);
        self.train = reduced;
        self.back = Back::Rows(train.to_vec(), back);
        Ok(())
    }

    /// Turns the columns to the principal axes of the training rows. Nothing gets smaller unless columns depend on each other, but
    /// the Hessian becomes nearly diagonal, which is worth several times the cost to a preconditioned solver. Where columns are
    /// orthogonal already, or too many, nothing happens.
    ///
    /// # Errors
    /// [`Error::Eigen`] if the eigendecomposition fails, which finite features have not been seen to cause.
    pub(crate) fn rotate(&mut self) -> Result<(), Error> {
        if self.is_orthogonal() || self.train.ncols() > WIDEST_ROTATION {
            return Ok(());
        }
        let PrincipalAxes { vectors: mut rotation, .. } = PrincipalAxes::new(&column_products(&self.train))?;
        let turn = |rows: &Array2<f64>, rotation: &Array2<f64>| {
            let mut out = Array2::zeros((rows.nrows(), rotation.ncols()));
            out.axis_chunks_iter_mut(Axis(0), ROW_BLOCK)
                .into_par_iter()
                .zip(rows.axis_chunks_iter(Axis(0), ROW_BLOCK))
                .for_each(|(mut out, block)| general_mat_mul(1.0, &block, rotation, 0.0, &mut out));
            out
        };
        self.train = turn(&self.train, &rotation);
        // What is left of directions in which nothing varies is rounding. That is seen in the rows themselves: eigenvalues, which are
        // squares, would not tell it from features in small units.
        let kept = faint::kept(&self.train);
        if kept.len() < rotation.ncols() {
            rotation = rotation.select(Axis(1), &kept);
            self.train = self.train.select(Axis(1), &kept);
        }
        self.test = turn(&self.test, &rotation);
        self.back = Back::Rotation(rotation);
        Ok(())
    }

    /// Inner products of the rows `left` with the rows `right`, in tiles that threads share out.
    fn inner_products(&self, x: ArrayView2<f32>, left: &[usize], right: &[usize]) -> Array2<f64> {
        let symmetric = std::ptr::eq(left, right);
        let tiles: Vec<(usize, usize)> = (0..left.len().div_ceil(ROW_BLOCK))
            .flat_map(|i| (0..right.len().div_ceil(ROW_BLOCK)).map(move |j| (i, j)))
            .filter(|&(i, j)| !symmetric || j <= i)
            .collect();
        let rows_of = |rows: &'_ [usize], tile: usize| tile * ROW_BLOCK..rows.len().min((tile + 1) * ROW_BLOCK);
        let products: Vec<Array2<f64>> = tiles
            .par_iter()
            .map(|&(i, j)| {
                let (left, right) = (&left[rows_of(left, i)], &right[rows_of(right, j)]);
                let mut sum = Array2::zeros((left.len(), right.len()));
                let mut left_buffer = Array2::zeros((left.len(), COLUMN_BLOCK));
                let mut right_buffer = Array2::zeros((right.len(), COLUMN_BLOCK));
                for columns in column_blocks(x.ncols()) {
                    let mut left_block = left_buffer.slice_mut(s![.., ..columns.len()]);
                    let mut right_block = right_buffer.slice_mut(s![.., ..columns.len()]);
                    self.fill(x, left, columns.clone(), &mut left_block);
                    self.fill(x, right, columns, &mut right_block);
                    general_mat_mul(1.0, &left_block, &right_block.t(), 1.0, &mut sum);
                }
                sum
            })
            .collect();
        let mut gram = Array2::zeros((left.len(), right.len()));
        for (&(i, j), product) in tiles.iter().zip(&products) {
            let (rows, columns) = (rows_of(left, i), rows_of(right, j));
            gram.slice_mut(s![rows.clone(), columns.clone()]).assign(product);
            if symmetric && i != j {
                gram.slice_mut(s![columns, rows]).assign(&product.t());
            }
        }
        gram
    }
}

/// The rows with a feature more, which is 1 in each.
pub(crate) fn with_ones(x: ArrayView2<f32>) -> Array2<f32> {
    let mut out = Array2::ones((x.nrows(), x.ncols() + 1));
    out.slice_mut(s![.., ..x.ncols()]).assign(&x);
    out
}

fn column_blocks(columns: usize) -> Vec<std::ops::Range<usize>> {
    (0..columns).step_by(COLUMN_BLOCK).map(|start| start..columns.min(start + COLUMN_BLOCK)).collect()
}

/// Mean and (population) standard deviation of each column over some rows; a column that only rounding keeps from being constant has
/// standard deviation 0.
fn column_statistics(x: ArrayView2<f32>, rows: &[usize]) -> (Array1<f64>, Array1<f64>) {
    let n = rows.len() as f64;
    let blocks: Vec<(Array1<f64>, Array1<f64>)> = column_blocks(x.ncols())
        .into_par_iter()
        .map(|columns| {
            let mut mean = Array1::<f64>::zeros(columns.len());
            for &row in rows {
                mean.zip_mut_with(&x.slice(s![row, columns.clone()]), |sum, &value| *sum += f64::from(value));
            }
            mean /= n;
            let mut deviation = Array1::<f64>::zeros(columns.len());
            for &row in rows {
                ndarray::Zip::from(&mut deviation)
                    .and(&x.slice(s![row, columns.clone()]))
                    .and(&mean)
                    .for_each(|sum, &value, &mean| *sum += (f64::from(value) - mean).powi(2));
            }
            ndarray::Zip::from(&mut deviation).and(&mean).for_each(|sum, &mean| {
                let root = (*sum / n).sqrt();
                *sum = if root <= n * f64::EPSILON * mean.abs() { 0.0 } else { root };
            });
            (mean, deviation)
        })
        .collect();
    let mut mean = Array1::zeros(x.ncols());
    let mut deviation = Array1::zeros(x.ncols());
    for (columns, (block_mean, block_deviation)) in column_blocks(x.ncols()).into_iter().zip(&blocks) {
        mean.slice_mut(s![columns.clone()]).assign(block_mean);
        deviation.slice_mut(s![columns]).assign(block_deviation);
    }
    (mean, deviation)
}

/// Inner products of the columns of `matrix`, in tiles that threads share out.
fn column_products(matrix: &Array2<f64>) -> Array2<f64> {
    let blocks = column_blocks(matrix.ncols());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let mut random = SplitMix64::new(seed);
        Array2::from_shape_fn((rows, columns), |(_, column)| {
            (random.next() >> 40) as f32 / 1e6 * (1 + column % 7) as f32 + 3.0
        })
    }

    /// Scores from solver coordinates equal scores from raw features with the weights taken back.
    fn agrees(x: &Array2<f32>, train: &[usize], test: &[usize], standardize: bool) -> Design {
        let design = Design::build(x.view(), train, test, standardize, Bias::Free, true).unwrap();
        let mut seed = SplitMix64::new(9);
        let weights = Array2::from_shape_fn((3, design.train.ncols()), |_| {
            (seed.next() >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        });
        let bias = Array1::from(vec![0.5, -1.0, 2.0]);
        let (raw, raw_bias) = design.to_raw(x.view(), &weights, &bias);
        for (rows, z) in [(train, &design.train), (test, &design.test)] {
            let inner = z.dot(&weights.t()) + &bias;
            let outer = x.select(Axis(0), rows).mapv(f64::from).dot(&raw.t()) + &raw_bias;
            for (inner, outer) in inner.iter().zip(&outer) {
                assert!((inner - outer).abs() < 1e-7, "{inner} {outer}");
            }
        }
        design
    }

    #[test]
    fn wide_and_tall_agree_with_raw_features() {
        let train: Vec<usize> = (0..200).filter(|row| row % 4 != 0).collect();
        let test: Vec<usize> = (0..200).step_by(4).collect();
        for standardize in [false, true] {
            assert!(agrees(&random(200, 700, 1), &train, &test, standardize).is_reduced());
            assert!(!agrees(&random(200, 30, 2), &train, &test, standardize).is_reduced());
        }
    }

    /// The weight of the ones is the bias, and the norm of all weights stays the same.
    #[test]
    fn a_regularized_bias_is_a_weight_like_others() {
        for (rows, columns) in [(60, 20), (20, 60)] {
            let (x, all) = (random(rows, columns, 8), (0..rows).collect::<Vec<_>>());
            for standardize in [false, true] {
                let ready = with_ones(x.view());
                let design = Design::build(ready.view(), &all, &[], standardize, Bias::Regularized, true).unwrap();
                assert!(design.varies());
                let weights = Array2::from_shape_fn((1, design.train.ncols()), |(_, column)| 1.0 / (1 + column) as f64);
                let (raw, bias) = design.to_raw(ready.view(), &weights, &Array1::zeros(1));
                assert_eq!(raw.ncols(), columns);
                let outer = x.mapv(f64::from).dot(&raw.t()) + &bias;
                let inner = design.train.dot(&weights.t());
                assert!((&inner - &outer).iter().all(|difference| difference.abs() < 1e-7));
                if !standardize {
                    let square = (&raw * &raw).sum() + bias[0] * bias[0];
                    assert!((design.outer_objective((&weights * &weights).sum()) / square - 1.0).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn unit_size_and_mean_zero() {
        for columns in [20, 400] {
            let x = random(60, columns, 3).mapv(|value| value * 1e4);
            let design = Design::build(x.view(), &(0..60).collect::<Vec<_>>(), &[], false, Bias::Free, true).unwrap();
            assert!((design.train.iter().map(|value| value * value).sum::<f64>() / 60.0 - 1.0).abs() < 1e-9);
            assert!(design.train.mean_axis(Axis(0)).unwrap().iter().all(|mean| mean.abs() < 1e-9));
        }
    }

    #[test]
    fn duplicate_rows_lower_the_rank() {
        let mut x = random(20, 50, 4);
        let first = x.row(0).to_owned();
        x.row_mut(1).assign(&first);
        let design = Design::build(x.view(), &(0..20).collect::<Vec<_>>(), &[], false, Bias::Free, true).unwrap();
        assert_eq!(design.train.ncols(), 18, "20 rows, less one for the mean, less one for the copy");
    }

    #[test]
    fn constant_columns_stay_out_of_the_way() {
        for rows in [10, 100] {
            let mut x = random(rows, 40, 5);
            x.column_mut(7).fill(0.1);
            let all: Vec<usize> = (0..rows).collect();
            let design = Design::build(x.view(), &all, &[], true, Bias::Free, true).unwrap();
            let (raw, _) = design.to_raw(x.view(), &Array2::ones((1, design.train.ncols())), &Array1::zeros(1));
            assert!(raw.iter().all(|weight| weight.is_finite()));
        }
        let same = Array2::from_elem((5, 8), 0.1f32);
        assert!(!Design::build(same.view(), &[0, 1, 2, 3, 4], &[], true, Bias::Free, true).unwrap().varies());
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = random(300, 1500, 6);
        let rows: Vec<usize> = (0..300).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Design::build(x.view(), &rows, &[3, 5], true, Bias::Free, true).unwrap())
        };
        let (one, five) = (run(1), run(5));
        assert_eq!(one.train, five.train);
        assert_eq!(one.test, five.test);
    }
}
