//! The threads of an extraction: one feeds decoded batches, the caller's runs the network, one owns the file.

use super::{
    ExtractError, Progress, Summary,
    ahead::{self, Ahead},
    estimate,
    forward::spread_all,
    lanes::Lanes,
    segments,
};
use crate::{
    backbone::Backbone,
    engine::{Engine, Precision},
    graph::{LayerSpec, Tap},
    images::{augment::Augmenter, batch, pixels::Buffers},
};
use crossbeam_channel::{Receiver, bounded};
use headstart_cache::{Error as CacheError, LayerId, RowOutcome, Rows, Status, Writer};
use segments::Segment;
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// Batches waiting between two stages: enough to keep both busy, few enough to bound memory.
const QUEUE: usize = 2;

/// Everything that stays the same during a run.
pub struct Run<'a> {
    pub backbone: &'a Backbone,
    pub taps: &'a [Tap],
    pub layers: &'a [LayerId],
    /// Bytes one row takes in each layer's dataset.
    pub row_bytes: &'a [u64],
    /// Image of each row of the file.
    pub listed: &'a [Option<&'a Path>],
    pub root: &'a Path,
    pub augmenter: Option<&'a Augmenter>,
    pub device: tch::Device,
    /// Further accelerators.
    pub others: &'a [tch::Device],
    pub precision: Precision,
    pub batch: usize,
    pub fast_decode: bool,
    pub fail_on_bad_image: bool,
    pub progress: &'a dyn Progress,
    pub stop: &'a AtomicBool,
}

/// Where a row comes from.
pub struct Source {
    /// The image, or why the row is already known to be bad.
    pub image: Result<PathBuf, String>,
    pub name: String,
    pub view: u32,
}

impl Source {
    pub fn view(&self) -> batch::View<'_> {
        let image = self.image.as_deref().map_err(Clone::clone);
        batch::View { image, name: &self.name, number: self.view }
    }
}

/// What the file and the listing say about the rows of a segment.
pub struct Known<'a> {
    pub sources: &'a [Source],
    /// Whether other layers have the row's values already.
    pub done: &'a [bool],
    pub first: usize,
}

/// The values of consecutive rows on their way to the file.
pub struct Computed {
    pub first_row: usize,
    pub outcomes: Vec<RowOutcome>,
    pub values: Vec<Vec<f32>>,
}

impl Run<'_> {
    /// Computes the segments one after another and returns the writer.
    pub fn execute(
        &self,
        mut writer: Writer,
        pieces: &[Segment],
        summary: &mut Summary,
    ) -> Result<Writer, ExtractError> {
        let mut announced = false;
        for piece in pieces {
            let taps: Vec<Tap> = piece.layers.iter().map(|&layer| self.taps[layer].clone()).collect();
            let layers: Vec<LayerId> = piece.layers.iter().map(|&layer| self.layers[layer]).collect();
            let engine = self.engine(&taps, self.device)?;
            let others = self.others.iter().map(|&other| self.engine(&taps, other)).collect::<Result<Vec<_>, _>>()?;
            let sources = self.sources(writer.rows(), piece.rows.clone());
            if !announced {
                let plan = estimate::measure(self, pieces, &engine, &sources)?;
                self.progress.begin(&plan);
                announced = true;
            }
            writer = self.segment(writer, piece.rows.clone(), &sources, (&engine, &others), &layers, summary)?;
            if summary.interrupted {
                break;
            }
        }
        Ok(writer)
    }

    /// What rows look like to the backbone.
    pub fn input(&self) -> batch::Input<'_> {
        batch::Input { preprocessing: &self.backbone.preprocessing, augmenter: self.augmenter, fast: self.fast_decode }
    }

    fn engine(&self, taps: &[Tap], device: tch::Device) -> Result<Engine, ExtractError> {
        let backbone = self.backbone;
        Ok(Engine::new(&backbone.graph, taps, &backbone.weights, &backbone.preprocessing, device, self.precision)?)
    }

    /// Tries `failed` rows again, for every layer of the file, and replaces those that work now.
    pub fn retry(&self, writer: &mut Writer, failed: &[usize], summary: &mut Summary) -> Result<(), ExtractError> {
        let (layers, specs): (Vec<LayerId>, Vec<LayerSpec>) = writer
            .layers()
            .map(|(id, info)| (id, LayerSpec { layer: info.layer.clone(), pool: info.pool.parse().ok() }))
            .unzip();
        let engine = self.engine(&self.backbone.select(&specs)?, self.device)?;
        let lanes = Lanes::new(&engine, self.device);
        let buffers = Buffers::default();
        for rows in failed.chunks(self.batch) {
            if self.stop.load(Ordering::Relaxed) {
                summary.interrupted = true;
                return Ok(());
            }
            let again =
                |&row: &usize| Source { image: Ok(self.image(row, writer.rows())), ..source(row, writer.rows()) };
            let sources: Vec<Source> = rows.iter().map(again).collect();
            let views: Vec<batch::View> = sources.iter().map(Source::view).collect();
            let batch = batch::decode(rows[0], &views, self.input(), &buffers);
            for (at, failure) in batch.failures.iter().enumerate() {
                if let Some(reason) = failure.as_ref().filter(|_| begins_image(&sources, at)) {
                    self.bad_image(&sources[at].name, reason, false)?;
                }
            }
            let good = batch.failures.iter().filter(|failure| failure.is_none()).count();
            let values = if good == 0 { Vec::new() } else { lanes.run(&batch.pixels)?.values };
            let values = spread_all(engine.widths(), values, &batch.failures);
            summary.computed += good;
            let values: Vec<(LayerId, &[f32])> = layers.iter().copied().zip(values.iter().map(Vec::as_slice)).collect();
            writer.rewrite(rows, &outcomes(batch.failures), &values)?;
        }
        Ok(())
    }

    /// Where the image of a row is: as listed, or where it would be if it were.
    fn image(&self, row: usize, rows: &Rows) -> PathBuf {
        self.listed[row].map_or_else(|| self.root.join(&rows.path[row]), PathBuf::from)
    }

    /// Where each row comes from. A row that failed for one layer stays failed for the next, so that a row is good in all of
    /// them or in none.
    fn sources(&self, rows: &Rows, range: Range<usize>) -> Vec<Source> {
        range
            .map(|row| match rows.status[row] {
                Status::Failed => source(row, rows),
                _ => Source { image: Ok(self.image(row, rows)), ..source(row, rows) },
            })
            .collect()
    }

    fn segment(
        &self,
        writer: Writer,
        rows: Range<usize>,
        sources: &[Source],
        (engine, others): (&Engine, &[Engine]),
        layers: &[LayerId],
        summary: &mut Summary,
    ) -> Result<Writer, ExtractError> {
        let done: Vec<bool> = writer.rows().status[rows.clone()].iter().map(|&status| status == Status::Done).collect();
        // As many batches as wait to be computed, and as many again.
        let ahead = Ahead::new(2 * QUEUE * self.batch);
        std::thread::scope(|scope| {
            // Batches take their place before they are decoded.
            let (decoded_out, decoded_in) = bounded(QUEUE + 1);
            let (computed_out, computed_in) = bounded(QUEUE);
            let first = rows.start;
            let ahead = &ahead;
            for _ in 0..ahead::READERS {
                scope.spawn(move || ahead.read(sources));
            }
            let decoder = scope.spawn(move || {
                let _readers = ahead.until_dropped();
                self.decode(rows, sources, decoded_out, ahead)
            });
            let file = scope.spawn(move || self.write(writer, computed_in, layers));
            let known = Known { sources, done: &done, first };
            let lanes = Lanes::threaded(engine, others, self.device, scope);
            let forward = self.forward(&lanes, engine, decoded_in, computed_out, known, summary);
            // Its threads end with it.
            drop(lanes);
            let stopped = decoder.join().map_err(|_| ExtractError::Lost("decoding"))?;
            let (writer, seconds) = file.join().map_err(|_| ExtractError::Lost("writing"))??;
            summary.seconds.write += seconds;
            forward?;
            summary.interrupted |= stopped;
            Ok(writer)
        })
    }

    /// Notes an image that cannot be used, or stops the run for it.
    pub fn bad_image(&self, path: &str, reason: &str, done_before: bool) -> Result<(), ExtractError> {
        let (path, reason) = (path.to_string(), reason.to_string());
        if done_before {
            // Going on would blank the row in every layer that has it.
            return Err(ExtractError::Vanished { path, reason });
        }
        if self.fail_on_bad_image {
            return Err(ExtractError::BadImage { path, reason });
        }
        self.progress.bad_image(&path, &reason);
        Ok(())
    }

    fn write(
        &self,
        mut writer: Writer,
        batches: Receiver<Computed>,
        layers: &[LayerId],
    ) -> Result<(Writer, f64), CacheError> {
        let mut seconds = 0.0;
        for batch in batches {
            let start = Instant::now();
            let values: Vec<(LayerId, &[f32])> =
                layers.iter().copied().zip(batch.values.iter().map(Vec::as_slice)).collect();
            writer.append(batch.first_row, &batch.outcomes, &values)?;
            seconds += start.elapsed().as_secs_f64();
            self.progress.advance(batch.outcomes.len());
        }
        Ok((writer, seconds))
    }
}

/// A row as the file knows it: where it failed, and why.
fn source(row: usize, rows: &Rows) -> Source {
    Source { image: Err(rows.error[row].clone()), name: rows.path[row].clone(), view: rows.view[row] }
}

/// Whether the row before this one is of another image.
pub fn begins_image(sources: &[Source], row: usize) -> bool {
    row == 0 || sources[row - 1].name != sources[row].name
}

pub fn outcomes(failures: Vec<Option<String>>) -> Vec<RowOutcome> {
    failures.into_iter().map(|failure| failure.map_or(RowOutcome::Done, RowOutcome::Failed)).collect()
}
