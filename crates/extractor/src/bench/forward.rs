//! A backbone's forward pass: the "time per inference step" of a table of models.

use super::{BenchError, Effort, Spread};
use crate::{
    backbone::{Backbone, WeightsChoice},
    engine::{self, DeviceChoice, Engine, Precision},
    graph::LayerSpec,
    pipeline::{
        ExtractError, device_name,
        lanes::{self, Lanes, Pending},
    },
    zoo::ModelCard,
};
use serde::Serialize;
use std::collections::VecDeque;

/// A pass to be measured.
#[derive(Debug, Clone)]
pub struct ForwardRequest {
    /// Name in the zoo.
    pub backbone: String,
    /// Where its weights come from; random ones are as fast as any.
    pub weights: WeightsChoice,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
    /// Images per pass; none: 32 on the CPU, 256 on a GPU.
    pub batch: Option<usize>,
    /// Input side in pixels; none: the backbone's own.
    pub size: Option<u32>,
    /// The layers that are handed out; none: the network's last, so that all of it runs.
    pub layers: Vec<LayerSpec>,
    /// For extractions: whether large JPEGs are decoded at a fraction of their size.
    pub fast_decode: bool,
}

/// How fast a backbone is.
#[derive(Debug, Clone, Serialize)]
pub struct ForwardRate {
    /// The backbone.
    pub backbone: String,
    /// Size of its parameters and running statistics as f32, in MB (10⁶ bytes).
    pub size_mb: f64,
    /// Its learnable scalars.
    pub parameters: u64,
    /// Multiply-adds of convolutions and linear layers for one image, up to the layers handed out.
    pub multiply_adds: u64,
    /// Where it ran.
    pub device: String,
    /// In which precision.
    pub dtype: &'static str,
    /// Images per pass.
    pub batch: usize,
    /// Side of the input, in pixels.
    pub input: u32,
    /// Milliseconds for each image of the batch: 8-bit pixels in, pooled f32 values out.
    pub ms_per_image: Spread,
    /// Milliseconds for the batch.
    pub ms_per_step: Spread,
    /// Images per second.
    pub images_per_second: Spread,
    /// 10⁹ floating-point operations per second: two for each multiply-add.
    pub gflops: f64,
}

/// Runs a backbone on made-up pixels.
///
/// # Errors
/// When the backbone, its layers, the device or the precision cannot be had, or the batch is too large for the device.
pub fn forward(request: &ForwardRequest, effort: Effort) -> Result<ForwardRate, BenchError> {
    let device = engine::resolve(request.device, request.precision)?;
    let backbone = Backbone::load(&request.backbone, &request.weights, request.size, None)?;
    let layers = if request.layers.is_empty() {
        let last = backbone.graph.nodes().last().map(|node| node.name.clone()).unwrap_or_default();
        vec![LayerSpec { layer: last, pool: None }]
    } else {
        request.layers.clone()
    };
    let taps = backbone.select(&layers)?;
    let engine =
        Engine::new(&backbone.graph, &taps, &backbone.weights, &backbone.preprocessing, device, request.precision)?;
    let batch = request.batch.unwrap_or(lanes::default_batch(device)).max(1);
    let (side, channels) = (backbone.preprocessing.size as usize, backbone.preprocessing.channels as usize);
    let bytes = batch * side * side * channels;
    let seconds = if device.is_cuda() { in_a_row(&engine, bytes, effort) } else { one_by_one(&engine, bytes, effort) }?;
    let ModelCard { size_mb, parameters, .. } = backbone.architecture.card();
    let multiply_adds =
        backbone.graph.multiply_adds_to(&taps.iter().map(|tap| tap.node).collect::<Vec<_>>(), &backbone.shapes);
    let images_per_second = seconds.inverse(batch as f64);
    Ok(ForwardRate {
        backbone: request.backbone.clone(),
        size_mb,
        parameters,
        multiply_adds,
        device: device_name(device),
        dtype: request.precision.name(),
        batch,
        input: backbone.preprocessing.size,
        ms_per_image: seconds.times(1e3 / batch as f64),
        ms_per_step: seconds.times(1e3),
        images_per_second,
        gflops: 2.0 * multiply_adds as f64 * images_per_second.median * 1e-9,
    })
}

/// Seconds of a batch that is waited for before the next is begun.
fn one_by_one(engine: &Engine, bytes: usize, effort: Effort) -> Result<Spread, BenchError> {
    let pixels: Vec<u8> = (0..bytes).map(made_up).collect();
    let lanes = Lanes::new(engine, engine.device());
    effort.seconds(|| lanes.run(&pixels).map(drop).map_err(BenchError::from))
}

/// Seconds of a batch among others, as in an extraction: the next is on its way to the device when this is computed.
fn in_a_row(engine: &Engine, bytes: usize, effort: Effort) -> Result<Spread, BenchError> {
    let buffers = engine::buffers(engine.device());
    std::thread::scope(|threads| {
        let lanes = Lanes::threaded(engine, &[], engine.device(), threads);
        let in_flight = lanes.in_flight(bytes / engine.image_bytes());
        // Memory that comes back holds these pixels yet.
        let filled = |_| {
            let mut pixels = buffers.take(bytes);
            pixels.iter_mut().enumerate().for_each(|(at, pixel)| *pixel = made_up(at));
            pixels
        };
        drop((0..=in_flight).map(filled).collect::<Vec<_>>());
        rayon::in_place_scope(|scope| {
            let mut under_way: VecDeque<Pending> =
                (0..in_flight).map(|_| lanes.start(scope, buffers.take(bytes))).collect();
            effort.seconds(|| {
                let oldest = under_way.pop_front().and_then(Pending::wait).ok_or(ExtractError::Lost("forward"))?;
                under_way.push_back(lanes.start(scope, buffers.take(bytes)));
                oldest.map(drop).map_err(BenchError::from)
            })
        })
    })
}

fn made_up(at: usize) -> u8 {
    (at * 7919 % 251) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// As for a GPU, with the processor's workers in its place.
    #[test]
    fn batches_in_a_row_are_waited_for_and_ended_on_request() {
        let weights: WeightsChoice = "random:0".parse().unwrap();
        let backbone = Backbone::load("lenet5", &weights, None, None).unwrap();
        let taps = backbone.select(&["fc1".parse().unwrap()]).unwrap();
        let (graph, weights, seen) = (&backbone.graph, &backbone.weights, &backbone.preprocessing);
        let engine = Engine::new(graph, &taps, weights, seen, tch::Device::Cpu, Precision::F32).unwrap();
        let stop = AtomicBool::new(false);
        let effort = Effort { repeats: 3, seconds: 0.0, stop: &stop };
        let seconds = in_a_row(&engine, 20 * engine.image_bytes(), effort).unwrap();
        assert!(seconds.low > 0.0 && seconds.low <= seconds.median && seconds.median <= seconds.high);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let ended = in_a_row(&engine, 20 * engine.image_bytes(), effort);
        assert!(matches!(ended, Err(BenchError::Interrupted)));
    }
}
