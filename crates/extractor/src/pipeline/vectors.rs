//! The vectors of a few images in memory: what `predict` and `classify` need.

use super::{ExtractError, decode};
use crate::{
    backbone::Backbone,
    engine::{self, DeviceChoice, Engine, Precision},
    graph::Tap,
};
use std::path::{Path, PathBuf};

/// Images whose pixels are in memory at a time.
const BATCH: usize = 32;

/// One image's vector, or why there is none.
#[derive(Debug, Clone)]
pub struct ImageVectors {
    /// The file.
    pub path: PathBuf,
    /// The tap's pooled values, or the reason the image cannot be used.
    pub values: Result<Vec<f32>, String>,
}

/// The pooled values of `tap` for each image, in order.
///
/// # Errors
/// When the device or the network fails; a broken image is no error.
pub fn vectors(
    backbone: &Backbone,
    tap: &Tap,
    images: &[PathBuf],
    device: DeviceChoice,
    precision: Precision,
) -> Result<Vec<ImageVectors>, ExtractError> {
    let device = engine::resolve(device, precision)?;
    let taps = [tap.clone()];
    let engine = Engine::new(&backbone.graph, &taps, &backbone.weights, &backbone.preprocessing, device, precision)?;
    let mut all = Vec::with_capacity(images.len());
    for paths in images.chunks(BATCH) {
        let rows: Vec<Result<&Path, String>> = paths.iter().map(|path| Ok(path.as_path())).collect();
        let batch = decode::batch(0, &rows, &backbone.preprocessing);
        let packed = if batch.pixels.is_empty() { Vec::new() } else { engine.run(&batch.pixels)?.swap_remove(0) };
        let mut values = packed.chunks_exact(tap.width());
        for (path, failure) in paths.iter().zip(batch.failures) {
            let values = match failure {
                Some(reason) => Err(reason),
                None => values.next().map(<[f32]>::to_vec).ok_or_else(|| "no values came back".to_string()),
            };
            all.push(ImageVectors { path: path.clone(), values });
        }
    }
    Ok(all)
}
