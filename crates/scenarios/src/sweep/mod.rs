//! Every layer of one or more caches × every head: which layer suits these images best?

mod candidate;
mod compare;
mod depth;
mod page;
#[cfg(test)]
mod tests;

pub use compare::{ALPHA, Comparison, Group, p_value};
pub use depth::cache_names;

use candidate::Candidate;
use compare::Scored;
use headstart_trainer::{
    Error, HeadKind, HeadParams, Memory, MemoryUse, Metric, Part, Prepared, Scaling, Search, Tuned, Validation,
    evaluate_each, train_prepared,
};
use rayon::prelude::*;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// What to sweep.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// The caches.
    pub caches: Vec<PathBuf>,
    /// Layers (names with or without the pool); empty for all.
    pub layers: Vec<String>,
    /// Only layers that were pooled so; empty for all.
    pub pools: Vec<String>,
    /// Layers side by side, each a list of names.
    pub joined: Vec<Vec<String>>,
    /// The heads, each with its grid, and what candidates, layers and heads are compared by.
    pub heads: Vec<(HeadParams, Search)>,
    /// The folds on which they are compared.
    pub validation: Validation,
    /// What is done to features before.
    pub scaling: Scaling,
    /// Seed of the folds.
    pub seed: u64,
    /// Memory that training may use; layers too large for it are read from the cache whenever they are needed.
    pub memory: Memory,
}

/// One layer with one head.
#[derive(Debug, Clone, Serialize)]
pub struct SweepRow {
    /// The cache.
    pub cache: PathBuf,
    /// Its backbone.
    pub backbone: String,
    /// The layer; of several side by side `a+b`.
    pub layer: String,
    /// How it was pooled.
    pub pool: String,
    /// The head.
    pub head: HeadKind,
    /// What cross-validation chose.
    #[serde(flatten)]
    pub tuned: Tuned,
    /// What C was chosen by.
    pub metric: Metric,
    /// Mean of that metric over the folds.
    pub cv_score: f64,
    /// Its standard error.
    pub cv_score_se: f64,
    /// The metric on each fold, repeat after repeat.
    pub fold_scores: Vec<Option<f64>>,
    /// The metric on the test rows; none where there are no such rows.
    pub test_score: Option<f64>,
    /// Mean accuracy over the folds.
    pub cv_mean: f64,
    /// Its standard error.
    pub cv_se: f64,
    /// Training rows.
    pub n_train: usize,
    /// Training images, of which the rows are views.
    pub n_train_images: usize,
    /// Accuracy on the test rows (else the validation rows), which selected nothing; none where there are no such rows.
    pub test: Option<f64>,
    /// Lower end of its 95 % interval (Wilson).
    pub test_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub test_high: Option<f64>,
    /// Test rows.
    pub n_test: usize,
    /// Against the best row of the same training images; none for that one, and where too few folds define the metric.
    pub against_best: Option<Comparison>,
    /// Numbers per image.
    pub width: usize,
    /// Bytes that they take in the cache.
    pub bytes_per_image: u64,
    /// Multiply-adds of the backbone up to this layer; none for vectors made elsewhere.
    pub multiply_adds: Option<u64>,
    /// Whether the features stayed in the cache, being too large for the memory that may be used.
    pub streamed: bool,
    /// Seconds this row took.
    pub seconds: f64,
    /// What a reader of the scores should know.
    pub warnings: Vec<String>,
    /// Position in the backbone, 0 (input) to 1 (output); none for vectors made elsewhere.
    pub depth: Option<f64>,
}

/// The result of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct Sweep {
    /// One entry per cache, layer and head.
    pub rows: Vec<SweepRow>,
    /// Rows that can be compared with each other; one group unless caches hold different training images.
    pub groups: Vec<Group>,
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A cache cannot be read, or lacks a layer.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// A cache is given twice.
    #[error(transparent)]
    Twice(#[from] GivenTwice),
    /// No layer is left to sweep.
    #[error("{}: no layer is pooled by {wanted}; it holds {held}", .cache.display())]
    NoLayers {
        /// The cache.
        cache: PathBuf,
        /// The pools asked for.
        wanted: String,
        /// The layers it has.
        held: String,
    },
    /// A cache without layers.
    #[error("{}: the cache has no layers; run its extract command again", .0.display())]
    Empty(PathBuf),
    /// A head cannot be trained.
    #[error("{}, layer {layer}: {source}", .cache.display())]
    Train {
        /// The cache.
        cache: PathBuf,
        /// The layer.
        layer: String,
        /// Why.
        source: Box<Error>,
    },
}

/// A cache that is given twice, which would be compared with itself.
#[derive(Debug, thiserror::Error)]
#[error("{}: the cache is given twice{}", .path.display(), also(path, first))]
pub struct GivenTwice {
    /// The cache.
    pub path: PathBuf,
    /// What it is called where it is given first.
    pub first: PathBuf,
}

fn also(path: &Path, first: &Path) -> String {
    if path == first { String::new() } else { format!(", first as {}; name it once", first.display()) }
}

/// Whether these are all different files, whatever they are called.
///
/// # Errors
/// The first that is not.
pub(crate) fn given_once(caches: &[PathBuf]) -> Result<(), GivenTwice> {
    // Files that are not there are missed when they are opened.
    let file = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let files: Vec<PathBuf> = caches.iter().map(file).collect();
    for (at, path) in caches.iter().enumerate() {
        if let Some(first) = files[..at].iter().position(|known| *known == files[at]) {
            return Err(GivenTwice { path: path.clone(), first: caches[first].clone() });
        }
    }
    Ok(())
}

/// Trains every head on every layer, layers in parallel where memory holds them all; `progress` is told when a layer begins: which
/// one, how many are done, how many there are.
///
/// # Errors
/// The first cache or layer that cannot be read or trained on. Incomplete layers are found before anything is trained.
pub fn sweep(options: &SweepOptions, progress: &(dyn Fn(&str, usize, usize) + Sync)) -> Result<Sweep, SweepError> {
    given_once(&options.caches)?;
    let mut work: Vec<Candidate> = Vec::new();
    for path in &options.caches {
        work.extend(candidate::of_cache(path, options)?);
    }
    let about = |candidate: &Candidate, source: Error| SweepError::Train {
        cache: candidate.cache.path().to_path_buf(),
        layer: candidate.name(),
        source: Box::new(source),
    };
    // What would end a sweep late is found without reading the vectors.
    let needed = |candidate: &Candidate| -> Result<f64, SweepError> {
        let rows = candidate.rows().map_err(|source| about(candidate, source))?;
        let classes = candidate.cache.classes().len();
        let used = |head| MemoryUse::new(options.memory, rows, candidate.width(), head, classes);
        // What is made of the features takes as much again.
        let needed = options.heads.iter().map(|(head, _)| used(head)).map(|used| 2 * used.features + used.solver).max();
        Ok(needed.unwrap_or(0) as f64)
    };
    let needed: Vec<f64> = work.iter().map(needed).collect::<Result<_, _>>()?;
    let all: f64 = needed.iter().sum();
    let together = all <= options.memory.bytes() as f64;
    let (done, total) = (AtomicUsize::new(0), work.len());
    let one = |(candidate, &needed): (&Candidate, &f64)| {
        progress(&candidate.name(), done.load(Ordering::Relaxed), total);
        // Layers that are in memory together share it.
        let memory = match options.memory {
            memory if !together || memory == Memory::UNLIMITED => memory,
            memory => Memory::new((memory.bytes() as f64 * needed / all) as u64),
        };
        let rows = layer_rows(candidate, options, memory).map_err(|source| about(candidate, source));
        done.fetch_add(1, Ordering::Relaxed);
        rows
    };
    let found: Result<Vec<Vec<Scored>>, SweepError> = match together {
        true => work.par_iter().zip(&needed).map(one).collect(),
        false => work.iter().zip(&needed).map(one).collect(),
    };
    Ok(compare::sweep(found?.into_iter().flatten().collect(), options.validation.repeats()))
}

fn layer_rows(candidate: &Candidate, options: &SweepOptions, memory: Memory) -> Result<Vec<Scored>, Error> {
    let cache = &candidate.cache;
    let streamed = !memory.holds(candidate.rows()?, candidate.width());
    if streamed {
        tracing::info!("{}: {} is read from the cache whenever it is needed", cache.path().display(), candidate.name());
    }
    let place = if streamed { Memory::new(0) } else { Memory::UNLIMITED };
    let train = candidate.read(&Part::Train, place)?.for_training(cache, &Part::Train);
    let mut test = candidate.read(&Part::Test, place)?;
    // Rows of classes without training rows are not scored.
    for (class, rows) in test.keep_classes(&train.classes).iter().filter(|(_, rows)| *rows > 0) {
        tracing::warn!("class '{class}' has no training rows: its {rows} test rows are left out of the scores");
    }
    let heads: Vec<HeadParams> = options.heads.iter().map(|(head, _)| *head).collect();
    let prepared = Prepared::within(memory, train.samples(), &options.validation, options.scaling, options.seed)?
        .for_heads(&heads)?;
    let mut rows = Vec::new();
    for (head, search) in &options.heads {
        let outcome = train_prepared(&prepared, head, search, &|_| {})?;
        let tested = match test.is_empty() {
            true => None,
            false => Some(evaluate_each(&outcome.model, test.features.view(), &test.labels)?),
        };
        let metric = search.compared_by();
        let test_score = tested.as_ref().and_then(|(metrics, _)| metrics.get(metric));
        let right = tested.as_ref().map(|(_, predicted)| {
            predicted.iter().zip(&test.labels).map(|(predicted, label)| predicted == label).collect()
        });
        let tested = tested.map(|(metrics, _)| metrics.accuracy);
        let best = outcome.selection.as_ref().map(|selection| selection.best());
        rows.push(Scored {
            trained_on: candidate.images(&train),
            tested_on: candidate.images(&test),
            right: right.unwrap_or_default(),
            row: SweepRow {
                cache: cache.path().to_path_buf(),
                backbone: cache.provenance().backbone.clone(),
                layer: candidate.layer(),
                pool: candidate.pool(),
                head: head.kind,
                tuned: outcome.model.tuned(),
                metric,
                cv_score: outcome.training.cv_score.unwrap_or(f64::NAN),
                cv_score_se: outcome.training.cv_score_standard_error.unwrap_or(f64::NAN),
                fold_scores: best.map_or_else(Vec::new, |point| point.fold_score.clone()),
                test_score,
                cv_mean: outcome.training.cv_mean.unwrap_or(f64::NAN),
                cv_se: outcome.training.cv_standard_error.unwrap_or(f64::NAN),
                n_train: train.len(),
                n_train_images: train.images(),
                test: tested.as_ref().map(|accuracy| accuracy.value),
                test_low: tested.as_ref().map(|accuracy| accuracy.low),
                test_high: tested.as_ref().map(|accuracy| accuracy.high),
                n_test: test.len(),
                against_best: None,
                width: candidate.width(),
                bytes_per_image: candidate.bytes_per_image(),
                multiply_adds: candidate.multiply_adds(),
                streamed,
                seconds: outcome.seconds.reduction + outcome.seconds.grid + outcome.seconds.refit,
                warnings: outcome.warnings,
                depth: candidate.depth(),
            },
        });
    }
    Ok(rows)
}

impl Sweep {
    /// For each cache, in order, the row with the best cross-validated score; of equals the first. The test rows choose
    /// nothing.
    pub fn best_of_each(&self) -> Vec<&SweepRow> {
        let mut best: Vec<&SweepRow> = Vec::new();
        for row in &self.rows {
            match best.iter_mut().find(|known| known.cache == row.cache) {
                Some(known) if known.merit() >= row.merit() => {}
                Some(known) => *known = row,
                None => best.push(row),
            }
        }
        best
    }

    /// The row with the best cross-validated score of this kind of head; of equals the first.
    pub fn best_with(&self, head: HeadKind) -> Option<&SweepRow> {
        let of_kind = self.rows.iter().filter(|row| row.head == head);
        of_kind.reduce(|known, row| if row.merit() > known.merit() { row } else { known })
    }
}

impl SweepRow {
    /// The cross-validated score, larger for better.
    fn merit(&self) -> f64 {
        self.metric.merit(self.cv_score)
    }

    /// `layer:pool`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.layer, self.pool)
    }
}
