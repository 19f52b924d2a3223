//! A head from a cache: rows read, C chosen, rows that chose nothing scored, head saved, report written.

use crate::look::{
    LookError,
    map::{FeatureMap, MapMethod, MapOptions, feature_map},
};
use crate::report::{self, ReportError};
use headstart_cache::{Cache, LayerInfo};
use headstart_trainer::{
    HeadKind, Memory, MemoryUse, Metrics, Normalize, Outcome, ParamGuard, Part, Progress, Source, TrainParams, Tuned,
    Validation, Vectors, evaluate,
};
use serde::Serialize;
use std::{ffi::OsString, path::PathBuf, time::Instant};

/// What to train, and what to write.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The cache.
    pub cache: PathBuf,
    /// The layer, with or without its pool; may be left out where there is one.
    pub layer: Option<String>,
    /// Splits to train on and to choose C on, instead of cross-validation on the training rows.
    pub splits: Option<(String, String)>,
    /// The head and how it is chosen; with `splits`, its validation is that.
    pub params: TrainParams,
    /// Memory that training may use.
    pub memory: Memory,
    /// Where the head goes.
    pub output: PathBuf,
    /// The folder of the report, if one is wanted.
    pub report: Option<PathBuf>,
    /// The command line, for the report.
    pub command: Vec<OsString>,
}

/// A head that was saved, with everything known about it.
#[derive(Debug, Serialize)]
pub struct Trained {
    /// The file.
    pub head: PathBuf,
    /// `layer:pool`.
    pub layer: String,
    /// What kind of head it is.
    pub kind: HeadKind,
    /// What its grid chose.
    #[serde(flatten)]
    pub tuned: Tuned,
    /// What the head does to each row of features first.
    pub normalize: Normalize,
    /// What features and fits take of the memory that may be used.
    pub memory: MemoryUse,
    /// Seconds of reading; the others are in `outcome`.
    pub read_seconds: f64,
    /// How the training went.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The split that chose C, where that was no cross-validation.
    #[serde(skip)]
    pub chosen_on: Option<String>,
    /// The page of the report.
    #[serde(skip)]
    pub report: Option<PathBuf>,
    /// The split that `test` is of.
    pub test_rows: Option<&'static str>,
    /// Scores on the rows that chose nothing.
    pub test: Option<Metrics>,
}

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The cache cannot be read, or lacks the layer.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// The cache has no layers.
    #[error("{}: the cache has no layers", .0.display())]
    NoLayers(PathBuf),
    /// Which of its layers?
    #[error("{}: name one of its layers with --layer: {}", .path.display(), .layers.join(", "))]
    WhichLayer {
        /// The cache.
        path: PathBuf,
        /// What it holds.
        layers: Vec<String>,
    },
    /// A parameter that cannot be.
    #[error(transparent)]
    Params(headstart_trainer::Error),
    /// The rows cannot be read, or the head cannot be saved.
    #[error(transparent)]
    Head(#[from] headstart_trainer::Error),
    /// The rows cannot be trained on.
    #[error("{}, layer {layer}: {source}", .path.display())]
    Train {
        /// The cache.
        path: PathBuf,
        /// The layer.
        layer: String,
        /// Why.
        source: Box<headstart_trainer::Error>,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// The layer of this name, or the only one there is.
///
/// # Errors
/// [`TrainError::NoLayers`], [`TrainError::WhichLayer`], or that there is none of this name.
pub fn layer(cache: &Cache, name: Option<&str>) -> Result<LayerInfo, TrainError> {
    let path = || cache.path().to_path_buf();
    match (name, cache.layers()) {
        (Some(name), _) => Ok(cache.find_layer(name)?.clone()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(TrainError::NoLayers(path())),
        (None, layers) => {
            let layers = layers.iter().map(|layer| layer.name.clone()).collect();
            Err(TrainError::WhichLayer { path: path(), layers })
        }
    }
}

/// Leaves out rows of classes that are not among `classes`, warning of each with its number of rows. `why`: what such a class is
/// or lacks.
pub fn leave_out(vectors: &mut Vectors, classes: &[String], why: &str) -> Vec<(String, usize)> {
    let left_out: Vec<(String, usize)> =
        vectors.keep_classes(classes).into_iter().filter(|(_, rows)| *rows > 0).collect();
    for (class, rows) in &left_out {
        tracing::warn!("class '{class}' {why}: its {rows} rows are left out of the scores");
    }
    left_out
}

/// Trains a head, scores it on the rows that chose nothing, saves it, and writes the report. `memory_told` hears what the memory is
/// used for before anything is read.
///
/// # Errors
/// Everything that can be wrong with the cache, the rows, the parameters and the files to write.
pub fn train(
    options: &TrainOptions,
    memory_told: &dyn Fn(&MemoryUse),
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Trained, TrainError> {
    let start = Instant::now();
    let head = *options.params.check_ref().map_err(TrainError::Params)?.head();
    let cache = Cache::open(&options.cache)?;
    let layer = layer(&cache, options.layer.as_deref())?;
    let parts = Parts::of(options);
    let rows = parts.count(&cache, &layer)?;
    let memory = MemoryUse::new(options.memory, rows, layer.width, &head, cache.classes().len());
    memory_told(&memory);
    // All rows are in the same place, so that those of two parts can be put together.
    let place = if memory.streamed { Memory::new(0) } else { Memory::UNLIMITED };
    let mut params = options.params.clone().memory(options.memory).keep_held_out(options.report.is_some());
    let vectors = match &parts.chosen_on {
        None => Vectors::read_training(&cache, &layer, &parts.train, place)?,
        Some(validate) => {
            let (vectors, validation) = holdout(&cache, &layer, &parts.train, validate, place)?;
            params = params.validation(validation);
            vectors
        }
    };
    let mut test = Vectors::read(&cache, &layer, &parts.test, place)?;
    leave_out(&mut test, &vectors.classes, NOT_TRAINED);
    let read_seconds = start.elapsed().as_secs_f64();

    let params = params.check().map_err(TrainError::Params)?;
    options.report.as_deref().map(report::make_folder).transpose()?;
    let outcome = headstart_trainer::train(vectors.samples(), &params, progress).map_err(|source| {
        TrainError::Train { path: options.cache.clone(), layer: layer.name.clone(), source: Box::new(source) }
    })?;
    let test_metrics =
        if test.is_empty() { None } else { Some(evaluate(&outcome.model, test.features.view(), &test.labels)?) };
    let source =
        Source { layer: layer.name.clone(), pool: layer.pool.clone(), provenance: Some(cache.provenance().clone()) };
    outcome.clone().into_head(source).save(&options.output)?;
    let mut trained = Trained {
        head: options.output.clone(),
        layer: layer.name.clone(),
        kind: head.kind,
        tuned: outcome.model.tuned(),
        normalize: outcome.model.normalize(),
        memory,
        read_seconds,
        outcome,
        chosen_on: options.splits.as_ref().map(|(_, validate)| validate.clone()),
        report: None,
        test_rows: Part::test_split(&cache).filter(|_| test_metrics.is_some()),
        test: test_metrics,
    };
    if let Some(folder) = &options.report {
        let map = map(&cache, &layer)?;
        let subject = report::Subject {
            cache: &options.cache,
            provenance: cache.provenance(),
            rows: cache.rows(),
            layer: &layer.name,
            pool: &layer.pool,
            head: &options.output,
            outcome: &trained.outcome,
            training: &vectors,
            chosen_on: trained.chosen_on.as_deref(),
            test: &test,
            test_rows: trained.test_rows,
            test_metrics: trained.test.as_ref(),
            map: map.as_ref(),
            read_seconds,
            command: &options.command,
        };
        trained.report = Some(report::write(&subject, folder)?);
    }
    Ok(trained)
}

/// Images of the map in a report: t-SNE takes seconds for so many, and minutes for thousands.
const MAPPED: usize = 500;

/// Where the layer puts the images, unless they are too few for a map.
fn map(cache: &Cache, layer: &LayerInfo) -> Result<Option<FeatureMap>, TrainError> {
    let options = MapOptions { method: MapMethod::Tsne, images: MAPPED, perplexity: 30.0, seed: 0 };
    match feature_map(cache, layer, &options) {
        Ok(map) => Ok(Some(map)),
        Err(LookError::Cache(error)) => Err(error.into()),
        Err(why) => {
            tracing::warn!("the report has no map of the images: {why}");
            Ok(None)
        }
    }
}

/// Why rows of a class cannot be scored.
const NOT_TRAINED: &str = "has no training rows";

/// Which rows train, choose C and test.
struct Parts {
    train: Part,
    /// Where that is a split of its own.
    chosen_on: Option<Part>,
    test: Part,
}

impl Parts {
    fn of(options: &TrainOptions) -> Self {
        match &options.splits {
            None => Self { train: Part::Train, chosen_on: None, test: Part::Test },
            Some((train, validate)) => Self {
                train: Part::Split(train.clone()),
                chosen_on: Some(Part::Split(validate.clone())),
                // Neither the rows that the head is fitted on nor those that chose C are a test of it.
                test: Part::TestUnless(vec![train.clone(), validate.clone()]),
            },
        }
    }

    /// How many rows these are together.
    fn count(&self, cache: &Cache, layer: &LayerInfo) -> Result<usize, headstart_trainer::Error> {
        let parts = [Some(&self.train), self.chosen_on.as_ref(), Some(&self.test)];
        parts.into_iter().flatten().map(|part| Ok(Vectors::find(cache, layer, part)?.len())).sum()
    }
}

/// The rows of both parts together, those of the second marked as validation.
fn holdout(
    cache: &Cache,
    layer: &LayerInfo,
    train: &Part,
    validate: &Part,
    place: Memory,
) -> Result<(Vectors, Validation), headstart_trainer::Error> {
    let mut vectors = Vectors::read_training(cache, layer, train, place)?;
    let mut held = Vectors::read(cache, layer, validate, place)?;
    leave_out(&mut held, &vectors.classes, NOT_TRAINED);
    let first = vectors.len();
    vectors.extend(held)?;
    let validation = Validation::Holdout((first..vectors.len()).collect());
    Ok((vectors, validation))
}
