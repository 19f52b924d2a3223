//! The vectors of images one after another, without a cache: what `predict` and `classify` need.

use super::{
    ExtractError,
    lanes::{self, Lanes},
};
use crate::{
    backbone::Backbone,
    engine::{self, DeviceChoice, Engine, EngineError, Precision},
    graph::Tap,
    images::batch::{self, Input, View},
};

/// Batches that are decoded while the network is busy with the one before.
const AHEAD: usize = 2;

/// Hands `each` the pooled values of `tap` for every view of an image, in order, or the reason the image cannot be used. Views other
/// than 0 are made by the augmenter of `input`. A thread decodes a few batches ahead of the network, so memory does not grow with the number of images.
///
/// # Errors
/// When the device or the network fails, or `each` does; a broken image is no error.
pub fn for_each_vector<'a, E: From<ExtractError>>(
    backbone: &Backbone,
    tap: &Tap,
    mut views: impl Iterator<Item = View<'a>> + Send,
    input: Input,
    device: DeviceChoice,
    precision: Precision,
    mut each: impl FnMut(Result<&[f32], String>) -> Result<(), E>,
) -> Result<(), E> {
    let device = engine::resolve(device, precision).map_err(ExtractError::from)?;
    let taps = [tap.clone()];
    let preprocessing = &backbone.preprocessing;
    let engine = Engine::new(&backbone.graph, &taps, &backbone.weights, preprocessing, device, precision)
        .map_err(ExtractError::from)?;
    // Enough for the workers of a large processor: the next batch is started when this one is done.
    let batch_size = if device.is_cuda() { lanes::default_batch(device) } else { 128 };
    let lanes = Lanes::new(&engine, device);
    let run = |pixels: &[u8]| -> Result<Vec<f32>, EngineError> {
        if pixels.is_empty() { Ok(Vec::new()) } else { Ok(lanes.run(pixels)?.values.swap_remove(0)) }
    };
    std::thread::scope(|scope| {
        let (sender, batches) = crossbeam_channel::bounded(AHEAD);
        let buffers = engine::buffers(device);
        scope.spawn(move || {
            loop {
                let rows: Vec<View> = views.by_ref().take(batch_size).collect();
                // The receiver is gone when the network or `each` failed.
                if rows.is_empty() || sender.send(batch::decode(0, &rows, input, &buffers)).is_err() {
                    return;
                }
            }
        });
        for batch in batches {
            let packed = run(&batch.pixels).map_err(ExtractError::from)?;
            let mut values = packed.chunks_exact(tap.width());
            for failure in batch.failures {
                each(match failure {
                    Some(reason) => Err(reason),
                    None => values.next().ok_or_else(|| "no values came back".to_string()),
                })?;
            }
        }
        Ok(())
    })
}
