//! A training set made ready once and used for any number of heads: folds, reduction, then as many fits as wanted.

mod coordinates;
mod fit;
mod fold_scores;
mod held_out;
mod neighbors;

pub use fit::{FitReport, Fitted};
pub use held_out::HeldOut;

use std::sync::OnceLock;
use std::time::Instant;

use self::coordinates::{Coordinates, either};
use crate::Error;
use crate::classifier::Model;
use crate::features::Features;
use crate::folds::stratified_folds;
use crate::made_rows::MadeRows;
use crate::memory::{self, Memory};
use crate::metrics::Metrics;
use crate::normalize::Scaling;
use crate::params::{HeadKind, HeadParams};
use crate::samples::Samples;
use crate::search::Search;
use crate::selection::{CrossValidation, Scheme, Setting, Tried};
use crate::splits::{Split, holdout};
use crate::validation::Validation;

/// A training set in solver coordinates, ready for [`Self::cross_validate`] and [`Self::fit`] of any head.
///
/// Without standardisation one reduction serves every fold: where the bias is free, centring with all training rows instead of a
/// fold's changes no solution (where it is not, nothing is centred), and neither does a rotation. With it each fold has its own, so that no statistic of a held-out row
/// enters its training.
pub struct Prepared<'a> {
    samples: Samples<'a>,
    scheme: Scheme,
    repeats: usize,
    seed: u64,
    scaling: Scaling,
    /// The rows as they are trained on, where that is not as the samples hold them.
    normalized: Option<MadeRows<'a>>,
    /// What features leave of it.
    memory: Memory,
    /// Fold after fold, repeat after repeat.
    splits: Vec<Split>,
    train: Vec<usize>,
    /// Whether designs are turned to their principal axes.
    rotate: bool,
    /// For heads whose bias is free, and for those whose bias is regularized; made when the first asks for them.
    free: OnceLock<Coordinates<'a>>,
    regularized: OnceLock<Coordinates<'a>>,
    seconds: f64,
}

impl<'a> Prepared<'a> {
    /// Checks the samples, draws the folds, scales the features (`true`: standardises them) and reduces the training rows.
    ///
    /// # Errors
    /// Anything wrong with the samples; fewer than two folds; a class too small for the folds; a fixed split with a row out of range or twice, or without
    /// training or validation rows; a class missing from a training part.
    pub fn new(
        samples: Samples<'a>,
        validation: &Validation,
        scaling: impl Into<Scaling>,
        seed: u64,
    ) -> Result<Self, Error> {
        Self::within(Memory::UNLIMITED, samples, validation, scaling, seed)
    }

    /// [`Self::new`] with a bound on the memory that is used, features included where they are in memory.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn within(
        memory: Memory,
        samples: Samples<'a>,
        validation: &Validation,
        scaling: impl Into<Scaling>,
        seed: u64,
    ) -> Result<Self, Error> {
        let started = Instant::now();
        let scaling = scaling.into();
        validation.verify()?;
        samples.check()?;
        let all: Vec<usize> = (0..samples.len()).collect();
        let repeats = validation.repeats();
        let (scheme, train, splits) = match validation {
            Validation::None => (Scheme::None, all, Vec::new()),
            Validation::KFold(folds) | Validation::Repeated { folds, .. } => {
                samples.check_classes(&all, "")?;
                let mut splits = Vec::new();
                for repeat in 0..repeats {
                    let seed = seed.wrapping_add(repeat as u64);
                    let fold_of = stratified_folds(samples.labels, samples.groups, samples.classes, *folds, seed)?;
                    splits.extend((0..*folds).map(|fold| Split::of(&samples, &fold_of, fold)));
                }
                (Scheme::KFold, all, splits)
            }
            Validation::Holdout(rows) => {
                let split = holdout(&samples, rows)?;
                (Scheme::Holdout, split.train.clone(), vec![split])
            }
        };
        samples.check_classes(&train, "")?;
        let folds = splits.len() / repeats;
        for (fold, split) in splits.iter().enumerate() {
            samples.check_classes(&split.train, &format!(" when fold {} is held out", fold % folds + 1))?;
            if split.test.is_empty() {
                return Err(Error::Split(format!("fold {} has no row to score", fold % folds + 1)));
            }
        }

        let normalized = MadeRows::normalized(samples.features, scaling.normalize);
        let copies = 1 + u64::from(normalized.is_some());
        let memory = memory.less(copies * memory::of_features(&samples.features));
        let seconds = started.elapsed().as_secs_f64();
        Ok(Self {
            samples,
            scheme,
            repeats,
            seed,
            scaling,
            normalized,
            memory,
            splits,
            train,
            rotate: false,
            free: OnceLock::new(),
            regularized: OnceLock::new(),
            seconds,
        })
    }

    /// Seconds that checks, folds and the reduction of all training rows took.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// How validation rows were chosen.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Seed of the folds.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether features are standardised.
    pub fn standardize(&self) -> bool {
        self.scaling.standardize
    }

    /// The rows in the form that solver coordinates are made of.
    fn features(&self) -> Features<'_> {
        either(&self.normalized, self.samples.features)
    }

    /// Class names, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        self.samples.classes
    }

    /// Training rows of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.samples.classes.len()];
        self.train.iter().for_each(|&row| counts[self.samples.labels[row]] += 1);
        counts
    }

    /// Number of training rows.
    pub fn train_rows(&self) -> usize {
        self.train.len()
    }

    /// Number of training images, of which the rows are views.
    pub fn train_images(&self) -> usize {
        self.train.iter().map(|&row| self.samples.groups[row]).collect::<std::collections::HashSet<_>>().len()
    }

    /// Whether solvers see fewer columns than there are features.
    pub fn is_reduced(&self) -> bool {
        self.train.len() <= self.samples.features.ncols()
    }

    /// Folds of the cross-validation, of each repeat; 1 for a fixed split, 0 without validation.
    pub fn folds(&self) -> usize {
        self.splits.len() / self.repeats
    }

    /// How often the cross-validation is done, each time with folds of its own.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// Scores every C on every fold, in parallel, and then those around the best, round after round. `done` is called after each
    /// fit.
    ///
    /// The best C is the one with the best mean of the metric, the smallest of equals.
    ///
    /// # Errors
    /// Parameters that make no sense, [`Error::Split`] if there are no folds, [`Error::UndefinedMetric`], and the solvers' own.
    pub fn cross_validate(
        &self,
        head: &HeadParams,
        search: &Search,
        done: &(dyn Fn() + Sync),
    ) -> Result<CrossValidation, Error> {
        search.verify(head.kind)?;
        head.verify()?;
        if self.splits.is_empty() {
            return Err(Error::Split("cross-validation needs folds or validation rows".into()));
        }
        let started = Instant::now();
        let metric = search.compared_by();
        let truth: Vec<Vec<usize>> = self.splits.iter().map(|split| self.labels(&split.test)).collect();
        let mut tried = Tried::new(Setting {
            scheme: self.scheme,
            repeats: self.repeats,
            seed: self.seed,
            kind: head.kind,
            metric,
            classes: self.samples.classes,
            truth: &truth,
        })?;
        let mut cs = search.cs().to_vec();
        for round in 0..=search.rounds() {
            let scores = match head.kind {
                HeadKind::Knn => self.score_votes(head, &cs, metric, done)?,
                _ => self.score_folds(self.coordinates(head.bias)?, head, &cs, metric, done)?,
            };
            tried.add(round, &cs, scores);
            cs = tried.around_best();
            if cs.is_empty() {
                break;
            }
        }
        Ok(tried.finish(started.elapsed().as_secs_f64()))
    }

    /// Scores a model on the training rows.
    ///
    /// # Errors
    /// As [`Model::decision`].
    pub fn training_metrics(&self, model: &Model) -> Result<Metrics, Error> {
        let scored: Vec<usize> = self.train.iter().copied().filter(|&row| self.samples.is_scored(row)).collect();
        model.check_width(self.samples.features.ncols())?;
        Ok(crate::head::evaluate_rows(model, self.samples.features, &scored, &self.labels(&scored))?.0)
    }

    fn labels(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|&row| self.samples.labels[row]).collect()
    }

    fn weights(&self, rows: &[usize]) -> Option<Vec<f64>> {
        self.samples.weights.map(|weights| rows.iter().map(|&row| weights[row]).collect())
    }
}
