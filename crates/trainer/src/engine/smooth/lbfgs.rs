//! Preconditioned L-BFGS (Nocedal 1980; Nocedal and Wright 2006, algorithm 7.4) on the logistic objective.

use std::collections::VecDeque;

use ndarray::Array2;

use super::objective::{Objective, Pass};
use super::preconditioner::Preconditioner;
use crate::engine::kernel::Scalar;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 10;
/// Values and gradients per line search at most.
const TRIES: usize = 20;
/// Share of the slope's promise that a step must keep (Armijo).
const DECREASE: f64 = 1e-4;
/// Share of the slope that may be left after a step (Wolfe).
const LEFT: f64 = 0.9;
/// Iterations without a smaller gradient after which rounding is taken to be all that is left.
const PATIENCE: usize = 15;

/// Where a run ended.
pub(super) struct Found {
    pub(super) theta: Array2<f64>,
    /// ‖∇f‖ / ‖W‖ there.
    pub(super) relative: f64,
    /// The objective.
    pub(super) value: f64,
    pub(super) iterations: usize,
}

/// A step with the change of the gradient along it, and 1 / their product.
struct Pair {
    step: Array2<f64>,
    change: Array2<f64>,
    inverse: f64,
}

/// Goes from `theta` until the relative error is at most `target`, no step helps, or `limit` iterations are over.
pub(super) fn minimise<T: Scalar>(
    objective: &Objective<T>,
    preconditioner: &Preconditioner,
    theta: Array2<f64>,
    target: f64,
    limit: usize,
) -> Found {
    let mut here = objective.pass(&theta);
    let mut theta = theta;
    let mut relative = objective.relative_error(&here.gradient, &theta);
    let (mut iterations, mut best, mut best_iteration) = (0, relative, 0);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    for iteration in 1..=limit {
        if relative <= target || relative.is_nan() {
            break;
        }
        let mut direction = direction(&here.gradient, &pairs, preconditioner);
        let mut slope = dot(&here.gradient, &direction);
        if slope >= 0.0 || !slope.is_finite() {
            pairs.clear();
            direction = -preconditioner.apply(&here.gradient);
            slope = dot(&here.gradient, &direction);
        }
        let Some((length, next)) = search(objective, &theta, &here, &direction, slope) else { break };
        let step = direction * length;
        let change = &next.gradient - &here.gradient;
        let product = dot(&step, &change);
        theta += &step;
        here = next;
        if product > 0.0 {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back(Pair { step, change, inverse: 1.0 / product });
        }
        relative = objective.relative_error(&here.gradient, &theta);
        iterations = iteration;
        if relative < best {
            (best, best_iteration) = (relative, iteration);
        } else if iteration >= best_iteration + PATIENCE {
            break;
        }
    }
    Found { theta, relative, value: here.value, iterations }
}

/// −H⁻¹ ∇f by the two-loop recursion.
fn direction(gradient: &Array2<f64>, pairs: &VecDeque<Pair>, preconditioner: &Preconditioner) -> Array2<f64> {
    let mut out = gradient.clone();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &out);
        out.scaled_add(-share, &pair.change);
        shares.push(share);
    }
    out = preconditioner.apply(&out);
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let correction = share - pair.inverse * dot(&pair.change, &out);
        out.scaled_add(correction, &pair.step);
    }
    -out
}

/// A step length that decreases the value and most of the slope, with value and gradient there; `None` if rounding hides them all.
///
/// Brackets by secants on the slopes, which stay meaningful when differences of values no longer are (Hager and Zhang 2005).
fn search<T: Scalar>(
    objective: &Objective<T>,
    theta: &Array2<f64>,
    here: &Pass,
    direction: &Array2<f64>,
    slope: f64,
) -> Option<(f64, Pass)> {
    let noise = 10.0 * T::epsilon().to_f64().unwrap_or(0.0) * here.value.abs();
    let (mut low, mut low_slope) = (0.0, slope);
    let mut high = f64::INFINITY;
    let mut length = 1.0;
    for _ in 0..TRIES {
        let next = objective.pass(&(theta + &(direction * length)));
        let next_slope = dot(&next.gradient, direction);
        let finite = next.value.is_finite() && next_slope.is_finite();
        let decreases = finite && next.value <= here.value + DECREASE * length * slope + noise;
        if decreases && next_slope.abs() <= LEFT * slope.abs() {
            return Some((length, next));
        }
        let secant = low + (length - low) * low_slope / (low_slope - next_slope);
        if !decreases || next_slope > 0.0 {
            high = length;
            let width = high - low;
            let inside = if finite && next_slope > 0.0 { secant } else { low + 0.3 * width };
            length = inside.clamp(low + 0.05 * width, high - 0.05 * width);
        } else {
            let width = length - low;
            (low, low_slope) = (length, next_slope);
            let beyond = if secant > length { secant } else { length + 4.0 * width.max(length) };
            length = if high.is_finite() {
                beyond.clamp(low + 0.05 * (high - low), high - 0.05 * (high - low))
            } else {
                beyond.min(5.0 * length)
            };
        }
        if length < 1e-10 {
            return None;
        }
    }
    None
}

pub(super) fn dot(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::smooth::columns::of_matrix;
    use crate::engine::tests::{clusters, logistic_problem};

    #[test]
    fn few_iterations_to_a_small_gradient() {
        for classes in [2, 4] {
            let (x, labels) = clusters(80, 12, classes, 2);
            let columns = of_matrix(&x);
            let problem = logistic_problem(x.view(), &labels, classes);
            for c in [1e-3, 1.0, 100.0] {
                let objective = Objective::<f64>::new(&problem, c);
                let start = objective.zeros();
                let preconditioner = Preconditioner::new(&objective, &objective.bends(&start), &columns).unwrap();
                let found = minimise(&objective, &preconditioner, start, 1e-8, 200);
                assert!(
                    found.relative <= 1e-8 && found.iterations < 120,
                    "C = {c}: {} {}",
                    found.relative,
                    found.iterations
                );
            }
        }
    }
}
