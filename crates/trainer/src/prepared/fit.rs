//! The fit of one head on all training rows.

use std::time::Instant;

use super::Prepared;
use super::coordinates::Coordinates;
use crate::Error;
use crate::classifier::Model;
use crate::engine::{Problem, Rows, Solution, engine};
use crate::model::LinearModel;
use crate::params::{HeadKind, HeadParams};
use crate::reduction::Design;
use crate::search::check_grid;
use crate::tuned::Tuned;

/// What a fit reports beside the model.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FitReport {
    /// The grid point that was fitted.
    #[serde(flatten)]
    pub tuned: Tuned,
    /// `C · Σ loss + ½‖W‖²` on the training rows, for heads that minimise it; with standardisation the penalty is on the weights of
    /// standardised features.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub objective: Option<f64>,
    /// How close to the optimum the solution is.
    pub certificate: crate::engine::Certificate,
    /// Solver iterations, where known.
    pub iterations: Option<usize>,
    /// Seconds of the fit, without the reduction.
    pub seconds: f64,
}

/// A fitted model with its report.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Acts on raw features.
    pub model: Model,
    /// How the fit went.
    pub report: FitReport,
}

impl Prepared<'_> {
    /// Fits a head on all training rows.
    ///
    /// # Errors
    /// Parameters that make no sense, and the solvers' own.
    pub fn fit(&self, head: &HeadParams, c: f64) -> Result<Fitted, Error> {
        check_grid(head.kind, &[c])?;
        head.verify()?;
        if head.kind == HeadKind::Knn {
            return self.fit_neighbors(head, c as usize);
        }
        let engine = engine(head);
        let coordinates = self.coordinates(head.bias)?;
        let full = &coordinates.full;
        let started = Instant::now();
        let (labels, weights) = (self.labels(&self.train), self.weights(&self.train));
        let features = self.features_of(coordinates);
        let rows = full.train(features, &self.train);
        let mut problem = self.problem(rows, &labels, weights.as_deref(), head, coordinates, full);
        let all: Vec<usize> = (0..self.train.len()).collect();
        problem.inner = coordinates.inner.get().map(|inner| (inner, &all[..]));
        // Rows that could not be read explain whatever else went wrong.
        let solution = features.sound(engine.fit(&problem, full.solver_c(c)))??;
        let objective = outer_objective(head, full, &solution);
        let (weights, bias) = features.sound(full.to_raw(features, &solution.weights, &solution.bias))?;
        let model = LinearModel::from_outputs(head.kind, self.samples.classes, weights, bias, c)
            .map_err(|reason| Error::Solver { engine: engine.name(), c, reason })?
            .on_rows(self.scaling.normalize);
        if !solution.certificate.converged {
            tracing::warn!(
                c,
                bound = solution.certificate.value,
                "the {} head did not converge: its weights may be far from the optimum; standardize or use a smaller C",
                head.kind
            );
        }
        let report = FitReport {
            tuned: Tuned::of(head.kind, c),
            objective,
            certificate: solution.certificate,
            iterations: solution.iterations,
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok(Fitted { model: model.into(), report })
    }

    pub(super) fn problem<'p>(
        &self,
        features: Rows<'p>,
        labels: &'p [usize],
        weights: Option<&'p [f64]>,
        head: &HeadParams,
        coordinates: &'p Coordinates,
        design: &Design,
    ) -> Problem<'p> {
        // A fold's own coordinates have columns of their own.
        let columns = coordinates.columns.get().filter(|_| std::ptr::eq(design, &coordinates.full));
        let (orthogonal, memory, classes) = (design.is_orthogonal(), self.left().bytes(), self.samples.classes.len());
        Problem { weights, orthogonal, columns, memory, ..Problem::new(features, labels, classes, *head) }
    }
}

/// The objective of a solution in terms of the features' own coordinates, for heads that have one.
pub(super) fn outer_objective(head: &HeadParams, design: &Design, solution: &Solution) -> Option<f64> {
    head.kind.has_c().then(|| design.outer_objective(solution.objective))
}
