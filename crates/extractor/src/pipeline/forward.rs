//! The stage in the middle: decoded batches in, values of whole batches out, in row order.

use super::{
    ExtractError, Summary,
    lanes::{Lanes, Pending},
    run::{Computed, Known, Run, begins_image, outcomes},
};
use crate::{engine::Engine, images::batch::Batch};
use crossbeam_channel::{Receiver, Sender};
use std::{collections::VecDeque, time::Instant};

/// A batch whose values are being computed.
struct UnderWay {
    first_row: usize,
    failures: Vec<Option<String>>,
    /// None when no image of it is good.
    values: Option<Pending>,
}

impl Run<'_> {
    /// Runs the network on batches, in the order in which they are announced, until there are no more, or nobody takes what comes out.
    pub fn forward(
        &self,
        lanes: &Lanes,
        engine: &Engine,
        batches: Receiver<Receiver<Batch>>,
        out: Sender<Computed>,
        known: Known,
        summary: &mut Summary,
    ) -> Result<(), ExtractError> {
        summary.seconds.decode_workers = rayon::current_num_threads();
        summary.seconds.forward_workers = lanes.workers();
        let in_flight = lanes.in_flight(self.batch);
        rayon::in_place_scope(|scope| {
            let mut under_way: VecDeque<UnderWay> = VecDeque::new();
            loop {
                let asked = Instant::now();
                let Ok(batch) = batches.recv().and_then(|batch| batch.recv()) else { break };
                let Batch { first_row, failures, pixels, seconds, reading } = batch;
                if under_way.is_empty() {
                    summary.seconds.waited += asked.elapsed().as_secs_f64();
                }
                summary.seconds.decode += seconds;
                summary.seconds.read += reading;
                if let Err(error) = self.report(first_row, &failures, &known) {
                    // What came before is kept.
                    while !under_way.is_empty() && self.hand_on(under_way.pop_front(), engine, &out, summary)? {}
                    return Err(error);
                }
                let values = (!pixels.is_empty()).then(|| lanes.start(scope, pixels));
                under_way.push_back(UnderWay { first_row, failures, values });
                while under_way.len() >= in_flight {
                    if !self.hand_on(under_way.pop_front(), engine, &out, summary)? {
                        return Ok(());
                    }
                }
            }
            while !under_way.is_empty() {
                if !self.hand_on(under_way.pop_front(), engine, &out, summary)? {
                    return Ok(());
                }
            }
            Ok(())
        })
    }

    /// Waits for a batch and gives it to the writer; false when that has stopped (its own error says why).
    fn hand_on(
        &self,
        batch: Option<UnderWay>,
        engine: &Engine,
        out: &Sender<Computed>,
        summary: &mut Summary,
    ) -> Result<bool, ExtractError> {
        let Some(UnderWay { first_row, failures, values }) = batch else { return Ok(true) };
        let packed = match values {
            None => Vec::new(),
            Some(pending) => {
                let output = pending.wait().ok_or(ExtractError::Lost("forward"))??;
                summary.seconds.forward += output.seconds;
                output.values
            }
        };
        summary.computed += failures.len();
        let values = spread_all(engine.widths(), packed, &failures);
        Ok(out.send(Computed { first_row, outcomes: outcomes(failures), values }).is_ok())
    }

    /// Tells of the images of a batch that cannot be used.
    fn report(&self, first_row: usize, failures: &[Option<String>], known: &Known) -> Result<(), ExtractError> {
        for (at, failure) in failures.iter().enumerate() {
            let row = first_row - known.first + at;
            let source = &known.sources[row];
            // A row known from an earlier run was reported then, and an image is reported once.
            let is_news = source.image.is_ok() && (known.done[row] || begins_image(known.sources, row));
            if let Some(reason) = failure.as_ref().filter(|_| is_news) {
                self.bad_image(&source.name, reason, known.done[row])?;
            }
        }
        Ok(())
    }
}

/// The values of each tap, one row for every image, zeros (which the writer replaces) where the image is bad. `packed` holds
/// those of the good ones, and nothing when there is none.
pub fn spread_all(
    widths: impl Iterator<Item = usize>,
    packed: Vec<Vec<f32>>,
    failures: &[Option<String>],
) -> Vec<Vec<f32>> {
    if packed.is_empty() {
        return widths.map(|width| vec![0.0; failures.len() * width]).collect();
    }
    if failures.iter().all(Option::is_none) {
        return packed;
    }
    widths.zip(packed).map(|(width, values)| spread(&values, width, failures)).collect()
}

/// Puts packed rows where they belong among rows of which some failed.
fn spread(packed: &[f32], width: usize, failures: &[Option<String>]) -> Vec<f32> {
    let mut all = vec![0.0; failures.len() * width];
    let good_rows = all.chunks_exact_mut(width).zip(failures).filter(|(_, failure)| failure.is_none());
    for ((row, _), values) in good_rows.zip(packed.chunks_exact(width)) {
        row.copy_from_slice(values);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_back_to_their_rows() {
        let failures = [None, Some("broken".to_string()), None];
        assert_eq!(spread(&[1.0, 2.0, 5.0, 6.0], 2, &failures), [1.0, 2.0, 0.0, 0.0, 5.0, 6.0]);
        let all_bad = [Some("broken".to_string())];
        assert_eq!(spread_all([2, 1].into_iter(), Vec::new(), &all_bad), [vec![0.0, 0.0], vec![0.0]]);
    }
}
