//! linfa-svm: sequential minimal optimisation of the hinge-loss dual, one class against the rest.

use linfa::traits::Fit;
use linfa::{DatasetBase, ParamGuard};
use linfa_svm::Svm;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::{Certificate, Engine, Measure, Problem, Solution};
use crate::Error;
use crate::objective::{Sides, outputs};
use crate::params::Loss;

/// Violation of the optimality conditions, in units of the margin, at which linfa stops at first.
const EPS: f64 = 1e-5;
/// Fits of one problem at most. Rows off the margin by EPS add up to C · n · EPS of gap, which can be much of a small objective; then
/// linfa has to start again with a smaller EPS.
const ATTEMPTS: usize = 4;

/// Rows from which on the memory of a fit is worth a warning: linfa holds an n × n matrix of f64 for every fit under way.
const MANY_ROWS: usize = 15_000;

/// See the module.
pub(super) struct LinfaSvm;

/// One class against the rest.
struct OneAgainstRest {
    weights: Array1<f64>,
    bias: f64,
    gap: f64,
}

impl Engine for LinfaSvm {
    fn name(&self) -> &'static str {
        "linfa-svm"
    }

    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error> {
        if problem.weights.is_some() {
            return Err(Error::LinfaWeights);
        }
        let outputs = outputs(problem.classes);
        let rows = problem.labels.len();
        if rows >= MANY_ROWS {
            let gigabytes = (rows * rows * size_of::<f64>()) as f64 / 1e9;
            tracing::warn!(
                rows,
                "each of the SVM fits that run at once needs {gigabytes:.0} GB; use fewer threads or --head logistic"
            );
        }
        let features = problem.dense(self.name(), (rows * rows * size_of::<f64>()) as u64)?;
        let fit = |output| fit_one(problem, features.view(), output, c);
        let fits: Vec<OneAgainstRest> = (0..outputs).into_par_iter().map(fit).collect::<Result<_, _>>()?;
        let mut weights = Array2::zeros((outputs, features.ncols()));
        for (mut row, fit) in weights.outer_iter_mut().zip(&fits) {
            row.assign(&fit.weights);
        }
        let gap = fits.iter().map(|fit| fit.gap).fold(0.0, f64::max);
        let certificate = Certificate::new(Measure::RelativeDualityGap, gap, problem.head.tolerance);
        // linfa keeps its iterations to itself.
        let bias = fits.iter().map(|fit| fit.bias).collect();
        let objective = problem.value(&weights, &bias, c);
        Ok(Solution { weights, bias, objective, certificate, iterations: None })
    }
}

fn fit_one(problem: &Problem, features: ArrayView2<f64>, output: usize, c: f64) -> Result<OneAgainstRest, Error> {
    let sides = problem.objective().sides(output);
    let mut eps = EPS;
    let mut fit = fit_to(features, &sides, c, eps)?;
    for _ in 1..ATTEMPTS {
        if fit.gap <= problem.head.tolerance {
            break;
        }
        eps *= (0.2 * problem.head.tolerance / fit.gap).max(1e-3);
        let finer = fit_to(features, &sides, c, eps)?;
        if finer.gap < fit.gap {
            fit = finer;
        }
    }
    Ok(fit)
}

fn fit_to(features: ArrayView2<f64>, sides: &Sides, c: f64, eps: f64) -> Result<OneAgainstRest, Error> {
    let Sides { positive, weight } = sides;
    // linfa knows one weight for each side.
    let of_side = |side: bool| positive.iter().position(|&own| own == side).map_or(1.0, |row| weight[row]);
    let failed = |reason: String| Error::Solver { engine: "linfa-svm", c, reason };
    let dataset = DatasetBase::new(features, ArrayView1::from(positive));
    // Shrinking stays off: with it, linfa-svm 0.8.1 returns models far from the optimum.
    let model: Svm<f64, bool> = Svm::<f64, bool>::params()
        .pos_neg_weights(c * of_side(true), c * of_side(false))
        .linear_kernel()
        .shrinking(false)
        .eps(eps)
        .check()
        .and_then(|params| params.fit(&dataset))
        .map_err(|error| failed(error.to_string()))?;

    // Weights from the multipliers (which carry the sign of their side), and from both the duality gap: the dual value can never
    // exceed the optimum, whatever the solver did.
    let multipliers = ArrayView1::from(&model.alpha);
    let weights = features.t().dot(&multipliers);
    let bias = -model.rho;
    let half_norm = 0.5 * weights.dot(&weights);
    let scores = features.dot(&weights) + bias;
    let margins = scores.iter().zip(positive).map(|(score, &positive)| if positive { *score } else { -score });
    let loss: f64 = margins.zip(weight).map(|(margin, weight)| weight * Loss::Hinge.of_margin(margin)).sum();
    let primal = c * loss + half_norm;
    let dual = multipliers.iter().map(|multiplier| multiplier.abs()).sum::<f64>() - half_norm;
    let gap = (primal - dual) / primal;
    if !(gap.is_finite() && bias.is_finite()) {
        return Err(failed("the model is not finite".into()));
    }
    Ok(OneAgainstRest { weights, bias, gap: gap.max(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, svm_problem};
    use crate::params::ClassWeight;

    #[test]
    fn certified_for_small_and_large_c() {
        for (classes, class_weight) in [(2, ClassWeight::None), (3, ClassWeight::None), (3, ClassWeight::Balanced)] {
            let (x, labels) = clusters(60, 20, classes, 6);
            let mut problem = svm_problem(x.view(), &labels, classes);
            problem.head.class_weight = class_weight;
            for c in [1e-3, 1e-1, 10.0, 1e3] {
                let solution = LinfaSvm.fit(&problem, c).unwrap();
                assert_eq!(solution.weights.nrows(), outputs(classes));
                assert!(solution.certificate.converged, "C = {c}: {:?}", solution.certificate);
            }
        }
    }

    #[test]
    fn two_points_have_the_widest_margin() {
        let x = ndarray::array![[-1.0, 0.0], [1.0, 0.0]];
        let problem = svm_problem(x.view(), &[0, 1], 2);
        let solution = LinfaSvm.fit(&problem, 100.0).unwrap();
        assert!((solution.weights[[0, 0]] - 1.0).abs() < 1e-4 && solution.bias[0].abs() < 1e-4, "{solution:?}");
    }

    #[test]
    fn features_that_say_nothing_are_survived() {
        let x = Array2::zeros((9, 1));
        let problem = svm_problem(x.view(), &[0, 0, 0, 0, 0, 0, 1, 1, 1], 2);
        let solution = LinfaSvm.fit(&problem, 1.0).unwrap();
        assert_eq!(solution.weights[[0, 0]], 0.0);
        assert!(solution.bias[0] < 0.0, "the larger class wins: {}", solution.bias[0]);
    }
}
