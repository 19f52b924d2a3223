//! Reading a cache, also while a run writes it.

use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use half::slice::HalfFloatSliceExt;
use hdf5::Dataset;
use ndarray::Array2;

use crate::contents::{Contents, Rows};
use crate::error::{At, Error, Result, from_hdf5_error};
use crate::journal::{journal_path, roll_back};
use crate::layer_reader::LayerReader;
use crate::lock::Lock;
use crate::provenance::Provenance;
use crate::schema::{LayerInfo, Store, check_signature, file_options, select_rows};

/// Values are read in blocks of about this many bytes: large enough for the disk, small enough for the processor's cache.
const BLOCK: usize = 1 << 20;

/// A cache opened for reading: what was committed at that moment.
///
/// Rows that another process commits later show when the file is opened again, after this one is dropped: HDF5 shares what
/// it knows of a file among all who have it open in one process.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    provenance: Provenance,
    classes: Vec<String>,
    rows: Rows,
    layers: Vec<LayerInfo>,
    datasets: Vec<Dataset>,
}

impl Cache {
    /// Opens a cache.
    ///
    /// # Errors
    /// A missing file, one that is not HDF5, not ours, of a newer format, truncated or damaged, each by its name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let contents = read_contents(path)?;
        contents.refuse_problems(path)?;
        Ok(Self::from_contents(path, contents))
    }

    pub(crate) fn from_contents(path: &Path, contents: Contents) -> Self {
        let committed = contents.committed_anywhere();
        let Contents { provenance, classes, mut rows, layers, .. } = contents;
        rows.forget_from(committed);
        let (layers, datasets) = layers.into_iter().unzip();
        Self { path: path.to_owned(), provenance, classes, rows, layers, datasets }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the numbers come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Names of the classes; labels are indices into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The columns of `/rows`.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The layers, in the order in which they were added.
    pub fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// Whether every row of every layer is there.
    pub fn is_complete(&self) -> bool {
        self.layers.iter().all(|layer| layer.committed == self.rows.len())
    }

    /// A layer by `node:pool`, or by `node` alone where that is clear (with several poolings, `gap` wins).
    ///
    /// # Errors
    /// An unknown name, with similar ones and all there are; a node stored with several poolings but not `gap`.
    pub fn find_layer(&self, name: &str) -> Result<&LayerInfo> {
        let exact = self.layers.iter().find(|layer| layer.name == name);
        if let Some(layer) = exact.or_else(|| self.layers.iter().find(|layer| layer.name == format!("{name}:gap"))) {
            return Ok(layer);
        }
        let of_node: Vec<&LayerInfo> = self.layers.iter().filter(|layer| layer.layer == name).collect();
        let names = |layers: &[&LayerInfo]| layers.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>();
        match of_node[..] {
            [layer] => Ok(layer),
            [] => {
                let all: Vec<&LayerInfo> = self.layers.iter().collect();
                let near = near(name, &all);
                Err(Error::UnknownLayer { path: self.path.clone(), asked: name.into(), near, have: names(&all) })
            }
            _ => Err(Error::AmbiguousLayer { path: self.path.clone(), asked: name.into(), have: names(&of_node) }),
        }
    }

    /// Rows of a layer, each flattened: rows × width. Failed rows are NaN.
    ///
    /// # Errors
    /// [`Error::NotCommitted`] for rows that the layer does not have yet.
    pub fn read(&self, layer: &LayerInfo, rows: Range<usize>) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((rows.len(), layer.width));
        if let Some(values) = out.as_slice_mut() {
            self.read_into(layer, rows, values)?;
        }
        Ok(out)
    }

    /// [`Self::read`] into a buffer of rows × width values, which is not allocated anew.
    pub fn read_into(&self, layer: &LayerInfo, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        let dataset = self.dataset(layer, rows.end)?;
        self.check_buffer(layer, rows.len(), out.len())?;
        let step = (BLOCK / (layer.width * layer.store.size())).max(1);
        for (block, values) in rows.step_by(step).zip(out.chunks_mut(step * layer.width)) {
            let len = values.len() / layer.width;
            read_block(dataset, layer, block..block + len, values)
                .at(&self.path, format!("cannot read layer {}", layer.name))?;
        }
        Ok(())
    }

    /// Rows of a layer by their numbers, in any order and with repetitions: indices × width.
    pub fn read_rows(&self, layer: &LayerInfo, rows: &[usize]) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((rows.len(), layer.width));
        if let Some(values) = out.as_slice_mut() {
            self.read_rows_into(layer, rows, values)?;
        }
        Ok(out)
    }

    /// [`Self::read_rows`] into a buffer of indices × width values.
    pub fn read_rows_into(&self, layer: &LayerInfo, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let Some(&last) = rows.iter().max() else { return Ok(()) };
        let dataset = self.dataset(layer, last + 1)?;
        self.check_buffer(layer, rows.len(), out.len())?;
        read_spans(dataset, &self.path, layer, rows, out)
    }

    /// Reads rows of a layer from many threads, and without its parts of the file in memory.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`] for a layer of another file.
    pub fn layer_reader(&self, layer: &LayerInfo) -> Result<LayerReader> {
        Ok(LayerReader::new(&self.path, layer, self.dataset(layer, 0)?))
    }

    fn dataset(&self, layer: &LayerInfo, end: usize) -> Result<&Dataset> {
        let index = self.layers.iter().position(|own| own.name == layer.name && own.width == layer.width);
        let Some(index) = index else {
            let have = self.layers.iter().map(|layer| layer.name.clone()).collect();
            return Err(Error::UnknownLayer { path: self.path.clone(), asked: layer.name.clone(), near: vec![], have });
        };
        let committed = self.layers[index].committed;
        if end > committed {
            let (path, layer) = (self.path.clone(), layer.name.clone());
            return Err(Error::NotCommitted { path, layer, committed, wanted: end - 1 });
        }
        Ok(&self.datasets[index])
    }

    fn check_buffer(&self, layer: &LayerInfo, rows: usize, len: usize) -> Result<()> {
        let expected = rows * layer.width;
        if len == expected {
            return Ok(());
        }
        let detail = format!("{rows} rows of layer {} need a buffer of {expected} values, not {len}", layer.name);
        Err(Error::Misuse { path: self.path.clone(), detail })
    }
}

/// Opens and takes in a file, after undoing what an interrupted change may have left.
pub(crate) fn read_contents(path: &Path) -> Result<Contents> {
    read_file(path, |file| Contents::read(file, path))
}

/// What `read` makes of a file, after undoing what an interrupted change may have left.
pub(crate) fn read_file<T>(path: &Path, read: impl Fn(&hdf5::File) -> Result<T>) -> Result<T> {
    check_signature(path)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if journal_path(path).exists() {
            // Someone is changing the structure, which takes an instant, or was killed while doing it.
            match Lock::acquire(path) {
                Ok(_lock) => {
                    roll_back(path)?;
                }
                Err(Error::Locked { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        let found = open_file(path, false).and_then(|file| read(&file));
        // A change that began meanwhile may have shown us half of itself.
        if !journal_path(path).exists() || Instant::now() > deadline {
            return found;
        }
    }
}

/// Opens the HDF5 file, with the reason in words when that fails.
pub(crate) fn open_file(path: &Path, write: bool) -> Result<hdf5::File> {
    if is_abandoned(path) {
        return Err(Error::Abandoned { path: path.to_owned() });
    }
    let opened = if write { file_options().open_rw(path) } else { file_options().open(path) };
    opened.map_err(|error| {
        let detail = error.stack().and_then(|stack| {
            stack.iter().map(|frame| frame.desc().to_owned()).find(|text| text.starts_with("truncated file"))
        });
        match detail {
            Some(detail) => Error::Truncated { path: path.to_owned(), detail },
            None => from_hdf5_error(&error, path, "cannot open, the file may be damaged"),
        }
    })
}

/// Files whose structure could not be changed in this process, by device and inode.
static ABANDONED: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// Notes that HDF5 could not write what it holds of a file, so that it keeps it and would show it to whoever opens the file
/// again in this process, instead of what is on disk. Other processes are not concerned.
pub(crate) fn abandon(path: &Path) {
    if let Ok(file) = std::fs::metadata(path) {
        ABANDONED.lock().unwrap_or_else(PoisonError::into_inner).push((file.dev(), file.ino()));
    }
}

fn is_abandoned(path: &Path) -> bool {
    let abandoned = ABANDONED.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::metadata(path).is_ok_and(|file| abandoned.contains(&(file.dev(), file.ino())))
}

/// Reads rows by their numbers, which the dataset must have, spans of them at once.
pub(crate) fn read_spans(
    dataset: &Dataset,
    path: &Path,
    layer: &LayerInfo,
    rows: &[usize],
    out: &mut [f32],
) -> Result<()> {
    // A call costs as much as reading this many bytes: smaller gaps between wanted rows are read and thrown away.
    const GAP: usize = 64 << 10;

    let width = layer.width;
    let row_bytes = width * layer.store.size();
    let (gap, longest) = (GAP / row_bytes, (BLOCK / row_bytes).max(1));

    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows[i]);
    let mut buffer = Vec::new();
    let mut rest = &order[..];
    while let Some(&first) = rest.first() {
        let start = rows[first];
        let mut end = start + 1;
        let joins = |&&i: &&usize| {
            let joined = rows[i] <= end + gap && rows[i] < start + longest;
            if joined {
                end = end.max(rows[i] + 1);
            }
            joined
        };
        let count = rest.iter().take_while(joins).count();
        let (span, others) = rest.split_at(count);
        buffer.resize((end - start) * width, 0.0);
        read_block(dataset, layer, start..end, &mut buffer).at(path, format!("cannot read layer {}", layer.name))?;
        for &i in span {
            let from = (rows[i] - start) * width;
            out[i * width..(i + 1) * width].copy_from_slice(&buffer[from..from + width]);
        }
        rest = others;
    }
    Ok(())
}

fn read_block(dataset: &Dataset, layer: &LayerInfo, rows: Range<usize>, out: &mut [f32]) -> hdf5::Result<()> {
    let selection = select_rows(rows, 1 + layer.stored.len());
    match layer.store {
        Store::F32 => {
            let values = dataset.read_slice::<f32, _, ndarray::IxDyn>(selection)?;
            out.copy_from_slice(contiguous(&values, out.len())?);
        }
        Store::F16 => {
            // HDF5 would convert as well, twenty times slower.
            let values = dataset.read_slice::<half::f16, _, ndarray::IxDyn>(selection)?;
            contiguous(&values, out.len())?.convert_to_f32_slice(out);
        }
    }
    Ok(())
}

fn contiguous<T>(values: &ndarray::ArrayD<T>, len: usize) -> hdf5::Result<&[T]> {
    let slice = values.as_slice().filter(|slice| slice.len() == len);
    slice.ok_or_else(|| hdf5::Error::from(format!("{len} values were asked for, {} came", values.len())))
}

/// Up to three names that someone who typed `name` may have meant.
fn near(name: &str, layers: &[&LayerInfo]) -> Vec<String> {
    let similarity = |layer: &LayerInfo| {
        let whole = strsim::jaro_winkler(name, &layer.name);
        whole.max(strsim::jaro_winkler(name, &layer.layer))
    };
    let mut scored: Vec<(f64, &str)> = layers.iter().map(|layer| (similarity(layer), layer.name.as_str())).collect();
    scored.retain(|(score, _)| *score > 0.8);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.iter().take(3).map(|(_, name)| (*name).to_owned()).collect()
}
