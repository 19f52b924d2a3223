//! Filling in values: the commit protocol.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use hdf5::Dataset;
use ndarray::ArrayViewD;

use super::{LayerId, RowOutcome, Writer};
use crate::error::{At, Error, Result};
use crate::schema::{LayerInfo, Reason, Status, Store, reason, select_rows};

impl Writer {
    /// Writes rows `first_row..first_row + outcomes.len()` of some layers, and commits them.
    ///
    /// `layers` pairs each layer with its values, outcomes × width, row after row; the values of failed rows are ignored,
    /// and NaN is stored. A layer that has some of the rows already keeps them, so layers that stand at different rows can
    /// be filled by one pass over the images; a gap between what a layer has and `first_row` is refused.
    ///
    /// The rows count only once all of this is in the file. A row that failed before stays failed ([`Self::rewrite`]
    /// retries it), and one that fails now becomes NaN in every layer, so that no layer has a row that another lacks.
    ///
    /// # Errors
    /// Values that are not finite, or that f16 cannot hold, with layer and row: nothing was written then. After
    /// [`Error::DiskFull`] or any other error of the file, the writer is closed and the rows committed before are safe.
    pub fn append(&mut self, first_row: usize, outcomes: &[RowOutcome], layers: &[(LayerId, &[f32])]) -> Result<()> {
        self.open()?;
        let rows = first_row..first_row + outcomes.len();
        self.check_append(&rows, layers)?;
        let committed_before = self.layers.iter().map(|layer| layer.info.committed).max().unwrap_or(0);
        let known_bad = |row: usize| row < committed_before && self.rows.status[row] == Status::Failed;
        // What each row will be: none when it is done, else the reason.
        let verdicts: Vec<Option<String>> = rows
            .clone()
            .zip(outcomes)
            .map(|(row, outcome)| match outcome {
                _ if known_bad(row) => Some(self.rows.error[row].clone()),
                RowOutcome::Done => None,
                RowOutcome::Failed(text) => Some(reason(text).to_string()),
            })
            .collect();
        for &(id, values) in layers {
            self.check_values(id, &rows, values, &verdicts)?;
        }
        let lost = |&row: &usize| row < committed_before && verdicts[row - first_row].is_some() && !known_bad(row);
        let lost: Vec<usize> = rows.clone().filter(lost).collect();

        let written = self.write_batch(&rows, layers, &verdicts, &lost);
        if written.is_err() {
            self.give_up();
        }
        written
    }

    /// Replaces rows that failed before, given their numbers, in any order.
    ///
    /// Each must come with values for every layer that has reached it; a layer that has not is left alone. Rows that fail
    /// again get the new reason.
    ///
    /// # Errors
    /// Those of [`Self::append`], and [`Error::Misuse`] for a row that has not failed or a layer that is missing.
    pub fn rewrite(&mut self, rows: &[usize], outcomes: &[RowOutcome], layers: &[(LayerId, &[f32])]) -> Result<()> {
        self.open()?;
        if rows.len() != outcomes.len() {
            return self.refuse(format!("{} rows with {} outcomes", rows.len(), outcomes.len()));
        }
        for &(id, values) in layers {
            self.check_length(id, rows.len(), values)?;
        }
        for (i, (&row, outcome)) in rows.iter().zip(outcomes).enumerate() {
            if self.rows.status.get(row) != Some(&Status::Failed) {
                return self.refuse(format!("row {row} has not failed, so it cannot be retried"));
            }
            if *outcome != RowOutcome::Done {
                continue;
            }
            for (index, layer) in self.layers.iter().enumerate() {
                if layer.info.committed > row && !layers.iter().any(|(id, _)| id.0 == index) {
                    return self.refuse(format!("retrying row {row} needs values for layer {} too", layer.info.name));
                }
            }
            for &(id, values) in layers {
                let width = self.layers[id.0].info.width;
                self.check_row(&self.layers[id.0].info, row, &values[i * width..(i + 1) * width])?;
            }
        }
        let written = self.write_again(rows, outcomes, layers);
        if written.is_err() {
            self.give_up();
        }
        written
    }

    fn write_batch(
        &mut self,
        rows: &Range<usize>,
        layers: &[(LayerId, &[f32])],
        verdicts: &[Option<String>],
        lost: &[usize],
    ) -> Result<()> {
        for &(id, values) in layers {
            let skip = self.layers[id.0].info.committed - rows.start;
            if skip < rows.len() {
                let failed: Vec<bool> = verdicts[skip..].iter().map(Option::is_some).collect();
                let values = &values[skip * self.layers[id.0].info.width..];
                self.write_values(id.0, rows.start + skip, values, &failed)?;
            }
        }
        let mut changed = false;
        for (row, verdict) in rows.clone().zip(verdicts) {
            changed |= self.set_status(row, verdict.as_deref());
        }
        if changed {
            self.write_status(rows.start, rows.len())?;
        }
        // The status first: were the run killed in between, a row marked failed is blanked when the file is opened next,
        // but one marked done would be taken for good.
        for &row in lost {
            self.blank(row)?;
        }
        self.flush()?;
        for &(id, _) in layers {
            let layer = &self.layers[id.0];
            if layer.info.committed < rows.end {
                let Some((_, mark)) = &layer.handles else { return Err(Error::Closed { path: self.path.clone() }) };
                mark.write_scalar(&(rows.end as u64))
                    .at(&self.path, format!("cannot commit layer {}", layer.info.name))?;
            }
        }
        self.flush()?;
        for &(id, _) in layers {
            let committed = &mut self.layers[id.0].info.committed;
            *committed = rows.end.max(*committed);
        }
        Ok(())
    }

    fn write_again(&mut self, rows: &[usize], outcomes: &[RowOutcome], layers: &[(LayerId, &[f32])]) -> Result<()> {
        for (i, (&row, outcome)) in rows.iter().zip(outcomes).enumerate() {
            for &(id, values) in layers {
                let (width, committed) = (self.layers[id.0].info.width, self.layers[id.0].info.committed);
                if *outcome == RowOutcome::Done && row < committed {
                    self.write_values(id.0, row, &values[i * width..(i + 1) * width], &[false])?;
                }
            }
        }
        self.flush()?;
        for (&row, outcome) in rows.iter().zip(outcomes) {
            match outcome {
                RowOutcome::Done => self.set_status(row, None),
                RowOutcome::Failed(text) => self.set_status(row, Some(&reason(text))),
            };
            self.write_status(row, 1)?;
        }
        self.flush()
    }

    /// Makes failed rows NaN wherever they are not, as a kill in the middle of a retry or a downgrade leaves them.
    ///
    /// Returns how many rows were.
    pub(super) fn blank_failed_rows(&mut self) -> Result<usize> {
        let mut blanked = 0;
        for row in self.rows.with_status(Status::Failed) {
            let mut blank = true;
            for layer in self.layers.iter().filter(|layer| layer.info.committed > row) {
                let Some((dataset, _)) = &layer.handles else { return Err(Error::Closed { path: self.path.clone() }) };
                let selection = select_rows(row..row + 1, 1 + layer.info.stored.len());
                // f16 is converted by HDF5 here: slowly, which does not matter for the few rows that fail.
                let values = dataset.read_slice::<f32, _, ndarray::IxDyn>(selection);
                blank &= values.at(&self.path, "cannot check a failed row")?.iter().all(|value| value.is_nan());
            }
            if !blank {
                self.blank(row)?;
                blanked += 1;
            }
        }
        Ok(blanked)
    }

    /// Writes NaN into a row of every layer that has reached it.
    fn blank(&mut self, row: usize) -> Result<()> {
        for index in 0..self.layers.len() {
            if self.layers[index].info.committed > row {
                let nothing = vec![0.0; self.layers[index].info.width];
                self.write_values(index, row, &nothing, &[true])?;
            }
        }
        Ok(())
    }

    /// Writes consecutive rows of one layer, NaN for the failed ones.
    fn write_values(&mut self, index: usize, first: usize, values: &[f32], failed: &[bool]) -> Result<()> {
        let layer = &self.layers[index];
        let Some((dataset, _)) = &layer.handles else { return Err(Error::Closed { path: self.path.clone() }) };
        let width = layer.info.width;
        let any_failed = failed.contains(&true);
        let failed_rows = || failed.iter().enumerate().filter(|(_, failed)| **failed).map(|(row, _)| row * width);
        let result = match layer.info.store {
            Store::F32 if !any_failed => write_slice(dataset, &layer.info, first, values),
            Store::F32 => {
                self.floats.clear();
                self.floats.extend_from_slice(values);
                failed_rows().for_each(|at| self.floats[at..at + width].fill(f32::NAN));
                write_slice(dataset, &layer.info, first, &self.floats)
            }
            Store::F16 => {
                self.halves.resize(values.len(), half::f16::ZERO);
                self.halves.convert_from_f32_slice(values);
                failed_rows().for_each(|at| self.halves[at..at + width].fill(half::f16::NAN));
                write_slice(dataset, &layer.info, first, &self.halves)
            }
        };
        result.at(&self.path, format!("cannot write rows {first}.. of layer {}", layer.info.name))
    }

    /// Sets status and reason in memory; returns whether that is a change.
    fn set_status(&mut self, row: usize, failure: Option<&str>) -> bool {
        let (status, text) = match failure {
            None => (Status::Done, ""),
            Some(text) => (Status::Failed, text),
        };
        let changed = self.rows.status[row] != status || self.rows.error[row] != text;
        self.rows.status[row] = status;
        self.rows.error[row] = text.into();
        changed
    }

    /// Writes status and reason of some rows as they are in memory.
    pub(super) fn write_status(&self, first: usize, len: usize) -> Result<()> {
        let open = self.open()?;
        let rows = first..first + len;
        let codes: Vec<u8> = self.rows.status[rows.clone()].iter().map(|status| status.code()).collect();
        let texts = &self.rows.error[rows.clone()];
        let reasons: Vec<Reason> = texts.iter().map(|text| text.parse().unwrap_or_default()).collect();
        let write = || -> hdf5::Result<()> {
            open.error.write_slice(&reasons, select_rows(rows.clone(), 1))?;
            open.status.write_slice(&codes, select_rows(rows.clone(), 1))
        };
        write().at(&self.path, format!("cannot write the status of rows {first}.."))
    }

    fn flush(&self) -> Result<()> {
        self.open()?.file.flush().at(&self.path, "cannot flush")
    }

    fn refuse<T>(&self, detail: String) -> Result<T> {
        Err(Error::Misuse { path: self.path.clone(), detail })
    }

    fn check_append(&self, rows: &Range<usize>, layers: &[(LayerId, &[f32])]) -> Result<()> {
        if rows.end > self.rows.len() {
            return self.refuse(format!("rows {rows:?} of {} were given", self.rows.len()));
        }
        for (i, &(id, values)) in layers.iter().enumerate() {
            self.check_length(id, rows.len(), values)?;
            let info = &self.layers[id.0].info;
            if info.committed < rows.start {
                return self
                    .refuse(format!("layer {} has {} rows, and {rows:?} were given", info.name, info.committed));
            }
            if layers[..i].iter().any(|(other, _)| *other == id) {
                return self.refuse(format!("layer {} was given twice", info.name));
            }
        }
        Ok(())
    }

    fn check_length(&self, id: LayerId, rows: usize, values: &[f32]) -> Result<()> {
        let Some(layer) = self.layers.get(id.0) else { return self.refuse("a layer of another file was given".into()) };
        if values.len() == rows * layer.info.width {
            return Ok(());
        }
        let LayerInfo { name, width, .. } = &layer.info;
        self.refuse(format!("{} values were given for {rows} rows of layer {name} (width {width})", values.len()))
    }

    fn check_values(
        &self,
        id: LayerId,
        rows: &Range<usize>,
        values: &[f32],
        verdicts: &[Option<String>],
    ) -> Result<()> {
        let info = &self.layers[id.0].info;
        for ((row, values), verdict) in rows.clone().zip(values.chunks_exact(info.width)).zip(verdicts) {
            if verdict.is_none() && row >= info.committed {
                self.check_row(info, row, values)?;
            }
        }
        Ok(())
    }

    /// Refuses what the layer cannot hold.
    fn check_row(&self, info: &LayerInfo, row: usize, values: &[f32]) -> Result<()> {
        let limit = match info.store {
            Store::F32 => f32::MAX,
            Store::F16 => half::f16::MAX.to_f32(),
        };
        // Floats without their sign order like integers, NaN above all: one comparison per value that vectorises.
        let magnitude = |value: &f32| value.to_bits() & 0x7fff_ffff;
        if values.iter().fold(0, |max, value| magnitude(value).max(max)) <= limit.to_bits() {
            return Ok(());
        }
        let worst = values.iter().copied().max_by_key(magnitude).unwrap_or(f32::NAN);
        let (layer, image) = (info.name.clone(), self.rows.path[row].clone());
        Err(if worst.is_finite() {
            Error::F16Overflow { layer, row, image, value: worst }
        } else {
            Error::NonFinite { layer, row, image, value: worst }
        })
    }
}

fn write_slice<T: hdf5::H5Type>(dataset: &Dataset, info: &LayerInfo, first: usize, values: &[T]) -> hdf5::Result<()> {
    let rows = values.len() / info.width;
    let shape: Vec<usize> = std::iter::once(rows).chain(info.stored.iter().copied()).collect();
    let view = ArrayViewD::from_shape(shape, values)?;
    dataset.write_slice(view, select_rows(first..first + rows, 1 + info.stored.len()))
}
