//! A training set made ready once and used for any number of heads: folds, reduction, then as many fits as wanted.

mod held_out;
mod neighbors;

pub use held_out::HeldOut;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use crate::Error;
use crate::classifier::Model;
use crate::criterion::Metric;
use crate::engine::{Columns, Gram, Problem, Rows, Solution, engine, scores, wants_inner_products};
use crate::features::Features;
use crate::folds::stratified_folds;
use crate::made_rows::MadeRows;
use crate::memory::{self, Memory};
use crate::metrics::{Metrics, argmax_rows};
use crate::model::{LinearModel, expand};
use crate::normalize::Scaling;
use crate::params::{Bias, EngineChoice, HeadKind, HeadParams, Loss};
use crate::reduction::Design;
use crate::samples::Samples;
use crate::search::{Search, check_grid};
use crate::selection::{CrossValidation, FoldScore, Scheme, Setting, Tried};
use crate::splits::{Split, holdout};
use crate::tuned::Tuned;
use crate::validation::Validation;

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

/// Training rows in solver coordinates for one kind of bias.
struct Coordinates<'a> {
    bias: Bias,
    /// The features with a column of ones, if the bias is the weight of that.
    with_ones: Option<MadeRows<'a>>,
    full: Design,
    /// For folds whose design is their own and small enough to keep.
    fold_designs: Vec<OnceLock<Design>>,
    /// Inner products of the rows of `full`, for heads that want them.
    inner: OnceLock<Gram>,
    /// What is known of the columns of `full`, for heads that want it.
    columns: OnceLock<Columns>,
}

/// One fold's design.
enum FoldDesign<'p> {
    /// That of all training rows, of which the fold's are some.
    Whole(&'p Design),
    /// One of the fold's own, kept for other heads.
    Kept(&'p Design),
    /// One of the fold's own, too large to keep.
    Fresh(Box<Design>),
}

impl FoldDesign<'_> {
    fn design(&self) -> &Design {
        match self {
            Self::Whole(design) | Self::Kept(design) => design,
            Self::Fresh(design) => design,
        }
    }

    /// Training and held-out rows in solver coordinates.
    fn rows<'s, 'f: 's>(&'s self, features: Features<'f>, split: &'s Split) -> (Rows<'s>, Rows<'s>) {
        let design = self.design();
        match self {
            Self::Whole(_) => (design.select(features, &split.train), design.select(features, &split.test)),
            _ => (design.train(features, &split.train), design.test(features, &split.test)),
        }
    }
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

    /// Makes what these heads gain from, shared by all their fits: columns turned to principal axes, inner products of all rows. Without
    /// it, results are the same but for rounding, and fits take longer.
    ///
    /// # Errors
    /// [`Error::Eigen`] if an eigendecomposition fails, which finite features have not been seen to cause.
    pub fn for_heads(mut self, heads: &[HeadParams]) -> Result<Self, Error> {
        let started = Instant::now();
        // Orthogonal columns cost more than one fit.
        self.rotate =
            !self.splits.is_empty() && heads.iter().any(|head| head.kind.has_c() && head.loss() != Loss::Hinge);
        let shares = self.scheme == Scheme::KFold && !self.scaling.standardize;
        // Neighbours are looked for among the features themselves.
        for head in heads.iter().filter(|head| head.kind != HeadKind::Knn) {
            let needed = memory::of_solver(head, self.samples.features.ncols(), self.samples.classes.len());
            if needed > self.memory.bytes() {
                let (left, way_out) = (self.memory.bytes(), "");
                return Err(Error::Memory { method: "a fit of so many features and classes", needed, left, way_out });
            }
            let coordinates = self.coordinates(head.bias)?;
            let features = self.features_of(coordinates);
            let train = coordinates.full.train(features, &self.train);
            let (rows, columns) = train.dim();
            // The products, and the rows in f64 and f32.
            let needed = memory::bytes_of(rows, rows) + 3 * memory::bytes_of(rows, columns);
            if shares && wants_inner_products(head, rows, columns) && needed <= self.left().bytes() {
                coordinates.inner.get_or_init(|| Gram::new(train.to_dense().view()));
            }
            // Before threads part: one that waits for another inside its own parallel work would wait for ever.
            if head.engine == EngineChoice::Default && head.kind.has_c() && head.loss() != Loss::Hinge {
                coordinates.columns.get_or_init(|| Columns::new(&train, coordinates.full.is_orthogonal()));
            }
            features.sound(())?;
        }
        self.seconds += started.elapsed().as_secs_f64();
        Ok(self)
    }

    /// Coordinates for heads of this bias.
    fn coordinates(&self, bias: Bias) -> Result<&Coordinates<'a>, Error> {
        let place = match bias {
            Bias::Free => &self.free,
            Bias::Regularized => &self.regularized,
        };
        if let Some(made) = place.get() {
            return Ok(made);
        }
        let with_ones =
            (bias == Bias::Regularized).then(|| MadeRows::with_ones(self.samples.features, self.scaling.normalize));
        let copies = u64::from(with_ones.is_some()) * memory::of_features(&self.samples.features);
        let held_out = if self.scheme == Scheme::Holdout { &self.splits[0].test[..] } else { &[] };
        let features = either(&with_ones, self.features());
        let memory = self.left().less(copies).bytes();
        let full = Design::build(features, &self.train, held_out, self.scaling.standardize, bias, self.rotate, memory)?;
        if !full.varies() {
            return Err(Error::ConstantFeatures { rows: self.train.len() });
        }
        let fold_designs = self.splits.iter().map(|_| OnceLock::new()).collect();
        let (inner, columns) = (OnceLock::new(), OnceLock::new());
        Ok(place.get_or_init(|| Coordinates { bias, with_ones, full, fold_designs, inner, columns }))
    }

    /// Memory that features and what was made of them leave.
    fn left(&self) -> Memory {
        let made = [&self.free, &self.regularized].into_iter().filter_map(OnceLock::get);
        made.fold(self.memory, |left, coordinates| {
            let ones = coordinates.with_ones.as_ref().map_or(0, |rows| memory::of_features(&rows.features()));
            let products = coordinates.inner.get().map_or(0, |_| memory::bytes_of(self.train.len(), self.train.len()));
            left.less(ones + products + coordinates.full.bytes())
        })
    }

    /// The rows that these coordinates are made of.
    fn features_of<'p>(&'p self, coordinates: &'p Coordinates<'a>) -> Features<'p> {
        either(&coordinates.with_ones, self.features())
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

    fn problem<'p>(
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

    /// Inner products of a fold's training rows, where they are those of all training rows.
    fn inner_products<'p>(
        &'p self,
        coordinates: &'p Coordinates,
        design: &Design,
        fold: usize,
    ) -> Option<(&'p Gram, &'p [usize])> {
        let shared = std::ptr::eq(design, &coordinates.full) && self.scheme == Scheme::KFold;
        coordinates.inner.get().filter(|_| shared).map(|all| (all, &self.splits[fold].train[..]))
    }

    fn fold_design<'p>(&self, coordinates: &'p Coordinates, fold: usize) -> Result<FoldDesign<'p>, Error> {
        let Coordinates { bias, full, fold_designs, .. } = coordinates;
        let split = &self.splits[fold];
        if self.scheme == Scheme::Holdout {
            return Ok(FoldDesign::Kept(full));
        }
        if !self.scaling.standardize {
            // All rows train, so rows of the samples are rows of the design.
            return Ok(FoldDesign::Whole(full));
        }
        if let Some(design) = fold_designs[fold].get() {
            return Ok(FoldDesign::Kept(design));
        }
        let (features, share) =
            (either(&coordinates.with_ones, self.features()), self.left().bytes() / self.splits.len() as u64);
        let design = Design::build(features, &split.train, &split.test, true, *bias, self.rotate, share)?;
        if self.keeps(&design) {
            Ok(FoldDesign::Kept(fold_designs[fold].get_or_init(|| design)))
        } else {
            Ok(FoldDesign::Fresh(Box::new(design)))
        }
    }

    /// Whether a fold's design is kept for other heads and for further values of C. With no more rows than features it is small
    /// and dear, so those of a single cross-validation are kept in any case, all others as far as they fit together.
    fn keeps(&self, design: &Design) -> bool {
        /// 2 GiB.
        const MOST_BYTES: u64 = 1 << 31;
        let all = design.bytes() * self.splits.len() as u64;
        (design.is_reduced() && self.repeats == 1) || all <= MOST_BYTES.min(self.left().bytes())
    }

    /// Scores every C on every fold.
    fn score_folds(
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
    fn each_fold<T: Send>(
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

/// The rows that were made of others, or where none were made, the others.
fn either<'r, 'a: 'r>(made: &'r Option<MadeRows<'a>>, others: Features<'a>) -> Features<'r> {
    made.as_ref().map_or(others.reborrow(), MadeRows::features)
}

/// The objective of a solution in terms of the features' own coordinates, for heads that have one.
fn outer_objective(head: &HeadParams, design: &Design, solution: &Solution) -> Option<f64> {
    head.kind.has_c().then(|| design.outer_objective(solution.objective))
}

/// Counts fits from many threads for a progress display.
pub(crate) struct Counter<'a> {
    count: AtomicUsize,
    total: usize,
    report: &'a (dyn Fn(usize, usize) + Sync),
}

impl<'a> Counter<'a> {
    pub(crate) fn new(total: usize, report: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Self { count: AtomicUsize::new(0), total, report }
    }

    pub(crate) fn step(&self) {
        (self.report)(self.count.fetch_add(1, Ordering::Relaxed) + 1, self.total);
    }
}
