//! The hinge loss by the method of multipliers: max over 0 ≤ α ≤ C of Σ α (1 − margin) instead of the loss, made smooth around the α
//! at hand; what that leaves is pieces of parabolas, each solved by a Newton step. Finitely many pieces, so the end is exact. Alone
//! among the direct solves this one centres features (where the bias is free) and divides them all by one number: σ, which is what
//! makes it fast, would else leave no digit of features that are large beside their spread.

use ndarray::{Array1, Array2, Axis, s};

use super::smooth::add_outer;
use super::{Rows, solve, weight_norm};

/// outputs × (d + 1) parameters, bias last, that minimise C Σ max(0, 1 − margin) + ½‖W‖², and the largest violation of the optimality
/// conditions, relative to the spread of the scores.
pub fn minimise(rows: &Rows, c: f64) -> (Array2<f64>, f64) {
    let (n, width) = rows.x.dim();
    let mut mean = Array1::zeros(width);
    if !rows.bias_is_penalised {
        mean.assign(&rows.x.mean_axis(Axis(0)).unwrap());
        mean[width - 1] = 0.0;
    }
    let mut x = &rows.x - &mean;
    let unit = (x.slice(s![.., ..width - 1]).mapv(|value| value * value).sum() / n as f64).sqrt();
    x.slice_mut(s![.., ..width - 1]).mapv_inplace(|value| value / unit);
    if rows.bias_is_penalised {
        x.column_mut(width - 1).fill(1.0 / unit);
    }
    let ready = Rows { x, labels: rows.labels.clone(), ..*rows };
    let mut out = Array2::zeros((rows.outputs(), width));
    let mut worst = 0f64;
    for output in 0..rows.outputs() {
        let (mut theta, violation) = one_against_rest(&ready, &rows.signs(output), c * unit * unit);
        let bias = theta[width - 1];
        theta /= unit;
        if !rows.bias_is_penalised {
            theta[width - 1] = bias - theta.dot(&mean);
        }
        out.row_mut(output).assign(&theta);
        worst = worst.max(violation);
    }
    (out, worst)
}

fn one_against_rest(rows: &Rows, sign: &Array1<f64>, c: f64) -> (Array1<f64>, f64) {
    let (n, width) = rows.x.dim();
    let penalty = rows.penalty();
    let mut sigma = 10.0;
    let mut theta = Array1::<f64>::zeros(width);
    let mut alpha = Array1::<f64>::zeros(n);
    let (mut best, mut best_violation) = (theta.clone(), f64::INFINITY);
    let mut stale = 0;
    for _ in 0..60 {
        theta = inner(rows, sign, c, sigma, &alpha, theta, &penalty);
        let margins = rows.x.dot(&theta) * sign;
        let next = multipliers(&alpha, sigma, &margins, c);
        let mut scores = rows.x.dot(&theta);
        scores -= scores.mean().unwrap();
        let size = scores.mapv(|score| score * score).mean().unwrap().sqrt().min(1.0);
        // θ must be what the multipliers make it, and each multiplier fit its margin.
        let mut slope = &theta * &penalty - rows.x.t().dot(&(&next * sign));
        let unbalanced = slope[width - 1].abs() / next.sum();
        slope[width - 1] = 0.0;
        let stationary = slope.dot(&slope).sqrt() / weight_norm(&theta, width - 1);
        let violation = next.iter().zip(&margins).fold(stationary.max(unbalanced), |top, (&alpha, &margin)| {
            let wrong = match () {
                () if alpha <= 0.0 => (1.0 - margin).max(0.0),
                () if alpha >= c => (margin - 1.0).max(0.0),
                () => (1.0 - margin).abs(),
            };
            top.max(wrong / size)
        });
        alpha = next;
        if violation < 0.5 * best_violation {
            stale = 0;
        } else {
            stale += 1;
        }
        if violation < best_violation {
            (best, best_violation) = (theta.clone(), violation);
        }
        if best_violation < 1e-10 || (stale > 5 && best_violation < 1e-6) {
            break;
        }
        if sigma < 1e9 {
            sigma *= 3.0;
        }
    }
    (best, best_violation)
}

fn multipliers(alpha: &Array1<f64>, sigma: f64, margins: &Array1<f64>, c: f64) -> Array1<f64> {
    ndarray::Zip::from(alpha).and(margins).map_collect(|alpha, margin| (alpha + sigma * (1.0 - margin)).clamp(0.0, c))
}

/// Minimises ½‖W‖² + Σ (clamp(α + σ (1 − margin), 0, C) …)² / 2σ …, whose slope is −α along each margin.
fn inner(
    rows: &Rows,
    sign: &Array1<f64>,
    c: f64,
    sigma: f64,
    alpha: &Array1<f64>,
    mut theta: Array1<f64>,
    penalty: &Array1<f64>,
) -> Array1<f64> {
    let value = |theta: &Array1<f64>| {
        let margins = rows.x.dot(theta) * sign;
        let pieces = alpha.iter().zip(&margins).map(|(alpha, margin)| {
            let z = alpha + sigma * (1.0 - margin);
            if z <= 0.0 {
                0.0
            } else if z <= c {
                z * z / (2.0 * sigma)
            } else {
                (z - 0.5 * c) * c / sigma
            }
        });
        pieces.sum::<f64>() + 0.5 * (theta * theta * penalty).sum()
    };
    let mut here = value(&theta);
    for _ in 0..60 {
        let margins = rows.x.dot(&theta) * sign;
        let z = ndarray::Zip::from(alpha).and(&margins).map_collect(|alpha, margin| alpha + sigma * (1.0 - margin));
        let mut gradient = &theta * penalty;
        let mut hessian = Array2::from_diag(penalty);
        for ((row, &z), sign) in rows.x.outer_iter().zip(&z).zip(sign) {
            gradient.scaled_add(-sign * z.clamp(0.0, c), &row);
            if z > 0.0 && z < c {
                add_outer(&mut hessian, sigma, row, 0, 0);
            }
        }
        let last = theta.len() - 1;
        if hessian[[last, last]] == 0.0 {
            // No row is between its bounds: the bias has to go until one is.
            let old = theta[last];
            theta[last] = zero_of(|bias| {
                let scores = &margins * sign + (bias - old);
                -multipliers(alpha, sigma, &(scores * sign), c).dot(sign)
            });
            here = value(&theta);
            if gradient[last].abs() > 1e-14 * c && (theta[last] - old).abs() > 1e-15 * (1.0 + old.abs()) {
                continue;
            }
            hessian[[last, last]] = 1.0;
        }
        let step = solve(&hessian, &-&gradient);
        let slope = gradient.dot(&step);
        if weight_norm(&step, last) <= 1e-14 * weight_norm(&theta, last)
            && step[last].abs() <= 1e-14 * (1.0 + theta[last].abs())
        {
            break;
        }
        let mut length = 1.0;
        let next = loop {
            let next = &theta + &(&step * length);
            let there = value(&next);
            if there <= here + 1e-4 * length * slope {
                break Some((next, there));
            }
            length *= 0.5;
            if length < 1e-10 {
                break None;
            }
        };
        match next {
            Some((next, there)) => (theta, here) = (next, there),
            // Rounding hides any gain; the full step is as good as it gets.
            None => return &theta + &step,
        }
    }
    theta
}

/// Where a rising function is 0.
fn zero_of(slope: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-1.0, 1.0);
    while slope(low) > 0.0 {
        low *= 2.0;
    }
    while slope(high) < 0.0 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}
