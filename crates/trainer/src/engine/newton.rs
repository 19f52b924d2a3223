//! Truncated Newton for the logistic objective: takes the last steps that linfa's L-BFGS cannot.
//!
//! linfa-logistic computes log Σ exp against the largest score of the whole matrix and cuts it off at 1e-15. As soon as scores span
//! more than about 34, which any well separated data with a large C do, it minimises another function and reports success. Here
//! the function is the right one, and a start near its minimum makes Newton's quadratic convergence count.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::metrics::softmax_rows;
use crate::objective::{logistic_loss, outputs};

/// Newton steps at most; from linfa's result it takes a handful.
const MAX_STEPS: usize = 100;
/// Conjugate-gradient steps for one Newton step at most.
const MAX_INNER: usize = 500;

/// `C Σ loss + ½‖W‖²` over parameters θ of shape (r + 1) × outputs, the bias in the last row.
pub(super) struct LogisticObjective<'a> {
    features: ArrayView2<'a, f64>,
    labels: &'a [usize],
    outputs: usize,
    c: f64,
}

impl<'a> LogisticObjective<'a> {
    pub(super) fn new(problem: &super::Problem<'a>, c: f64) -> Self {
        Self { features: problem.features, labels: problem.labels, outputs: outputs(problem.classes), c }
    }

    /// Parameters that are all 0.
    pub(super) fn zeros(&self) -> Array2<f64> {
        Array2::zeros((self.features.ncols() + 1, self.outputs))
    }

    fn scores(&self, theta: &Array2<f64>) -> Array2<f64> {
        let r = self.features.ncols();
        self.features.dot(&theta.slice(s![..r, ..])) + theta.row(r)
    }

    fn penalty(&self, theta: &Array2<f64>) -> f64 {
        0.5 * square(theta.slice(s![..self.features.ncols(), ..]))
    }

    fn value(&self, scores: &Array2<f64>, theta: &Array2<f64>) -> f64 {
        self.c * logistic_loss(scores.view(), self.labels) + self.penalty(theta)
    }

    /// Probabilities of each output: of class 1 for two classes.
    fn probabilities(&self, mut scores: Array2<f64>) -> Array2<f64> {
        if self.outputs == 1 {
            scores.mapv_inplace(|score| {
                let small = (-score.abs()).exp();
                if score >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
            });
        } else {
            softmax_rows(&mut scores);
        }
        scores
    }

    /// Zᵀ R stacked on the column sums of R, times C.
    fn pull_back(&self, residuals: &Array2<f64>) -> Array2<f64> {
        let r = self.features.ncols();
        let mut out = self.zeros();
        out.slice_mut(s![..r, ..]).assign(&self.features.t().dot(residuals));
        out.row_mut(r).assign(&residuals.sum_axis(Axis(0)));
        out *= self.c;
        out
    }

    /// Adds what the penalty ½‖W‖² contributes to a gradient at, or a Hessian product with, `theta`.
    fn add_weights(&self, out: &mut Array2<f64>, theta: &Array2<f64>) {
        let r = self.features.ncols();
        let mut weights = out.slice_mut(s![..r, ..]);
        weights += &theta.slice(s![..r, ..]);
    }

    fn gradient_at(&self, probabilities: &Array2<f64>, theta: &Array2<f64>) -> Array2<f64> {
        let mut residuals = probabilities.clone();
        for (row, &label) in self.labels.iter().enumerate() {
            if self.outputs > 1 {
                residuals[[row, label]] -= 1.0;
            } else if label == 1 {
                residuals[[row, 0]] -= 1.0;
            }
        }
        let mut gradient = self.pull_back(&residuals);
        self.add_weights(&mut gradient, theta);
        gradient
    }

    /// The gradient.
    pub(super) fn gradient(&self, theta: &Array2<f64>) -> Array2<f64> {
        self.gradient_at(&self.probabilities(self.scores(theta)), theta)
    }

    /// ‖∇f‖ / ‖W‖, which bounds the relative error of W (for the bias gradient, which is part of ‖∇f‖, to first order).
    ///
    /// Where the features say nothing, W is 0 and stays so; then it's the error of the predicted class frequencies.
    pub(super) fn relative_error(&self, gradient: &Array2<f64>, theta: &Array2<f64>) -> f64 {
        let r = self.features.ncols();
        let size = square(theta.slice(s![..r, ..])).sqrt();
        if size == 0.0 && square(gradient.slice(s![..r, ..])) == 0.0 {
            return square(gradient.slice(s![r.., ..])).sqrt() / (self.c * self.labels.len() as f64);
        }
        square(gradient.view()).sqrt() / size
    }

    /// Hessian times `direction`.
    fn curvature(&self, probabilities: &Array2<f64>, direction: &Array2<f64>) -> Array2<f64> {
        let mut change = self.scores(direction);
        if self.outputs == 1 {
            change.zip_mut_with(probabilities, |change, &p| *change *= p * (1.0 - p));
        } else {
            for (mut change, p) in change.outer_iter_mut().zip(probabilities.outer_iter()) {
                let mean = change.dot(&p);
                change.zip_mut_with(&p, |change, &p| *change = p * (*change - mean));
            }
        }
        let mut out = self.pull_back(&change);
        self.add_weights(&mut out, direction);
        out
    }

    /// The Hessian's diagonal. In reduced coordinates, whose columns are orthogonal, it is most of the Hessian.
    fn diagonal(&self, probabilities: &Array2<f64>, squares: &Array2<f64>) -> Array2<f64> {
        let r = self.features.ncols();
        let spread = probabilities.mapv(|p| p * (1.0 - p));
        let mut out = self.zeros();
        out.slice_mut(s![..r, ..]).assign(&squares.t().dot(&spread));
        out.row_mut(r).assign(&spread.sum_axis(Axis(0)));
        out *= self.c;
        out.slice_mut(s![..r, ..]).mapv_inplace(|value| value + 1.0);
        // Saturated probabilities leave no curvature for the bias.
        out.mapv_inplace(|value| value.max(1e-12));
        out
    }

    /// Minimises from `theta` on until the relative error is at most `tolerance` or no step helps; returns the parameters and how
    /// many steps it took.
    pub(super) fn minimise(&self, mut theta: Array2<f64>, tolerance: f64) -> (Array2<f64>, usize) {
        let squares = self.features.mapv(|value| value * value);
        let mut scores = self.scores(&theta);
        let mut value = self.value(&scores, &theta);
        for step in 0..MAX_STEPS {
            let probabilities = self.probabilities(scores.clone());
            let gradient = self.gradient_at(&probabilities, &theta);
            let relative = self.relative_error(&gradient, &theta);
            if relative <= tolerance || relative.is_nan() {
                return (theta, step);
            }
            let diagonal = self.diagonal(&probabilities, &squares);
            // Rough far from the minimum, ever more exact close to it: superlinear convergence.
            let precision = relative.sqrt().clamp(1e-6, 0.1);
            let direction = self.newton_direction(&probabilities, &gradient, &diagonal, precision);
            let slope = dot(&gradient, &direction);
            let change = self.scores(&direction);
            // Below this the value is rounding noise, and a full step is judged by the gradient of the next round.
            let noise = 1e-13 * value.abs();
            let mut length = 1.0;
            let accepted = loop {
                let new_theta = &theta + &(&direction * length);
                let new_scores = &scores + &(&change * length);
                let new_value = self.value(&new_scores, &new_theta);
                if new_value <= value + 1e-4 * length * slope + noise {
                    break Some((new_theta, new_value));
                }
                length *= 0.5;
                if length < 1e-10 {
                    break None;
                }
            };
            let Some((new_theta, new_value)) = accepted else { return (theta, step) };
            theta = new_theta;
            // Anew rather than updated, so that rounding does not pile up over the steps.
            scores = self.scores(&theta);
            value = new_value;
        }
        (theta, MAX_STEPS)
    }

    /// Solves H d = −g by conjugate gradients, preconditioned with the diagonal, to a residual of `precision` · ‖g‖.
    fn newton_direction(
        &self,
        probabilities: &Array2<f64>,
        gradient: &Array2<f64>,
        diagonal: &Array2<f64>,
        precision: f64,
    ) -> Array2<f64> {
        let mut direction = self.zeros();
        let mut residual = -gradient;
        let mut preconditioned = &residual / diagonal;
        let mut search = preconditioned.clone();
        let mut energy = dot(&residual, &preconditioned);
        let goal = precision * square(gradient.view()).sqrt();
        for _ in 0..MAX_INNER {
            let product = self.curvature(probabilities, &search);
            let bend = dot(&search, &product);
            // Convex, so only rounding makes this non-positive; what was found so far is a descent direction.
            if bend <= 0.0 || !bend.is_finite() {
                break;
            }
            let length = energy / bend;
            direction.scaled_add(length, &search);
            residual.scaled_add(-length, &product);
            if square(residual.view()).sqrt() <= goal {
                break;
            }
            preconditioned = &residual / diagonal;
            let next = dot(&residual, &preconditioned);
            search = &preconditioned + &(&search * (next / energy));
            energy = next;
        }
        direction
    }

    /// Weights (outputs × r) and bias. For several classes the biases are only defined up to a common constant; they sum to 0 here.
    pub(super) fn split(&self, theta: &Array2<f64>) -> (Array2<f64>, Array1<f64>) {
        let r = self.features.ncols();
        let weights = theta.slice(s![..r, ..]).t().as_standard_layout().into_owned();
        let mut bias = theta.row(r).to_owned();
        if self.outputs > 1 {
            bias -= bias.sum() / self.outputs as f64;
        }
        (weights, bias)
    }
}

fn dot(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn square(a: ArrayView2<f64>) -> f64 {
    a.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Problem;
    use crate::engine::tests::clusters;
    use crate::params::ClassWeight;

    #[test]
    fn gradient_and_curvature_are_derivatives() {
        for classes in [2, 3] {
            let (x, labels) = clusters(30, 5, classes, 1);
            let problem = Problem { features: x.view(), labels: &labels, classes, class_weight: ClassWeight::None };
            let objective = LogisticObjective::new(&problem, 3.0);
            let theta =
                objective.zeros() + &Array2::from_shape_fn((6, outputs(classes)), |(i, j)| (i as f64 - j as f64) / 7.0);
            let direction =
                objective.zeros() + &Array2::from_shape_fn((6, outputs(classes)), |(i, j)| (1 + i * j) as f64 / 9.0);
            let h = 1e-5;
            let (up, down) = (&theta + &(&direction * h), &theta - &(&direction * h));
            let value = |theta: &Array2<f64>| objective.value(&objective.scores(theta), theta);
            let slope = dot(&objective.gradient(&theta), &direction);
            assert!(((value(&up) - value(&down)) / (2.0 * h) - slope).abs() < 1e-6 * slope.abs());
            let product = objective.curvature(&objective.probabilities(objective.scores(&theta)), &direction);
            let numeric = (objective.gradient(&up) - objective.gradient(&down)) / (2.0 * h);
            for (a, b) in product.iter().zip(&numeric) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn converges_from_nothing_over_eight_orders_of_c() {
        for classes in [2, 4] {
            let (x, labels) = clusters(80, 30, classes, 2);
            let problem = Problem { features: x.view(), labels: &labels, classes, class_weight: ClassWeight::None };
            for exponent in -4..5 {
                let objective = LogisticObjective::new(&problem, 10f64.powi(exponent));
                let (theta, steps) = objective.minimise(objective.zeros(), 1e-8);
                let relative = objective.relative_error(&objective.gradient(&theta), &theta);
                assert!(relative <= 1e-8, "C = 1e{exponent}: {relative} after {steps} steps");
            }
        }
    }
}
