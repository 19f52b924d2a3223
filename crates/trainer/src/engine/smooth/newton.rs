//! Truncated Newton (Nocedal and Wright 2006, algorithm 7.1): what L-BFGS leaves of hard problems.
//!
//! With a large C on data that a plane separates, or nearly so, few rows are still unsure and the curvature changes with every
//! step. Conjugate gradients on the Hessian of the moment see that, and near the minimum each step doubles the digits.

use ndarray::Array2;

use super::columns::Columns;
use super::lbfgs::dot;
use super::objective::Objective;
use super::preconditioner::Preconditioner;
use crate::Error;

/// Newton steps at most.
const MAX_STEPS: usize = 100;
/// Conjugate-gradient steps for one Newton step at most.
const MAX_INNER: usize = 500;

/// Minimises from `theta` on until the relative error is at most `target` or no step helps; returns the parameters and how many
/// products with the Hessian it took.
///
/// # Errors
/// See [`Preconditioner::new`].
pub(super) fn minimise(
    objective: &Objective<f64>,
    columns: &Columns,
    mut theta: Array2<f64>,
    target: f64,
) -> Result<(Array2<f64>, usize), Error> {
    let mut here = objective.pass(&theta);
    let mut products = 0;
    for _ in 0..MAX_STEPS {
        let relative = objective.relative_error(&here.gradient, &theta);
        if relative <= target || relative.is_nan() {
            break;
        }
        let bends = objective.bends(&theta);
        let preconditioner = Preconditioner::new(objective, &bends, columns)?;
        // Rough far from the minimum, ever more exact close to it: superlinear convergence.
        let precision = relative.sqrt().clamp(1e-6, 0.1);
        let (direction, steps) = direction(objective, &bends, &here.gradient, &preconditioner, precision);
        products += steps;
        let slope = dot(&here.gradient, &direction);
        // Below this the value is rounding noise, and a full step is judged by the gradient of the next round.
        let noise = 1e-13 * here.value.abs();
        let mut length = 1.0;
        let accepted = loop {
            let next_theta = &theta + &(&direction * length);
            let next = objective.pass(&next_theta);
            if next.value <= here.value + 1e-4 * length * slope + noise {
                break Some((next_theta, next));
            }
            length *= 0.5;
            if length < 1e-10 {
                break None;
            }
        };
        let Some((next_theta, next)) = accepted else { break };
        (theta, here) = (next_theta, next);
    }
    Ok((theta, products))
}

/// Solves H d = −g by preconditioned conjugate gradients to a residual of `precision` · ‖g‖.
fn direction(
    objective: &Objective<f64>,
    bends: &Array2<f64>,
    gradient: &Array2<f64>,
    preconditioner: &Preconditioner,
    precision: f64,
) -> (Array2<f64>, usize) {
    let mut direction = objective.zeros();
    let mut residual = -gradient;
    let mut preconditioned = preconditioner.apply(&residual);
    let mut search = preconditioned.clone();
    let mut energy = dot(&residual, &preconditioned);
    let goal = precision * dot(gradient, gradient).sqrt();
    for step in 0..MAX_INNER {
        let product = objective.curvature(bends, &search);
        let bend = dot(&search, &product);
        // Convex, so only rounding makes this non-positive; what was found so far is a descent direction.
        if bend <= 0.0 || !bend.is_finite() {
            return (if step == 0 { search } else { direction }, step + 1);
        }
        let length = energy / bend;
        direction.scaled_add(length, &search);
        residual.scaled_add(-length, &product);
        if dot(&residual, &residual).sqrt() <= goal {
            return (direction, step + 1);
        }
        preconditioned = preconditioner.apply(&residual);
        let next = dot(&residual, &preconditioned);
        search = &preconditioned + &(&search * (next / energy));
        energy = next;
    }
    (direction, MAX_INNER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::smooth::columns::of_matrix;
    use crate::engine::tests::{clusters, logistic_problem};

    #[test]
    fn converges_from_nothing_over_eight_orders_of_c() {
        for classes in [2, 4] {
            let (x, labels) = clusters(80, 30, classes, 2);
            let columns = of_matrix(&x);
            let problem = logistic_problem(x.view(), &labels, classes);
            for exponent in -4..5 {
                let objective = Objective::<f64>::new(&problem, 10f64.powi(exponent));
                let (theta, steps) = minimise(&objective, &columns, objective.zeros(), 1e-8).unwrap();
                let relative = objective.relative_error(&objective.pass(&theta).gradient, &theta);
                assert!(relative <= 1e-8, "C = 1e{exponent}: {relative} after {steps} products");
            }
        }
    }
}
