//! How a batch is spread over the processor. On a GPU it runs as it is. On the CPU it is cut into pieces of a few images, and
//! each of the workers that decode images also runs such pieces, alone.
//!
//! That is faster than all cores working on every operation together: nobody waits for the slowest at the end of each
//! convolution, activations of a few images stay in a core's cache, and a core that decodes is not missed by others. As the
//! pieces are the same whatever the number of cores is, so are the results.

use super::keep_freed_memory;
use crate::engine::{Engine, EngineError};
use crossbeam_channel::{Receiver, bounded};
use rayon::{Scope, prelude::*};
use std::{sync::Arc, time::Instant};

/// Images in a piece.
const PIECE: usize = 8;

/// Images per batch unless told otherwise. On the CPU it does not depend on the number of workers, so that pieces do not either.
pub fn default_batch(device: tch::Device) -> usize {
    if device.is_cuda() { 256 } else { 32 }
}

/// An engine with the workers it runs on.
pub struct Lanes<'a> {
    engine: &'a Engine,
    on_cpu: bool,
}

/// The values of a batch's taps, images × width each, and the seconds of work they took, summed over the workers.
pub struct Output {
    pub values: Vec<Vec<f32>>,
    pub seconds: f64,
}

/// A batch on its way.
pub struct Pending {
    pieces: usize,
    done: Receiver<(usize, Result<Output, EngineError>)>,
}

impl<'a> Lanes<'a> {
    pub fn new(engine: &'a Engine, device: tch::Device) -> Self {
        let on_cpu = !device.is_cuda();
        keep_freed_memory();
        if on_cpu {
            // What libtorch does on a worker, it does there alone.
            rayon::broadcast(|_| tch::set_num_threads(1));
        }
        Self { engine, on_cpu }
    }

    /// How many work on a forward pass.
    pub fn workers(&self) -> usize {
        if self.on_cpu { rayon::current_num_threads() } else { 1 }
    }

    /// How many batches of this size are computed at the same time: enough for every worker, and one more to begin with where no piece
    /// of another is left.
    pub fn in_flight(&self, batch: usize) -> usize {
        if self.on_cpu { (PIECE * self.workers()).div_ceil(batch) + 1 } else { 1 }
    }

    /// How many would have something to do with this many images.
    pub fn busy(&self, images: usize) -> usize {
        if self.on_cpu { images.div_ceil(PIECE).clamp(1, self.workers()) } else { 1 }
    }

    /// Runs a batch and waits for it.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub fn run(&self, pixels: &[u8]) -> Result<Output, EngineError> {
        if !self.on_cpu {
            return self.piece(pixels);
        }
        let pieces: Result<Vec<Output>, EngineError> =
            pixels.par_chunks(PIECE * self.engine.image_bytes()).map(|pixels| self.piece(pixels)).collect();
        Ok(joined(pieces?))
    }

    /// Starts a batch; on a GPU it is done when this returns.
    pub fn start<'s>(&'s self, scope: &Scope<'s>, pixels: Vec<u8>) -> Pending {
        let bytes = if self.on_cpu { PIECE * self.engine.image_bytes() } else { pixels.len().max(1) };
        let pieces = pixels.len().div_ceil(bytes);
        let (out, done) = bounded(pieces);
        let pixels = Arc::new(pixels);
        for piece in 0..pieces {
            let (pixels, out) = (pixels.clone(), out.clone());
            // Nobody listens any more when the run has failed elsewhere.
            let work = move || {
                drop(out.send((piece, self.piece(&pixels[piece * bytes..pixels.len().min((piece + 1) * bytes)]))))
            };
            if self.on_cpu { scope.spawn(move |_| work()) } else { work() }
        }
        Pending { pieces, done }
    }

    fn piece(&self, pixels: &[u8]) -> Result<Output, EngineError> {
        let start = Instant::now();
        Ok(Output { values: self.engine.run(pixels)?, seconds: start.elapsed().as_secs_f64() })
    }
}

impl Pending {
    /// Waits for the batch; none when a worker has died.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub fn wait(self) -> Option<Result<Output, EngineError>> {
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
