//! A primal-dual interior-point method for the dual, whose steps do not grow with C (Ferris and Munson 2002, "Interior-point methods
//! for massive support vector machines"; predictor and corrector after Mehrotra 1992).
//!
//! In α = sβ the dual is min ½ αᵀQα − Σα with Qᵢⱼ = sᵢsⱼ zᵢᵀzⱼ over sᵀα = 0 and 0 ≤ α ≤ u. With multipliers p for α ≥ 0, v for α ≤ u
//! and the bias b for the equality, the optimum has Qα − 1 + b s − p + v = 0, αᵢpᵢ = 0 and (u − α)ᵢvᵢ = 0. Newton's method on these
//! equations, the products driven to 0 together, needs per step one system (Q + Θ) Δα + s Δb = g with the diagonal
//! Θ = p/α + v/(u − α). In the weights w = Zᵀ(sα) and b that is (diag(1, …, 1, 0) + X̃ᵀ Θ⁻¹ X̃) (Δw, Δb) = X̃ᵀ(s Θ⁻¹ g), where X̃ is Z
//! with a column of ones: one Cholesky factor of r + 1 columns.

use ndarray::{Array1, ArrayView2, s};

use super::dual::OneAgainstRest;
use crate::engine::normal_equations::NormalEquations;
use crate::params::Bias;

/// Steps at most; most problems take 15 to 40.
const MAX_STEPS: usize = 150;
/// What the method stops at, as a share of the gap asked for: the end comes so fast that this costs a step or two.
const AIM: f64 = 1e-3;
/// Closer than this the equations are too badly conditioned to be solved.
const CLOSEST: f64 = 1e-8;
/// How much of the way to the nearest bound a step may go.
const CAUTION: f64 = 0.995;

/// The rows of a problem with a column of ones for the bias, shared by all classes and C.
pub(super) struct InteriorPoint {
    equations: NormalEquations,
}

/// Where the method is: all entries positive but α ≤ u is kept as `room` = u − α.
struct Point {
    alpha: Array1<f64>,
    room: Array1<f64>,
    /// Multiplier of α ≥ 0.
    lower: Array1<f64>,
    /// Multiplier of α ≤ u; the loss of the row.
    upper: Array1<f64>,
}

impl Point {
    /// Σ α p + (u − α) v, which is primal less dual objective.
    fn complementarity(&self) -> f64 {
        self.alpha.dot(&self.lower) + self.room.dot(&self.upper)
    }
}

/// A change of a [`Point`].
struct Step {
    alpha: Array1<f64>,
    lower: Array1<f64>,
    upper: Array1<f64>,
    theta: Array1<f64>,
}

impl InteriorPoint {
    pub(super) fn new(features: ArrayView2<f64>, bias: Bias) -> Self {
        Self { equations: NormalEquations::new(features, bias) }
    }

    /// Multiply-adds that a fit takes, roughly.
    pub(super) fn cost(rows: usize, columns: usize) -> f64 {
        let (n, r) = (rows as f64, columns as f64);
        25.0 * (n * r * r / 2.0 + r * r * r / 6.0 + 6.0 * n * r)
    }

    /// β for C = `c` with a relative duality gap well below `target`, if rounding allows, and the steps taken.
    pub(super) fn solve(&self, one: &OneAgainstRest, c: f64, target: f64) -> (Vec<f64>, usize) {
        let sign = Array1::from(one.sign.clone());
        let cost = Array1::from(one.weight.clone()) * c;
        let r = self.equations.columns();

        // In the middle between the bounds on the side that has less to give, such that Σ s α = 0.
        let total = |side: f64| -> f64 { (0..sign.len()).filter(|&row| sign[row] == side).map(|row| cost[row]).sum() };
        let (positive, negative) = (total(1.0), total(-1.0));
        let less = positive.min(negative);
        let alpha = Array1::from_shape_fn(sign.len(), |row| {
            0.5 * cost[row] * less / if sign[row] > 0.0 { positive } else { negative }
        });
        let room = &cost - &alpha;
        let mut theta = Array1::zeros(r + 1);
        theta.slice_mut(s![..r]).assign(&self.weights(&sign, &alpha));
        let slope = self.slope(&sign, &theta);
        if one.free_bias {
            theta[r] = -(&slope * &sign).mean().unwrap_or(0.0);
        }
        let slope = self.slope(&sign, &theta);
        // p − v = slope makes the point feasible; both at least 1, the size of the margin.
        let lower = slope.mapv(|slope| slope.max(0.0) + 1.0);
        let upper = slope.mapv(|slope| (-slope).max(0.0) + 1.0);
        let mut point = Point { alpha, room, lower, upper };

        let aim = (AIM * target).max(CLOSEST);
        let (mut best, mut best_gap) = (beta(&sign, &point), f64::INFINITY);
        for count in 0..MAX_STEPS {
            let left = point.complementarity();
            let weights = theta.slice(s![..r]);
            let dual = point.alpha.sum() - 0.5 * weights.dot(&weights);
            let gap = left / (dual + left).abs();
            if gap < best_gap {
                (best, best_gap) = (beta(&sign, &point), gap);
            }
            if gap <= aim {
                return (best, count);
            }
            let Some(step) = self.step(one, &point, &theta, left) else { return (best, count) };
            let length = longest(&point, &step) * CAUTION;
            let length = length.min(1.0);
            if length < 1e-10 {
                return (best, count);
            }
            point.alpha.scaled_add(length, &step.alpha);
            point.room.scaled_add(-length, &step.alpha);
            point.lower.scaled_add(length, &step.lower);
            point.upper.scaled_add(length, &step.upper);
            let bias = theta[r] + length * step.theta[r];
            // Anew rather than updated, so that rounding does not pile up over the steps.
            theta.slice_mut(s![..r]).assign(&self.weights(&sign, &point.alpha));
            theta[r] = bias;
        }
        (best, MAX_STEPS)
    }

    /// Predictor and corrector from one factorisation; `None` if that fails.
    fn step(&self, one: &OneAgainstRest, point: &Point, theta: &Array1<f64>, left: f64) -> Option<Step> {
        let sign = &Array1::from(one.sign.clone());
        let Point { alpha, room, lower, upper } = point;
        let r = theta.len() - 1;
        let curvature = lower / alpha + upper / room;
        let factor = self.equations.factor(&curvature.recip())?;
        // What rounding has left of stationarity, and of Σ s α = 0.
        let stationarity = lower - upper - &self.slope(sign, theta);
        let balance = if one.free_bias { (sign * alpha).sum() } else { 0.0 };
        let solve = |for_lower: &Array1<f64>, for_upper: &Array1<f64>| {
            // α Δp + p Δα = for_lower and likewise for v.
            let g = &stationarity + &(for_lower / alpha) - for_upper / room;
            let scaled = &(&g / &curvature) * sign;
            let mut right = self.equations.columns_dot(&scaled);
            right[r] += balance;
            let change = factor.solve(right);
            let delta = (&g - &(sign * &self.equations.dot(&change))) / &curvature;
            let delta_lower = (for_lower - &(lower * &delta)) / alpha;
            let delta_upper = (for_upper + &(upper * &delta)) / room;
            Step { alpha: delta, lower: delta_lower, upper: delta_upper, theta: change }
        };
        let products = (-(alpha * lower), -(room * upper));
        let predictor = solve(&products.0, &products.1);
        let length = longest(point, &predictor).min(1.0);
        let after: f64 = (0..alpha.len())
            .map(|row| {
                let change = length * predictor.alpha[row];
                (alpha[row] + change) * (lower[row] + length * predictor.lower[row])
                    + (room[row] - change) * (upper[row] + length * predictor.upper[row])
            })
            .sum();
        let mean = left / (2.0 * alpha.len() as f64);
        let aim = mean * (after / left).max(0.0).powi(3);
        let for_lower = &products.0 - &(&predictor.alpha * &predictor.lower) + aim;
        let for_upper = &products.1 + &(&predictor.alpha * &predictor.upper) + aim;
        let step = solve(&for_lower, &for_upper);
        let finite = |values: &Array1<f64>| values.iter().all(|value| value.is_finite());
        (finite(&step.alpha) && finite(&step.lower) && finite(&step.upper)).then_some(step)
    }

    /// Zᵀ(sα).
    fn weights(&self, sign: &Array1<f64>, alpha: &Array1<f64>) -> Array1<f64> {
        let sum = self.equations.columns_dot(&(sign * alpha));
        sum.slice(s![..sum.len() - 1]).to_owned()
    }

    /// s (Z w + b) − 1.
    fn slope(&self, sign: &Array1<f64>, theta: &Array1<f64>) -> Array1<f64> {
        self.equations.dot(theta) * sign - 1.0
    }
}

/// β = sα.
fn beta(sign: &Array1<f64>, point: &Point) -> Vec<f64> {
    (sign * &point.alpha).to_vec()
}

/// How far the step can be followed until an entry becomes 0.
fn longest(point: &Point, step: &Step) -> f64 {
    let mut length = f64::INFINITY;
    let mut limit = |value: f64, change: f64| {
        if change < 0.0 {
            length = length.min(-value / change);
        }
    };
    for row in 0..point.alpha.len() {
        limit(point.alpha[row], step.alpha[row]);
        limit(point.room[row], -step.alpha[row]);
        limit(point.lower[row], step.lower[row]);
        limit(point.upper[row], step.upper[row]);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, svm_problem};
    use crate::params::ClassWeight;

    #[test]
    fn few_steps_to_a_tiny_gap_whatever_c() {
        for columns in [5, 300] {
            let (x, labels) = clusters(200, columns, 2, 4);
            let mut problem = svm_problem(x.view(), &labels, 2);
            problem.head.class_weight = ClassWeight::Balanced;
            let one = OneAgainstRest::new(&problem, 0);
            for exponent in -4..8 {
                let c = 10f64.powi(exponent);
                let (beta, steps) = InteriorPoint::new(x.view(), Bias::Free).solve(&one, c, 1e-5);
                let beta = Array1::from(beta);
                let scores = x.dot(&x.t().dot(&beta));
                let residual: Vec<f64> = one.sign.iter().zip(&scores).map(|(sign, score)| sign - score).collect();
                let gap = one.bounds(c, &beta.to_vec(), &residual, one.best_bias(&residual)).gap();
                // What rounding leaves of the margins costs C times as much.
                let limit = if exponent < 6 { 1e-6 } else { 5e-5 };
                assert!(
                    gap < limit && steps < 60,
                    "{columns} columns, C = 1e{exponent}: {gap:.1e} after {steps} steps"
                );
            }
        }
    }
}
