//! Batches through one GPU without pauses. While it computes one batch, the pixels of the next are copied to it on a stream of
//! their own, and the calling thread is free: it only hands out work, and waits for the oldest batch when it wants its values.
//!
//! Each of [`DEPTH`] slots has memory on the device for pixels, pinned memory for values, and three events:
//!
//! ```text
//! upload stream   ── wait consumed ── copy pixels ── record uploaded ──
//! compute stream  ── wait uploaded ── normalise ── record consumed ── network, values of taps to the host … ── record done ──
//! ```
//!
//! Values are copied on the compute stream, at the tap: later steps may write over a value, and pooled ones are small.

use super::{
    Engine, EngineError, StepError,
    cudart::{COMPUTE, CudaError, Event, Functions, Pinned, Stream},
    pooling,
};
use crate::{
    graph::Tap,
    images::pixels::{Buffers, Pixels},
};
use std::{collections::VecDeque, time::Instant};
use tch::{Device, Kind, TchError, Tensor};

/// Batches that a GPU has at the same time: one that it computes, and the next.
pub const DEPTH: usize = 2;

/// Values of a tap and a batch that get pinned memory, at most; more than these take so long to write that it makes no difference.
const PINNED_VALUES: usize = 1 << 24;

/// Bytes of a trial, and how often it is made: enough that copies take longer than handing out work does.
const TRIAL: usize = 1 << 24;
const TRIALS: u8 = 3;

/// Why a feed does not work here.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Cuda(#[from] CudaError),
    #[error(transparent)]
    Torch(#[from] TchError),
    #[error("copies and computations are not done in the order they are asked for")]
    Order,
}

/// Memory that batches for this device are best decoded into.
pub fn buffers(device: Device) -> Buffers {
    match Functions::loaded() {
        Ok(functions) if device.is_cuda() => Buffers::new(move |bytes| match Pinned::<u8>::zeros(functions, bytes) {
            Ok(pinned) => Box::new(pinned),
            // Copies from ordinary memory are slower, nothing else.
            Err(reason) => {
                tracing::debug!("{bytes} bytes of pixels are not pinned: {reason}");
                Box::new(vec![0; bytes])
            }
        }),
        _ => Buffers::default(),
    }
}

/// An engine on a GPU, with the batches that are under way.
pub struct Feed<'e> {
    engine: &'e Engine,
    functions: &'static Functions,
    uploads: Stream,
    idle: Vec<Slot>,
    under_way: VecDeque<UnderWay>,
    /// When the batch before was done.
    finished: Instant,
}

/// What one batch at a time needs.
struct Slot {
    /// For the pixels: bytes on the device.
    pixels: Tensor,
    uploaded: Event,
    consumed: Event,
    done: Event,
    /// For the values of each tap.
    pinned: Vec<Option<Pinned<f32>>>,
}

/// A batch that the GPU has.
struct UnderWay {
    slot: Slot,
    batch: usize,
    /// The copy to the device may still be reading them.
    pixels: Pixels,
    /// For each tap those values that are not in pinned memory.
    copied: Vec<Option<Vec<f32>>>,
    started: Instant,
}

/// A batch that is done.
pub struct Fed {
    /// The values of the taps, as [`Engine::run`] returns them.
    pub values: Vec<Vec<f32>>,
    /// Seconds that the GPU had it and nothing older.
    pub seconds: f64,
}

impl<'e> Feed<'e> {
    /// For the calling thread.
    ///
    /// # Errors
    /// When the device is no GPU, or CUDA's runtime library is not there or does not give what is needed.
    pub fn new(engine: &'e Engine) -> Result<Self, String> {
        let Device::Cuda(index) = engine.device() else { return Err("not a GPU".into()) };
        let feed = Functions::loaded().map_err(FeedError::from);
        let feed =
            feed.and_then(|functions| Self::with(engine, functions, index)).map_err(|error| error.to_string())?;
        feed.try_out().map_err(|error| error.to_string())?;
        Ok(feed)
    }

    /// On a GPU that is none, but gives and takes memory like one.
    #[cfg(test)]
    pub fn simulated(engine: &'e Engine) -> Self {
        Self::with(engine, &simulated::FUNCTIONS, 0).unwrap()
    }

    fn with(engine: &'e Engine, functions: &'static Functions, index: usize) -> Result<Self, FeedError> {
        functions.set_device(index)?;
        let uploads = Stream::new(functions)?;
        let slot = |_| {
            Ok(Slot {
                pixels: Tensor::f_empty([0], (Kind::Uint8, engine.device()))?,
                uploaded: Event::new(functions)?,
                consumed: Event::new(functions)?,
                done: Event::new(functions)?,
                pinned: engine.taps.iter().map(|_| None).collect(),
            })
        };
        let idle = (0..DEPTH).map(slot).collect::<Result<Vec<_>, FeedError>>()?;
        Ok(Self { engine, functions, uploads, idle, under_way: VecDeque::new(), finished: Instant::now() })
    }

    /// Sends some bytes through and looks at what comes back: a libtorch that computes on another stream than is thought here would
    /// read them too early, or be read too early itself.
    fn try_out(&self) -> Result<(), FeedError> {
        let mut there = Pinned::<u8>::zeros(self.functions, TRIAL)?;
        let mut back = Pinned::<f32>::zeros(self.functions, TRIAL)?;
        let place = Tensor::f_zeros([TRIAL as i64], (Kind::Uint8, self.engine.device()))?;
        for round in 1..=TRIALS {
            there.fill(round);
            let outcome = self.there_and_back(&there, &place, &mut back);
            // What was begun reads and writes all three.
            self.functions.synchronize()?;
            outcome?;
            if back.iter().any(|&value| value != f32::from(round) + 1.0) {
                return Err(FeedError::Order);
            }
        }
        Ok(())
    }

    /// Bytes to a place on the device, one more than each of them back.
    fn there_and_back(&self, there: &[u8], place: &Tensor, back: &mut [f32]) -> Result<(), FeedError> {
        let (functions, uploads, slot) = (self.functions, self.uploads.handle, &self.idle[0]);
        slot.consumed.record(COMPUTE)?;
        functions.wait(uploads, &slot.consumed)?;
        // SAFETY: as many bytes are there, and the caller keeps all of it until the device is done.
        unsafe { functions.upload(place.data_ptr(), there, uploads) }?;
        slot.uploaded.record(uploads)?;
        functions.wait(COMPUTE, &slot.uploaded)?;
        let values = place.f_to_kind(Kind::Float)?.f_add_scalar(1)?;
        // SAFETY: likewise.
        unsafe { functions.download(back, values.data_ptr(), COMPUTE) }?;
        slot.done.record(COMPUTE)?;
        Ok(slot.done.synchronize()?)
    }

    /// Whether one must be finished before another can be started.
    pub fn is_full(&self) -> bool {
        self.idle.is_empty()
    }

    /// Whether no batch is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Whether the oldest batch is done, so that finishing it takes no time. An error is told when it is finished.
    pub fn is_ready(&self) -> bool {
        self.under_way.front().is_some_and(|oldest| oldest.slot.done.has_happened().unwrap_or(true))
    }

    /// Hands a batch to the GPU, as pixels like those of [`Engine::run`].
    ///
    /// # Errors
    /// Those of [`Engine::run`]; when the feed is full.
    pub fn start(&mut self, pixels: Pixels) -> Result<(), EngineError> {
        let batch = pixels.len() / self.engine.image_bytes();
        let Some(mut slot) = self.idle.pop() else {
            let reason = "more batches than it has room for (a bug in the pipeline)".to_string();
            return Err(EngineError::Torch { place: "the GPU's feed".into(), reason });
        };
        let started = Instant::now();
        let outcome = self.hand_out(&mut slot, &pixels, batch);
        if outcome.is_err() {
            // What was handed out reads and writes memory that goes away now; that this may fail too is no news.
            drop(self.functions.synchronize());
            self.idle.push(slot);
            return outcome.map(drop);
        }
        let copied = outcome?;
        self.under_way.push_back(UnderWay { slot, batch, pixels, copied, started });
        Ok(())
    }

    /// All work of a batch; returns the values that are on the host already.
    fn hand_out(&self, slot: &mut Slot, pixels: &[u8], batch: usize) -> Result<Vec<Option<Vec<f32>>>, EngineError> {
        let _no_grad = tch::no_grad_guard();
        let input = self.input(slot, pixels, batch).map_err(|error| error.at("x", batch))?;
        let copied = self.engine.forward(input, |tap, value| {
            let Tap { pool, .. } = self.engine.taps[tap];
            let rows = pooling::pooled(value, pool)?;
            let elements = rows.numel();
            let pinned = &mut slot.pinned[tap];
            if elements <= PINNED_VALUES && pinned.as_ref().is_none_or(|pinned| pinned.len() < elements) {
                *pinned = Pinned::zeros(self.functions, elements).ok();
            }
            let (mut copied, to) = match pinned {
                Some(pinned) if pinned.len() >= elements => (None, &mut pinned[..elements]),
                _ => (Some(vec![0.0; elements]), &mut [][..]),
            };
            let to = copied.as_deref_mut().unwrap_or(to);
            // SAFETY: as many f32 lie one after another there, and what comes after in this stream is done after the copy. Pinned
            // memory is looked at when the batch is done; other memory is written before the call returns.
            unsafe { self.functions.download(to, rows.data_ptr(), COMPUTE) }?;
            Ok(copied)
        })?;
        slot.done.record(COMPUTE).map_err(|error| StepError::from(error).at("the last", batch))?;
        Ok(copied)
    }

    /// The network's input: pixels copied beside what is computed now, and normalised when they are there.
    fn input(&self, slot: &mut Slot, pixels: &[u8], batch: usize) -> Result<Tensor, StepError> {
        let Engine { normalisation, kind, device, .. } = self.engine;
        if slot.pixels.numel() < pixels.len() {
            slot.pixels = Tensor::f_empty([pixels.len() as i64], (Kind::Uint8, *device))?;
            // The memory may have been another value's, which is computed with yet.
            slot.consumed.record(COMPUTE)?;
        }
        self.functions.wait(self.uploads.handle, &slot.consumed)?;
        // SAFETY: the device's memory is that large and belongs to the slot; the pixels are kept until the batch is done.
        unsafe { self.functions.upload(slot.pixels.data_ptr(), pixels, self.uploads.handle) }?;
        slot.uploaded.record(self.uploads.handle)?;
        self.functions.wait(COMPUTE, &slot.uploaded)?;
        let rows = slot.pixels.f_narrow(0, 0, pixels.len() as i64)?.f_view(normalisation.rows(batch))?;
        let input = normalisation.apply(&rows, *kind)?;
        slot.consumed.record(COMPUTE)?;
        Ok(input)
    }

    /// Waits for the oldest batch; none when no batch is under way.
    ///
    /// # Errors
    /// When the GPU reports one.
    pub fn finish(&mut self) -> Option<Result<Fed, EngineError>> {
        let UnderWay { slot, batch, pixels, copied, started } = self.under_way.pop_front()?;
        let waited = slot.done.synchronize();
        // The device is done with them.
        drop(pixels);
        let values = copied.into_iter().zip(&slot.pinned).zip(&self.engine.taps).map(|((copied, pinned), tap)| {
            let pinned = || pinned.as_ref().map(|pinned| pinned[..batch * tap.width()].to_vec());
            copied.or_else(pinned).unwrap_or_default()
        });
        let values = values.collect();
        let seconds = started.max(self.finished).elapsed().as_secs_f64();
        self.finished = Instant::now();
        self.idle.push(slot);
        Some(match waited {
            Ok(()) => Ok(Fed { values, seconds }),
            Err(error) => Err(StepError::from(error).at("the last", batch)),
        })
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        // What is under way reads and writes memory that goes away now; an error was reported where it was made.
        drop(self.functions.synchronize());
    }
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
