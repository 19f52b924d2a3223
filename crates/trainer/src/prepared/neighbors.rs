//! Nearest neighbours on the folds and on all training rows: no coordinates but the features' own.

use std::time::Instant;

use ndarray::Array2;

use super::{FitReport, Fitted, Prepared};
use crate::Error;
use crate::criterion::Metric;
use crate::engine::{Certificate, Measure};
use crate::memory;
use crate::neighbors::{Index, NeighborsModel, QUERIES, Standardization, Votes};
use crate::params::HeadParams;
use crate::selection::FoldScore;
use crate::tuned::Tuned;

impl Prepared<'_> {
    /// What every number of neighbours makes of every fold, one after another: each search is parallel itself, and holds a copy of
    /// its fold's vectors.
    pub(super) fn score_votes(
        &self,
        head: &HeadParams,
        neighbors: &[f64],
        metric: Metric,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<Vec<FoldScore>>, Error> {
        (0..self.splits.len()).map(|fold| self.votes_of_fold(fold, head, neighbors, metric, done)).collect()
    }

    /// One search serves all numbers of neighbours.
    fn votes_of_fold(
        &self,
        fold: usize,
        head: &HeadParams,
        neighbors: &[f64],
        metric: Metric,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<FoldScore>, Error> {
        let most = neighbors.iter().copied().fold(1.0, f64::max) as usize;
        let nearest = self.nearest(fold, head, most)?;
        let (train, test) = (self.labels(&self.splits[fold].train), self.labels(&self.splits[fold].test));
        let score = |&count: &f64| {
            let Votes { shares, predicted } = Votes::count(&nearest, &train, self.classes().len(), count as usize);
            done();
            FoldScore::new(head.kind, metric, shares.view(), predicted, &test).solved(
                None,
                nothing_to_certify(head),
                None,
            )
        };
        Ok(neighbors.iter().map(score).collect())
    }

    /// The votes on the held-out rows of a fold.
    pub(super) fn vote(&self, fold: usize, head: &HeadParams, neighbors: usize) -> Result<Votes, Error> {
        let nearest = self.nearest(fold, head, neighbors)?;
        Ok(Votes::count(&nearest, &self.labels(&self.splits[fold].train), self.classes().len(), neighbors))
    }

    /// All training rows with their classes.
    pub(super) fn fit_neighbors(&self, head: &HeadParams, neighbors: usize) -> Result<Fitted, Error> {
        let started = Instant::now();
        let vectors = self.vectors(&self.train, neighbors, "")?;
        let standardization = self.scaling.standardize.then(|| Standardization::of(vectors.view()));
        let (classes, labels) = (self.classes().to_vec(), self.labels(&self.train));
        let model = NeighborsModel::new(classes, vectors, labels, neighbors, head.knn_metric, standardization)
            .map(|model| model.on_rows(self.scaling.normalize))
            .map_err(|reason| Error::HeadFile { place: "head".into(), reason })?;
        let report = FitReport {
            tuned: Tuned::Neighbors(neighbors),
            objective: None,
            certificate: nothing_to_certify(head),
            iterations: None,
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok(Fitted { model: model.into(), report })
    }

    fn nearest(&self, fold: usize, head: &HeadParams, most: usize) -> Result<Vec<Vec<usize>>, Error> {
        let place = format!(" when fold {} is held out", fold % self.folds() + 1);
        let vectors = self.vectors(&self.splits[fold].train, most, &place)?;
        // Statistics of held-out rows enter nothing.
        let standardization = self.scaling.standardize.then(|| Standardization::of(vectors.view()));
        let index = Index::new(vectors, head.knn_metric, standardization);
        let test = self.splits[fold].test.chunks(QUERIES);
        let found = test.map(|rows| Ok(index.nearest(self.features().read(rows)?.view(), most)));
        Ok(found.collect::<Result<Vec<_>, Error>>()?.concat())
    }

    /// A copy of some rows, if there are enough for so many neighbours.
    fn vectors(&self, rows: &[usize], neighbors: usize, place: &str) -> Result<Array2<f32>, Error> {
        if self.samples.weights.is_some() {
            return Err(Error::WeightedNeighbors);
        }
        if neighbors > rows.len() {
            return Err(Error::FewNeighbors { neighbors, rows: rows.len(), place: place.into() });
        }
        // The vectors, and the same made ready.
        let (needed, left) = (2 * memory::bytes_of(rows.len(), self.samples.features.ncols()), self.left().bytes());
        if needed > left {
            let way_out = ", or train a head that reads rows as they come from the file: logistic, ridge, ncm";
            return Err(Error::Memory { method: "a search among the training vectors", needed, left, way_out });
        }
        let vectors = self.features().read(rows)?;
        let first = vectors.row(0);
        if vectors.outer_iter().all(|row| row == first) {
            return Err(Error::ConstantFeatures { rows: rows.len() });
        }
        Ok(vectors)
    }
}

/// Nothing is fitted, so nothing can be far from an optimum.
fn nothing_to_certify(head: &HeadParams) -> Certificate {
    Certificate::new(Measure::ClosedForm, 0.0, head.tolerance)
}
