//! The stage at the beginning: images to batches of pixels, by all workers of the current rayon pool, in row order.

use super::{
    ahead::Ahead,
    run::{Run, Source},
    segments,
};
use crate::{
    engine,
    images::batch::{self, Batch, View},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Batches that are decoded at the same time for a GPU: workers that find nothing left of one begin with the next, instead of waiting
/// for the slowest image. Beside a network on the CPU they find work anyway.
const AT_ONCE: usize = 2;

impl Run<'_> {
    /// Feeds batches, each to come, until the rows end, a signal comes or nobody listens; true when a signal came.
    pub fn decode(&self, rows: Range<usize>, sources: &[Source], out: Sender<Receiver<Batch>>, ahead: &Ahead) -> bool {
        let at_once = if self.device.is_cuda() { AT_ONCE } else { 1 };
        let first = rows.start;
        let buffers = engine::buffers(self.device);
        let waiting = Mutex::new(segments::batches(rows, self.batch));
        let interrupted = AtomicBool::new(false);
        let next = || {
            // Whoever takes a batch also takes its place in the row.
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let range = waiting.next()?;
            if self.stop.load(Ordering::Relaxed) {
                interrupted.store(true, Ordering::Relaxed);
                return None;
            }
            ahead.reached(range.end - first);
            let (decoded, place) = bounded(1);
            out.send(place).ok().map(|()| (range, decoded))
        };
        let work = || {
            while let Some((range, decoded)) = next() {
                let views: Vec<View> =
                    sources[range.start - first..range.end - first].iter().map(Source::view).collect();
                // Nobody listens any more when the run has failed elsewhere.
                drop(decoded.send(batch::decode(range.start, &views, self.input(), &buffers)));
            }
        };
        std::thread::scope(|scope| {
            (1..at_once).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        interrupted.into_inner()
    }
}
