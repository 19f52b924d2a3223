//! Heads whose loss has a slope everywhere: logistic regression (binary for two classes, multinomial for more), SVMs with squared
//! hinge loss, ridge classifiers. The bias is free.
//!
//! L-BFGS with a preconditioner that knows most of the Hessian makes the way, from one C to the next; large training sets are seen
//! in f32 on it, which halves the traffic. The claim is made in f64: the gradient of what came out bounds its relative error. If
//! that is not yet enough, L-BFGS goes on in f64, and Newton steps finish what it cannot.

mod columns;
mod covariance;
mod exact_newton;
mod lbfgs;
mod newton;
mod objective;
mod preconditioner;
mod row_loss;

use std::sync::OnceLock;

use ndarray::{Array1, Array2, s};

pub(crate) use self::columns::Columns;
use self::objective::Objective;
use self::preconditioner::Preconditioner;
use super::{Certificate, Engine, Measure, Problem, Solution};
use crate::Error;
use crate::engine::kernel::Scalar;
use crate::objective::outputs;
use crate::params::Loss;

/// What the methods aim at, as a share of the tolerance, so that the certificate isn't missed by a hair.
const AIM: f64 = 0.5;
/// Features (rows × columns) from which on f32 pays.
const LARGE: usize = 1 << 18;
/// Columns beyond which a Cholesky factor takes too much time and memory.
const WIDEST: usize = 4096;
/// L-BFGS iterations at most in f32 and in f64 before Newton steps take over.
const ITERATIONS: usize = 300;

/// See the module.
pub(super) struct Smooth;

impl Engine for Smooth {
    fn name(&self) -> &'static str {
        "lbfgs+newton"
    }

    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error> {
        let own = OnceLock::new();
        let path = Path::new(problem, &own);
        path.solve(problem, c, path.zeros()).map(|(_, solution)| solution)
    }

    fn fit_path(&self, problem: &Problem, cs: &[f64], done: &(dyn Fn() + Sync)) -> Result<Vec<Solution>, Error> {
        let own = OnceLock::new();
        let path = Path::new(problem, &own);
        let mut order: Vec<usize> = (0..cs.len()).collect();
        order.sort_by(|&a, &b| cs[a].total_cmp(&cs[b]));
        let mut theta = path.zeros();
        let mut solutions = vec![None; cs.len()];
        for index in order {
            let (found, solution) = path.solve(problem, cs[index], theta)?;
            theta = found;
            solutions[index] = Some(solution);
            done();
        }
        Ok(solutions.into_iter().flatten().collect())
    }
}

/// What all C on one training set share.
struct Path<'a> {
    columns: &'a Columns,
    outputs: usize,
}

impl<'a> Path<'a> {
    /// With what is known of the columns; where nothing is yet, it is found out and put into `own`.
    fn new<'p: 'a>(problem: &Problem<'p>, own: &'a OnceLock<Columns>) -> Self {
        let found = || own.get_or_init(|| Columns::new(&problem.features, problem.orthogonal));
        Self { columns: problem.columns.unwrap_or_else(found), outputs: outputs(problem.classes) }
    }

    fn zeros(&self) -> Array2<f64> {
        Array2::zeros((self.columns.moments.len() + 1, self.outputs))
    }

    /// The solution for one C, from `theta` on, with its parameters.
    fn solve(&self, problem: &Problem, c: f64, mut theta: Array2<f64>) -> Result<(Array2<f64>, Solution), Error> {
        let target = AIM * problem.head.tolerance;
        let mut iterations = 0;
        let (n, r) = problem.features.dim();
        if n * r >= LARGE {
            let found = self.descend(&Objective::<f32>::new(problem, c), theta, target)?;
            (theta, iterations) = (found.theta, found.iterations);
        }
        let exact = Objective::<f64>::new(problem, c);
        let check = |theta: &Array2<f64>| {
            let pass = exact.pass(theta);
            (exact.relative_error(&pass.gradient, theta), pass.value)
        };
        // NaN misses it too.
        let missed = |relative: f64| relative.is_nan() || relative > problem.head.tolerance;
        let (mut relative, mut objective) = check(&theta);
        if missed(relative) {
            let start = if relative.is_finite() { theta } else { exact.zeros() };
            let found = self.descend(&exact, start, target)?;
            (theta, relative, objective) = (found.theta, found.relative, found.value);
            iterations += found.iterations;
        }
        if missed(relative)
            && let Some((found, steps)) = self.newton(problem, &exact, c, &theta, target)?
        {
            theta = found;
            (relative, objective) = check(&theta);
            iterations += steps;
        }
        if !relative.is_finite() {
            return Err(Error::Solver {
                engine: Smooth.name(),
                c,
                reason:
                    "the weights are zero or not finite although the gradient is not zero; standardize the features"
                        .into(),
            });
        }
        let (weights, bias) = split(&theta, exact.is_coupled());
        let certificate = Certificate::new(Measure::RelativeWeightError, relative, problem.head.tolerance);
        Ok((theta, Solution { weights, bias, objective, certificate, iterations: Some(iterations) }))
    }

    /// Newton steps, where memory allows.
    fn newton(
        &self,
        problem: &Problem,
        objective: &Objective<f64>,
        c: f64,
        theta: &Array2<f64>,
        target: f64,
    ) -> Result<Option<(Array2<f64>, usize)>, Error> {
        let (n, r) = problem.features.dim();
        let bytes = |columns: usize| (n * columns * size_of::<f64>()) as u64;
        // Rows with a column of ones, and the rows themselves if they are no matrix yet.
        let equations = bytes(r + 1) + problem.features.dense_bytes();
        if problem.head.loss() != Loss::Logistic && r <= WIDEST && equations <= problem.memory {
            let features = problem.features.to_dense();
            return Ok(Some(exact_newton::minimise(problem, features.view(), c, theta, target)));
        }
        if bytes(self.outputs) > problem.memory {
            return Ok(None);
        }
        newton::minimise(objective, self.columns, theta.clone(), target).map(Some)
    }

    fn descend<T: Scalar>(
        &self,
        objective: &Objective<T>,
        theta: Array2<f64>,
        target: f64,
    ) -> Result<lbfgs::Found, Error> {
        let preconditioner = Preconditioner::at(objective, &theta, self.columns)?;
        Ok(lbfgs::minimise(objective, &preconditioner, theta, target, ITERATIONS))
    }
}

/// ‖∇f‖ / ‖W‖ of the objective at some weights (outputs × r) and biases, whoever found them.
pub(super) fn relative_error(problem: &Problem, c: f64, weights: &Array2<f64>, bias: &Array1<f64>) -> f64 {
    let objective = Objective::<f64>::new(problem, c);
    let r = weights.ncols();
    let mut theta = objective.zeros();
    theta.slice_mut(s![..r, ..]).assign(&weights.t());
    theta.row_mut(r).assign(bias);
    objective.relative_error(&objective.pass(&theta).gradient, &theta)
}

/// ‖∇f‖ at θ = 0.
pub(super) fn gradient_at_zero(problem: &Problem, c: f64) -> f64 {
    let objective = Objective::<f64>::new(problem, c);
    let gradient = objective.pass(&objective.zeros()).gradient;
    lbfgs::dot(&gradient, &gradient).sqrt()
}

/// Weights (outputs × r) and bias. Where the outputs share one loss, the biases are only defined up to a common constant; they sum to
/// 0 then.
fn split(theta: &Array2<f64>, coupled: bool) -> (Array2<f64>, Array1<f64>) {
    let r = theta.nrows() - 1;
    let weights = theta.slice(s![..r, ..]).t().as_standard_layout().into_owned();
    let mut bias = theta.row(r).to_owned();
    if coupled {
        bias -= bias.sum() / bias.len() as f64;
    }
    (weights, bias)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{clusters, logistic_problem};
    use crate::params::ClassWeight;

    #[test]
    fn certified_over_eight_orders_of_c_and_no_neighbour_is_better() {
        for classes in [2, 3] {
            let (x, labels) = clusters(60, 20, classes, 4);
            let problem = logistic_problem(x.view(), &labels, classes);
            for exponent in -4..5 {
                let c = 10f64.powi(exponent);
                let solution = Smooth.fit(&problem, c).unwrap();
                assert!(solution.certificate.converged, "C = {c}: {:?}", solution.certificate);
                let value = |weights: &Array2<f64>, bias: &Array1<f64>| {
                    let scores = x.dot(&weights.t()) + bias;
                    problem.objective().value(scores.view(), weights, c)
                };
                let best = value(&solution.weights, &solution.bias);
                for nudge in [-0.01, 0.01] {
                    assert!(value(&(&solution.weights * (1.0 + nudge)), &solution.bias) > best);
                    let moved = &solution.bias + nudge * (outputs(classes) == 1) as u8 as f64;
                    assert!(value(&solution.weights, &moved) >= best);
                }
            }
        }
    }

    /// Large enough to be seen in f32 on the way; the claim is about f64 all the same.
    #[test]
    fn single_precision_on_the_way_loses_nothing() {
        let (x, labels) = clusters(3000, 90, 3, 7);
        assert!(x.len() >= LARGE);
        let mut problem = logistic_problem(x.view(), &labels, 3);
        for tolerance in [1e-3, 1e-9] {
            problem.head.tolerance = tolerance;
            for c in [1e-3, 1.0, 1e3] {
                let solution = Smooth.fit(&problem, c).unwrap();
                assert!(solution.certificate.converged, "C = {c}: {:?}", solution.certificate);
                let own = relative_error(&problem, c, &solution.weights, &solution.bias);
                assert!(own <= tolerance * (1.0 + 1e-6), "{own}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (x, labels) = clusters(3000, 90, 3, 7);
        for orthogonal in [false, true] {
            let mut problem = logistic_problem(x.view(), &labels, 3);
            problem.orthogonal = orthogonal;
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| Smooth.fit_path(&problem, &[0.1, 10.0], &|| ()).unwrap())
            };
            let one = run(1);
            for threads in [2, 8] {
                let many = run(threads);
                assert!(one.iter().zip(&many).all(|(a, b)| a.weights == b.weights && a.bias == b.bias));
            }
        }
    }

    /// One row far out, which dwarfs all others.
    #[test]
    fn one_huge_row_does_not_spoil_the_rest() {
        let (mut x, labels) = clusters(60, 10, 3, 5);
        x.row_mut(0).mapv_inplace(|value| value * 1e4);
        let problem = logistic_problem(x.view(), &labels, 3);
        let solution = Smooth.fit(&problem, 100.0).unwrap();
        assert!(solution.certificate.converged, "{:?}", solution.certificate);
        let scores = x.dot(&solution.weights.t()) + &solution.bias;
        let right = crate::metrics::argmax_rows(scores.view()).iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert!(right > 40, "{right} of 60");
    }

    #[test]
    fn features_that_say_nothing_give_the_class_frequencies() {
        let x = Array2::zeros((9, 1));
        let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1];
        let solution = Smooth.fit(&logistic_problem(x.view(), &labels, 2), 1.0).unwrap();
        assert!(solution.weights[[0, 0]].abs() < 1e-12);
        assert!((solution.bias[0] - 0.5f64.ln()).abs() < 1e-3, "{}", solution.bias[0]);
    }

    #[test]
    fn a_row_of_weight_two_is_two_rows() {
        let (x, labels) = clusters(40, 8, 3, 6);
        let weight: Vec<f64> = (0..40).map(|row| if row < 10 { 2.0 } else { 1.0 }).collect();
        let twice: Vec<usize> = (0..40).chain(0..10).collect();
        let doubled = x.select(ndarray::Axis(0), &twice);
        let doubled_labels: Vec<usize> = twice.iter().map(|&row| labels[row]).collect();
        for class_weight in [ClassWeight::None, ClassWeight::Balanced] {
            let mut weighted = logistic_problem(x.view(), &labels, 3);
            weighted.weights = Some(&weight);
            (weighted.head.class_weight, weighted.head.tolerance) = (class_weight, 1e-9);
            let mut repeated = logistic_problem(doubled.view(), &doubled_labels, 3);
            (repeated.head.class_weight, repeated.head.tolerance) = (class_weight, 1e-9);
            let [a, b] = [&weighted, &repeated].map(|problem| Smooth.fit(problem, 3.0).unwrap());
            assert!((&a.weights - &b.weights).iter().all(|difference| difference.abs() < 1e-7));
            assert!((&a.bias - &b.bias).iter().all(|difference| difference.abs() < 1e-7));
        }
    }
}
