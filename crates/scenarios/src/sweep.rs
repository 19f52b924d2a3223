//! Every layer of one or more caches × every head: which layer suits these images best?

mod depth;

pub use depth::cache_names;

use headstart_cache::{Cache, LayerInfo};
use headstart_extractor::zoo;
use headstart_trainer::{
    HeadKind, HeadParams, Memory, Metric, Part, Prepared, Scaling, Search, Tuned, Validation, Vectors, evaluate,
    train_prepared,
};
use serde::Serialize;
use std::path::PathBuf;

/// What to sweep.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// The caches.
    pub caches: Vec<PathBuf>,
    /// Layers (names with or without the pool); empty for all.
    pub layers: Vec<String>,
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
    /// The layer.
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
    /// Numbers per image.
    pub width: usize,
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
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A cache cannot be read, or lacks a layer.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// A head cannot be trained.
    #[error("{}, layer {layer}: {source}", .cache.display())]
    Train {
        /// The cache.
        cache: PathBuf,
        /// The layer.
        layer: String,
        /// Why.
        source: Box<headstart_trainer::Error>,
    },
}

/// Trains every head on every layer; `progress` is told before each layer: which one, how many are done, how many there are.
///
/// # Errors
/// The first cache or layer that cannot be read or trained on. Incomplete layers are found before anything is trained.
pub fn sweep(options: &SweepOptions, progress: &dyn Fn(&str, usize, usize)) -> Result<Sweep, SweepError> {
    let mut work: Vec<(Cache, LayerInfo)> = Vec::new();
    for path in &options.caches {
        let layers: Vec<LayerInfo> = {
            let cache = Cache::open(path)?;
            if options.layers.is_empty() {
                cache.layers().to_vec()
            } else {
                options.layers.iter().map(|name| cache.find_layer(name).cloned()).collect::<Result<_, _>>()?
            }
        };
        for layer in layers {
            work.push((Cache::open(path)?, layer));
        }
    }
    let about = |cache: &Cache, layer: &LayerInfo, source: headstart_trainer::Error| SweepError::Train {
        cache: cache.path().to_path_buf(),
        layer: layer.name.clone(),
        source: Box::new(source),
    };
    for (cache, layer) in &work {
        check(cache, layer).map_err(|source| about(cache, layer, source))?;
    }
    let total = work.len();
    let mut rows = Vec::new();
    for (done, (cache, layer)) in work.iter().enumerate() {
        progress(&layer.name, done, total);
        rows.extend(layer_rows(cache, layer, options).map_err(|source| about(cache, layer, source))?);
    }
    Ok(Sweep { rows })
}

/// Finds what would end a sweep late, without reading the vectors.
fn check(cache: &Cache, layer: &LayerInfo) -> Result<(), headstart_trainer::Error> {
    Vectors::find(cache, layer, &Part::Train).map(|_| ())
}

fn layer_rows(
    cache: &Cache,
    layer: &LayerInfo,
    options: &SweepOptions,
) -> Result<Vec<SweepRow>, headstart_trainer::Error> {
    let rows = Vectors::find(cache, layer, &Part::Train)?.len() + Vectors::find(cache, layer, &Part::Test)?.len();
    let streamed = !options.memory.holds(rows, layer.width);
    if streamed {
        tracing::info!("{}: {} is read from the cache whenever it is needed", cache.path().display(), layer.name);
    }
    let place = if streamed { Memory::new(0) } else { Memory::UNLIMITED };
    let train = Vectors::read_training(cache, layer, &Part::Train, place)?;
    let mut test = Vectors::read(cache, layer, &Part::Test, place)?;
    // Rows of classes without training rows are not scored.
    for (class, rows) in test.keep_classes(&train.classes).iter().filter(|(_, rows)| *rows > 0) {
        tracing::warn!("class '{class}' has no training rows: its {rows} test rows are left out of the scores");
    }
    let heads: Vec<HeadParams> = options.heads.iter().map(|(head, _)| *head).collect();
    let prepared =
        Prepared::within(options.memory, train.samples(), &options.validation, options.scaling, options.seed)?
            .for_heads(&heads)?;
    let depth = depth(&cache.provenance().backbone, &layer.layer);
    let mut rows = Vec::new();
    for (head, search) in &options.heads {
        let outcome = train_prepared(&prepared, head, search, &|_| {})?;
        let tested =
            if test.is_empty() { None } else { Some(evaluate(&outcome.model, test.features.view(), &test.labels)?) };
        let metric = search.compared_by();
        let test_score = tested.as_ref().and_then(|metrics| metrics.get(metric));
        let tested = tested.map(|metrics| metrics.accuracy);
        let seconds = outcome.seconds.reduction + outcome.seconds.grid + outcome.seconds.refit;
        rows.push(SweepRow {
            cache: cache.path().to_path_buf(),
            backbone: cache.provenance().backbone.clone(),
            layer: layer.layer.clone(),
            pool: layer.pool.clone(),
            head: head.kind,
            tuned: outcome.model.tuned(),
            metric,
            cv_score: outcome.training.cv_score.unwrap_or(f64::NAN),
            cv_score_se: outcome.training.cv_score_standard_error.unwrap_or(f64::NAN),
            test_score,
            cv_mean: outcome.training.cv_mean.unwrap_or(f64::NAN),
            cv_se: outcome.training.cv_standard_error.unwrap_or(f64::NAN),
            n_train: train.len(),
            n_train_images: train.images(),
            test: tested.as_ref().map(|accuracy| accuracy.value),
            test_low: tested.as_ref().map(|accuracy| accuracy.low),
            test_high: tested.as_ref().map(|accuracy| accuracy.high),
            n_test: test.len(),
            width: layer.width,
            streamed,
            seconds,
            warnings: outcome.warnings,
            depth,
        });
    }
    Ok(rows)
}

/// How far into the backbone a layer is, as a share of its nodes.
fn depth(backbone: &str, layer: &str) -> Option<f64> {
    let graph = zoo::find(backbone).ok()?.graph();
    Some(graph.find(layer)? as f64 / (graph.nodes().len() - 1) as f64)
}

impl Sweep {
    /// For each cache, in order, the row with the best cross-validated score; of equals the first. The test rows choose
    /// nothing.
    pub fn best(&self) -> Vec<&SweepRow> {
        let mut best: Vec<&SweepRow> = Vec::new();
        for row in &self.rows {
            match best.iter_mut().find(|known| known.cache == row.cache) {
                Some(known) if known.metric.merit(known.cv_score) >= row.metric.merit(row.cv_score) => {}
                Some(known) => *known = row,
                None => best.push(row),
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headstart_cache::{Augmentation, LayerDesc, Provenance, RowOutcome, RowSpec, Store, WeightsId, Writer};
    use std::cell::Cell;

    /// A cache of twelve rows of two classes and two layers, of which the second has so many rows.
    fn cache(path: &std::path::Path, second: usize) {
        let provenance = Provenance {
            format_version: headstart_cache::FORMAT_VERSION,
            tool_version: "0".into(),
            backbone: "lenet5".into(),
            weights: WeightsId { source: "none".into(), sha256: "0".into() },
            preprocessing: None,
            decoder: None,
            compute_dtype: "f32".into(),
            augmentation: Augmentation::none(),
            images: None,
        };
        let specs: Vec<RowSpec> = (0..12)
            .map(|row| RowSpec { path: row.to_string(), label: row % 2, split: String::new(), view: 0 })
            .collect();
        let (mut writer, _) = Writer::open_or_create(path, &provenance, &specs, &["no".into(), "yes".into()]).unwrap();
        let desc = |layer: &str| LayerDesc {
            layer: layer.into(),
            pool: "flatten".into(),
            shape: vec![1],
            stored: vec![1],
            store: Store::F32,
            device: "cpu".into(),
            tool_version: "0".into(),
        };
        let layers = writer.add_layers(&[desc("fc1"), desc("fc2")]).unwrap();
        let values: Vec<f32> = (0..12u8).map(|row| f32::from(row % 2) + f32::from(row) / 50.0).collect();
        for (layer, rows) in layers.into_iter().zip([12, second]) {
            writer.append(0, &vec![RowOutcome::Done; rows], &[(layer, &values[..rows])]).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn a_layer_that_is_not_complete_is_found_before_anything_is_trained() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, cut) = (folder.path().join("whole.h5"), folder.path().join("cut.h5"));
        cache(&whole, 12);
        cache(&cut, 7);
        let options = |caches: &[&PathBuf]| SweepOptions {
            caches: caches.iter().map(|&path| path.clone()).collect(),
            layers: Vec::new(),
            heads: vec![(HeadParams::new(HeadKind::Logistic), Search::new([1.0]))],
            validation: Validation::KFold(2),
            scaling: Scaling::default(),
            seed: 0,
            memory: Memory::UNLIMITED,
        };
        let started = Cell::new(0);
        let progress = |_: &str, _: usize, _: usize| started.set(started.get() + 1);
        let message = sweep(&options(&[&whole, &cut]), &progress).unwrap_err().to_string();
        assert!(message.contains("cut.h5") && message.contains("fc2:flatten has 7 of 12 rows"), "{message}");
        assert_eq!(started.get(), 0);
        assert_eq!(sweep(&options(&[&whole]), &progress).unwrap().rows.len(), 2);
        assert_eq!(started.get(), 2);
    }

    #[test]
    fn caches_of_the_same_name_are_lines_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let caches = ["a", "b"].map(|name| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            folder.path().join(name).join("x.h5")
        });
        caches.iter().for_each(|path| cache(path, 12));
        let options = SweepOptions {
            caches: caches.to_vec(),
            layers: Vec::new(),
            heads: vec![(HeadKind::Logistic.into(), Search::new([1.0]))],
            validation: Validation::KFold(2),
            scaling: Scaling::default(),
            seed: 0,
            memory: Memory::UNLIMITED,
        };
        let plot = sweep(&options, &|_, _, _| {}).unwrap().plot("two");
        let lines: Vec<(&str, usize)> =
            plot.series.iter().map(|series| (series.name.as_str(), series.points.len())).collect();
        assert_eq!(lines, [("a/x.h5, logistic", 2), ("b/x.h5, logistic", 2)]);
    }
}
