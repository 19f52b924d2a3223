//! The features of a layer: read into memory at once, or whenever they are needed.

use std::sync::{Arc, OnceLock};

use headstart_cache::{Cache, LayerInfo, LayerReader};
use ndarray::{Array2, Axis, s};

use crate::Error;
use crate::features::{Features, RowSource};
use crate::memory::Memory;

/// n × d features.
#[derive(Debug, Clone)]
pub enum Table {
    /// In memory.
    Memory(Array2<f32>),
    /// In a cache.
    Stored(StoredRows),
}

impl From<Array2<f32>> for Table {
    fn from(rows: Array2<f32>) -> Self {
        Self::Memory(rows)
    }
}

impl Table {
    /// Some rows of a layer, or of several side by side: in memory if that holds them, else in the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(cache: &Cache, layers: &[LayerInfo], rows: &[usize], memory: Memory) -> Result<Self, Error> {
        let width = layers.iter().map(|layer| layer.width).sum();
        if !memory.holds(rows.len(), width) {
            let readers = layers.iter().map(|layer| Ok(Arc::new(cache.layer_reader(layer)?)));
            let readers = readers.collect::<Result<_, Error>>()?;
            return Ok(Self::Stored(StoredRows { readers, rows: rows.to_vec(), failure: Arc::default() }));
        }
        if let [layer] = layers {
            return Ok(Self::Memory(cache.read_rows(layer, rows)?));
        }
        let mut all = Array2::zeros((rows.len(), width));
        let mut start = 0;
        for layer in layers {
            all.slice_mut(s![.., start..start + layer.width]).assign(&cache.read_rows(layer, rows)?);
            start += layer.width;
        }
        Ok(Self::Memory(all))
    }

    /// The rows, for training and scoring.
    pub fn view(&self) -> Features<'_> {
        match self {
            Self::Memory(rows) => rows.view().into(),
            Self::Stored(rows) => Features::Stored(rows),
        }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.view().nrows()
    }

    /// Features of a row.
    pub fn ncols(&self) -> usize {
        self.view().ncols()
    }

    /// Leaves out all rows but those of these numbers.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        match self {
            Self::Memory(rows) => *rows = rows.select(Axis(0), kept),
            Self::Stored(stored) => stored.rows = kept.iter().map(|&row| stored.rows[row]).collect(),
        }
    }

    /// Adds the rows of another table, of the same layer.
    ///
    /// # Errors
    /// When they have another width, or cannot be read.
    pub(crate) fn append(&mut self, more: Self) -> Result<(), Error> {
        let (got, expected) = (more.ncols(), self.ncols());
        match (self, more) {
            (Self::Stored(own), Self::Stored(more)) => own.rows.extend(more.rows),
            (Self::Memory(own), more) => {
                let all: Vec<usize> = (0..more.nrows()).collect();
                let more = more.view().read(&all)?;
                own.append(Axis(0), more.view()).map_err(|_| Error::Width { got, expected })?;
            }
            (own, more) => {
                let mut rows = Self::Memory(own.view().read(&(0..own.nrows()).collect::<Vec<_>>())?);
                rows.append(more)?;
                *own = rows;
            }
        }
        Ok(())
    }
}

/// Rows of a layer, or of several side by side, that are read from the cache whenever they are needed.
#[derive(Debug, Clone)]
pub struct StoredRows {
    readers: Vec<Arc<LayerReader>>,
    rows: Vec<usize>,
    failure: Arc<OnceLock<String>>,
}

impl RowSource for StoredRows {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.readers.iter().map(|reader| reader.layer().width).sum()
    }

    fn read(&self, rows: &[usize], out: &mut [f32]) {
        let rows: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
        // After a failure nothing is worth reading.
        let read = if self.failure.get().is_some() { None } else { Some(self.read_all(&rows, out)) };
        match read {
            Some(Ok(())) => return,
            Some(Err(error)) => drop(self.failure.set(error.to_string())),
            None => {}
        }
        out.fill(f32::NAN);
    }

    fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }
}

impl StoredRows {
    fn read_all(&self, rows: &[usize], out: &mut [f32]) -> Result<(), headstart_cache::Error> {
        if let [reader] = &self.readers[..] {
            return reader.read_rows_into(rows, out);
        }
        let width = self.width();
        let (mut start, mut part) = (0, Vec::new());
        for reader in &self.readers {
            let own = reader.layer().width;
            part.resize(rows.len() * own, 0.0);
            reader.read_rows_into(rows, &mut part)?;
            for (row, values) in out.chunks_exact_mut(width).zip(part.chunks_exact(own)) {
                row[start..start + own].copy_from_slice(values);
            }
            start += own;
        }
        Ok(())
    }
}
