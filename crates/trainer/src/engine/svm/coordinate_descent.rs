//! Dual coordinate descent: one multiplier at a time (Hsieh et al. 2008, "A dual coordinate descent method for large-scale linear
//! SVM"). It keeps the weights instead of inner products of all rows, so nothing grows with the square of the rows.
//!
//! Reading a row from memory takes longer than using it. So all classes go through the rows together, block after block, each block
//! small enough to stay in the cache until every class has used it (after Yu et al. 2010, "Large linear classification when data
//! cannot fit in memory"). And which rows a class has to look at is not found out row by row: every round begins with the scores of
//! all rows and classes, one matrix product, which also says how far from the optimum each class still is.
//!
//! A free bias ties the multipliers together, Σβ = 0, and no single one could move. So the constraint becomes a penalty ½ (Σβ)² with a
//! multiplier, which is the bias, and is enforced by the method of multipliers (Nocedal and Wright 2006, section 17.3): the bias in
//! use is b + Σβ, and whenever coordinate descent has come to rest, b becomes that. A bias that is one of the weights ties nothing.

use ndarray::{Array2, ArrayView2};
use pulp::Simd;
use rayon::prelude::*;

use super::dual::{Bounds, CLOSE, OneAgainstRest};
use crate::engine::products::{combinations, scores};
use crate::random::SplitMix64;

/// Violation of the optimality conditions, in units of the margin, at which descent is first taken to be at rest; it gets smaller by
/// [`FINER`] each time that is not enough.
const FIRST_REST: f64 = 0.1;
const FINER: f64 = 0.3;
/// Below this, f32 has nothing left to say.
const LAST_REST: f64 = 1e-6;
/// Bytes of a block of rows: half of a usual second-level cache.
const BLOCK_BYTES: usize = 512 << 10;
/// Bytes of active rows up to which they are copied together.
const PACKED_BYTES: usize = 32 << 20;
/// Rows at a bound stay there for a round if they are further from leaving it than this share of the largest violation.
const FAR: f64 = 0.1;
/// Passes over the rows of a round at most.
const PASSES: usize = 10;
/// Violations before any row has been looked at.
const NONE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
/// Share of the gap asked for that counts as reached: the gap is estimated here.
const SURE: f64 = 0.5;

/// One class on its way.
pub(super) struct Class<'a> {
    pub(super) one: &'a OneAgainstRest,
    /// Where the bias starts; a good guess saves passes.
    pub(super) bias: f64,
    /// Where the multipliers start; in the end they satisfy Σβ = 0.
    pub(super) beta: &'a mut [f64],
    /// Whether the gap was reached, as far as f32 tells.
    pub(super) reached: bool,
    pub(super) steps: usize,
}

/// Moves every class towards the optimum for C = `c` until its relative duality gap is at most `target`. `squares`: of each row,
/// summed; `work`: rows that a class may look at.
pub(super) fn run(rows: ArrayView2<f32>, squares: &[f32], c: f64, target: f64, work: usize, classes: &mut [Class]) {
    let (n, width) = rows.dim();
    let rows = rows.as_standard_layout();
    let values = rows.as_slice().unwrap_or_default();
    let block = (BLOCK_BYTES / (4 * width.max(1))).clamp(8, n.max(8));
    let mut descents: Vec<Descent> = classes.iter_mut().map(|class| Descent::new(class, c, work)).collect();
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut random = SplitMix64::new(n as u64);
    loop {
        let mut open: Vec<&mut Descent> = descents.iter_mut().filter(|descent| descent.open).collect();
        if open.is_empty() {
            break;
        }
        let beta = Array2::from_shape_fn((open.len(), n), |(at, row)| open[at].class.beta[row] as f32);
        let weights = combinations(&rows.view(), beta.view()).mapv(|weight| weight as f32);
        let all = scores(&rows.view(), weights.view());
        random.shuffle(&mut order);
        open.par_iter_mut().zip(weights.outer_iter().into_par_iter()).zip(all.outer_iter().into_par_iter()).for_each(
            |((descent, weights), scores)| {
                descent.weights = weights.to_vec();
                descent.examine(scores.as_slice().unwrap_or_default(), target);
                if descent.open {
                    descent.choose(scores.as_slice().unwrap_or_default(), &order, block);
                }
            },
        );
        // Classes do not depend on each other, so how they are grouped changes no bit.
        let group = open.len().div_ceil(rayon::current_num_threads());
        open.par_chunks_mut(group).for_each(|group| {
            pulp::Arch::new().dispatch(Round { values, width, squares, blocks: n.div_ceil(block), group });
        });
    }
    for descent in descents {
        let balanced = balance(descent.class.one, descent.class.beta);
        descent.class.beta.copy_from_slice(&balanced);
    }
}

/// The sum of squares of each row.
pub(super) fn squares(rows: ArrayView2<f32>) -> Vec<f32> {
    rows.outer_iter().into_par_iter().map(|row| row.dot(&row)).collect()
}

/// A class with what only this run needs.
struct Descent<'r, 'a> {
    class: &'r mut Class<'a>,
    c: f64,
    /// Zᵀβ.
    weights: Vec<f32>,
    /// Σβ; 0 where the bias is one of the weights, which take care of it.
    sum: f64,
    rest: f64,
    /// Rows to be looked at in this round, block after block.
    active: Vec<u32>,
    /// Where the blocks begin in them, and the end.
    starts: Vec<usize>,
    random: SplitMix64,
    /// Largest and smallest violation in this pass.
    violations: (f64, f64),
    /// Rows that may yet be looked at.
    work: usize,
    open: bool,
}

impl<'r, 'a> Descent<'r, 'a> {
    fn new(class: &'r mut Class<'a>, c: f64, work: usize) -> Self {
        let random = SplitMix64::new(class.beta.len() as u64);
        (class.reached, class.steps) = (false, 0);
        Self {
            class,
            c,
            weights: Vec::new(),
            sum: 0.0,
            rest: FIRST_REST,
            active: Vec::new(),
            starts: Vec::new(),
            random,
            violations: NONE,
            work,
            open: true,
        }
    }

    /// How the dual changes along one multiplier, in the direction in which it may grow, and how much of that violates the optimality
    /// conditions.
    #[inline(always)]
    fn violation(&self, row: usize, score: f64) -> (f64, f64) {
        let one = self.class.one;
        let slope = one.sign[row] * (score + self.class.bias + self.sum) - 1.0;
        let (alpha, cost) = (one.sign[row] * self.class.beta[row], self.c * one.weight[row]);
        let violation = if alpha <= 0.0 {
            slope.min(0.0)
        } else if alpha >= cost {
            slope.max(0.0)
        } else {
            slope
        };
        (slope, violation)
    }

    /// Sees from the scores of all rows whether the gap is reached, and if not, whether the bias has to move.
    fn examine(&mut self, scores: &[f32], target: f64) {
        let one = self.class.one;
        self.sum = if one.free_bias { self.class.beta.iter().sum() } else { 0.0 };
        let bias = self.class.bias + self.sum;
        let (mut loss, mut sum, mut product) = (0.0, 0.0, 0.0);
        // Σ α and Σ α · slack on the negative and on the positive side.
        let (mut total, mut cut) = ([0.0; 2], [0.0; 2]);
        let (mut top, mut bottom) = (f64::NEG_INFINITY, f64::INFINITY);
        for (row, &score) in scores.iter().enumerate() {
            let (slope, violation) = self.violation(row, f64::from(score));
            (top, bottom) = (top.max(violation), bottom.min(violation));
            loss += one.weight[row] * (-slope).max(0.0);
            let beta = self.class.beta[row];
            sum += beta.abs();
            product += beta * f64::from(score);
            let side = usize::from(beta > 0.0);
            total[side] += beta.abs();
            cut[side] -= beta.abs() * slope;
        }
        let primal = self.c * loss + 0.5 * product;
        let dual = sum - 0.5 * product - bias * self.sum;
        // The multipliers will be brought to Σβ = 0 by taking from the side that has too much.
        let side = usize::from(self.sum > 0.0);
        let balancing = if total[side] > 0.0 { self.sum.abs() / total[side] * cut[side].max(0.0) } else { 0.0 };
        let mut gap = primal - dual + balancing;
        if gap > SURE * target * primal && top - bottom < CLOSE {
            let residual: Vec<f64> =
                scores.iter().zip(&one.sign).map(|(&score, sign)| sign - f64::from(score)).collect();
            let bounds = Bounds { primal, excess: primal - dual, square: product };
            gap += one.scaled(self.c, bounds, &residual, bias).1.primal - primal;
        }
        if gap <= SURE * target * primal {
            (self.class.reached, self.open) = (true, false);
        } else if self.work == 0 || self.rest < LAST_REST {
            self.open = false;
        } else if top - bottom <= self.rest {
            self.class.bias += self.sum;
            self.rest *= FINER;
        }
    }

    /// Leaves out the rows that are at a bound and far from leaving it.
    fn choose(&mut self, scores: &[f32], order: &[u32], block: usize) {
        let largest = scores
            .iter()
            .enumerate()
            .map(|(row, &score)| self.violation(row, f64::from(score)).1.abs())
            .fold(0.0, f64::max);
        self.active.clear();
        self.starts.clear();
        for rows in order.chunks(block) {
            self.starts.push(self.active.len());
            for &row in rows {
                let (slope, violation) = self.violation(row as usize, f64::from(scores[row as usize]));
                if violation != 0.0 || slope.abs() <= FAR * largest {
                    self.active.push(row);
                }
            }
        }
        self.starts.push(self.active.len());
    }

    /// Descends along the active rows of one block, in a new order each time.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, values: &[f32], squares: &[f32], block: usize) {
        let width = self.weights.len();
        let range = self.starts[block]..self.starts[block + 1];
        self.random.shuffle(&mut self.active[range.clone()]);
        for place in range {
            let index = self.active[place] as usize;
            self.step(simd, &values[index * width..(index + 1) * width], squares[index], index);
        }
    }

    /// Descends along all active rows, copied to where they follow each other: reading rows from here and there takes several times
    /// as long.
    #[inline(always)]
    fn packed<S: Simd>(&mut self, simd: S, packed: &[f32], squares: &[f32]) {
        for (place, row) in packed.chunks_exact(self.weights.len()).enumerate() {
            let index = self.active[place] as usize;
            self.step(simd, row, squares[index], index);
        }
    }

    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, row: &[f32], square: f32, index: usize) {
        let one = self.class.one;
        let (slope, violation) = self.violation(index, f64::from(dot(simd, row, &self.weights)));
        self.violations = (self.violations.0.max(violation), self.violations.1.min(violation));
        if violation.abs() > 1e-12 {
            let (sign, beta) = (one.sign[index], self.class.beta[index]);
            let (alpha, cost) = (sign * beta, self.c * one.weight[index]);
            // Bounds are reached to the bit, so that a row at its bound is seen to be there.
            let penalty = if one.free_bias { 1.0 } else { f64::MIN_POSITIVE };
            let next = (alpha - slope / (f64::from(square) + penalty)).clamp(0.0, cost);
            let change = sign * (next - alpha);
            self.class.beta[index] = sign * next;
            if one.free_bias {
                self.sum += change;
            }
            add(simd, change as f32, row, &mut self.weights);
            self.class.steps += 1;
        }
    }

    /// Whether another pass is worth it, after one; `looked`: rows looked at in this round so far.
    fn goes_on(&mut self, looked: &mut usize, n: usize) -> bool {
        let seen = self.active.len().max(1);
        *looked += seen;
        self.work = self.work.saturating_sub(seen);
        let (top, bottom) = std::mem::replace(&mut self.violations, NONE);
        // A look at all rows costs about as much as one at this many active ones.
        *looked < n && top - bottom > 0.5 * self.rest && self.work > 0
    }
}

/// Some classes on the rows of one round, all in step.
struct Round<'g, 's, 'r, 'a> {
    /// n × width.
    values: &'g [f32],
    width: usize,
    squares: &'g [f32],
    blocks: usize,
    group: &'g mut [&'s mut Descent<'r, 'a>],
}

impl pulp::WithSimd for Round<'_, '_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { values, width, squares, blocks, group } = self;
        let n = squares.len();
        let (few, mut many): (Vec<_>, Vec<_>) = group
            .iter_mut()
            .filter(|descent| descent.open)
            .partition(|descent| 4 * width * descent.active.len() <= PACKED_BYTES);
        let mut packed = Vec::new();
        for descent in few {
            packed.clear();
            for &row in &descent.active {
                packed.extend_from_slice(&values[row as usize * width..][..width]);
            }
            let mut looked = 0;
            for _ in 0..PASSES {
                descent.packed(simd, &packed, squares);
                if !descent.goes_on(&mut looked, n) {
                    break;
                }
            }
        }
        let mut looked = vec![0; many.len()];
        let mut on = vec![true; many.len()];
        for _ in 0..PASSES {
            for block in 0..blocks {
                for (descent, _) in many.iter_mut().zip(&on).filter(|(_, on)| **on) {
                    descent.block(simd, values, squares, block);
                }
            }
            for ((descent, on), looked) in many.iter_mut().zip(&mut on).zip(&mut looked).filter(|((_, on), _)| **on) {
                *on = descent.goes_on(looked, n);
            }
        }
    }
}
/// β with Σβ = 0, where the bias is free: the side that has too much gives its share. Bounds still hold.
fn balance(one: &OneAgainstRest, beta: &[f64]) -> Vec<f64> {
    if !one.free_bias {
        return beta.to_vec();
    }
    let total = |side: f64| -> f64 {
        beta.iter().zip(&one.sign).filter(|(_, sign)| **sign == side).map(|(beta, _)| beta.abs()).sum()
    };
    let (positive, negative) = (total(1.0), total(-1.0));
    let less = positive.min(negative);
    let factor = |sign: f64| {
        let own = if sign > 0.0 { positive } else { negative };
        if own > 0.0 { less / own } else { 0.0 }
    };
    beta.iter().zip(&one.sign).map(|(beta, &sign)| beta * factor(sign)).collect()
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    // Several sums at once, so that one does not wait for the other.
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (a_groups, b_groups) = (a.chunks_exact(4), b.chunks_exact(4));
    let (a_last, b_last) = (a_groups.remainder(), b_groups.remainder());
    for (a, b) in a_groups.zip(b_groups) {
        for at in 0..4 {
            sums[at] = simd.mul_add_f32s(a[at], b[at], sums[at]);
        }
    }
    for (&a, &b) in a_last.iter().zip(b_last) {
        sums[0] = simd.mul_add_f32s(a, b, sums[0]);
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(sum) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
fn add<S: Simd>(simd: S, factor: f32, row: &[f32], weights: &mut [f32]) {
    let (row, row_rest) = S::as_simd_f32s(row);
    let (weights, weights_rest) = S::as_mut_simd_f32s(weights);
    let factors = simd.splat_f32s(factor);
    for (weight, &value) in weights.iter_mut().zip(row) {
        *weight = simd.mul_add_f32s(factors, value, *weight);
    }
    for (weight, value) in weights_rest.iter_mut().zip(row_rest) {
        *weight += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, svm_problem};
    use crate::params::ClassWeight;

    #[test]
    fn it_comes_to_the_gap_asked_for() {
        for (classes, columns) in [(2, 5), (3, 40)] {
            let (x, labels) = clusters(600, columns, classes, 4);
            let mut problem = svm_problem(x.view(), &labels, classes);
            problem.head.class_weight = ClassWeight::Balanced;
            let rows = x.mapv(|value| value as f32);
            let one = OneAgainstRest::new(&problem, 0);
            let mut beta = vec![0.0; 600];
            for c in [1e-3, 1e-1, 10.0] {
                let mut class = Class { one: &one, bias: 0.0, beta: &mut beta, reached: false, steps: 0 };
                run(rows.view(), &squares(rows.view()), c, 1e-4, usize::MAX, std::slice::from_mut(&mut class));
                assert!(class.reached);
                assert!(beta.iter().sum::<f64>().abs() < 1e-9 * c);
                assert!(
                    beta.iter()
                        .zip(&one.sign)
                        .zip(&one.weight)
                        .all(|((beta, sign), weight)| { (0.0..=c * weight).contains(&(beta * sign)) })
                );
                let scores = x.dot(&x.t().dot(&ndarray::ArrayView1::from(&beta)));
                let residual: Vec<f64> = one.sign.iter().zip(&scores).map(|(sign, score)| sign - score).collect();
                let gap = one.bounds(c, &beta, &residual, one.best_bias(&residual)).gap();
                assert!(gap < 2e-4, "C = {c}: {gap:.1e}");
            }
        }
    }
}
