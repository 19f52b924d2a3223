//! What the models of the folds say of the rows that they had not seen.

use ndarray::{Array2, Axis, concatenate};

use super::Prepared;
use crate::Error;
use crate::engine::{engine, scores};
use crate::metrics::argmax_rows;
use crate::model::expand;
use crate::neighbors::Votes;
use crate::params::{HeadKind, HeadParams};
use crate::search::check_grid;

/// Scores of held-out rows, fold after fold, each by the model that had not seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Which rows, as indices into the samples.
    pub rows: Vec<usize>,
    /// The fold that each was held out in.
    pub folds: Vec<usize>,
    /// Their groups.
    pub groups: Vec<usize>,
    /// Their classes.
    pub labels: Vec<usize>,
    /// n × k decision values.
    pub scores: Array2<f64>,
    /// The classes that these say.
    pub predicted: Vec<usize>,
}

impl Prepared<'_> {
    /// Fits a head at one point of its grid on the training rows of every fold (of the first repeat, so that every row counts once)
    /// and scores the rows that were held out.
    ///
    /// These fits start from nothing, while those of a grid go from one C to the next: both come as close to the optimum as was
    /// asked for, so a row between two classes may fall to either.
    ///
    /// # Errors
    /// Parameters that make no sense, [`Error::Split`] if there are no folds, and the solvers' own.
    pub fn held_out_scores(&self, head: &HeadParams, c: f64) -> Result<HeldOut, Error> {
        check_grid(head.kind, &[c])?;
        head.verify()?;
        if self.splits.is_empty() {
            return Err(Error::Split("scores of held-out rows need folds or validation rows".into()));
        }
        if head.kind == HeadKind::Knn {
            let votes: Vec<Votes> =
                (0..self.folds()).map(|fold| self.vote(fold, head, c as usize)).collect::<Result<_, _>>()?;
            let predicted = votes.iter().flat_map(|votes| votes.predicted.iter().copied()).collect();
            return self.gather(&votes.into_iter().map(|votes| votes.shares).collect::<Vec<_>>(), predicted);
        }
        let coordinates = self.coordinates(head.bias)?;
        let of_fold = |fold: usize| -> Result<Array2<f64>, Error> {
            let fold_design = self.fold_design(coordinates, fold)?;
            let design = fold_design.design();
            let (train, test) = fold_design.rows(self.features_of(coordinates), &self.splits[fold]);
            let labels = self.labels(&self.splits[fold].train);
            let weights = self.weights(&self.splits[fold].train);
            let mut problem = self.problem(train, &labels, weights.as_deref(), head, coordinates, design);
            problem.inner = self.inner_products(coordinates, design, fold);
            let solution = engine(head).fit(&problem, design.solver_c(c))?;
            Ok(expand(head.kind, &scores(&test, &solution.weights, &solution.bias)))
        };
        let scores: Vec<Array2<f64>> = self.each_fold(head, self.folds(), of_fold)?;
        let predicted = scores.iter().flat_map(|scores| argmax_rows(scores.view())).collect();
        self.gather(&scores, predicted)
    }

    /// Scores and predictions of all folds with what is known of their rows.
    fn gather(&self, scores: &[Array2<f64>], predicted: Vec<usize>) -> Result<HeldOut, Error> {
        let views: Vec<_> = scores.iter().map(Array2::view).collect();
        let splits = &self.splits[..self.folds()];
        let rows: Vec<usize> = splits.iter().flat_map(|split| split.test.iter().copied()).collect();
        let folds = splits.iter().enumerate();
        Ok(HeldOut {
            folds: folds.flat_map(|(fold, split)| split.test.iter().map(move |_| fold)).collect(),
            groups: rows.iter().map(|&row| self.samples.groups[row]).collect(),
            labels: self.labels(&rows),
            scores: concatenate(Axis(0), &views).map_err(|error| Error::Split(error.to_string()))?,
            rows,
            predicted,
        })
    }
}
