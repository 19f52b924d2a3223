//! Every point of a grid on every fold.

use rayon::prelude::*;

use super::Prepared;
use super::coordinates::{Coordinates, either};
use super::fit::outer_objective;
use crate::Error;
use crate::criterion::Metric;
use crate::engine::{Solution, engine, scores};
use crate::memory;
use crate::metrics::argmax_rows;
use crate::model::expand;
use crate::params::HeadParams;
use crate::selection::FoldScore;

impl Prepared<'_> {
    /// Scores every C on every fold.
    pub(super) fn score_folds(
        &self,
        coordinates: &Coordinates,
        head: &HeadParams,
        cs: &[f64],
        metric: Metric,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<Vec<FoldScore>>, Error> {
        self.each_fold(head, self.splits.len(), |fold| self.score_fold(coordinates, fold, head, cs, metric, done))
    }

    /// What comes of the first so many folds; at the same time where rows are in memory and there is enough of it.
    pub(super) fn each_fold<T: Send>(
        &self,
        head: &HeadParams,
        folds: usize,
        of_fold: impl Fn(usize) -> Result<T, Error> + Sync + Send,
    ) -> Result<Vec<T>, Error> {
        let at_once = folds.min(rayon::current_num_threads()) as u64;
        let needed = at_once * memory::of_solver(head, self.samples.features.ncols(), self.samples.classes.len());
        let found = if self.samples.features.is_stored() || needed > self.left().bytes() {
            (0..folds).map(of_fold).collect::<Result<Vec<_>, _>>()
        } else {
            (0..folds).into_par_iter().map(of_fold).collect()
        };
        self.samples.features.sound(found)?
    }

    fn score_fold(
        &self,
        coordinates: &Coordinates,
        fold: usize,
        head: &HeadParams,
        cs: &[f64],
        metric: Metric,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<FoldScore>, Error> {
        let fold_design = self.fold_design(coordinates, fold)?;
        let design = fold_design.design();
        let features = either(&coordinates.with_ones, self.features());
        let (train, test) = fold_design.rows(features, &self.splits[fold]);
        let (train_labels, test_labels) = (self.labels(&self.splits[fold].train), self.labels(&self.splits[fold].test));
        let train_weights = self.weights(&self.splits[fold].train);
        let mut problem = self.problem(train, &train_labels, train_weights.as_deref(), head, coordinates, design);
        problem.inner = self.inner_products(coordinates, design, fold);
        let inner: Vec<f64> = cs.iter().map(|&c| design.solver_c(c)).collect();
        let solutions = engine(head).fit_path(&problem, &inner, done)?;
        let score = |solution: Solution| {
            let scores = expand(head.kind, &scores(&test, &solution.weights, &solution.bias));
            let (predicted, objective) = (argmax_rows(scores.view()), outer_objective(head, design, &solution));
            let Solution { certificate, iterations, .. } = solution;
            FoldScore::new(head.kind, metric, scores.view(), predicted, &test_labels).solved(
                objective,
                certificate,
                iterations,
            )
        };
        Ok(solutions.into_iter().map(score).collect())
    }
}
