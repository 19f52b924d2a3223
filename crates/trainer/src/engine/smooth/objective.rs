//! `C Σ wᵢ lossᵢ + ½‖W‖²` over parameters θ of shape (r + 1) × outputs, the bias in the last row: one pass over the rows gives value
//! and gradient, another kind of pass the product with the Hessian. The loss is logistic, squared hinge or squared error; its rows
//! are in `row_loss`.
//!
//! Rows are f64, or f32 where that is precise enough and half the traffic; what is summed over many rows is summed in f64. A block
//! of them stays in the processor's cache from its scores to its share of the gradient.

use std::marker::PhantomData;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, NdFloat, s};
use rayon::prelude::*;

use super::row_loss;
use crate::engine::kernel::{Panels, Scalar};
use crate::engine::rows::{Blocks, Buffer};
use crate::engine::{Problem, Rows};
use crate::features::BLOCK;
use crate::params::{Bias, Loss};

/// Rows of a part at least.
const PART_ROWS: usize = 512;
/// Parts at most, each with a gradient of its own.
const MAX_PARTS: usize = 16;

/// The objective, rows seen in one precision.
pub(super) struct Objective<'a, T> {
    rows: Rows<'a>,
    precision: PhantomData<T>,
    labels: &'a [usize],
    loss: Loss,
    /// Whether there is a bias beside the weights: if not, its row of θ stays as it is and costs nothing.
    free_bias: bool,
    /// C times the weight of each row.
    cost: Vec<f64>,
    /// What the cost of a row is multiplied by where it is on the negative and on the positive side of an output.
    sides: Vec<[f64; 2]>,
}

/// Value and gradient at one θ.
pub(super) struct Pass {
    pub(super) value: f64,
    pub(super) gradient: Array2<f64>,
}

impl<'a, T: Scalar> Objective<'a, T> {
    /// The objective of `problem`.
    pub(super) fn new(problem: &Problem<'a>, c: f64) -> Self {
        let (own, sides) = problem.objective().row_and_side_weights();
        let cost = own.into_iter().map(|weight| c * weight).collect();
        let (rows, free_bias) = (problem.features, problem.head.bias == Bias::Free);
        let (labels, loss) = (problem.labels, problem.head.loss());
        Self { rows, precision: PhantomData, labels, loss, free_bias, cost, sides }
    }

    /// Parameters that are all 0.
    pub(super) fn zeros(&self) -> Array2<f64> {
        Array2::zeros((self.rows.width() + 1, self.outputs()))
    }

    pub(super) fn outputs(&self) -> usize {
        self.sides.len()
    }

    /// What the loss of a row in each output is multiplied by.
    fn costs(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let (cost, label) = (self.cost[row], self.labels[row]);
        let binary = self.sides.len() == 1;
        self.sides.iter().enumerate().map(move |(output, sides)| cost * sides[is_positive(label, output, binary)])
    }

    /// Sum of C · weight over the rows.
    pub(super) fn total_cost(&self) -> f64 {
        self.cost.iter().sum()
    }

    /// Value and gradient at θ.
    pub(super) fn pass(&self, theta: &Array2<f64>) -> Pass {
        let (loss, gradient) = self.there_and_back(theta, |row, scores| {
            row_loss::to_slopes(self.loss, scores, self.labels[row], self.costs(row))
        });
        let weights = theta.slice(s![..self.rows.width(), ..]);
        let penalty = 0.5 * weights.iter().map(|weight| weight * weight).sum::<f64>();
        Pass { value: loss + penalty, gradient }
    }

    /// The Hessian at the θ of these [`Self::bends`], times `direction`.
    pub(super) fn curvature(&self, bends: &Array2<T>, direction: &Array2<f64>) -> Array2<f64> {
        let coupled = self.is_coupled();
        let bend = |row: usize, change: &mut ArrayViewMut1<T>| {
            let bends = bends.row(row);
            // Probabilities of one row pull on each other; everything else is bent by itself.
            let mean = if coupled { change.dot(&bends) } else { T::zero() };
            for ((value, &bend), cost) in change.iter_mut().zip(bends).zip(self.costs(row)) {
                *value = T::from(cost).unwrap_or_else(T::nan) * bend * (*value - mean);
            }
            0.0
        };
        self.there_and_back(direction, bend).1
    }

    /// n × outputs: what the Hessian at θ is made of; see [`row_loss::to_bends`].
    pub(super) fn bends(&self, theta: &Array2<f64>) -> Array2<T> {
        let outputs = self.outputs();
        let parts = self.bend_parts(
            theta,
            |rows| Vec::with_capacity(rows * outputs),
            |out, _, bends| {
                out.extend(bends.iter().copied());
            },
        );
        // Every part holds outputs for each of its rows, so the shape always fits.
        Array2::from_shape_vec((self.rows.len(), outputs), parts.concat()).unwrap_or_default()
    }

    /// [`Self::total_bends`] at θ, without n × outputs numbers in memory.
    pub(super) fn total_bends_at(&self, theta: &Array2<f64>) -> Array1<f64> {
        let zeros = |_| Array1::zeros(self.outputs());
        let parts = self.bend_parts(theta, zeros, |sum, row, bends| self.add_bends(sum, row, bends));
        parts.into_iter().fold(zeros(0), |sum, part| sum + part)
    }

    /// Goes through the bends at θ row by row, each part adding to what `start` makes for its number of rows.
    fn bend_parts<R: Send>(
        &self,
        theta: &Array2<f64>,
        start: impl Fn(usize) -> R + Sync + Send,
        add: impl Fn(&mut R, usize, ArrayView1<T>) + Sync + Send,
    ) -> Vec<R> {
        let (weights, bias) = self.split(theta);
        self.parts(|part| {
            let mut out = start(part.len());
            let mut row = Array1::zeros(self.outputs());
            self.blocks(part, |start, block, scores| {
                T::scores(block, &weights, scores);
                for offset in 0..block.len() {
                    scores.get(offset, row.as_slice_mut().unwrap_or_default());
                    row += &bias;
                    row_loss::to_bends(self.loss, &mut row.view_mut(), self.labels[start + offset]);
                    add(&mut out, start + offset, row.view());
                }
            });
            out
        })
    }

    /// Scores Z W + b, which `work` turns into something else, row by row, and the products of that with Z and a column of ones, to
    /// which θ without its bias is added. Also the sum of what `work` returns.
    fn there_and_back(
        &self,
        theta: &Array2<f64>,
        work: impl Fn(usize, &mut ArrayViewMut1<T>) -> f64 + Sync + Send,
    ) -> (f64, Array2<f64>) {
        let (r, outputs) = (self.rows.width(), self.outputs());
        let (weights, bias) = self.split(theta);
        let parts = self.parts(|part| {
            let mut total = 0.0;
            let mut slope = Array1::<f64>::zeros(outputs);
            let mut gradient = Panels::zeros(r, outputs);
            let mut row = Array1::zeros(outputs);
            self.blocks(part, |start, block, scores| {
                T::scores(block, &weights, scores);
                for offset in 0..block.len() {
                    scores.get(offset, row.as_slice_mut().unwrap_or_default());
                    row += &bias;
                    total += work(start + offset, &mut row.view_mut());
                    slope.zip_mut_with(&row, |slope, &value| *slope += as_f64(value));
                    scores.set(offset, row.as_slice().unwrap_or_default());
                }
                T::pull_back(block, scores, &mut gradient);
            });
            (total, slope, gradient)
        });
        let mut sum = 0.0;
        let mut out = theta.clone();
        out.row_mut(r).fill(0.0);
        let mut row = vec![T::zero(); outputs];
        for (total, slope, gradient) in parts {
            sum += total;
            for (column, mut out) in out.outer_iter_mut().take(r).enumerate() {
                gradient.get(column, &mut row);
                out.iter_mut().zip(&row).for_each(|(sum, &value)| *sum += as_f64(value));
            }
            if self.free_bias {
                out.row_mut(r).scaled_add(1.0, &slope);
            }
        }
        (sum, out)
    }

    /// Whether a row's outputs share one loss, as in multinomial logistic regression.
    pub(super) fn is_coupled(&self) -> bool {
        self.loss == Loss::Logistic && self.outputs() > 1
    }

    /// How the loss bends along each output, summed over the rows: the diagonal of [`Self::total_bend`].
    pub(super) fn total_bends(&self, bends: &Array2<T>) -> Array1<f64> {
        let mut out = Array1::zeros(self.outputs());
        bends.outer_iter().enumerate().for_each(|(row, bends)| self.add_bends(&mut out, row, bends));
        out
    }

    /// Adds how the loss of one row bends along each output.
    fn add_bends(&self, sum: &mut Array1<f64>, row: usize, bends: ArrayView1<T>) {
        for ((sum, &bend), cost) in sum.iter_mut().zip(bends).zip(self.costs(row)) {
            let bend = as_f64(bend);
            *sum += cost * if self.is_coupled() { bend * (1.0 - bend) } else { bend };
        }
    }

    /// Σ cost · (diag(p) − ppᵀ) over the rows, outputs × outputs, for a loss whose outputs are coupled.
    pub(super) fn total_bend(&self, probabilities: &Array2<T>) -> Array2<f64> {
        let weighted = Array2::from_shape_fn(probabilities.dim(), |(row, output)| {
            T::from(self.cost[row]).unwrap_or_else(T::nan) * probabilities[[row, output]]
        });
        let mut out = -probabilities.t().dot(&weighted).mapv(as_f64);
        for (output, column) in weighted.columns().into_iter().enumerate() {
            out[[output, output]] += column.iter().map(|&value| as_f64(value)).sum::<f64>();
        }
        out
    }

    /// ‖∇f‖ / ‖W‖, which bounds the relative error of W (for the bias gradient, which is part of ‖∇f‖, to first order).
    ///
    /// Where the features say nothing, W is 0 and stays so; then it's the error of the predicted class frequencies.
    pub(super) fn relative_error(&self, gradient: &Array2<f64>, theta: &Array2<f64>) -> f64 {
        let r = self.rows.width();
        let norm = |rows: ArrayView2<f64>| rows.iter().map(|value| value * value).sum::<f64>().sqrt();
        let size = norm(theta.slice(s![..r, ..]));
        if size == 0.0 && norm(gradient.slice(s![..r, ..])) == 0.0 {
            return norm(gradient.slice(s![r.., ..])) / self.total_cost();
        }
        norm(gradient.view()) / size
    }

    /// Weights and bias in the precision of the rows.
    fn split(&self, theta: &Array2<f64>) -> (Panels<T>, Array1<T>) {
        let r = self.rows.width();
        let theta = theta.as_standard_layout().mapv(|value| T::from(value).unwrap_or_else(T::nan));
        let mut weights = Panels::zeros(r, self.outputs());
        for (column, values) in theta.outer_iter().take(r).enumerate() {
            weights.set(column, values.as_slice().unwrap_or_default());
        }
        (weights, theta.row(r).to_owned())
    }

    /// Runs `work` on parts of the rows that depend on their number alone, so that sums are the same on any number of threads.
    fn parts<R: Send>(&self, work: impl Fn(std::ops::Range<usize>) -> R + Sync + Send) -> Vec<R> {
        let n = self.rows.len();
        let count = (n / PART_ROWS).clamp(1, MAX_PARTS);
        let ranges = (0..count).map(|part| n * part / count..n * (part + 1) / count);
        ranges.collect::<Vec<_>>().into_par_iter().map(&work).collect()
    }

    /// Hands out the blocks of a part, with a place for their scores.
    fn blocks(&self, part: std::ops::Range<usize>, mut work: impl FnMut(usize, &[&[T]], &mut Panels<T>)) {
        let mut scores = Panels::zeros(BLOCK.min(part.len()), self.outputs());
        let mut buffer = Buffer::default();
        for start in part.clone().step_by(BLOCK) {
            work(start, &self.rows.block(start..part.end.min(start + BLOCK), &mut buffer), &mut scores);
        }
    }
}

/// 1 where a row of this class is on the positive side of an output, else 0; the one output of two classes is for class 1.
fn is_positive(label: usize, output: usize, binary: bool) -> usize {
    usize::from(label == if binary { 1 } else { output })
}

fn as_f64<T: NdFloat>(value: T) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;
    use crate::objective::outputs;
    use crate::params::ClassWeight;
    use crate::params::{HeadKind, HeadParams, SvmLoss};

    /// Every head that is solved here, weighted and not.
    fn heads() -> Vec<HeadParams> {
        let squared = HeadParams { svm_loss: SvmLoss::SquaredHinge, ..HeadParams::new(HeadKind::Svm) };
        let plain = [HeadParams::new(HeadKind::Logistic), squared, HeadParams::new(HeadKind::Ridge)];
        let balanced = plain.map(|head| HeadParams { class_weight: ClassWeight::Balanced, ..head });
        [plain, balanced].concat()
    }

    /// Gradients and Hessian products against differences of values and gradients, in both precisions.
    #[test]
    fn derivatives_are_those_of_the_value() {
        for (head, classes) in heads().into_iter().flat_map(|head| [(head, 2), (head, 5)]) {
            let (x, labels) = clusters(70, 6, classes, 1);
            let weight: Vec<f64> = (0..70).map(|row| 0.5 + (row % 3) as f64).collect();
            let mut problem = Problem::new(x.view(), &labels, classes, head);
            problem.weights = Some(&weight);
            let objective = Objective::<f64>::new(&problem, 3.0);
            let theta = Array2::from_shape_fn((7, outputs(classes)), |(i, j)| (i as f64 - j as f64) / 7.0);
            let direction = Array2::from_shape_fn((7, outputs(classes)), |(i, j)| (1 + i * j) as f64 / 9.0);
            let h = 1e-5;
            let (up, down) =
                (objective.pass(&(&theta + &(&direction * h))), objective.pass(&(&theta - &(&direction * h))));
            let here = objective.pass(&theta);
            let slope: f64 = (&here.gradient * &direction).sum();
            assert!(((up.value - down.value) / (2.0 * h) - slope).abs() < 1e-6 * slope.abs());
            let product = objective.curvature(&objective.bends(&theta), &direction);
            let numeric = (up.gradient - down.gradient) / (2.0 * h);
            for (a, b) in product.iter().zip(&numeric) {
                // The squared hinge bends all at once where a row reaches its margin.
                assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{head:?} {a} {b}");
            }
            let rough = Objective::<f32>::new(&problem, 3.0).pass(&theta);
            assert!((rough.value / here.value - 1.0).abs() < 1e-6);
            assert!((&rough.gradient - &here.gradient).iter().all(|difference| difference.abs() < 1e-3));
        }
    }

    #[test]
    fn the_value_is_that_of_the_plain_formula() {
        for (head, classes) in heads().into_iter().flat_map(|head| [(head, 2), (head, 4)]) {
            let (x, labels) = clusters(1300, 5, classes, 3);
            let problem = Problem::new(x.view(), &labels, classes, head);
            let theta = Array2::from_shape_fn((6, outputs(classes)), |(i, j)| (2.0 * i as f64 - j as f64) / 3.0);
            let scores = x.dot(&theta.slice(s![..5, ..])) + theta.row(5);
            let weights = theta.slice(s![..5, ..]).t().to_owned();
            let expected = problem.objective().value(scores.view(), &weights, 0.7);
            let found = Objective::<f64>::new(&problem, 0.7).pass(&theta).value;
            assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
        }
    }
}
