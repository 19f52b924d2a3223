//! The last digits of the weights: Newton's method on the method of multipliers.
//!
//! A small duality gap says that the objective is right; the weights may be as far off as its square root, or quite wrong where the
//! objective is nearly all loss. Around multipliers α at hand, max Σ αᵢ (1 − marginᵢ) − ‖α − α at hand‖² / 2σ over 0 ≤ α ≤ u takes the
//! place of the loss (Rockafellar 1976, "Augmented Lagrangians and applications of the proximal point algorithm in convex
//! programming"). That is made of pieces of parabolas, on which one Newton step leads to the minimum; only the rows between their
//! bounds take part in it. Started near the optimum it takes a few steps to the right piece, and the weights there are exact.

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::dual::OneAgainstRest;
use crate::engine::normal_equations::{Factor, NormalEquations};
use crate::params::Bias;

/// Where σ starts, what it grows by and where that ends, for rows of about unit size.
const FIRST_SIGMA: f64 = 100.0;
const GROWTH: f64 = 10.0;
const LAST_SIGMA: f64 = 1e10;
/// Rounds of multipliers, and Newton steps in each, at most.
const ROUNDS: usize = 40;
const STEPS: usize = 100;
/// Rounds without a smaller error after which rounding is taken to be all that is left.
const PATIENCE: usize = 3;
/// What it stops at, as a share of the relative weight error asked for.
const AIM: f64 = 0.1;

/// One class against the rest at one C.
pub(super) struct Polish<'a> {
    pub(super) features: ArrayView2<'a, f64>,
    pub(super) one: &'a OneAgainstRest,
    pub(super) c: f64,
    /// Relative weight error asked for.
    pub(super) tolerance: f64,
    /// Multiply-adds at most.
    pub(super) work: f64,
}

/// Weights, bias and what follows from them around the multipliers at hand.
struct Point {
    weights: Array1<f64>,
    bias: f64,
    /// 1 − margin of each row.
    slack: Array1<f64>,
    /// The multipliers that these margins ask for.
    alpha: Array1<f64>,
    /// Rows between their bounds.
    free: Vec<usize>,
    /// Slope along the weights and the bias.
    slope: (Array1<f64>, f64),
}

/// A change of weights and bias.
struct Direction {
    weights: Array1<f64>,
    bias: f64,
}

impl Polish<'_> {
    /// Multiply-adds of a step, without the system of the rows between their bounds.
    pub(super) fn pass(features: ArrayView2<f64>) -> f64 {
        4.0 * features.len() as f64
    }

    /// Better β from β and bias near the optimum, and the Newton steps that took. Whether they are better is for the caller to see.
    pub(super) fn run(&self, beta: &[f64], bias: f64) -> (Vec<f64>, usize) {
        let sign = Array1::from(self.one.sign.clone());
        let mut alpha = Array1::from(beta.to_vec()) * &sign;
        let weights = self.features.t().dot(&Array1::from(beta.to_vec()));
        let mut sigma = FIRST_SIGMA;
        let mut point = self.point(&alpha, sigma, weights, bias);
        let (mut work, mut steps) = (self.work, 0);
        let (mut best, mut best_excess) = (alpha.clone(), f64::INFINITY);
        let (mut rising, mut last, mut stale) = (true, f64::INFINITY, 0);
        let goal = AIM * self.tolerance;
        'rounds: for _ in 0..ROUNDS {
            for _ in 0..STEPS {
                let (direction, cost) = self.direction(sigma, &point, work);
                work -= cost;
                let Some(direction) = direction else { break 'rounds };
                steps += 1;
                let (next, whole) = self.follow(&alpha, sigma, &point, &direction);
                // A whole step on one piece ends at its minimum.
                let there = whole && next.free == point.free && same_bounds(&next.alpha, &point.alpha, &next.free);
                point = next;
                if there {
                    break;
                }
            }
            alpha.assign(&point.alpha);
            let size = point.weights.dot(&point.weights);
            // What the weights are worth, and what those are that the multipliers make: σ times the rounding of a margin lies between.
            let excess = self.excess(&alpha, &point.slack) / size;
            let made = &point.weights - &point.slope.0;
            let point_made = self.point(&alpha, sigma, made, point.bias);
            let made_excess = self.excess(&alpha, &point_made.slack) / size;
            if made_excess < best_excess {
                (best, best_excess) = (alpha.clone(), made_excess);
            }
            if 2.0 * made_excess <= goal * goal {
                break;
            }
            stale = if excess < 0.5 * last { 0 } else { stale + 1 };
            last = last.min(excess);
            rising &= 2.0 * excess > goal * goal && stale <= PATIENCE;
            if rising {
                sigma = (sigma * GROWTH).min(LAST_SIGMA);
            } else if sigma > FIRST_SIGMA {
                // The optimum is found; from there a smaller σ stays near it, with less rounding.
                sigma /= GROWTH;
            } else {
                break;
            }
            point = self.point(&alpha, sigma, point_made.weights, point.bias);
        }
        ((best * &sign).to_vec(), steps)
    }

    /// Primal less dual objective.
    fn excess(&self, alpha: &Array1<f64>, slack: &Array1<f64>) -> f64 {
        let rows = alpha.iter().zip(slack).enumerate();
        rows.map(|(row, (alpha, slack))| (self.cost(row) * slack.max(0.0) - alpha * slack).max(0.0)).sum()
    }

    fn cost(&self, row: usize) -> f64 {
        self.c * self.one.weight[row]
    }

    fn point(&self, alpha: &Array1<f64>, sigma: f64, weights: Array1<f64>, bias: f64) -> Point {
        let sign = &self.one.sign;
        let scores = self.features.dot(&weights);
        let slack: Array1<f64> = scores.iter().zip(sign).map(|(score, sign)| 1.0 - sign * (score + bias)).collect();
        let mut free = Vec::new();
        let next = Array1::from_shape_fn(slack.len(), |row| {
            let (wanted, cost) = (alpha[row] + sigma * slack[row], self.cost(row));
            if wanted > 0.0 && wanted < cost {
                free.push(row);
            }
            wanted.clamp(0.0, cost)
        });
        let beta = Array1::from_shape_fn(next.len(), |row| sign[row] * next[row]);
        let slope = (&weights - &self.features.t().dot(&beta), if self.one.free_bias { -beta.sum() } else { 0.0 });
        Point { weights, bias, slack, alpha: next, free, slope }
    }

    /// The Newton step and the multiply-adds that it takes; none if that is more than `work`.
    fn direction(&self, sigma: f64, point: &Point, work: f64) -> (Option<Direction>, f64) {
        let r = self.features.ncols();
        let count = point.free.len();
        let dual = count <= r;
        let small = count.min(r + 1) as f64;
        let cost = Self::pass(self.features) + small * small * (count.max(r) as f64 / 2.0 + small / 3.0);
        if cost > work {
            return (None, cost);
        }
        let (slope, bias_slope) = (&point.slope.0, point.slope.1);
        if count == 0 {
            // Nothing bends: along the slope of the weights, and with the bias until it reaches a row.
            let reach = point.slack.iter().fold(0f64, |top, slack| top.max(slack.abs()));
            let most = self.one.weight.iter().fold(0f64, |top, weight| top.max(self.c * weight));
            let length = 2.0 * (reach + most / sigma);
            let bias = if bias_slope == 0.0 { 0.0 } else { -length * bias_slope.signum() };
            return (Some(Direction { weights: -slope, bias }), cost);
        }
        let rows = self.features.select(Axis(0), &point.free);
        let bias = if self.one.free_bias { Bias::Free } else { Bias::Regularized };
        let direction = if dual {
            narrow(&rows, bias, sigma, slope, bias_slope)
        } else {
            wide(&rows, bias, sigma, slope, bias_slope)
        };
        (direction, cost)
    }

    /// The point where the slope along `direction` vanishes, or nearly; and whether that is a whole step.
    fn follow(&self, alpha: &Array1<f64>, sigma: f64, point: &Point, direction: &Direction) -> (Point, bool) {
        let sign = &self.one.sign;
        let change = self.features.dot(&direction.weights) + direction.bias;
        let (own, across) = (direction.weights.dot(&direction.weights), point.weights.dot(&direction.weights));
        // Slopes along a line rise, so the zero can be enclosed; values would be drowned by rounding long before.
        let slope = |length: f64| {
            let mut sum = across + length * own;
            for row in 0..change.len() {
                let slack = point.slack[row] - length * sign[row] * change[row];
                sum -= sign[row] * change[row] * (alpha[row] + sigma * slack).clamp(0.0, self.cost(row));
            }
            sum
        };
        let here = slope(0.0).abs();
        let mut length = 1.0;
        if slope(1.0) > 0.1 * here {
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..40 {
                length = 0.5 * (low + high);
                let there = slope(length);
                if there.abs() <= 0.1 * here {
                    break;
                }
                if there > 0.0 { high = length } else { low = length }
            }
        }
        let weights = &point.weights + &(&direction.weights * length);
        (self.point(alpha, sigma, weights, point.bias + length * direction.bias), length == 1.0)
    }
}

/// Whether rows at a bound are at the same one.
fn same_bounds(a: &Array1<f64>, b: &Array1<f64>, free: &[usize]) -> bool {
    let mut free = free.iter().peekable();
    a.iter().zip(b).enumerate().all(|(row, (a, b))| free.next_if_eq(&&row).is_some() || a == b)
}

/// Solves ((I + σ ZᵀZ, σ Zᵀ1), (σ 1ᵀZ, σ n)) (Δw, Δb) = −(g, h) for the rows Z by A = ZZᵀ + I / σ, for few rows; without Δb where the
/// bias is not free.
fn narrow(rows: &Array2<f64>, bias: Bias, sigma: f64, slope: &Array1<f64>, bias_slope: f64) -> Option<Direction> {
    let gram = rows.dot(&rows.t());
    let lower = Mat::from_fn(rows.nrows(), rows.nrows(), |i, j| gram[[i, j]] + if i == j { 1.0 / sigma } else { 0.0 });
    let factor = Factor::new(lower)?;
    let of_slope = factor.solve(rows.dot(slope));
    if bias == Bias::Regularized {
        return Some(Direction { weights: rows.t().dot(&of_slope) - slope, bias: 0.0 });
    }
    let of_ones = factor.solve(Array1::ones(rows.nrows()));
    let bias = (of_slope.sum() - bias_slope) / of_ones.sum();
    let weights = rows.t().dot(&(&of_slope - &(of_ones * bias))) - slope;
    Some(Direction { weights, bias })
}

/// The same for many rows, directly.
fn wide(rows: &Array2<f64>, bias: Bias, sigma: f64, slope: &Array1<f64>, bias_slope: f64) -> Option<Direction> {
    let r = rows.ncols();
    let factor = NormalEquations::new(rows.view(), bias).factor(&Array1::from_elem(rows.nrows(), sigma))?;
    let right = Array1::from_shape_fn(r + 1, |at| -if at < r { slope[at] } else { bias_slope });
    let change = factor.solve(right);
    Some(Direction { weights: change.slice(ndarray::s![..r]).to_owned(), bias: change[r] })
}
