//! Rows of one layer straight from the file, for threads that read at the same time.
//!
//! HDF5 lets one thread in at a time and copies what it reads twice. A layer is stored in chunks of whole rows, uncompressed, so once
//! HDF5 has said where each chunk begins, the system can read the rows.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use hdf5::Dataset;
use hdf5::types::TypeDescriptor;

use crate::error::{At, Error, Result};
use crate::reader::read_spans;
use crate::schema::{LayerInfo, Store};

/// One layer of a cache, read row by row from many threads.
#[derive(Debug)]
pub struct LayerReader {
    path: PathBuf,
    layer: LayerInfo,
    dataset: Dataset,
    chunks: Option<Chunks>,
}

/// Where the chunks of a layer are.
#[derive(Debug)]
struct Chunks {
    file: std::fs::File,
    /// Rows of each.
    rows: usize,
    addresses: Vec<u64>,
}

impl LayerReader {
    pub(crate) fn new(path: &Path, layer: &LayerInfo, dataset: &Dataset) -> Self {
        let chunks = Chunks::find(path, layer, dataset);
        Self { path: path.to_owned(), layer: layer.clone(), dataset: dataset.clone(), chunks }
    }

    /// The layer.
    pub fn layer(&self) -> &LayerInfo {
        &self.layer
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows by their numbers, in any order and with repetitions, into a buffer of indices × width values.
    ///
    /// # Errors
    /// [`Error::NotCommitted`] for rows that the layer does not have, a buffer of another size, and what the system says.
    pub fn read_rows_into(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let Self { path, layer, .. } = self;
        if let Some(&wanted) = rows.iter().max().filter(|&&last| last >= layer.committed) {
            let (path, committed) = (path.clone(), layer.committed);
            return Err(Error::NotCommitted { path, layer: layer.name.clone(), committed, wanted });
        }
        if out.len() != rows.len() * layer.width {
            let detail = format!("{} rows of layer {} into a buffer of {} values", rows.len(), layer.name, out.len());
            return Err(Error::Misuse { path: path.clone(), detail });
        }
        match &self.chunks {
            Some(chunks) => chunks.read(layer, rows, out).at(path, format!("cannot read layer {}", layer.name)),
            None => read_spans(&self.dataset, path, layer, rows, out),
        }
    }
}

impl Chunks {
    /// `None` if the layer is stored in another way than this version writes it; HDF5 reads it then.
    fn find(path: &Path, layer: &LayerInfo, dataset: &Dataset) -> Option<Self> {
        let little = cfg!(target_endian = "little")
            && dataset.dtype().ok()?.byte_order() == hdf5::datatype::ByteOrder::LittleEndian;
        let kind = dataset.dtype().ok()?.to_descriptor().ok()?;
        let same = match layer.store {
            Store::F32 => matches!(kind, TypeDescriptor::Float(size) if size as usize == 4),
            Store::F16 => matches!(kind, TypeDescriptor::Float(size) if size as usize == 2),
        };
        let shape = dataset.chunk()?;
        if !little || !same || !dataset.filters().is_empty() || shape[1..] != layer.stored[..] {
            return None;
        }
        let (rows, count) = (shape[0], layer.committed.div_ceil(shape[0]));
        let mut addresses = vec![u64::MAX; count];
        let bytes = (rows * layer.width * layer.store.size()) as u64;
        dataset
            .chunks_visit(|chunk| {
                let first = chunk.offset[0] as usize;
                if first.is_multiple_of(rows) && first / rows < count && chunk.size == bytes {
                    addresses[first / rows] = chunk.addr;
                }
                0
            })
            .ok()?;
        let all = addresses.iter().all(|&address| address != u64::MAX);
        all.then(|| Some(Self { file: std::fs::File::open(path).ok()?, rows, addresses }))?
    }

    fn read(&self, layer: &LayerInfo, rows: &[usize], out: &mut [f32]) -> std::io::Result<()> {
        let row_bytes = layer.width * layer.store.size();
        let mut bytes = Vec::new();
        let mut halves = Vec::new();
        let (mut rest, mut out) = (rows, out);
        while let Some(&first) = rest.first() {
            // Rows that follow each other, as far as the chunk goes.
            let room = self.rows - first % self.rows;
            let count = rest.iter().take(room).enumerate().take_while(|&(place, &row)| row == first + place).count();
            let values;
            (values, out) = out.split_at_mut(count * layer.width);
            bytes.resize(count * row_bytes, 0);
            let start = self.addresses[first / self.rows] + (first % self.rows * row_bytes) as u64;
            self.file.read_exact_at(&mut bytes, start)?;
            match layer.store {
                Store::F32 => {
                    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                        *value = f32::from_le_bytes(*bytes);
                    }
                }
                Store::F16 => {
                    halves.clear();
                    halves.extend(bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes)));
                    halves.reinterpret_cast::<half::f16>().convert_to_f32_slice(values);
                }
            }
            rest = &rest[count..];
        }
        Ok(())
    }
}
