//! How batches are spread over what computes them. Accelerators take whole batches, each the next one when it is done with the one
//! before. On the CPU a batch is cut into pieces of a few images, and each of the workers that decode images also runs such pieces,
//! alone.
//!
//! The latter is faster than all cores working on every operation together: nobody waits for the slowest at the end of each
//! convolution, activations of a few images stay in a core's cache, and a core that decodes is not missed by others. As the
//! pieces are the same whatever the number of cores is, so are the results.

use super::{
    accelerator::{self, Job},
    keep_freed_memory,
};
use crate::{
    engine::{self, Engine, EngineError},
    images::pixels::Pixels,
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rayon::{Scope, prelude::*};
use std::{sync::Arc, time::Instant};

/// Images in a piece.
const PIECE: usize = 8;

/// Images per batch unless told otherwise. On the CPU it does not depend on the number of workers, so that pieces do not either.
pub fn default_batch(device: tch::Device) -> usize {
    if device.is_cuda() { 256 } else { 32 }
}

/// Engines with the workers they run on.
pub struct Lanes<'a> {
    engine: &'a Engine,
    on_cpu: bool,
    accelerators: usize,
    /// Where whole batches wait for an accelerator.
    jobs: Option<Sender<Job>>,
}

/// The values of a batch's taps, images × width each, and the seconds of work they took, summed over the workers.
pub struct Output {
    pub values: Vec<Vec<f32>>,
    pub seconds: f64,
}

/// What became of a batch or a piece of one.
pub type Outcome = Result<Output, EngineError>;

/// A batch on its way.
pub struct Pending {
    pieces: usize,
    done: Receiver<(usize, Outcome)>,
}

impl<'a> Lanes<'a> {
    pub fn new(engine: &'a Engine, device: tch::Device) -> Self {
        let on_cpu = !device.is_cuda();
        keep_freed_memory();
        if on_cpu {
            // What libtorch does on a worker, it does there alone.
            rayon::broadcast(|_| tch::set_num_threads(1));
        }
        Self { engine, on_cpu, accelerators: 1, jobs: None }
    }

    /// For batches that are started one after another. Each of the engines beside the first is on an accelerator of its own, as that
    /// one is then; each gets a thread, which ends when this is dropped.
    pub fn threaded<'scope>(
        engine: &'a Engine,
        others: &'a [Engine],
        device: tch::Device,
        scope: &'scope std::thread::Scope<'scope, '_>,
    ) -> Self
    where
        'a: 'scope,
    {
        let lanes = Self::new(engine, device);
        if lanes.on_cpu { lanes } else { lanes.with_threads(others, scope) }
    }

    fn with_threads<'scope>(self, others: &'a [Engine], scope: &'scope std::thread::Scope<'scope, '_>) -> Self
    where
        'a: 'scope,
    {
        let (jobs, waiting) = unbounded::<Job>();
        for engine in std::iter::once(self.engine).chain(others) {
            let waiting = waiting.clone();
            scope.spawn(move || accelerator::serve(engine, &waiting));
        }
        Self { on_cpu: false, accelerators: 1 + others.len(), jobs: Some(jobs), ..self }
    }

    /// How many work on forward passes.
    pub fn workers(&self) -> usize {
        if self.on_cpu { rayon::current_num_threads() } else { self.accelerators }
    }

    /// How many batches of this size are under way at the same time: enough for every worker, and one more to begin with where no piece
    /// of another is left; for each accelerator as many as it holds, and one that takes the place of the first.
    pub fn in_flight(&self, batch: usize) -> usize {
        if self.on_cpu { (PIECE * self.workers()).div_ceil(batch) + 1 } else { (engine::DEPTH + 1) * self.accelerators }
    }

    /// How many would have something to do with this many images.
    pub fn busy(&self, images: usize) -> usize {
        if self.on_cpu { images.div_ceil(PIECE).clamp(1, self.workers()) } else { 1 }
    }

    /// Runs a batch and waits for it.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub fn run(&self, pixels: &[u8]) -> Outcome {
        if !self.on_cpu {
            return timed(self.engine, pixels);
        }
        let pieces: Result<Vec<Output>, EngineError> =
            pixels.par_chunks(PIECE * self.engine.image_bytes()).map(|pixels| timed(self.engine, pixels)).collect();
        Ok(joined(pieces?))
    }

    /// Starts a batch.
    pub fn start<'s>(&'s self, scope: &Scope<'s>, pixels: Pixels) -> Pending {
        if let Some(jobs) = &self.jobs {
            let (out, done) = bounded(1);
            // Where nobody takes it, waiting for it says so.
            drop(jobs.send(Job { pixels, out }));
            return Pending { pieces: 1, done };
        }
        let bytes = PIECE * self.engine.image_bytes();
        let pieces = pixels.len().div_ceil(bytes);
        let (out, done) = bounded(pieces);
        let pixels = Arc::new(pixels);
        for piece in 0..pieces {
            let (pixels, out) = (pixels.clone(), out.clone());
            // Nobody listens any more when the run has failed elsewhere.
            scope.spawn(move |_| {
                let pixels = &pixels[piece * bytes..pixels.len().min((piece + 1) * bytes)];
                drop(out.send((piece, timed(self.engine, pixels))))
            });
        }
        Pending { pieces, done }
    }
}

/// [`Engine::run`] with the time it takes.
pub fn timed(engine: &Engine, pixels: &[u8]) -> Outcome {
    let start = Instant::now();
    Ok(Output { values: engine.run(pixels)?, seconds: start.elapsed().as_secs_f64() })
}

impl Pending {
    /// Waits for the batch; none when a worker has died.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub fn wait(self) -> Option<Outcome> {
        let mut pieces: Vec<(usize, Output)> = Vec::with_capacity(self.pieces);
        for _ in 0..self.pieces {
            match self.done.recv().ok()? {
                (piece, Ok(output)) => pieces.push((piece, output)),
                (_, Err(error)) => return Some(Err(error)),
            }
        }
        pieces.sort_unstable_by_key(|(piece, _)| *piece);
        Some(Ok(joined(pieces.into_iter().map(|(_, output)| output).collect())))
    }
}

/// Pieces one after another.
fn joined(pieces: Vec<Output>) -> Output {
    let mut pieces = pieces.into_iter();
    let mut all = pieces.next().unwrap_or(Output { values: Vec::new(), seconds: 0.0 });
    for Output { values, seconds } in pieces {
        all.values.iter_mut().zip(values).for_each(|(all, values)| all.extend(values));
        all.seconds += seconds;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backbone::{Backbone, WeightsChoice},
        engine::{Feed, Precision},
        images::pixels::Buffers,
    };

    fn engine() -> Engine {
        let weights: WeightsChoice = "random:0".parse().unwrap();
        let mut backbone = Backbone::describe("lenet5", &weights, None, None).unwrap();
        backbone.read_weights().unwrap();
        let taps = backbone.select(&["fc1".parse().unwrap(), "conv1".parse().unwrap()]).unwrap();
        let (graph, weights, seen) = (&backbone.graph, &backbone.weights, &backbone.preprocessing);
        Engine::new(graph, &taps, weights, seen, tch::Device::Cpu, Precision::F32).unwrap()
    }

    fn pixels(buffers: &Buffers, engine: &Engine, batch: usize) -> Pixels {
        let mut pixels = buffers.take(3 * engine.image_bytes());
        pixels.iter_mut().enumerate().for_each(|(at, pixel)| *pixel = ((at + 1) * (batch + 7) % 251) as u8);
        pixels
    }

    /// What comes out of these lanes is in the order of what went in, and what `engine` makes of it.
    fn keep_order(lanes: &Lanes, engine: &Engine) {
        let buffers = Buffers::default();
        rayon::in_place_scope(|scope| {
            let start = |batch| lanes.start(scope, pixels(&buffers, engine, batch));
            let pending: Vec<Pending> = (0..20).map(start).collect();
            for (batch, pending) in pending.into_iter().enumerate() {
                let Output { values, seconds } = pending.wait().unwrap().unwrap();
                let expected = engine.run(&pixels(&buffers, engine, batch)).unwrap();
                assert!(seconds > 0.0 && values.iter().map(Vec::len).eq(engine.widths().map(|width| 3 * width)));
                // Threads of libtorch may share the sums otherwise.
                let mut pairs = values.iter().flatten().zip(expected.iter().flatten());
                assert!(pairs.all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0)));
            }
        });
    }

    /// Accelerators take batches as they become free.
    #[test]
    fn batches_on_several_devices_come_back_in_order() {
        let (first, others) = (engine(), [engine(), engine()]);
        std::thread::scope(|scope| {
            // As if these were accelerators.
            let lanes = Lanes::new(&first, tch::Device::Cpu).with_threads(&others, scope);
            assert_eq!((lanes.workers(), lanes.in_flight(3)), (3, 9));
            keep_order(&lanes, &first);
        });
    }

    #[test]
    fn batches_that_overlap_on_a_device_come_back_in_order() {
        let engine = engine();
        std::thread::scope(|scope| {
            let (jobs, waiting) = unbounded::<Job>();
            scope.spawn(|| accelerator::overlapped(Feed::simulated(&engine), &{ waiting }));
            let lanes = Lanes { engine: &engine, on_cpu: false, accelerators: 1, jobs: Some(jobs) };
            keep_order(&lanes, &engine);
        });
    }
}
