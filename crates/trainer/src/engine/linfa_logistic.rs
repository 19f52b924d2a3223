//! linfa-logistic as it is, for comparison: L-BFGS on the binary or multinomial logistic objective.

use linfa::traits::Fit;
use linfa::{DatasetBase, ParamGuard};
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::{Certificate, Engine, Measure, Problem, Solution, smooth};
use crate::Error;
use crate::params::ClassWeight;

/// Iterations at most.
const MAX_ITERATIONS: u64 = 2000;

/// linfa-logistic 0.8.1: it takes the logarithm of sums of exponentials against the largest score of the whole matrix and cuts it
/// off at 1e-15, so where scores span more than about 34, as in any well separated data with a large C, it minimises another
/// function and reports success. The certificate tells.
pub(super) struct LinfaLogistic;

impl Engine for LinfaLogistic {
    fn name(&self) -> &'static str {
        "linfa-logistic"
    }

    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error> {
        let features = problem.dense(self.name(), 0)?;
        let problem = &Problem { features: features.view().into(), ..*problem };
        if problem.weights.is_some() || problem.head.class_weight != ClassWeight::None {
            return Err(Error::LinfaWeights);
        }
        let failed = |reason: String| Error::Solver { engine: self.name(), c, reason };
        // linfa minimises f / C and stops on the norm of that gradient. At the minimum of weakly penalised problems ‖W‖ is near
        // ‖∇f(0)‖, which makes this the relative error; for others the certificate decides.
        let slope = smooth::gradient_at_zero(problem, c) / c;
        let tolerance = (0.3 * problem.head.tolerance * slope).max(f64::MIN_POSITIVE);
        let (weights, bias) = run(problem, features.view(), c, tolerance).map_err(|error| failed(error.to_string()))?;
        let error = smooth::relative_error(problem, c, &weights, &bias);
        if !error.is_finite() {
            return Err(failed("the weights are zero or not finite although the gradient is not zero".into()));
        }
        let certificate = Certificate::new(Measure::RelativeWeightError, error, problem.head.tolerance);
        // linfa does not tell its iterations.
        let objective = problem.value(&weights, &bias, c);
        Ok(Solution { weights, bias, objective, certificate, iterations: None })
    }
}

/// linfa's optimum as weights (outputs × r) and bias.
fn run(
    problem: &Problem,
    features: ArrayView2<f64>,
    c: f64,
    tolerance: f64,
) -> Result<(Array2<f64>, Array1<f64>), linfa_logistic::error::Error> {
    let dataset = DatasetBase::new(features, ArrayView1::from(problem.labels));
    if problem.classes == 2 {
        let model = LogisticRegression::default()
            .alpha(1.0 / c)
            .gradient_tolerance(tolerance)
            .max_iterations(MAX_ITERATIONS)
            .check()?
            .fit(&dataset)?;
        // Which class linfa calls positive depends on their sizes.
        let sign = if model.labels().pos.class == 1 { 1.0 } else { -1.0 };
        Ok(((model.params() * sign).insert_axis(Axis(0)), Array1::from_elem(1, model.intercept() * sign)))
    } else {
        let model = MultiLogisticRegression::default()
            .alpha(1.0 / c)
            .gradient_tolerance(tolerance)
            .max_iterations(MAX_ITERATIONS)
            .check()?
            .fit(&dataset)?;
        // Columns follow the sorted labels, and every class occurs.
        let bias: &Array1<f64> = model.intercept();
        Ok((model.params().t().as_standard_layout().into_owned(), bias - bias.sum() / bias.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, logistic_problem};

    #[test]
    fn it_agrees_where_scores_are_small() {
        for classes in [2, 3] {
            let (x, labels) = clusters(60, 20, classes, 4);
            let problem = logistic_problem(x.view(), &labels, classes);
            let a = LinfaLogistic.fit(&problem, 0.1).unwrap();
            let b = smooth::Smooth.fit(&problem, 0.1).unwrap();
            assert!((&a.weights - &b.weights).iter().all(|difference| difference.abs() < 1e-3));
            assert!((&a.bias - &b.bias).iter().all(|difference| difference.abs() < 1e-3));
            assert!(a.certificate.value < 1e-2, "{:?}", a.certificate);
        }
    }
}
