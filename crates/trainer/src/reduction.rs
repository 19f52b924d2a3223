//! The coordinates that solvers work in: f64, centred, of unit size, and no wider than there are rows.
//!
//! Every step leaves the problem the same. A free bias is not penalised, so centring moves nothing but the bias; one that is
//! regularized is the weight of a feature of ones, and nothing is centred but what standardisation asks for. Dividing all
//! features by one number `unit` is undone by C' = C · unit². And an L2-penalised linear model lies in the span of the training rows
//! and doesn't change under rotation, so with n ≤ d the n × n Gram matrix G = X̃X̃ᵀ = U S² Uᵀ says all: solvers see Z = U S, and
//! weights V found there belong to W = V S⁻¹ Uᵀ X̃ (Hastie and Tibshirani 2004). That is done once for all C, folds and classes.
//!
//! Rotated rows are held in memory. Rows that are only centred and scaled are not, unless they are few: solvers make them from the
//! features, a block at a time.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::Error;
use crate::eigen::PrincipalAxes;
use crate::engine::Rows;
use crate::faint;
use crate::features::Features;
use crate::gram::{centred_columns, column_blocks, column_products, inner_products};
use crate::params::Bias;
use crate::statistics::column_statistics;

/// Rows handled at once. A constant, never derived from the number of cores: sums are then taken in the same order, and
/// the same seed gives the same bits, on every number of threads.
pub(crate) const ROW_BLOCK: usize = 128;

/// Features beyond which an eigendecomposition of their covariance costs more than it saves.
const WIDEST_ROTATION: usize = 2048;
/// Features (rows × columns) up to which centred rows are held in memory, and from which on a copy in f32 pays.
const SMALL: usize = 1 << 18;

/// A training set in solver coordinates, and the way back to raw features.
#[derive(Debug)]
pub(crate) struct Design {
    centring: Centring,
    /// Root mean square norm of the centred training rows before the division by it.
    unit: f64,
    bias: Bias,
    /// Whether any feature varies over the training rows.
    varies: bool,
    /// None where rows are only centred and scaled, and made when they are used.
    dense: Option<Dense>,
    /// How weights get back to features.
    back: Back,
}

/// What centres and scales raw features.
#[derive(Debug)]
pub(crate) struct Centring {
    /// Mean of each feature over the training rows.
    pub(crate) mean: Vec<f64>,
    /// What each centred feature is multiplied by: 1 / its standard deviation if standardised, else 1; over `unit`.
    pub(crate) factor: Vec<f64>,
}

/// Rows in solver coordinates, held in memory.
#[derive(Debug)]
struct Dense {
    /// Training rows, n × r, of root mean square norm 1, and of mean 0 if the bias is free.
    train: Array2<f64>,
    /// The same in f32, if they are many.
    single: Option<Array2<f32>>,
    /// Held-out rows in the same coordinates.
    test: Array2<f64>,
}

impl Dense {
    fn new(train: Array2<f64>, test: Array2<f64>) -> Self {
        let single = (train.len() >= SMALL).then(|| train.mapv(|value| value as f32));
        Self { train, single, test }
    }

    fn train(&self) -> Rows<'_> {
        Rows::dense(self.train.view(), self.single.as_ref().map(|single| single.view()))
    }
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
    /// If the bias is regularized, the last column of `x` is one of ones (see [`crate::made_rows`]), whose weight is the bias.
    /// `rotate`: whether columns are to be made orthogonal even where that makes nothing smaller. `memory`: bytes that may be used
    /// for it; where they are too few, rows are only centred and scaled.
    ///
    /// # Errors
    /// [`Error::Eigen`] if the eigendecomposition fails, which finite features have not been seen to cause; rows that cannot be read.
    pub(crate) fn build(
        x: Features,
        train: &[usize],
        test: &[usize],
        standardize: bool,
        bias: Bias,
        rotate: bool,
        memory: u64,
    ) -> Result<Self, Error> {
        let (own_mean, deviation) = x.sound(column_statistics(x, train))?;
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
        let unit = if mean_square > 0.0 { mean_square.sqrt() } else { 1.0 };
        let factor = scale.iter().map(|scale| 1.0 / (scale * unit)).collect();
        let centring = Centring { mean: mean.to_vec(), factor };
        let varies = deviation.iter().any(|&deviation| deviation > 0.0);
        let mut design = Self { centring, unit, bias, varies, dense: None, back: Back::Same };
        let (n, d) = (train.len(), x.ncols());
        let bytes = |rows: usize, columns: usize| (rows * columns * size_of::<f64>()) as u64;
        if n <= d {
            // Gram matrix, eigenvectors, what finds them, rows, their copy in f32, and the way back.
            if 6 * bytes(n, n) + 2 * bytes(test.len(), n) <= memory {
                design.reduce(x, train, test, memory / 4)?;
            } else {
                tracing::warn!(
                    "{n} rows of {d} features are not reduced to {n}, which takes {} of memory; the fit may be slow",
                    crate::error::size(6 * bytes(n, n) + 2 * bytes(test.len(), n))
                );
            }
        } else if n * d < SMALL {
            let rows = |listed| design.centred(x, listed).to_dense().into_owned();
            design.dense = Some(Dense::new(rows(train), rows(test)));
        }
        if rotate {
            design.rotate(x, train, test, memory)?;
        }
        x.sound(design)
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

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        let dense = self.dense.as_ref().map_or(0, |dense| {
            let single = dense.single.as_ref().map_or(0, |single| single.len() / 2);
            dense.train.len() + dense.test.len() + single
        });
        let back = match &self.back {
            Back::Same => 0,
            Back::Rotation(matrix) | Back::Rows(_, matrix) => matrix.len(),
        };
        ((dense + back) * size_of::<f64>()) as u64
    }

    /// The training rows; `x` and `train` must be those that the design was built from.
    pub(crate) fn train<'a, 'f: 'a>(&'a self, x: Features<'f>, train: &'a [usize]) -> Rows<'a> {
        self.dense.as_ref().map_or_else(|| self.centred(x, train), Dense::train)
    }

    /// The held-out rows; `x` and `test` must be those that the design was built from.
    pub(crate) fn test<'a, 'f: 'a>(&'a self, x: Features<'f>, test: &'a [usize]) -> Rows<'a> {
        self.dense.as_ref().map_or_else(|| self.centred(x, test), |dense| dense.test.view().into())
    }

    /// Some of the training rows by their numbers, where the design was built from all rows of `x`.
    pub(crate) fn select<'a, 'f: 'a>(&'a self, x: Features<'f>, rows: &'a [usize]) -> Rows<'a> {
        self.dense.as_ref().map_or_else(|| self.centred(x, rows), |dense| dense.train().select(rows))
    }

    fn centred<'a, 'f: 'a>(&'a self, x: Features<'f>, rows: &'a [usize]) -> Rows<'a> {
        Rows::affine(x, rows, &self.centring.mean, &self.centring.factor)
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
    pub(crate) fn to_raw(&self, x: Features, weights: &Array2<f64>, bias: &Array1<f64>) -> (Array2<f64>, Array1<f64>) {
        let mut raw = match &self.back {
            Back::Same => weights.clone(),
            Back::Rotation(rotation) => weights.dot(&rotation.t()),
            Back::Rows(rows, back) => self.combine(x, rows, &weights.dot(&back.t())),
        };
        for mut row in raw.outer_iter_mut() {
            row.iter_mut().zip(&self.centring.factor).for_each(|(weight, factor)| *weight *= factor);
        }
        let mut bias = bias - &raw.dot(&ArrayView1::from(&self.centring.mean));
        if self.bias == Bias::Regularized {
            let last = raw.ncols() - 1;
            bias += &raw.column(last);
            raw = raw.slice(s![.., ..last]).to_owned();
        }
        (raw, bias)
    }

    /// Combinations (outputs × d) of the centred rows, from outputs × n multipliers.
    fn combine(&self, x: Features, rows: &[usize], multipliers: &Array2<f64>) -> Array2<f64> {
        let mut sums: Vec<Array2<f64>> =
            column_blocks(x.ncols()).map(|columns| Array2::zeros((multipliers.nrows(), columns.len()))).collect();
        for (index, chunk) in rows.chunks(ROW_BLOCK).enumerate() {
            let block = self.centred(x, chunk).to_dense();
            let part = multipliers.slice(s![.., index * ROW_BLOCK..index * ROW_BLOCK + chunk.len()]);
            let columns: Vec<_> = column_blocks(x.ncols()).collect();
            sums.par_iter_mut().zip(columns).for_each(|(sum, columns)| {
                general_mat_mul(1.0, &part, &block.slice(s![.., columns]), 1.0, sum);
            });
        }
        let views: Vec<ArrayView2<f64>> = sums.iter().map(|sum| sum.view()).collect();
        // All have one row for each output.
        ndarray::concatenate(Axis(1), &views).unwrap_or_default()
    }

    fn reduce(&mut self, x: Features, train: &[usize], test: &[usize], memory: u64) -> Result<(), Error> {
        let gram = x.sound(inner_products(x, &self.centring, train, train, memory))?;
        let axes = PrincipalAxes::new(&gram)?;
        drop(gram);
        let rank = x.sound(faint::rank(x, train))? + usize::from(self.bias == Bias::Regularized);
        let (reduced, back) = if axes.clear() < rank {
            let columns: Vec<_> = column_blocks(x.ncols()).collect();
            faint::coordinates(&axes.vectors, &columns, &|columns| centred_columns(x, &self.centring, train, columns))
        } else {
            // Solvers need a column even if nothing varies.
            let PrincipalAxes { sizes, vectors } = axes.strong();
            (&vectors * &sizes, &vectors / &sizes)
        };
        let test = inner_products(x, &self.centring, test, train, memory).dot(&back);
        self.dense = Some(Dense::new(reduced, test));
        self.back = Back::Rows(train.to_vec(), back);
        Ok(())
    }

    /// Turns the columns to the principal axes of the training rows. Nothing gets smaller unless columns depend on each other, but
    /// the Hessian becomes nearly diagonal, which is worth several times the cost to a preconditioned solver. Where columns are
    /// orthogonal already, or too many, or memory is short, nothing happens. Arguments must be those of [`Self::build`].
    ///
    /// # Errors
    /// [`Error::Eigen`] if the eigendecomposition fails, which finite features have not been seen to cause; rows that cannot be read.
    pub(crate) fn rotate(&mut self, x: Features, train: &[usize], test: &[usize], memory: u64) -> Result<(), Error> {
        let (n, d) = (train.len() + test.len(), x.ncols());
        // Rows before and after, their copy in f32; products of columns, eigenvectors, and what finds them.
        let needed = (3 * n * d + 6 * d * d) * size_of::<f64>();
        if self.is_orthogonal() || train.len() <= d || d > WIDEST_ROTATION || needed as u64 > memory {
            return Ok(());
        }
        let centred = x.sound(self.centred(x, train).to_dense())?;
        let PrincipalAxes { vectors: mut rotation, .. } = PrincipalAxes::new(&column_products(centred.view()))?;
        let turn = |rows: ArrayView2<f64>, rotation: &Array2<f64>| {
            let mut out = Array2::zeros((rows.nrows(), rotation.ncols()));
            out.axis_chunks_iter_mut(Axis(0), ROW_BLOCK)
                .into_par_iter()
                .zip(rows.axis_chunks_iter(Axis(0), ROW_BLOCK))
                .for_each(|(mut out, block)| general_mat_mul(1.0, &block, rotation, 0.0, &mut out));
            out
        };
        let mut train = turn(centred.view(), &rotation);
        drop(centred);
        // What is left of directions in which nothing varies is rounding. That is seen in the rows themselves: eigenvalues, which are
        // squares, would not tell it from features in small units.
        let kept = faint::kept(&train);
        if kept.len() < rotation.ncols() {
            rotation = rotation.select(Axis(1), &kept);
            // Selected columns lie one after another; solvers want whole rows.
            train = train.select(Axis(1), &kept).as_standard_layout().into_owned();
        }
        let test = x.sound(turn(self.centred(x, test).to_dense().view(), &rotation))?;
        self.dense = Some(Dense::new(train, test));
        self.back = Back::Rotation(rotation);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_rows::MadeRows;
    use crate::normalize::Normalize;
    use crate::random::SplitMix64;

    fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let mut random = SplitMix64::new(seed);
        Array2::from_shape_fn((rows, columns), |(_, column)| {
            (random.next() >> 40) as f32 / 1e6 * (1 + column % 7) as f32 + 3.0
        })
    }

    /// Scores from solver coordinates equal scores from raw features with the weights taken back.
    fn agrees(x: &Array2<f32>, train: &[usize], test: &[usize], standardize: bool) -> Design {
        let design = Design::build(x.view().into(), train, test, standardize, Bias::Free, true, u64::MAX).unwrap();
        let mut seed = SplitMix64::new(9);
        let weights = Array2::from_shape_fn((3, design.dense.as_ref().unwrap().train.ncols()), |_| {
            (seed.next() >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        });
        let bias = Array1::from(vec![0.5, -1.0, 2.0]);
        let (raw, raw_bias) = design.to_raw(x.view().into(), &weights, &bias);
        let dense = design.dense.as_ref().unwrap();
        for (rows, z) in [(train, &dense.train), (test, &dense.test)] {
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
                let ready = MadeRows::with_ones(x.view().into(), Normalize::None);
                let design =
                    Design::build(ready.features(), &all, &[], standardize, Bias::Regularized, true, u64::MAX).unwrap();
                assert!(design.varies());
                let weights =
                    Array2::from_shape_fn((1, design.dense.as_ref().unwrap().train.ncols()), |(_, column)| {
                        1.0 / (1 + column) as f64
                    });
                let (raw, bias) = design.to_raw(ready.features(), &weights, &Array1::zeros(1));
                assert_eq!(raw.ncols(), columns);
                let outer = x.mapv(f64::from).dot(&raw.t()) + &bias;
                let inner = design.dense.as_ref().unwrap().train.dot(&weights.t());
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
            let design =
                Design::build(x.view().into(), &(0..60).collect::<Vec<_>>(), &[], false, Bias::Free, true, u64::MAX)
                    .unwrap();
            assert!(
                (design.dense.as_ref().unwrap().train.iter().map(|value| value * value).sum::<f64>() / 60.0 - 1.0)
                    .abs()
                    < 1e-9
            );
            assert!(
                design.dense.as_ref().unwrap().train.mean_axis(Axis(0)).unwrap().iter().all(|mean| mean.abs() < 1e-9)
            );
        }
    }

    #[test]
    fn duplicate_rows_lower_the_rank() {
        let mut x = random(20, 50, 4);
        let first = x.row(0).to_owned();
        x.row_mut(1).assign(&first);
        let design =
            Design::build(x.view().into(), &(0..20).collect::<Vec<_>>(), &[], false, Bias::Free, true, u64::MAX)
                .unwrap();
        assert_eq!(
            design.dense.as_ref().unwrap().train.ncols(),
            18,
            "20 rows, less one for the mean, less one for the copy"
        );
    }

    #[test]
    fn constant_columns_stay_out_of_the_way() {
        for rows in [10, 100] {
            let mut x = random(rows, 40, 5);
            x.column_mut(7).fill(0.1);
            let all: Vec<usize> = (0..rows).collect();
            let mut design = Design::build(x.view().into(), &all, &[], true, Bias::Free, true, u64::MAX).unwrap();
            design.rotate(x.view().into(), &all, &[], u64::MAX).unwrap();
            assert!(design.dense.as_ref().unwrap().train.is_standard_layout());
            let (raw, _) = design.to_raw(
                x.view().into(),
                &Array2::ones((1, design.dense.as_ref().unwrap().train.ncols())),
                &Array1::zeros(1),
            );
            assert!(raw.iter().all(|weight| weight.is_finite()));
        }
        let same = Array2::from_elem((5, 8), 0.1f32);
        assert!(
            !Design::build(same.view().into(), &[0, 1, 2, 3, 4], &[], true, Bias::Free, true, u64::MAX)
                .unwrap()
                .varies()
        );
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = random(300, 1500, 6);
        let rows: Vec<usize> = (0..300).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Design::build(x.view().into(), &rows, &[3, 5], true, Bias::Free, true, u64::MAX).unwrap())
        };
        let (one, five) = (run(1), run(5));
        let (one, five) = (one.dense.unwrap(), five.dense.unwrap());
        assert_eq!(one.train, five.train);
        assert_eq!(one.test, five.test);
    }
}
