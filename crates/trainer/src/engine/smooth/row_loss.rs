//! The losses of one row: slopes and bends along its scores, in place.

use ndarray::{ArrayViewMut1, NdFloat};

use crate::params::Loss;

/// Turns the scores of a row into the slopes of its loss, each times the cost of its output, and gives the loss, costs included.
pub(super) fn to_slopes<T: NdFloat>(
    loss: Loss,
    row: &mut ArrayViewMut1<T>,
    label: usize,
    costs: impl Iterator<Item = f64>,
) -> f64 {
    if loss == Loss::Logistic && row.len() > 1 {
        let mut costs = costs;
        // A coupled loss has one cost for all outputs.
        let cost = costs.next().unwrap_or(f64::NAN);
        let value = softmax_slopes(row, label);
        let scale = T::from(cost).unwrap_or_else(T::nan);
        row.map_inplace(|slope| *slope *= scale);
        return cost * value;
    }
    let binary = row.len() == 1;
    let mut total = 0.0;
    for ((output, score), cost) in row.iter_mut().enumerate().zip(costs) {
        let positive = label == if binary { 1 } else { output };
        let margin = if positive { *score } else { -*score };
        let (value, slope) = of_margin(loss, margin);
        total += cost * value;
        let slope = slope * T::from(cost).unwrap_or_else(T::nan);
        *score = if positive { slope } else { -slope };
    }
    total
}

/// Turns the scores of a row into what its Hessian is made of: the probabilities p, for diag(p) − ppᵀ, where outputs share a loss;
/// else the second derivative of each output's loss.
pub(super) fn to_bends<T: NdFloat>(loss: Loss, row: &mut ArrayViewMut1<T>, label: usize) {
    let one = T::one();
    let two = one + one;
    match loss {
        Loss::Logistic if row.len() > 1 => {
            let top = row.iter().fold(T::neg_infinity(), |top, &score| top.max(score));
            row.map_inplace(|score| *score = (*score - top).exp());
            let sum = row.sum();
            row.map_inplace(|value| *value /= sum);
        }
        Loss::Logistic => row.map_inplace(|score| {
            let small = (-score.abs()).exp();
            *score = small / ((one + small) * (one + small));
        }),
        Loss::Hinge | Loss::SquaredHinge => {
            let binary = row.len() == 1;
            for (output, score) in row.iter_mut().enumerate() {
                let margin = if label == (if binary { 1 } else { output }) { *score } else { -*score };
                *score = if margin < one { two } else { T::zero() };
            }
        }
        Loss::Squared => row.fill(two),
    }
}

/// Loss and slope where the score on the row's own side is `margin`.
pub(super) fn of_margin<T: NdFloat>(loss: Loss, margin: T) -> (f64, T) {
    let (zero, one) = (T::zero(), T::one());
    let (value, slope) = match loss {
        Loss::Logistic => {
            let small = (-margin.abs()).exp();
            let wrong = if margin >= zero { small / (one + small) } else { one / (one + small) };
            (small.ln_1p() + (-margin).max(zero), -wrong)
        }
        Loss::Hinge | Loss::SquaredHinge => {
            let short = (one - margin).max(zero);
            (short * short, -(short + short))
        }
        Loss::Squared => {
            let short = one - margin;
            (short * short, -(short + short))
        }
    };
    (value.to_f64().unwrap_or(f64::NAN), slope)
}

/// Multinomial logistic: probability minus truth. That of the true class is the negative sum of the others: for a row that is nearly
/// sure of it, 1 − p would be rounding.
fn softmax_slopes<T: NdFloat>(row: &mut ArrayViewMut1<T>, label: usize) -> f64 {
    let own = row[label];
    let top = row.iter().fold(T::neg_infinity(), |top, &score| top.max(score));
    let mut others = T::zero();
    for (class, score) in row.iter_mut().enumerate() {
        *score = (*score - top).exp();
        if class != label {
            others += *score;
        }
    }
    let sum = others + row[label];
    let loss = sum.ln() + (top - own);
    row.map_inplace(|value| *value /= sum);
    row[label] = -others / sum;
    // Rounding can put it a hair below 0 when the true class has all the probability.
    loss.to_f64().unwrap_or(f64::NAN).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn scores_of_any_size_are_survived() {
        let ones = || std::iter::repeat(1.0);
        let mut row = array![1000.0, 0.0, 0.0];
        assert_eq!(to_slopes(Loss::Logistic, &mut row.view_mut(), 1, ones()), 1000.0);
        assert_eq!(row, array![1.0, -1.0, 0.0]);
        let mut row = array![-1e5f32];
        assert_eq!(to_slopes(Loss::Logistic, &mut row.view_mut(), 1, ones()), 1e5);
        assert_eq!(row[0], -1.0);
        // The slope of a sure row keeps its digits.
        let mut row = array![0.0f32, -40.0, 20.0];
        to_slopes(Loss::Logistic, &mut row.view_mut(), 2, ones());
        assert!((row[2] + row[0] + row[1]).abs() < 1e-15 && row[2] < 0.0);
    }

    #[test]
    fn slopes_by_hand() {
        let mut row = array![0.5, 2.0, -3.0];
        let value = to_slopes(Loss::SquaredHinge, &mut row.view_mut(), 0, [1.0, 2.0, 1.0].into_iter());
        assert_eq!((value, row), (0.25 + 2.0 * 9.0, array![-1.0, 2.0 * 6.0, 0.0]));
        let mut row = array![0.5, 2.0, -3.0];
        let value = to_slopes(Loss::Squared, &mut row.view_mut(), 0, std::iter::repeat(1.0));
        assert_eq!((value, row), (0.25 + 9.0 + 4.0, array![-1.0, 6.0, -4.0]));
    }
}
