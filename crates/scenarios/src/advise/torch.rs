//! A sample of images through a backbone, as a cache that everything can be judged from.

use super::{AdviseError, AdviseOptions, Progress, images::Named, sample::spread};
use headstart_extractor::{
    backbone::{Backbone, WeightsChoice},
    engine::Precision,
    graph::{LayerSpec, Pool},
    images::Listing,
    pipeline::{Estimate, ExtractOptions, PrecisionChoice, Progress as Watch, extract},
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Extracts the ends of the stages, the scores of the source classes and the inputs of all batch normalisations of at most
/// `options.sample` training images into `to`; gives the files that could not be used.
///
/// # Errors
/// When there is no image to train on, or the extraction fails. A broken image is no error.
pub(super) fn extract_sample(
    listing: &Listing,
    images: &[Named],
    backbone: &Backbone,
    weights: &WeightsChoice,
    options: &AdviseOptions,
    to: &Path,
    progress: Progress,
) -> Result<Vec<PathBuf>, AdviseError> {
    let training: Vec<usize> = (0..images.len()).filter(|&image| images[image].trains).collect();
    let chosen = spread(&training, |image| images[image].label, options.sample);
    if chosen.is_empty() {
        return Err(AdviseError::NoImages { path: options.target.clone() });
    }
    let table = to.with_extension("csv");
    write_list(&table, listing, images, &chosen).map_err(|source| AdviseError::Io { path: table.clone(), source })?;
    let wanted = ExtractOptions {
        images: table,
        backbone: options.backbone.clone(),
        weights: weights.clone(),
        layers: layers(backbone),
        output: to.to_path_buf(),
        device: options.device,
        also_on: Vec::new(),
        precision: PrecisionChoice::Is(Precision::F32),
        store: None,
        batch: None,
        limit: None,
        size: None,
        resize: None,
        augment: None,
        fail_on_bad_image: false,
        retry_failed: false,
        fast_decode: false,
    };
    let watch = Watching { progress, done: AtomicUsize::new(0), all: chosen.len() };
    let summary = extract(&wanted, &watch, &AtomicBool::new(false))?;
    match summary.failed.len() {
        failed if failed == chosen.len() => Err(AdviseError::NoImages { path: options.target.clone() }),
        _ => Ok(summary.failed.into_iter().map(|(file, _)| file.into()).collect()),
    }
}

/// What advice needs of a backbone.
fn layers(backbone: &Backbone) -> Vec<LayerSpec> {
    let named = |layer: &str, pool: Option<Pool>| LayerSpec { layer: layer.into(), pool };
    let graph = &backbone.graph;
    let mut specs = vec![named("stages", None)];
    let output = &graph.node(graph.nodes().len() - 1).name;
    if backbone.weights.has(output) {
        specs.push(named(output, None));
    }
    let inputs = graph.batch_norm_inputs().into_iter().map(|input| graph.node(input).name.as_str());
    specs.extend(inputs.filter(|name| backbone.weights.has(name)).map(|name| named(name, Some(Pool::Gap))));
    specs
}

fn write_list(path: &Path, listing: &Listing, images: &[Named], chosen: &[usize]) -> std::io::Result<()> {
    let mut table = csv::Writer::from_path(path)?;
    table.write_record(["path", "label"])?;
    for &image in chosen {
        let Some(file) = &images[image].file else { continue };
        let file = std::path::absolute(file)?;
        let label = images[image].label.map_or("", |label| listing.classes[label].as_str());
        table.write_record([file.to_string_lossy().as_ref(), label])?;
    }
    table.flush()
}

struct Watching<'a> {
    progress: Progress<'a>,
    done: AtomicUsize,
    all: usize,
}

impl Watch for Watching<'_> {
    fn begin(&self, _: &Estimate) {
        (self.progress)("looking at images", 0, self.all);
    }

    fn advance(&self, rows: usize) {
        let done = self.done.fetch_add(rows, Ordering::Relaxed) + rows;
        (self.progress)("looking at images", done, self.all);
    }

    fn bad_image(&self, path: &str, reason: &str) {
        tracing::warn!("{path}: {reason}");
    }
}
