//! Dual coordinate descent: one multiplier at a time (Hsieh et al. 2008, "A dual coordinate descent method for large-scale linear
//! SVM"), for many more rows than columns. It keeps the weights instead of inner products of all rows, so nothing grows with the
//! square of the rows.
//!
//! A free bias ties the multipliers together, Σβ = 0, and no single one could move. So the constraint becomes a penalty ½ Σβ² with a
//! multiplier, which is the bias, and is enforced by the method of multipliers (Nocedal and Wright 2006, section 17.3): the bias in
//! use is b + Σβ, and whenever coordinate descent has come to rest, b becomes that.

use ndarray::ArrayView2;
use pulp::Simd;

use super::dual::OneAgainstRest;
use crate::random::SplitMix64;

/// Violation of the optimality conditions, in units of the margin, at which descent is first taken to be at rest; it gets smaller by
/// [`FINER`] each time that is not enough.
const FIRST_REST: f32 = 0.1;
const FINER: f32 = 0.3;
/// Below this, f32 has nothing left to say.
const LAST_REST: f32 = 1e-6;

/// Moves `beta` towards the optimum for C = `c` until the relative duality gap is at most `target`, as far as f32 tells, and makes it
/// satisfy Σβ = 0. `bias`: where to start; a good guess saves passes. At most `work` rows are looked at. Returns whether the gap was
/// reached, and the steps taken.
pub(super) fn run(
    rows: ArrayView2<f32>,
    one: &OneAgainstRest,
    c: f64,
    target: f64,
    bias: f64,
    work: usize,
    beta: &mut [f64],
) -> (bool, usize) {
    let width = rows.ncols();
    let rows = rows.as_standard_layout();
    let values = rows.as_slice().unwrap_or_default();
    pulp::Arch::new().dispatch(Descent { values, width, one, c, target, bias, work, beta })
}

struct Descent<'a> {
    /// n × width.
    values: &'a [f32],
    width: usize,
    one: &'a OneAgainstRest,
    c: f64,
    target: f64,
    bias: f64,
    work: usize,
    beta: &'a mut [f64],
}

impl pulp::WithSimd for Descent<'_> {
    type Output = (bool, usize);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (bool, usize) {
        let Self { values, width, one, c, target, mut bias, work, beta } = self;
        let n = beta.len();
        let row = |index: usize| &values[index * width..(index + 1) * width];
        let squares: Vec<f32> = (0..n).map(|index| dot(simd, row(index), row(index))).collect();
        let mut weights = vec![0f32; width];
        let (mut sum, mut steps) = (0f64, 0);
        let (mut looked, mut reached) = (0, false);
        for (index, &beta) in beta.iter().enumerate().filter(|(_, beta)| **beta != 0.0) {
            add(simd, beta as f32, row(index), &mut weights);
            sum += beta;
        }
        let mut random = SplitMix64::new(n as u64);
        let mut active: Vec<u32> = (0..n as u32).collect();
        let mut rest = FIRST_REST;
        // Rows at a bound whose violation is beyond these are not looked at until all is at rest.
        let (mut highest, mut lowest) = (f32::INFINITY, f32::NEG_INFINITY);
        while looked < work {
            looked += active.len().max(1);
            random.shuffle(&mut active);
            let (mut top, mut bottom) = (f32::NEG_INFINITY, f32::INFINITY);
            let mut place = 0;
            while place < active.len() {
                let index = active[place] as usize;
                let (sign, cost) = (one.sign[index], c * one.weight[index]);
                let score = f64::from(dot(simd, row(index), &weights)) + bias + sum;
                let slope = (sign * score - 1.0) as f32;
                let alpha = sign * beta[index];
                // Beyond what any active row violated in the last pass, a row at its bound stays there for now.
                let leaves = (alpha <= 0.0 && slope > highest) || (alpha >= cost && slope < lowest);
                if leaves {
                    active.swap_remove(place);
                    continue;
                }
                place += 1;
                let violation = if alpha <= 0.0 {
                    slope.min(0.0)
                } else if alpha >= cost {
                    slope.max(0.0)
                } else {
                    slope
                };
                top = top.max(violation);
                bottom = bottom.min(violation);
                if violation.abs() > 1e-12 {
                    let next = (alpha - f64::from(slope) / f64::from(squares[index] + 1.0)).clamp(0.0, cost);
                    let change = sign * (next - alpha);
                    // Bounds are reached to the bit, so that a row at its bound is seen to be there.
                    beta[index] = sign * next;
                    sum += change;
                    add(simd, change as f32, row(index), &mut weights);
                    steps += 1;
                }
            }
            highest = if top > 0.0 { top } else { f32::INFINITY };
            lowest = if bottom < 0.0 { bottom } else { f32::NEG_INFINITY };
            let at_rest = top - bottom <= rest || active.is_empty();
            if !at_rest {
                continue;
            }
            if active.len() == n {
                bias += sum;
                let balanced = balance(one, beta);
                let residual = residuals(simd, values, width, &one.sign, &balanced);
                let best = one.best_bias(&residual);
                reached = one.bounds(c, &balanced, &residual, best).gap() <= target;
                if reached || rest < LAST_REST {
                    break;
                }
                rest *= FINER;
            }
            active = (0..n as u32).collect();
            (highest, lowest) = (f32::INFINITY, f32::NEG_INFINITY);
        }
        beta.copy_from_slice(&balance(one, beta));
        (reached, steps)
    }
}

/// β with Σβ = 0: the side that has too much gives its share. Bounds still hold.
fn balance(one: &OneAgainstRest, beta: &[f64]) -> Vec<f64> {
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

/// Sign minus score without bias, for all rows.
#[inline(always)]
fn residuals<S: Simd>(simd: S, values: &[f32], width: usize, sign: &[f64], beta: &[f64]) -> Vec<f64> {
    let mut weights = vec![0f32; width];
    for (row, &beta) in values.chunks_exact(width).zip(beta) {
        if beta != 0.0 {
            add(simd, beta as f32, row, &mut weights);
        }
    }
    let rows = values.chunks_exact(width).zip(sign);
    rows.map(|(row, sign)| sign - f64::from(dot(simd, row, &weights))).collect()
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
                assert!(run(rows.view(), &one, c, 1e-4, 0.0, usize::MAX, &mut beta).0);
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
