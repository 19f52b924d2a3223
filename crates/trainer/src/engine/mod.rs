//! Solvers behind one trait: a convex problem in, weights and a certificate of how far they can be from the optimum out.

mod kernel;
mod linfa_logistic;
mod linfa_svm;
mod nearest_mean;
mod normal_equations;
mod products;
mod rows;
mod smooth;
mod svm;

use ndarray::{Array1, Array2, CowArray, Ix2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::rows::Rows;
pub(crate) use self::smooth::Columns;
pub(crate) use self::svm::Gram;
use crate::Error;
use crate::objective::Objective;
use crate::params::{EngineChoice, HeadKind, HeadParams, Loss};

/// One training set in solver coordinates: f64, of about unit size, centred if the bias is free. If it is regularized, the bias is one
/// of the weights (some direction of the features is 1 in every row), and [`Solution::bias`] is 0. All classes occur.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// n × r features.
    pub features: Rows<'a>,
    /// n class indices below `classes`.
    pub labels: &'a [usize],
    /// Number of classes, at least 2.
    pub classes: usize,
    /// How much each row counts; `None`: all the same.
    pub weights: Option<&'a [f64]>,
    /// What is fitted.
    pub head: HeadParams,
    /// Whether the columns of all training rows together, of which `features` may be a part, are orthogonal. Not needed, but worth
    /// much to solvers.
    pub orthogonal: bool,
    /// Inner products of the rows of a larger set, and which of them these are: for methods that need them, so that all parts of a
    /// training set share one matrix.
    pub(crate) inner: Option<(&'a Gram, &'a [usize])>,
    /// What is known of the columns of all training rows together, where that was found out before.
    pub(crate) columns: Option<&'a Columns>,
    /// Bytes that a fit may use for copies of the rows; methods that need more are not used.
    pub memory: u64,
}

impl<'a> Problem<'a> {
    /// All rows count the same, and memory has no bound.
    pub fn new(features: impl Into<Rows<'a>>, labels: &'a [usize], classes: usize, head: HeadParams) -> Self {
        Self {
            features: features.into(),
            labels,
            classes,
            weights: None,
            head,
            orthogonal: false,
            inner: None,
            columns: None,
            memory: u64::MAX,
        }
    }

    /// The objective of some weights (outputs × r) and biases; for solvers that do not know it anyway.
    pub(crate) fn value(&self, weights: &Array2<f64>, bias: &Array1<f64>, c: f64) -> f64 {
        let scores = scores(&self.features, weights, bias);
        self.objective().value(scores.view(), weights, c)
    }

    /// All rows in memory, for methods that cannot do with blocks; besides them such a method needs `more` bytes.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is too little.
    pub(crate) fn dense(&self, method: &'static str, more: u64) -> Result<CowArray<'a, f64, Ix2>, Error> {
        let needed = self.features.dense_bytes() + more;
        if needed > self.memory {
            let way_out = match self.head.engine {
                EngineChoice::Linfa => ", or use --engine default, which trains on rows as they come from the file",
                EngineChoice::Default => {
                    ", or use --loss squared-hinge, which trains on rows as they come from the file"
                }
            };
            return Err(Error::Memory { method, needed, left: self.memory, way_out });
        }
        Ok(self.features.to_dense())
    }

    /// What is minimised.
    pub(crate) fn objective(&self) -> Objective<'a> {
        Objective::new(&self.head, self.labels, self.classes, self.weights)
    }
}

/// n × outputs scores of rows.
pub(crate) fn scores(rows: &Rows, weights: &Array2<f64>, bias: &Array1<f64>) -> Array2<f64> {
    products::scores::<f64>(rows, weights.view()).reversed_axes() + bias
}

/// What a solver found.
#[derive(Debug, Clone)]
pub struct Solution {
    /// outputs × r weights: one output for two classes (positive means class 1), else one per class.
    pub weights: Array2<f64>,
    /// One bias per output.
    pub bias: Array1<f64>,
    /// `c · Σ loss + ½‖W‖²` there.
    pub objective: f64,
    /// How close to the optimum this is.
    pub certificate: Certificate,
    /// Iterations, where the solver tells.
    pub iterations: Option<usize>,
}

/// A bound on the distance to the optimum, computed from the solution itself and not from what the solver claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// What `value` bounds.
    pub measure: Measure,
    /// The bound.
    pub value: f64,
    /// The bound that was asked for.
    pub tolerance: f64,
    /// Whether `value` is at most `tolerance`. If not, the solution may be far from the optimum.
    pub converged: bool,
}

/// What a [`Certificate`] bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// ‖∇f‖ / ‖W‖ of f = C Σ loss + ½‖W‖². f is strongly convex with modulus 1 in W, so with the bias at its optimum this bounds
    /// ‖W − W*‖ / ‖W‖.
    RelativeWeightError,
    /// (primal − dual) / primal objective, for one-against-the-rest the largest over the classes: the objective is at most this
    /// share above its optimum.
    RelativeDualityGap,
    /// Nothing: the solution is a formula, with no error but rounding.
    ClosedForm,
}

impl Certificate {
    /// A bound beside what was asked for.
    pub fn new(measure: Measure, value: f64, tolerance: f64) -> Self {
        Self { measure, value, tolerance, converged: value <= tolerance }
    }
}

/// A solver for one kind of head.
pub trait Engine: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Minimises `c · Σ loss + ½‖W‖²`. The result depends on nothing but the arguments, in particular not on the number of threads.
    ///
    /// # Errors
    /// [`Error::Solver`] if there is no usable solution at all; one that is merely imprecise comes with a certificate that says so.
    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error>;

    /// The solutions for several C, in their order. `done` is called after each. Solvers that gain from going along the path one C
    /// after another replace this.
    ///
    /// # Errors
    /// The first of [`Self::fit`].
    fn fit_path(&self, problem: &Problem, cs: &[f64], done: &(dyn Fn() + Sync)) -> Result<Vec<Solution>, Error> {
        cs.par_iter().map(|&c| self.fit(problem, c).inspect(|_| done())).collect()
    }
}

/// Whether the engine for a head wants [`Problem::inner`] of a training set of this shape.
pub(crate) fn wants_inner_products(head: &HeadParams, rows: usize, columns: usize) -> bool {
    head.engine == EngineChoice::Default && head.loss() == Loss::Hinge && !svm::descends(head.bias, rows, columns)
}

/// The engine for a head.
pub fn engine(head: &HeadParams) -> &'static dyn Engine {
    match (head.kind, head.engine) {
        (HeadKind::Ncm, _) => &nearest_mean::NearestMean,
        (HeadKind::Logistic, EngineChoice::Linfa) => &linfa_logistic::LinfaLogistic,
        (HeadKind::Svm, EngineChoice::Linfa) => &linfa_svm::LinfaSvm,
        _ if head.loss() == Loss::Hinge => &svm::HingeSvm,
        _ => &smooth::Smooth,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use ndarray::ArrayView2;

    pub(crate) fn logistic_problem<'a>(x: ArrayView2<'a, f64>, labels: &'a [usize], classes: usize) -> Problem<'a> {
        Problem::new(x, labels, classes, HeadParams::new(HeadKind::Logistic))
    }

    pub(crate) fn svm_problem<'a>(x: ArrayView2<'a, f64>, labels: &'a [usize], classes: usize) -> Problem<'a> {
        Problem::new(x, labels, classes, HeadParams::new(HeadKind::Svm))
    }

    /// Classes on a line of overlapping clusters, centred, of about unit size.
    pub(crate) fn clusters(rows: usize, columns: usize, classes: usize, seed: u64) -> (Array2<f64>, Vec<usize>) {
        let mut random = SplitMix64::new(seed);
        let mut uniform = move || (random.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        let labels: Vec<usize> = (0..rows).map(|row| row % classes).collect();
        let mut x = Array2::from_shape_fn((rows, columns), |(row, column)| {
            let centre = if column % classes == labels[row] { 0.6 } else { 0.0 };
            (centre + uniform() + uniform() + uniform()) / (columns as f64).sqrt()
        });
        let mean = x.mean_axis(ndarray::Axis(0)).expect("rows");
        x -= &mean;
        (x, labels)
    }
}
