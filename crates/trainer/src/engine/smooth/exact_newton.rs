//! Newton's method with exact steps, for losses of one class against the rest.
//!
//! Squared hinge and squared error are made of pieces of parabolas. On each piece one step leads to its minimum, and after finitely
//! many steps the piece is the right one (Keerthi and DeCoste 2005, "A modified finite Newton method for fast solution of large
//! scale linear SVMs"). A step costs a Cholesky factor as wide as there are columns.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::row_loss::of_margin;
use crate::engine::Problem;
use crate::engine::normal_equations::NormalEquations;
use crate::params::Loss;

/// Steps at most; a handful is usual.
const MAX_STEPS: usize = 200;

/// One class against the rest.
struct OneAgainstRest<'a> {
    equations: &'a NormalEquations,
    loss: Loss,
    sign: Array1<f64>,
    cost: Array1<f64>,
}

/// Minimises each output from its column of `theta` on, until its gradient is at most `target` times its weights or no step helps;
/// returns the parameters and the number of steps. `features`: the rows of the problem, all in memory.
pub(super) fn minimise(
    problem: &Problem,
    features: ArrayView2<f64>,
    c: f64,
    theta: &Array2<f64>,
    target: f64,
) -> (Array2<f64>, usize) {
    let equations = NormalEquations::new(features, problem.head.bias);
    let found: Vec<(Array1<f64>, usize)> = theta
        .axis_iter(Axis(1))
        .into_par_iter()
        .enumerate()
        .map(|(output, theta)| {
            let sides = problem.objective().sides(output);
            let sign = sides.positive.iter().map(|&positive| if positive { 1.0 } else { -1.0 }).collect();
            let cost = Array1::from(sides.weight) * c;
            let one = OneAgainstRest { equations: &equations, loss: problem.head.loss(), sign, cost };
            one.minimise(theta.to_owned(), target)
        })
        .collect();
    let mut out = theta.clone();
    for (mut column, (theta, _)) in out.axis_iter_mut(Axis(1)).zip(&found) {
        column.assign(theta);
    }
    (out, found.iter().map(|(_, steps)| steps).sum())
}

impl OneAgainstRest<'_> {
    fn minimise(&self, mut theta: Array1<f64>, target: f64) -> (Array1<f64>, usize) {
        let r = self.equations.columns();
        let mut scores = self.equations.dot(&theta);
        let mut value = self.value(&scores, &theta);
        for step in 0..MAX_STEPS {
            let margins = &scores * &self.sign;
            let slopes = margins.mapv(|margin| of_margin(self.loss, margin).1) * &self.sign * &self.cost;
            let mut gradient = self.equations.columns_dot(&slopes);
            let mut weights = theta.clone();
            weights[r] = 0.0;
            gradient += &weights;
            if gradient.dot(&gradient) <= target * target * weights.dot(&weights) {
                return (theta, step);
            }
            let bends = margins.mapv(|margin| if self.loss == Loss::Squared || margin < 1.0 { 2.0 } else { 0.0 });
            let Some(factor) = self.equations.factor(&(bends * &self.cost)) else { return (theta, step) };
            let direction = factor.solve(-&gradient);
            let slope = gradient.dot(&direction);
            let change = self.equations.dot(&direction);
            let noise = 1e-14 * value;
            let mut length = 1.0;
            let (next, next_value) = loop {
                let next = &theta + &(&direction * length);
                let next_value = self.value(&(&scores + &(&change * length)), &next);
                if next_value <= value + 1e-4 * length * slope + noise {
                    break (next, next_value);
                }
                length *= 0.5;
                if length < 1e-10 {
                    return (theta, step);
                }
            };
            theta = next;
            // Anew rather than updated, so that rounding does not pile up over the steps.
            scores = self.equations.dot(&theta);
            value = next_value;
        }
        (theta, MAX_STEPS)
    }

    fn value(&self, scores: &Array1<f64>, theta: &Array1<f64>) -> f64 {
        let margins = scores.iter().zip(&self.sign).zip(&self.cost);
        let loss: f64 = margins.map(|((score, sign), cost)| cost * of_margin(self.loss, score * sign).0).sum();
        let weights = theta.slice(s![..self.equations.columns()]);
        loss + 0.5 * weights.dot(&weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::smooth::relative_error;
    use crate::engine::tests::clusters;
    use crate::params::{HeadKind, HeadParams, SvmLoss};

    #[test]
    fn a_few_steps_to_the_last_digits_over_ten_orders_of_c() {
        let squared = HeadParams { svm_loss: SvmLoss::SquaredHinge, ..HeadParams::new(HeadKind::Svm) };
        for (head, classes) in [(squared, 2), (squared, 3), (HeadParams::new(HeadKind::Ridge), 3)] {
            let (x, labels) = clusters(150, 12, classes, 3);
            let problem = Problem::new(x.view(), &labels, classes, head);
            for exponent in -4..7 {
                let c = 10f64.powi(exponent);
                let outputs = if classes == 2 { 1 } else { classes };
                let (theta, steps) = minimise(&problem, x.view(), c, &Array2::zeros((13, outputs)), 1e-9);
                let (weights, bias) = (theta.slice(s![..12, ..]).t().to_owned(), theta.row(12).to_owned());
                let error = relative_error(&problem, c, &weights, &bias);
                assert!(error < 1e-7 && steps < 30 * outputs, "C = {c}: {error:.1e} after {steps} steps");
            }
        }
    }
}
