//! One class against the rest, and what its dual says about a solution.
//!
//! With signs s, costs cᵢ = c · weightᵢ and the Gram matrix K = ZZᵀ, the dual of min Σ cᵢ max(0, 1 − sᵢ(wᵀzᵢ + b)) + ½‖w‖² is
//! max Σ|βᵢ| − ½ βᵀKβ over Σβᵢ = 0 and 0 ≤ sᵢβᵢ ≤ cᵢ, and w = Zᵀβ (Cortes and Vapnik 1995; β is α with its sign). All that is
//! needed beside β are the *residuals* sᵢ − wᵀzᵢ: row i loses cᵢ max(0, sᵢ (residualᵢ − b)), and a row between its bounds has
//! residualᵢ = b at the optimum.

use crate::engine::Problem;
use crate::params::Bias;

/// Violation, in units of the margin, from which on it is seen whether other sizes of the weights are better.
pub(super) const CLOSE: f64 = 0.2;
/// Bisections in the search for the best factor of the weights.
const SCALE_STEPS: usize = 30;

/// Signs and weights of the rows of one binary problem.
#[derive(Clone)]
pub(super) struct OneAgainstRest {
    /// 1 or −1 for each row.
    pub(super) sign: Vec<f64>,
    /// How much each row counts: its largest |β| is this times C.
    pub(super) weight: Vec<f64>,
    /// Whether there is a bias beside the weights. If it is one of them, Σβ = 0 is no constraint, and b is 0 here.
    pub(super) free_bias: bool,
}

/// Objective values at one solution: the optimum lies between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) primal: f64,
    /// Primal less dual objective.
    pub(super) excess: f64,
    /// ‖w‖².
    pub(super) square: f64,
}

impl Bounds {
    /// (primal − dual) / primal.
    pub(super) fn gap(self) -> f64 {
        // Both are 0 only if nothing is lost without any weights, which two classes exclude.
        self.excess / self.primal
    }

    /// Bound on ‖w − w*‖ / ‖w‖: the primal objective is strongly convex in w, so it is above its minimum by ½‖w − w*‖² at least.
    pub(super) fn weight_error(self) -> f64 {
        (2.0 * self.excess / self.square).sqrt()
    }
}

impl OneAgainstRest {
    /// The binary problem of one output.
    pub(super) fn new(problem: &Problem, output: usize) -> Self {
        let sides = problem.objective().sides(output);
        let sign = sides.positive.iter().map(|&side| if side { 1.0 } else { -1.0 }).collect();
        Self { sign, weight: sides.weight, free_bias: problem.head.bias == Bias::Free }
    }

    /// The bias that loses least for the given residuals, if it is free.
    ///
    /// The loss is piecewise linear in b with a break at each residual. From −∞ its slope is minus the weight of the positive rows,
    /// and each break adds the weight of its row, so the minimum is where the weights passed make up that of the positive rows.
    pub(super) fn best_bias(&self, residual: &[f64]) -> f64 {
        if !self.free_bias {
            return 0.0;
        }
        let mut order: Vec<usize> = (0..residual.len()).collect();
        order.sort_unstable_by(|&a, &b| residual[a].total_cmp(&residual[b]).then(a.cmp(&b)));
        let positive: f64 = self.sign.iter().zip(&self.weight).map(|(sign, weight)| weight * (0.5 + 0.5 * sign)).sum();
        let mut passed = 0.0;
        for (place, &row) in order.iter().enumerate() {
            passed += self.weight[row];
            let over = passed - positive;
            if over.abs() <= 1e-12 * positive
                && let Some(&next) = order.get(place + 1)
            {
                // Flat up to the next break: the middle, which treats both sides alike.
                return 0.5 * (residual[row] + residual[next]);
            }
            if over > 0.0 {
                return residual[row];
            }
        }
        // Out of reach: there are negative rows too.
        order.last().map_or(0.0, |&row| residual[row])
    }

    /// Primal objective and how far the dual one is below it. Both hold for any β within the constraints and the residuals that belong to it.
    #[inline(always)]
    pub(super) fn bounds(&self, c: f64, beta: &[f64], residual: &[f64], bias: f64) -> Bounds {
        let (mut loss, mut excess, mut square) = (0.0, 0.0, 0.0);
        for row in 0..beta.len() {
            let slack = self.sign[row] * (residual[row] - bias);
            let lost = self.weight[row] * if slack > 0.0 { slack } else { 0.0 };
            loss += lost;
            // Row by row, no term negative: with a small C both objectives are nearly all loss, and their difference, which says how
            // far off the weights are, would drown in their rounding.
            excess += (c * lost - self.sign[row] * beta[row] * slack).max(0.0);
            square += beta[row] * (self.sign[row] - residual[row]);
        }
        Bounds { primal: c * loss + 0.5 * square, excess, square }
    }

    /// The factor of weights and bias with which the primal objective is least, and the bounds there.
    ///
    /// With a large C a margin that a few rows miss by a hair costs dearly, although somewhat larger weights, at next to no cost,
    /// satisfy it: without this, the gap would be large where the weights are as good as right. The objective is a sum of
    /// hinges and a parabola in the factor, so its slope grows from piece to piece.
    #[inline(always)]
    pub(super) fn scaled(&self, c: f64, bounds: Bounds, residual: &[f64], bias: f64) -> (f64, Bounds) {
        let square = bounds.square;
        let margin: Vec<f64> =
            self.sign.iter().zip(residual).map(|(sign, residual)| 1.0 - sign * (residual - bias)).collect();
        let lost = |factor: f64| {
            sum_of(&margin, &self.weight, |margin, weight| if factor * margin < 1.0 { weight * margin } else { 0.0 })
        };
        let slope = |factor: f64| factor * square - c * lost(factor);
        let (mut low, mut high) = if slope(1.0) > 0.0 { (0.5, 1.0) } else { (1.0, 2.0) };
        for _ in 0..SCALE_STEPS {
            let middle = 0.5 * (low + high);
            if slope(middle) > 0.0 {
                high = middle;
            } else {
                low = middle;
            }
        }
        let loss =
            |factor: f64| sum_of(&margin, &self.weight, |margin, weight| weight * (1.0 - factor * margin).max(0.0));
        // The end beyond the last hinge, and nothing if that is no better.
        let primal = c * loss(high) + 0.5 * high * high * square;
        if primal < bounds.primal {
            let excess = (bounds.excess - (bounds.primal - primal)).max(0.0);
            (high, Bounds { primal, excess, square: high * high * square })
        } else {
            (1.0, bounds)
        }
    }
}

/// Σ term(aᵢ, bᵢ), several sums side by side so that one addition does not wait for the other.
#[inline(always)]
fn sum_of(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a, b)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn loss(one: &OneAgainstRest, residual: &[f64], bias: f64) -> f64 {
        (0..residual.len()).map(|row| one.weight[row] * (one.sign[row] * (residual[row] - bias)).max(0.0)).sum()
    }

    #[test]
    fn no_other_bias_loses_less() {
        let mut random = SplitMix64::new(1);
        let mut uniform = || (random.next() >> 40) as f64 / (1u64 << 23) as f64 - 1.0;
        for rows in 2..30 {
            let sign: Vec<f64> = (0..rows).map(|row| if row % 3 == 0 { 1.0 } else { -1.0 }).collect();
            let weight: Vec<f64> = sign.iter().map(|&sign| if sign > 0.0 { 0.3 } else { 1.7 }).collect();
            let one = OneAgainstRest { sign, weight, free_bias: true };
            let residual: Vec<f64> = (0..rows).map(|_| uniform()).collect();
            let best = loss(&one, &residual, one.best_bias(&residual));
            for &other in residual.iter().chain(&[-3.0, 3.0]) {
                assert!(best <= loss(&one, &residual, other) + 1e-12);
            }
        }
    }

    #[test]
    fn a_flat_stretch_gives_its_middle() {
        let one = OneAgainstRest { sign: vec![1.0, -1.0], weight: vec![1.0, 1.0], free_bias: true };
        assert_eq!(one.best_bias(&[0.5, -0.25]), 0.125);
    }

    #[test]
    fn bounds_by_hand() {
        // Points at −1 and 1; w = 1 and b = 0 is the optimum for C ≥ ½, with β = ±½.
        let one = OneAgainstRest { sign: vec![-1.0, 1.0], weight: vec![1.0, 1.0], free_bias: true };
        let bounds = one.bounds(3.0, &[-0.5, 0.5], &[0.0, 0.0], 0.0);
        assert_eq!((bounds.primal, bounds.excess, bounds.square), (0.5, 0.0, 1.0));
        // β = 0: w = 0, and with b = 0 each row loses 3.
        let bounds = one.bounds(3.0, &[0.0, 0.0], &[-1.0, 1.0], 0.0);
        assert_eq!((bounds.primal, bounds.excess, bounds.gap()), (6.0, 6.0, 1.0));
    }
}
