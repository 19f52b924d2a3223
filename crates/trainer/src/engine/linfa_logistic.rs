//! linfa-logistic: L-BFGS on the binary or multinomial logistic objective, checked and if need be finished here.

use linfa::traits::Fit;
use linfa::{DatasetBase, ParamGuard};
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2, ArrayView1, s};

use super::newton::LogisticObjective;
use super::{Certificate, Engine, Measure, Problem, Solution};
use crate::Error;

/// Relative error of the weights that counts as converged.
const TOLERANCE: f64 = 1e-4;
/// What the solvers aim at, so that the certificate isn't missed by a hair.
const TARGET: f64 = 0.3 * TOLERANCE;
/// linfa's first iterations make most of the way; after them the Newton steps, which know the curvature, are several times faster
/// than L-BFGS on the large C and correlated features that are left.
const MAX_ITERATIONS: u64 = 30;
/// Without Newton steps to follow, linfa has to go all the way.
const MAX_ITERATIONS_ALONE: u64 = 2000;

/// See the module.
pub(super) struct LinfaLogistic {
    /// Whether Newton steps finish what linfa began; else its result is taken as it is, with a certificate that says how good it is.
    pub(super) newton: bool,
}

impl Engine for LinfaLogistic {
    fn name(&self) -> &'static str {
        if self.newton { "linfa-logistic+newton" } else { "linfa-logistic" }
    }

    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error> {
        let objective = LogisticObjective::new(problem, c);
        // linfa minimises f / C and stops on the norm of that gradient. At the minimum of weakly penalised problems ‖W‖ is near
        // ‖∇f(0)‖, which makes this the relative error; for others the certificate below decides.
        let slope = objective.gradient(&objective.zeros());
        let tolerance = TARGET * slope.iter().map(|value| value * value).sum::<f64>().sqrt() / c;
        let iterations = if self.newton { MAX_ITERATIONS } else { MAX_ITERATIONS_ALONE };
        let start = match run_linfa(problem, c, tolerance.max(f64::MIN_POSITIVE), iterations) {
            Ok(theta) if theta.iter().all(|value| value.is_finite()) => theta,
            Ok(_) => objective.zeros(),
            Err(error) if !self.newton => {
                return Err(Error::Solver { engine: self.name(), c, reason: error.to_string() });
            }
            Err(error) => {
                tracing::debug!(c, %error, "linfa-logistic gave up; starting from zero");
                objective.zeros()
            }
        };
        let theta = if self.newton { objective.minimise(start, TARGET).0 } else { start };
        let error = objective.relative_error(&objective.gradient(&theta), &theta);
        if !error.is_finite() {
            return Err(Error::Solver {
                engine: self.name(),
                c,
                reason: "the weights are zero or not finite although the gradient is not zero".into(),
            });
        }
        let (weights, bias) = objective.split(&theta);
        let certificate = Certificate::new(Measure::RelativeWeightError, error, TOLERANCE);
        // linfa does not tell its iterations, and the Newton steps alone would mislead.
        Ok(Solution { weights, bias, certificate, iterations: None })
    }
}

/// linfa's optimum as (r + 1) × outputs parameters.
fn run_linfa(
    problem: &Problem,
    c: f64,
    tolerance: f64,
    iterations: u64,
) -> Result<Array2<f64>, linfa_logistic::error::Error> {
    let dataset = DatasetBase::new(problem.features, ArrayView1::from(problem.labels));
    let r = problem.features.ncols();
    if problem.classes == 2 {
        let model = LogisticRegression::default()
            .alpha(1.0 / c)
            .gradient_tolerance(tolerance)
            .max_iterations(iterations)
            .check()?
            .fit(&dataset)?;
        // Which class linfa calls positive depends on their sizes.
        let sign = if model.labels().pos.class == 1 { 1.0 } else { -1.0 };
        let mut theta = Array2::zeros((r + 1, 1));
        theta.slice_mut(s![..r, 0]).assign(&(model.params() * sign));
        theta[[r, 0]] = model.intercept() * sign;
        Ok(theta)
    } else {
        let model = MultiLogisticRegression::default()
            .alpha(1.0 / c)
            .gradient_tolerance(tolerance)
            .max_iterations(iterations)
            .check()?
            .fit(&dataset)?;
        // Columns follow the sorted labels, and every class occurs.
        let mut theta = Array2::zeros((r + 1, problem.classes));
        let bias: &Array1<f64> = model.intercept();
        theta.slice_mut(s![..r, ..]).assign(model.params());
        theta.row_mut(r).assign(bias);
        Ok(theta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;
    use crate::objective::{from_scores, outputs};
    use crate::params::{ClassWeight, HeadKind};

    #[test]
    fn certified_over_eight_orders_of_c_and_no_neighbour_is_better() {
        for classes in [2, 3] {
            let (x, labels) = clusters(60, 20, classes, 4);
            let problem = Problem { features: x.view(), labels: &labels, classes, class_weight: ClassWeight::None };
            for exponent in -4..5 {
                let c = 10f64.powi(exponent);
                let solution = LinfaLogistic { newton: true }.fit(&problem, c).unwrap();
                assert!(solution.certificate.converged, "C = {c}: {:?}", solution.certificate);
                let value = |weights: &Array2<f64>, bias: &Array1<f64>| {
                    let scores = x.dot(&weights.t()) + bias;
                    from_scores(HeadKind::Logistic, scores.view(), weights, &labels, c, ClassWeight::None)
                };
                let best = value(&solution.weights, &solution.bias);
                for nudge in [-0.01, 0.01] {
                    assert!(value(&(&solution.weights * (1.0 + nudge)), &solution.bias) > best);
                    assert!(
                        value(&solution.weights, &(&solution.bias + nudge * (outputs(classes) == 1) as u8 as f64))
                            >= best
                    );
                }
            }
        }
    }

    #[test]
    fn alone_it_agrees_where_scores_are_small() {
        let (x, labels) = clusters(60, 20, 3, 4);
        let problem = Problem { features: x.view(), labels: &labels, classes: 3, class_weight: ClassWeight::None };
        let [a, b] = [false, true].map(|newton| LinfaLogistic { newton }.fit(&problem, 0.1).unwrap());
        assert!((&a.weights - &b.weights).iter().all(|difference| difference.abs() < 1e-3));
        assert!(a.certificate.value < 1e-2, "{:?}", a.certificate);
    }

    /// One row far out makes scores span far more than linfa's log Σ exp stands.
    #[test]
    fn one_huge_row_does_not_spoil_the_rest() {
        let (mut x, labels) = clusters(60, 10, 3, 5);
        x.row_mut(0).mapv_inplace(|value| value * 1e4);
        let problem = Problem { features: x.view(), labels: &labels, classes: 3, class_weight: ClassWeight::None };
        let solution = LinfaLogistic { newton: true }.fit(&problem, 100.0).unwrap();
        assert!(solution.certificate.converged, "{:?}", solution.certificate);
        let scores = x.dot(&solution.weights.t()) + &solution.bias;
        let right = crate::metrics::argmax_rows(scores.view()).iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert!(right > 40, "{right} of 60");
    }

    #[test]
    fn features_that_say_nothing_give_the_class_frequencies() {
        let x = Array2::zeros((9, 1));
        let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1];
        let problem = Problem { features: x.view(), labels: &labels, classes: 2, class_weight: ClassWeight::None };
        let solution = LinfaLogistic { newton: true }.fit(&problem, 1.0).unwrap();
        assert!(solution.weights[[0, 0]].abs() < 1e-12);
        assert!((solution.bias[0] - 0.5f64.ln()).abs() < 1e-3, "{}", solution.bias[0]);
    }
}
