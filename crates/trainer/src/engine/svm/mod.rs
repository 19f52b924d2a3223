//! Hinge-loss SVMs, one class against the rest, with a free bias or one that is a weight like others: exact, and fast for many C and classes on one training set.
//!
//! With many more rows than columns, and with a bias that is not free, coordinate descent on the dual goes along the ascending C, class by class. Else one Gram matrix
//! serves every class and C: each class goes along the ascending C, starting from the solution before, by sequential
//! minimal optimisation. That is fast while few rows lie on the margin, but takes ever more steps as C grows on data that no plane
//! separates; so once a class has spent as much on it as the interior-point method costs, that one takes over for this and the larger
//! C, and no problem takes much more than twice the time of the better method.
//!
//! Whatever the methods did, the weights come from β in f64, the residuals from the weights, the bias from an exact minimisation, and
//! the certificate from all of them; if it is not good enough, the methods go on from the exact residuals.

mod coordinate_descent;
mod dual;
mod gram;
mod interior_point;
mod polish;
mod smo;

use std::sync::OnceLock;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, CowArray, Ix2};
use rayon::prelude::*;

use self::coordinate_descent::Class;
use self::dual::{Bounds, OneAgainstRest};
pub(crate) use self::gram::Gram;
use self::interior_point::InteriorPoint;
use self::polish::Polish;
use super::products::{combinations, scores};
use super::rows::row_major;
use super::{Certificate, Engine, Measure, Problem, Solution};
use crate::Error;
use crate::objective::outputs;
use crate::params::Bias;

/// What the methods aim at, as a share of the tolerance: the gap as they see it is not quite the exact one. Where the last digits of
/// the weights are still to come, which are as far off as the square root of the gap, these are to begin nearer.
const AIM: f64 = 0.5;
const AIM_BEFORE_POLISH: f64 = 0.1;
/// Multiply-adds that the last digits of a single fit's weights may take, all classes together: half a second or so. On large data
/// that is not enough to begin with.
const POLISH: f64 = 5e9;
/// Steps that this must be enough for; else they are not begun.
const POLISH_STEPS: f64 = 30.0;
/// What rounding leaves of a margin, about.
const ROUNDING: f64 = 1e-15;
/// Times that the methods go on from exact residuals, at most.
const ROUNDS: usize = 4;
/// Rows for each column from which on, and rows from which on at any width, coordinate descent takes the place of sequential minimal
/// optimisation.
const TALL: usize = 4;
const MANY_ROWS: usize = 6000;

/// Whether there are so many rows for the columns that coordinate descent beats inner products of all rows.
fn is_tall(rows: usize, columns: usize) -> bool {
    rows > MANY_ROWS.min(TALL * columns)
}

/// Whether coordinate descent takes the place of sequential minimal optimisation: for many rows, and without a constraint that ties
/// multipliers together in pairs.
pub(super) fn descends(bias: Bias, rows: usize, columns: usize) -> bool {
    bias == Bias::Regularized || is_tall(rows, columns)
}

/// Bytes of what is made of n × r rows: their copy in f32 for coordinate descent, or their inner products.
fn copies(bias: Bias, rows: usize, columns: usize) -> u64 {
    (rows * if descends(bias, rows, columns) { columns } else { rows } * size_of::<f32>()) as u64
}

/// See the module.
pub(super) struct HingeSvm;

/// One class on its way along C.
#[derive(Clone)]
struct Walker {
    one: OneAgainstRest,
    beta: Vec<f64>,
    residual: Vec<f64>,
    /// Whether the interior-point method has taken over.
    interior: bool,
    bias: f64,
    /// What weights and bias are to be multiplied by.
    scale: f64,
    gap: f64,
    /// Objectives with that.
    bounds: Bounds,
    iterations: usize,
}

/// What all classes share.
struct Shared<'a> {
    features: ArrayView2<'a, f64>,
    bias: Bias,
    inner: Option<(&'a Gram, &'a [usize])>,
    /// For sequential minimal optimisation.
    gram: OnceLock<Gram>,
    /// The rows in f32 and their sums of squares, for coordinate descent.
    single: OnceLock<(Array2<f32>, Vec<f32>)>,
    interior: OnceLock<InteriorPoint>,
    /// Whether memory allows that method.
    may_be_interior: bool,
    /// Steps of sequential minimal optimisation that cost as much as the interior-point method.
    steps: usize,
    /// Relative duality gap that counts as converged.
    tolerance: f64,
    /// The gap that the methods aim at.
    aim: f64,
}

impl Engine for HingeSvm {
    fn name(&self) -> &'static str {
        "svm-smo+interior-point"
    }

    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error> {
        let features = self.features(problem)?;
        let mut walkers = Walker::all(problem);
        // Multiply-adds that the last digits of a class may take.
        let work =
            Some(POLISH / walkers.len() as f64).filter(|&work| POLISH_STEPS * Polish::pass(features.view()) <= work);
        let shared = Shared::new(problem, features.view(), work.map_or(AIM, |_| AIM_BEFORE_POLISH));
        let rough = shared.solve(&mut walkers, c);
        let found = match work {
            Some(work) => rough.and_then(|rough| shared.polish(&mut walkers, c, rough, work)),
            None => rough,
        };
        found.ok_or_else(|| self.failed(c))
    }

    fn fit_path(&self, problem: &Problem, cs: &[f64], done: &(dyn Fn() + Sync)) -> Result<Vec<Solution>, Error> {
        let features = self.features(problem)?;
        let shared = Shared::new(problem, features.view(), AIM);
        let mut walkers = Walker::all(problem);
        let mut order: Vec<usize> = (0..cs.len()).collect();
        order.sort_by(|&a, &b| cs[a].total_cmp(&cs[b]));
        let mut solutions = vec![None; cs.len()];
        for index in order {
            let solution = shared.solve(&mut walkers, cs[index]).ok_or_else(|| self.failed(cs[index]))?;
            solutions[index] = Some(solution);
            done();
        }
        Ok(solutions.into_iter().flatten().collect())
    }
}

impl HingeSvm {
    /// All rows, if memory holds them and their copy in f32 or their inner products.
    fn features<'a>(&self, problem: &Problem<'a>) -> Result<CowArray<'a, f64, Ix2>, Error> {
        let (n, r) = problem.features.dim();
        problem.dense(self.name(), copies(problem.head.bias, n, r))
    }

    fn failed(&self, c: f64) -> Error {
        Error::Solver {
            engine: self.name(),
            c,
            reason: "the weights are not finite; standardize or use a smaller C".into(),
        }
    }
}

impl Walker {
    /// Starts where C is 0.
    fn new(one: OneAgainstRest) -> Self {
        let (beta, residual) = (vec![0.0; one.sign.len()], one.sign.clone());
        let bias = one.best_bias(&residual);
        let bounds = Bounds { primal: f64::INFINITY, excess: f64::INFINITY, square: 1.0 };
        Self { one, beta, residual, interior: false, bias, scale: 1.0, bounds, gap: f64::INFINITY, iterations: 0 }
    }

    /// All classes of a problem.
    fn all(problem: &Problem) -> Vec<Self> {
        (0..outputs(problem.classes)).map(|output| Self::new(OneAgainstRest::new(problem, output))).collect()
    }

    /// Takes residuals, bias and gap from scores without bias that belong to β.
    fn certify(&mut self, c: f64, scores: ArrayView1<f64>) {
        for ((residual, sign), score) in self.residual.iter_mut().zip(&self.one.sign).zip(scores) {
            *residual = sign - score;
        }
        self.bias = self.one.best_bias(&self.residual);
        let bounds = self.one.bounds(c, &self.beta, &self.residual, self.bias);
        (self.scale, self.bounds) = self.one.scaled(c, bounds, &self.residual, self.bias);
        self.gap = self.bounds.gap();
    }
}

impl<'a> Shared<'a> {
    /// `features`: those of the problem, all in memory; `aim`: share of the tolerance that the methods aim at.
    fn new<'p: 'a>(problem: &Problem<'p>, features: ArrayView2<'a, f64>, aim: f64) -> Self {
        let (bias, inner) = (problem.head.bias, problem.inner);
        let tolerance = problem.head.tolerance;
        let (n, r) = features.dim();
        // A row of a step costs about as much as ten multiply-adds of a matrix product.
        let steps = InteriorPoint::cost(n, r) / (10.0 * n as f64);
        let steps = 20 * n + steps as usize;
        let (gram, single, interior) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let equations = (n * (r + 1) * size_of::<f64>()) as u64;
        let needed = problem.features.dense_bytes() + copies(bias, n, r) + equations;
        let may_be_interior = needed <= problem.memory;
        let aim = aim * tolerance;
        Self { features, bias, inner, gram, single, interior, may_be_interior, steps, tolerance, aim }
    }

    fn descends(&self) -> bool {
        descends(self.bias, self.features.nrows(), self.features.ncols())
    }

    fn gram(&self) -> &Gram {
        self.gram.get_or_init(|| match self.inner {
            Some((all, rows)) => all.select(rows),
            None => Gram::new(self.features),
        })
    }

    /// All classes at one C; `None` if anything is not finite.
    fn solve(&self, walkers: &mut [Walker], c: f64) -> Option<Solution> {
        let mut weights = Array2::zeros((walkers.len(), self.features.ncols()));
        walkers.iter_mut().for_each(|walker| (walker.gap, walker.iterations) = (f64::INFINITY, 0));
        for round in 0..ROUNDS {
            let mut open: Vec<(usize, &mut Walker)> =
                walkers.iter_mut().enumerate().filter(|(_, walker)| walker.gap > self.tolerance).collect();
            if open.is_empty() {
                break;
            }
            let target = self.aim * 0.1f64.powi(round as i32);
            open.iter_mut().for_each(|(_, walker)| walker.interior |= round + 1 == ROUNDS);
            if self.descends() {
                self.descend(
                    open.iter_mut().map(|(_, walker)| &mut **walker).filter(|walker| !walker.interior),
                    c,
                    target,
                );
            } else if open.iter().any(|(_, walker)| !walker.interior) {
                // Before the classes go their ways: one that waited for another inside its own parallel work would wait for ever.
                self.gram();
            }
            open.par_iter_mut().for_each(|(_, walker)| self.advance(walker, c, target));
            let beta: Vec<&[f64]> = open.iter().map(|(_, walker)| &walker.beta[..]).collect();
            let (found, scores) = self.exact(&beta);
            open.par_iter_mut().zip(scores.outer_iter().into_par_iter()).for_each(|((_, walker), scores)| {
                walker.certify(c, scores);
            });
            for ((index, walker), found) in open.iter().zip(found.outer_iter()) {
                weights.row_mut(*index).assign(&(&found * walker.scale));
            }
        }
        self.solution(walkers, weights)
    }

    /// Brings weights that have the gap asked for to the error asked for, if that takes no more than `work` multiply-adds for each
    /// class.
    fn polish(&self, walkers: &mut [Walker], c: f64, rough: Solution, work: f64) -> Option<Solution> {
        let mut weights = rough.weights;
        walkers.par_iter_mut().zip(weights.axis_iter_mut(Axis(0)).into_par_iter()).for_each(|(walker, mut weights)| {
            if walker.bounds.weight_error() <= self.tolerance {
                return;
            }
            let polish =
                Polish { features: self.features.view(), one: &walker.one, c, tolerance: self.tolerance, work };
            let (beta, steps) = polish.run(&walker.beta, walker.bias);
            let (found, scores) = self.exact(&[&beta]);
            let mut next = Walker { beta, iterations: walker.iterations + steps, ..walker.clone() };
            next.certify(c, scores.row(0));
            // With a tiny C rounding of the margins, which are all nearly 1, outweighs what is left to be won.
            let noise = ROUNDING * next.beta.iter().map(|beta| beta.abs()).sum::<f64>();
            if next.bounds.excess <= walker.bounds.excess + noise {
                weights.assign(&(&found.row(0) * next.scale));
                *walker = next;
            }
        });
        self.solution(walkers, weights)
    }

    /// What has been found; `None` if anything is not finite.
    fn solution(&self, walkers: &[Walker], weights: Array2<f64>) -> Option<Solution> {
        let gap = walkers.iter().map(|walker| walker.gap).fold(0.0, f64::max);
        let bias: Array1<f64> = walkers.iter().map(|walker| walker.scale * walker.bias).collect();
        let finite = gap.is_finite() && bias.iter().chain(&weights).all(|value| value.is_finite());
        finite.then(|| Solution {
            weights,
            bias,
            objective: walkers.iter().map(|walker| walker.bounds.primal).sum(),
            certificate: Certificate::new(Measure::RelativeDualityGap, gap, self.tolerance),
            iterations: Some(walkers.iter().map(|walker| walker.iterations).sum()),
        })
    }

    /// Coordinate descent for classes together; those it does not bring to the gap `target` are left to the interior-point method.
    fn descend<'w>(&self, walkers: impl Iterator<Item = &'w mut Walker>, c: f64, target: f64) {
        let (rows, squares) = self.single.get_or_init(|| {
            let rows = row_major(self.features);
            let squares = coordinate_descent::squares(rows.view());
            (rows, squares)
        });
        let (n, r) = self.features.dim();
        // A row of a pass costs about as much as four multiply-adds of a matrix product for each column.
        let work = 100 * n + (InteriorPoint::cost(n, r) / (4.0 * r as f64)) as usize;
        let (mut classes, mut rest): (Vec<Class>, Vec<(&mut bool, &mut usize)>) = walkers
            .map(|Walker { one, beta, bias, interior, iterations, .. }| {
                (Class { one, bias: *bias, beta, reached: false, steps: 0 }, (interior, iterations))
            })
            .unzip();
        coordinate_descent::run(rows.view(), squares, c, target, work, &mut classes);
        for (class, (interior, iterations)) in classes.iter().zip(&mut rest) {
            **interior = !class.reached;
            **iterations += class.steps;
        }
    }

    /// Brings one class to the gap `target`, as far as its residuals tell.
    fn advance(&self, walker: &mut Walker, c: f64, target: f64) {
        let Walker { one, beta, residual, interior, .. } = walker;
        if !*interior && !self.descends() {
            let gram = self.gram();
            let (end, steps) = smo::run(gram, one, c, target, self.steps, beta, residual);
            walker.iterations += steps;
            *interior = end == smo::End::OutOfSteps;
        }
        if *interior && self.may_be_interior {
            let bias = one.best_bias(residual);
            let bounds = one.bounds(c, beta, residual, bias);
            if one.scaled(c, bounds, residual, bias).1.gap() <= target {
                return;
            }
            let method = self.interior.get_or_init(|| InteriorPoint::new(self.features, self.bias));
            let (found, steps) = method.solve(one, c, target);
            *beta = found;
            walker.iterations += steps;
        }
    }

    /// Weights Zᵀβ (classes × r) and their scores Z w (classes × n) for the β of several classes.
    fn exact(&self, beta: &[&[f64]]) -> (Array2<f64>, Array2<f64>) {
        let n = self.features.nrows();
        let beta = Array2::from_shape_fn((beta.len(), n), |(class, row)| beta[class][row]);
        let weights = combinations(&self.features, beta.view());
        let scores = scores(&self.features, weights.view());
        (weights, scores)
    }
}

#[cfg(test)]
mod tests;
