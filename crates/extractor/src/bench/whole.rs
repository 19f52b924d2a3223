//! From image files to a cache, as `headstart extract` does it.

use super::{BenchError, Effort, ForwardRequest, Photos, Spread};
use crate::{
    graph::LayerSpec,
    pipeline::{self, Bottleneck, Estimate, ExtractOptions, PrecisionChoice, Progress},
    zoo,
};
use serde::Serialize;
use std::path::Path;

/// How fast an extraction is.
#[derive(Debug, Clone, Serialize)]
pub struct ExtractRate {
    /// The backbone.
    pub backbone: String,
    /// The layers that were stored.
    pub layers: Vec<String>,
    /// What was read.
    pub images: String,
    /// Where the network ran.
    pub device: String,
    /// In which precision.
    pub dtype: &'static str,
    /// Images per second, loading of the weights left out.
    pub images_per_second: Spread,
    /// What held up the median run.
    pub bottleneck: Option<Bottleneck>,
}

/// Extracts the images into a cache in `folder`, which is removed afterwards, `effort.repeats` times after a first one.
///
/// # Errors
/// Those of an extraction, and [`BenchError::NoImages`] when no image can be used.
pub fn extract(
    photos: &Photos,
    limit: Option<usize>,
    request: &ForwardRequest,
    folder: &Path,
    effort: Effort,
) -> Result<ExtractRate, BenchError> {
    let fail = |error: std::io::Error| BenchError::File { path: folder.to_path_buf(), reason: error.to_string() };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let place = tempfile::tempdir_in(folder).map_err(fail)?;
    let layers = if request.layers.is_empty() { deepest_map(&request.backbone)? } else { request.layers.clone() };
    let options = ExtractOptions {
        images: photos.images.clone(),
        backbone: request.backbone.clone(),
        weights: request.weights.clone(),
        layers,
        output: place.path().join("bench.h5"),
        device: request.device,
        also_on: Vec::new(),
        precision: PrecisionChoice::Is(request.precision),
        store: None,
        batch: request.batch,
        limit,
        size: request.size,
        resize: None,
        augment: None,
        fail_on_bad_image: false,
        retry_failed: false,
        fast_decode: request.fast_decode,
    };
    let mut runs = Vec::new();
    for turn in 0..=effort.repeats.max(1) {
        let summary = pipeline::extract(&options, &Silent, effort.stop)?;
        if summary.interrupted {
            return Err(BenchError::Interrupted);
        }
        if summary.failed.len() == summary.rows {
            let reason = summary.failed.first().map_or_else(|| "there are none".into(), |(_, reason)| reason.clone());
            return Err(BenchError::NoImages { path: photos.images.clone(), count: summary.rows, reason });
        }
        std::fs::remove_file(&options.output).map_err(fail)?;
        // The first one warms up.
        if turn > 0 {
            runs.push(summary);
        }
    }
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let images_per_second = Spread::of(runs.iter().map(|run| run.rate).collect());
    let middle = runs.swap_remove(runs.len() / 2);
    Ok(ExtractRate {
        backbone: request.backbone.clone(),
        layers: middle.layers,
        images: photos.source.clone(),
        device: middle.device.unwrap_or_default(),
        dtype: request.precision.name(),
        images_per_second,
        bottleneck: middle.bottleneck,
    })
}

/// The last stage of a backbone, what is extracted more often than anything else.
fn deepest_map(backbone: &str) -> Result<Vec<LayerSpec>, BenchError> {
    let graph = zoo::find(backbone).map_err(crate::backbone::BackboneError::from)?.graph();
    let last = graph.stages().last().cloned();
    let layer = last.or_else(|| graph.nodes().last().map(|node| node.name.clone())).unwrap_or_default();
    Ok(vec![LayerSpec { layer, pool: None }])
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Estimate) {}
    fn advance(&self, _: usize) {}
    fn bad_image(&self, _: &str, _: &str) {}
}
