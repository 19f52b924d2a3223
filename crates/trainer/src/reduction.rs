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
use crate::centring::Centring;
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
        let centring = Centring::new(mean.to_vec(), factor);
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
        Rows::centred(x, rows, &self.centring)
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
mod tests;
