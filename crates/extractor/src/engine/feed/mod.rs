//! Batches through one GPU without pauses. While it computes one batch, the pixels of the next are copied to it on a stream of
//! their own, and the calling thread is free: it only hands out work, and waits for the oldest batch when it wants its values.
//!
//! Each of [`DEPTH`] slots has memory on the device for pixels, memory of the host for values, and three events:
//!
//! ```text
//! upload stream   ── wait consumed ── copy pixels ── record uploaded ──
//! compute stream  ── wait uploaded ── normalise ── record consumed ── network, values of taps to the host … ── record done ──
//! ```
//!
//! Values are copied on the compute stream, at the tap: later steps may write over a value, and pooled ones are small.

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
mod trial;
mod values;

use super::{
    Engine, EngineError, StepError,
    cudart::{COMPUTE, CudaError, Event, Functions, Pinned, Stream},
    pooling,
};
use crate::images::pixels::{Buffers, Pixels};
use std::{collections::VecDeque, time::Instant};
use tch::{Device, Kind, TchError, Tensor};
use values::Values;

/// Batches that a GPU has at the same time: one that it computes, and the next.
pub const DEPTH: usize = 2;

/// Values of a batch that get pinned memory, at most. What is more takes so long to write that it makes no difference.
const PINNED_VALUES: usize = 1 << 24;

/// What errors call this.
const PLACE: &str = "the GPU's feed";

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
    let (Device::Cuda(index), Ok(functions)) = (device, Functions::loaded()) else { return Buffers::default() };
    let pinned = move |bytes| functions.set_device(index).and_then(|()| Pinned::<u8>::zeros(functions, bytes));
    Buffers::new(move |bytes| match pinned(bytes) {
        Ok(pinned) => Box::new(pinned),
        // Copies from ordinary memory are slower, nothing else.
        Err(reason) => {
            tracing::debug!("{bytes} bytes of pixels are not pinned: {reason}");
            Box::new(vec![0; bytes])
        }
    })
}

/// An engine on a GPU, with the batches that are under way.
pub struct Feed<'e> {
    engine: &'e Engine,
    functions: &'static Functions,
    uploads: Stream,
    slots: Vec<Slot>,
    /// Slots without a batch, and those with one, oldest first.
    idle: Vec<usize>,
    under_way: VecDeque<usize>,
    /// Values of a batch that may get pinned memory; none once there is no more of it.
    pinnable: usize,
    /// When the batch before was done.
    finished: Instant,
}

/// What one batch at a time needs.
struct Slot {
    /// For the pixels: bytes on the device.
    place: Tensor,
    uploaded: Event,
    consumed: Event,
    done: Event,
    /// For the values of each tap.
    values: Vec<Values>,
    /// The batch; its pixels are kept for the upload, which may be reading them until the batch is done.
    batch: Option<Batch>,
}

struct Batch {
    pixels: Pixels,
    images: usize,
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
    /// When the device is no GPU, or CUDA's runtime library is not there or does not do what is needed.
    pub fn new(engine: &'e Engine) -> Result<Self, String> {
        let Device::Cuda(index) = engine.device() else { return Err("not a GPU".into()) };
        let made = || -> Result<Self, FeedError> {
            let feed = Self::with(engine, Functions::loaded()?, index)?;
            trial::once(&feed, index)?;
            Ok(feed)
        };
        made().map_err(|error| error.to_string())
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
                place: Tensor::f_empty([0], (Kind::Uint8, engine.device()))?,
                uploaded: Event::new(functions)?,
                consumed: Event::new(functions)?,
                done: Event::new(functions)?,
                values: engine.taps.iter().map(|_| Values::Ordinary(Vec::new())).collect(),
                batch: None,
            })
        };
        let slots = (0..DEPTH).map(slot).collect::<Result<Vec<_>, FeedError>>()?;
        let (idle, under_way) = ((0..DEPTH).collect(), VecDeque::new());
        Ok(Self {
            engine,
            functions,
            uploads,
            slots,
            idle,
            under_way,
            pinnable: PINNED_VALUES,
            finished: Instant::now(),
        })
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
        self.under_way.front().is_some_and(|&oldest| self.slots[oldest].done.has_happened().unwrap_or(true))
    }

    /// Hands a batch to the GPU, as pixels like those of [`Engine::run`].
    ///
    /// # Errors
    /// Those of [`Engine::run`]; when the feed is full.
    pub fn start(&mut self, pixels: Pixels) -> Result<(), EngineError> {
        let images = pixels.len() / self.engine.image_bytes();
        let Some(slot) = self.idle.pop() else {
            let reason = "more batches than it has room for (a bug in the pipeline)".to_string();
            return Err(EngineError::Torch { place: PLACE.into(), reason });
        };
        self.slots[slot].batch = Some(Batch { pixels, images, started: Instant::now() });
        let outcome = self.hand_out(slot, images);
        match outcome {
            Ok(()) => self.under_way.push_back(slot),
            Err(_) => self.abandon(slot),
        }
        outcome
    }

    /// All work of a batch.
    fn hand_out(&mut self, slot: usize, images: usize) -> Result<(), EngineError> {
        let _no_grad = tch::no_grad_guard();
        let input = self.input(slot, images).map_err(|error| error.at(PLACE, images))?;
        let Slot { values, done, .. } = &mut self.slots[slot];
        let mut pinned = 0;
        self.engine.forward(input, |tap, value| {
            let wanted = &self.engine.taps[tap];
            let rows = pooling::pooled(value, wanted.pool)?;
            let count = images * wanted.width();
            if rows.numel() != count {
                return Err(StepError::Lost);
            }
            pinned += count;
            let pin = pinned <= self.pinnable;
            values[tap].make_room(count, pin.then_some(self.functions));
            if pin && matches!(values[tap], Values::Ordinary(_)) {
                tracing::debug!("{count} values are not pinned");
                self.pinnable = 0;
            }
            let to = &mut values[tap].all()[..count];
            // SAFETY: as many f32 lie one after another there, and what comes after in this stream is done after the copy. The slot
            // keeps what they are copied to, and nobody looks at it until the batch is done.
            unsafe { self.functions.download(to, rows.data_ptr(), COMPUTE) }?;
            Ok(())
        })?;
        done.record(COMPUTE).map_err(|error| StepError::from(error).at(PLACE, images))
    }

    /// The network's input: pixels copied beside what is computed now, and normalised when they are there.
    fn input(&mut self, slot: usize, images: usize) -> Result<Tensor, StepError> {
        let Engine { normalisation, kind, device, .. } = self.engine;
        let Slot { place, uploaded, consumed, batch, .. } = &mut self.slots[slot];
        let pixels: &[u8] = batch.as_ref().map_or(&[], |batch| &batch.pixels);
        if place.numel() < pixels.len() {
            *place = Tensor::f_empty([pixels.len() as i64], (Kind::Uint8, *device))?;
            // The memory may have been another value's, which is computed with yet.
            consumed.record(COMPUTE)?;
        }
        self.functions.wait(self.uploads.handle, consumed)?;
        // SAFETY: the device's memory is that large and belongs to the slot, which keeps the pixels until the batch is done.
        unsafe { self.functions.upload(place.data_ptr(), pixels, self.uploads.handle) }?;
        uploaded.record(self.uploads.handle)?;
        self.functions.wait(COMPUTE, uploaded)?;
        let rows = place.f_narrow(0, 0, pixels.len() as i64)?.f_view(normalisation.rows(images))?;
        let input = normalisation.apply(&rows, *kind)?;
        consumed.record(COMPUTE)?;
        Ok(input)
    }

    /// Waits for the oldest batch; none when no batch is under way.
    ///
    /// # Errors
    /// When the GPU reports one.
    pub fn finish(&mut self) -> Option<Result<Fed, EngineError>> {
        let slot = self.under_way.pop_front()?;
        let outcome = self.slots[slot].done.synchronize();
        let Some(Batch { images, started, .. }) = self.slots[slot].batch.as_ref().filter(|_| outcome.is_ok()) else {
            self.abandon(slot);
            let error = outcome.map_or_else(StepError::from, |()| StepError::Lost);
            return Some(Err(error.at(PLACE, 0)));
        };
        let (images, started) = (*images, *started);
        let Slot { values, batch, .. } = &mut self.slots[slot];
        let taps = values.iter_mut().zip(&self.engine.taps);
        let values = taps.map(|(values, tap)| values.take(images * tap.width())).collect();
        *batch = None;
        self.idle.push(slot);
        let seconds = started.max(self.finished).elapsed().as_secs_f64();
        self.finished = Instant::now();
        Some(Ok(Fed { values, seconds }))
    }

    /// Gives up the batch of a slot. What was handed out may read and write its memory yet, so it is waited for; that this may fail
    /// too is no news.
    fn abandon(&mut self, slot: usize) {
        drop(self.functions.synchronize());
        self.slots[slot].batch = None;
        self.idle.push(slot);
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        // What is under way reads and writes memory that goes away now; an error was reported where it was made.
        drop(self.functions.synchronize());
    }
}
