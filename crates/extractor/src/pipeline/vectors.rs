//! The vectors of images one after another, without a cache: what `predict` and `classify` need.

use super::{
    ExtractError,
    lanes::{self, Lanes, Pending},
};
use crate::{
    backbone::Backbone,
    engine::{self, DeviceChoice, Engine, Precision},
    graph::Tap,
    images::batch::{self, Batch, Input, View},
};
use std::collections::VecDeque;

/// Batches that are decoded while the network is busy with the one before.
const AHEAD: usize = 2;

/// Why images of a batch cannot be used, and the values of the others when there are any.
type UnderWay = (Vec<Option<String>>, Option<Pending>);

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
    let batch_size = lanes::default_batch(device);
    std::thread::scope(|threads| {
        let (sender, batches) = crossbeam_channel::bounded(AHEAD);
        let buffers = engine::buffers(device);
        threads.spawn(move || {
            loop {
                let rows: Vec<View> = views.by_ref().take(batch_size).collect();
                // The receiver is gone when the network or `each` failed.
                if rows.is_empty() || sender.send(batch::decode(0, &rows, input, &buffers)).is_err() {
                    return;
                }
            }
        });
        let lanes = Lanes::threaded(&engine, &[], device, threads);
        let in_flight = lanes.in_flight(batch_size);
        let mut hand_out = |(failures, pending): UnderWay| -> Result<(), E> {
            let values = match pending {
                None => Vec::new(),
                Some(pending) => {
                    let outcome = pending.wait().ok_or(ExtractError::Lost("forward"))?;
                    outcome.map_err(ExtractError::from)?.values.swap_remove(0)
                }
            };
            let mut values = values.chunks_exact(tap.width());
            failures.into_iter().try_for_each(|failure| {
                each(match failure {
                    Some(reason) => Err(reason),
                    None => values.next().ok_or_else(|| "no values came back".to_string()),
                })
            })
        };
        rayon::in_place_scope(|scope| {
            let mut under_way = VecDeque::new();
            for Batch { failures, pixels, .. } in batches {
                let pending = (!pixels.is_empty()).then(|| lanes.start(scope, pixels));
                under_way.push_back((failures, pending));
                if under_way.len() >= in_flight {
                    under_way.pop_front().map_or(Ok(()), &mut hand_out)?;
                }
            }
            under_way.into_iter().try_for_each(hand_out)
        })
    })
}
