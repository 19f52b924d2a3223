//! Logistic regression (binary for two classes, multinomial otherwise), squared hinge and squared error: damped Newton.

use ndarray::{Array1, Array2, ArrayView1};

use super::{Rows, solve, weight_norm};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Logistic,
    SquaredHinge,
    Squared,
}

/// outputs × (d + 1) parameters, bias last, that minimise C Σ loss + ½‖W‖², and the last Newton step relative to the weights: about
/// how far rounding leaves them from the optimum.
pub fn minimise(rows: &Rows, loss: Loss, c: f64) -> (Array2<f64>, f64) {
    let width = rows.x.ncols();
    if loss == Loss::Logistic && rows.classes > 2 {
        let (theta, step) = newton(&Multinomial { rows, c }, rows.classes * width, width - 1);
        return (theta.into_shape_with_order((rows.classes, width)).unwrap(), step);
    }
    let mut out = Array2::zeros((rows.outputs(), width));
    let mut worst = 0f64;
    for output in 0..rows.outputs() {
        let one = OneAgainstRest { rows, loss, c, sign: rows.signs(output) };
        let (theta, step) = newton(&one, width, width - 1);
        out.row_mut(output).assign(&theta);
        worst = worst.max(step);
    }
    (out, worst)
}

trait Function {
    fn value(&self, theta: &Array1<f64>) -> f64;
    fn slope_and_bend(&self, theta: &Array1<f64>) -> (Array1<f64>, Array2<f64>);
}

fn newton(function: &dyn Function, parameters: usize, width: usize) -> (Array1<f64>, f64) {
    let mut theta = Array1::zeros(parameters);
    let mut value = function.value(&theta);
    let mut last = f64::INFINITY;
    for _ in 0..500 {
        let (gradient, hessian) = function.slope_and_bend(&theta);
        let step = solve(&hessian, &-&gradient);
        let relative = weight_norm(&step, width) / weight_norm(&theta, width).max(1e-300);
        let slope = gradient.dot(&step);
        // Full steps that get no smaller any more are rounding.
        if relative <= 1e-13 || (relative < 1e-7 && relative >= 0.5 * last) {
            return (theta, relative);
        }
        last = relative;
        let mut length = 1.0;
        loop {
            let next = &theta + &(&step * length);
            let next_value = function.value(&next);
            if next_value <= value + 1e-4 * length * slope + 1e-13 * value.abs() {
                (theta, value) = (next, next_value);
                break;
            }
            length *= 0.5;
            if length < 1e-12 {
                return (theta, relative);
            }
        }
    }
    (theta, f64::INFINITY)
}

struct OneAgainstRest<'a> {
    rows: &'a Rows,
    loss: Loss,
    c: f64,
    sign: Array1<f64>,
}

impl Function for OneAgainstRest<'_> {
    fn value(&self, theta: &Array1<f64>) -> f64 {
        let margins = self.rows.x.dot(theta) * &self.sign;
        let loss = |margin: &f64| match self.loss {
            Loss::Logistic => (-margin).max(0.0) + (-margin.abs()).exp().ln_1p(),
            Loss::SquaredHinge => (1.0 - margin).max(0.0).powi(2),
            Loss::Squared => (1.0 - margin).powi(2),
        };
        self.c * margins.iter().map(loss).sum::<f64>() + 0.5 * (theta * theta * self.rows.penalty()).sum()
    }

    fn slope_and_bend(&self, theta: &Array1<f64>) -> (Array1<f64>, Array2<f64>) {
        let margins = self.rows.x.dot(theta) * &self.sign;
        let mut gradient = theta * &self.rows.penalty();
        let mut hessian = Array2::from_diag(&self.rows.penalty());
        for ((row, margin), sign) in self.rows.x.outer_iter().zip(&margins).zip(&self.sign) {
            let (slope, bend) = match self.loss {
                Loss::Logistic => {
                    let wrong = 1.0 / (1.0 + margin.exp());
                    let small = (-margin.abs()).exp();
                    (-wrong, small / (1.0 + small).powi(2))
                }
                Loss::SquaredHinge if *margin >= 1.0 => (0.0, 0.0),
                Loss::SquaredHinge | Loss::Squared => (2.0 * (margin - 1.0), 2.0),
            };
            gradient.scaled_add(self.c * slope * sign, &row);
            add_outer(&mut hessian, self.c * bend, row, 0, 0);
        }
        // Nothing bends along a free bias when every row is sure.
        let last = theta.len() - 1;
        hessian[[last, last]] += 1e-14 * (1.0 + self.c);
        (gradient, hessian)
    }
}

struct Multinomial<'a> {
    rows: &'a Rows,
    c: f64,
}

impl Multinomial<'_> {
    fn scores(&self, theta: &Array1<f64>) -> Array2<f64> {
        let theta = theta.view().into_shape_with_order((self.rows.classes, self.rows.x.ncols())).unwrap();
        self.rows.x.dot(&theta.t())
    }

    /// Sum of the biases, which the losses do not depend on; held at 0 where the biases are free.
    fn shift(&self, theta: &Array1<f64>) -> f64 {
        let width = self.rows.x.ncols();
        if self.rows.bias_is_penalised {
            0.0
        } else {
            (0..self.rows.classes).map(|k| theta[k * width + width - 1]).sum()
        }
    }
}

impl Function for Multinomial<'_> {
    fn value(&self, theta: &Array1<f64>) -> f64 {
        let scores = self.scores(theta);
        let mut loss = 0.0;
        for (row, &label) in scores.outer_iter().zip(&self.rows.labels) {
            let own = row[label];
            loss += row.iter().map(|score| (score - own).min(700.0).exp()).sum::<f64>().ln().max(top(row) - own);
        }
        let width = self.rows.x.ncols();
        let penalty = self.rows.penalty();
        let squares: f64 = theta.iter().enumerate().map(|(at, value)| penalty[at % width] * value * value).sum();
        self.c * loss + 0.5 * squares + 0.5 * self.shift(theta).powi(2)
    }

    fn slope_and_bend(&self, theta: &Array1<f64>) -> (Array1<f64>, Array2<f64>) {
        let (width, classes) = (self.rows.x.ncols(), self.rows.classes);
        let penalty = self.rows.penalty();
        let penalty = Array1::from_shape_fn(theta.len(), |at| penalty[at % width]);
        let mut gradient = theta * &penalty;
        let mut hessian = Array2::from_diag(&penalty);
        for ((scores, row), &label) in
            self.scores(theta).outer_iter().zip(self.rows.x.outer_iter()).zip(&self.rows.labels)
        {
            let highest = top(scores);
            let mut p = scores.mapv(|score| (score - highest).exp());
            p /= p.sum();
            for k in 0..classes {
                // 1 − p as the sum of the others keeps its digits.
                let others = (0..classes).filter(|&j| j != k).map(|j| p[j]).sum::<f64>();
                let slope = if k == label { -others } else { p[k] };
                let mut part = gradient.slice_mut(ndarray::s![k * width..(k + 1) * width]);
                part.scaled_add(self.c * slope, &row);
                for j in 0..=k {
                    let bend = if j == k { p[k] * others } else { -p[j] * p[k] };
                    add_outer(&mut hessian, self.c * bend, row, k * width, j * width);
                }
            }
        }
        for i in 0..theta.len() {
            for j in 0..i {
                hessian[[j, i]] = hessian[[i, j]];
            }
        }
        if !self.rows.bias_is_penalised {
            let shift = self.shift(theta);
            for k in 0..classes {
                gradient[k * width + width - 1] += shift;
                for j in 0..classes {
                    hessian[[k * width + width - 1, j * width + width - 1]] += 1.0;
                }
            }
        }
        (gradient, hessian)
    }
}

fn top(row: ArrayView1<f64>) -> f64 {
    row.iter().fold(f64::NEG_INFINITY, |top, &value| top.max(value))
}

/// Adds factor · row rowᵀ to a block of a matrix.
pub(super) fn add_outer(matrix: &mut Array2<f64>, factor: f64, row: ArrayView1<f64>, top: usize, left: usize) {
    if factor == 0.0 {
        return;
    }
    for (i, &a) in row.iter().enumerate() {
        let mut line = matrix.slice_mut(ndarray::s![top + i, left..left + row.len()]);
        line.scaled_add(factor * a, &row);
    }
}
