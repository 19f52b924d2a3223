//! Sequential minimal optimisation: two multipliers at a time, chosen by second-order information (Fan, Chen and Lin 2005, "Working
//! set selection using second order information for training support vector machines").

use super::dual::{CLOSE, OneAgainstRest};
use super::gram::{BLOCK, Gram};

/// Parts into which the steps are divided to see whether they will do.
const STAGES: usize = 12;
/// Curvature taken for pairs of equal rows, along which the dual is linear.
const FLAT: f32 = 1e-10;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The gap is at most what was asked for, as far as these residuals tell.
    Reached,
    /// No pair violates the optimality conditions any more, beyond rounding.
    Stationary,
    /// The steps are used up, or will be before the gap is reached.
    OutOfSteps,
}

/// Moves `beta` towards the optimum for C = `c`, keeping `residual` up with it, until the relative duality gap is at most `target`.
/// Returns how it ended and the steps taken.
///
/// `beta` must satisfy the constraints for `c`; the β of any smaller C does.
pub(super) fn run<'a>(
    gram: &'a Gram,
    one: &'a OneAgainstRest,
    c: f64,
    target: f64,
    steps: usize,
    beta: &'a mut [f64],
    residual: &mut [f64],
) -> (End, usize) {
    let mut run = Run::new(gram, one, c, beta, residual);
    let end = pulp::Arch::new().dispatch(Vectorized { run: &mut run, target, steps });
    residual.copy_from_slice(&run.residual.as_flattened()[..residual.len()]);
    end
}

/// [`Run::go`], compiled for every instruction set, of which the machine's best is called. For that all of it has to be inlined here,
/// and a closure would not be. The sums are per element, so the bits are the same on all.
struct Vectorized<'r, 'a> {
    run: &'r mut Run<'a>,
    target: f64,
    steps: usize,
}

impl pulp::WithSimd for Vectorized<'_, '_> {
    type Output = (End, usize);

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> Self::Output {
        self.run.go(simd, self.target, self.steps)
    }
}

struct Run<'a> {
    gram: &'a Gram,
    one: &'a OneAgainstRest,
    c: f64,
    beta: &'a mut [f64],
    /// The residuals, and with the following filled up to whole blocks with rows that may go neither up nor down.
    residual: Vec<[f64; BLOCK]>,
    /// −∞ for rows whose β is at its upper bound, else 0.
    up: Vec<[f64; BLOCK]>,
    /// +∞ for rows whose β is at its lower bound, else 0.
    down: Vec<[f64; BLOCK]>,
    diagonal: Vec<[f32; BLOCK]>,
}

/// The largest residual among rows that may go up, the smallest among those that may go down.
struct Extremes {
    highest: f64,
    row: usize,
    lowest: f64,
}

impl<'a> Run<'a> {
    fn new(gram: &'a Gram, one: &'a OneAgainstRest, c: f64, beta: &'a mut [f64], residual: &[f64]) -> Self {
        let n = beta.len();
        let blocks = n.div_ceil(BLOCK);
        let mut padded = vec![[0.0; BLOCK]; blocks];
        padded.as_flattened_mut()[..n].copy_from_slice(residual);
        let mut diagonal = vec![[0.0; BLOCK]; blocks];
        (0..n).for_each(|row| diagonal[row / BLOCK][row % BLOCK] = gram.at(row, row));
        let (up, down) = (vec![[f64::NEG_INFINITY; BLOCK]; blocks], vec![[f64::INFINITY; BLOCK]; blocks]);
        let mut run = Self { gram, one, c, beta, residual: padded, up, down, diagonal };
        (0..n).for_each(|row| run.set_bounds(row));
        run
    }

    /// Lower and upper bound of β.
    #[inline(always)]
    fn range(&self, row: usize) -> (f64, f64) {
        let cost = self.c * self.one.weight[row];
        if self.one.sign[row] > 0.0 { (0.0, cost) } else { (-cost, 0.0) }
    }

    #[inline(always)]
    fn set_bounds(&mut self, row: usize) {
        let (low, high) = self.range(row);
        self.up[row / BLOCK][row % BLOCK] = if self.beta[row] < high { 0.0 } else { f64::NEG_INFINITY };
        self.down[row / BLOCK][row % BLOCK] = if self.beta[row] > low { 0.0 } else { f64::INFINITY };
    }

    #[inline(always)]
    fn go<S: pulp::Simd>(&mut self, simd: S, target: f64, steps: usize) -> (End, usize) {
        let n = self.beta.len();
        let interval = (n / 16).max(32);
        let mut extremes = self.update(simd, 0, 0, 0.0);
        let stage = (steps / STAGES).max(interval);
        let (mut next_stage, mut stage_gap) = (stage, f64::INFINITY);
        for step in 0..=steps {
            let Extremes { highest, row, lowest } = extremes;
            if step % interval == 0 {
                // Nearly the best bias once it matters, and much cheaper.
                let bias = 0.5 * (highest + lowest);
                let residual = &self.residual.as_flattened()[..n];
                let bounds = self.one.bounds(self.c, self.beta, residual, bias);
                let mut gap = bounds.gap();
                if gap > target && highest - lowest < CLOSE {
                    gap = self.one.scaled(self.c, bounds, residual, bias).1.gap();
                }
                if gap <= target {
                    return (End::Reached, step);
                }
                if step >= next_stage {
                    // At this pace the steps that are left would not do.
                    let stages = (steps - step) as f64 / stage as f64;
                    if (stage_gap / gap).ln() * stages < (gap / target).ln() {
                        return (End::OutOfSteps, step);
                    }
                    (next_stage, stage_gap) = (step + stage, gap);
                }
            }
            // One row can always go up and one down unless all are at a bound of the same side.
            let size = highest.abs().max(lowest.abs()).max(1.0);
            let violation = highest - lowest;
            if violation <= 1e-13 * size || violation.is_nan() {
                return (End::Stationary, step);
            }
            if step == steps {
                break;
            }
            let Some(partner) = self.partner(simd, row, highest) else { return (End::Stationary, step) };
            let Some(change) = self.move_pair(row, partner) else { return (End::Stationary, step) };
            extremes = self.update(simd, row, partner, change);
        }
        (End::OutOfSteps, steps)
    }

    /// The row to lower together with raising `row`: the one with which an unbounded step would gain most.
    #[inline(always)]
    fn partner<S: pulp::Simd>(&self, simd: S, row: usize, highest: f64) -> Option<usize> {
        let own = self.gram.at(row, row);
        let (mut best, mut found) = (0f32, None);
        let columns = self.residual.iter().zip(&self.down).zip(&self.diagonal);
        for (block, (((residual, down), diagonal), inner)) in columns.zip(self.gram.row(row)).enumerate() {
            let mut differences = [0f32; BLOCK];
            for at in 0..BLOCK {
                differences[at] = (highest - residual[at] - down[at]) as f32;
            }
            let mut gains = [0f32; BLOCK];
            let mut top = simd.splat_f32s(0.0);
            let columns = S::as_simd_f32s(&differences).0.iter().zip(S::as_simd_f32s(diagonal).0);
            let columns = columns.zip(S::as_simd_f32s(inner).0).zip(S::as_mut_simd_f32s(&mut gains).0);
            for (((&difference, &diagonal), &inner), gain) in columns {
                let difference = simd.max_f32s(difference, simd.splat_f32s(0.0));
                let curvature =
                    simd.sub_f32s(simd.add_f32s(simd.splat_f32s(own), diagonal), simd.add_f32s(inner, inner));
                let curvature = simd.max_f32s(curvature, simd.splat_f32s(FLAT));
                *gain = simd.div_f32s(simd.mul_f32s(difference, difference), curvature);
                top = simd.max_f32s(top, *gain);
            }
            let top = simd.reduce_max_f32s(top);
            if top > best {
                best = top;
                found = gains.iter().position(|&value| value == top).map(|at| block * BLOCK + at);
            }
        }
        found
    }

    /// Raises β of `row` and lowers that of `partner` by what minimises the dual along them; `None` if that is nothing.
    #[inline(always)]
    fn move_pair(&mut self, row: usize, partner: usize) -> Option<f64> {
        let curvature = self.gram.at(row, row) + self.gram.at(partner, partner) - 2.0 * self.gram.at(row, partner);
        let residual = self.residual.as_flattened();
        let change = (residual[row] - residual[partner]) / f64::from(curvature.max(FLAT));
        let ((_, high), (low, _)) = (self.range(row), self.range(partner));
        let (room_up, room_down) = (high - self.beta[row], self.beta[partner] - low);
        let change = change.min(room_up).min(room_down);
        if change <= 0.0 || change.is_nan() {
            return None;
        }
        // Bounds are reached to the bit, so that a row at its bound is seen to be there.
        self.beta[row] = if change == room_up { high } else { self.beta[row] + change };
        self.beta[partner] = if change == room_down { low } else { self.beta[partner] - change };
        self.set_bounds(row);
        self.set_bounds(partner);
        Some(change)
    }

    /// Brings the residuals up to date and finds the extremes on the way.
    #[inline(always)]
    fn update<S: pulp::Simd>(&mut self, simd: S, row: usize, partner: usize, change: f64) -> Extremes {
        let mut out = Extremes { highest: f64::NEG_INFINITY, row: 0, lowest: f64::INFINITY };
        let columns = self.residual.iter_mut().zip(&self.up).zip(&self.down);
        let inner = self.gram.row(row).iter().zip(self.gram.row(partner));
        for (block, (((residual, up), down), (raised, lowered))) in columns.zip(inner).enumerate() {
            for at in 0..BLOCK {
                residual[at] -= change * (f64::from(raised[at]) - f64::from(lowered[at]));
            }
            let mut top = simd.splat_f64s(f64::NEG_INFINITY);
            let mut bottom = simd.splat_f64s(f64::INFINITY);
            let columns = S::as_simd_f64s(residual).0.iter().zip(S::as_simd_f64s(up).0).zip(S::as_simd_f64s(down).0);
            for ((&residual, &up), &down) in columns {
                top = simd.max_f64s(top, simd.add_f64s(residual, up));
                bottom = simd.min_f64s(bottom, simd.add_f64s(residual, down));
            }
            let top = simd.reduce_max_f64s(top);
            if top > out.highest {
                out.highest = top;
                out.row = block * BLOCK + (0..BLOCK).find(|&at| residual[at] + up[at] == top).unwrap_or(0);
            }
            out.lowest = out.lowest.min(simd.reduce_min_f64s(bottom));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, svm_problem};

    /// Sizes around whole blocks, where rows that only fill up must never be chosen.
    #[test]
    fn residuals_and_constraints_are_kept() {
        for rows in [2, 3, 63, 64, 65, 130] {
            let (x, labels) = clusters(rows, 4, 2, 9);
            let problem = svm_problem(x.view(), &labels, 2);
            let (one, gram) = (OneAgainstRest::new(&problem, 0), Gram::new(x.view()));
            let (mut beta, mut residual) = (vec![0.0; rows], one.sign.clone());
            let (end, _) = run(&gram, &one, 3.0, 1e-6, 100_000, &mut beta, &mut residual);
            assert_ne!(end, End::OutOfSteps);
            assert!(beta.iter().sum::<f64>().abs() < 1e-10);
            for row in 0..rows {
                let alpha = one.sign[row] * beta[row];
                assert!((0.0..=3.0).contains(&alpha));
                let score: f64 = (0..rows).map(|other| beta[other] * x.row(row).dot(&x.row(other))).sum();
                assert!((one.sign[row] - score - residual[row]).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn it_gives_up_when_steps_run_out() {
        let (x, labels) = clusters(200, 4, 2, 9);
        let problem = svm_problem(x.view(), &labels, 2);
        let (one, gram) = (OneAgainstRest::new(&problem, 0), Gram::new(x.view()));
        let (mut beta, mut residual) = (vec![0.0; 200], one.sign.clone());
        assert_eq!(run(&gram, &one, 1e4, 1e-6, 10, &mut beta, &mut residual), (End::OutOfSteps, 10));
    }
}
