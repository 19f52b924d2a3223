//! Writing a cache: made or extended here, filled in [`append`](Writer::append).

mod append;
mod open;

use std::path::{Path, PathBuf};

use hdf5::{Attribute, Dataset, File};

use crate::contents::Rows;
use crate::error::{At, Error, Result};
use crate::journal::{Journal, roll_back};
use crate::lock::Lock;
use crate::provenance::Provenance;
use crate::reader::abandon;
use crate::schema::{COMMITTED, LAYERS, LayerDesc, LayerInfo, create_layer};

/// A layer of the file that a [`Writer`] has open. Only meaningful for the writer that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerId(usize);

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOutcome {
    /// The image was read, and the values are its activations.
    Done,
    /// It could not be read, for this reason (160 bytes of it are kept); its values are ignored.
    Failed(String),
}

/// The one process that writes a cache.
///
/// Values go to the file row by row in the order of the file, each layer with its own count of committed rows. A batch is
/// written, flushed, and only then counted, so that whatever ends the process, the counted rows are whole; the others are
/// simply computed again. Dropping a writer without [`finish`](Self::finish) loses nothing that was appended.
///
/// After an error of the disk the writer gives the file up: every further call is [`Error::Closed`]. When it was rows or
/// layers that could not be added, the change is undone, and this process cannot open the file again
/// ([`Error::Abandoned`]); the next one can.
#[derive(Debug)]
pub struct Writer {
    // Fields are dropped in this order: what belongs to HDF5 first, the lock last.
    layers: Vec<OpenLayer>,
    file: Option<OpenFile>,
    path: PathBuf,
    provenance: Provenance,
    classes: Vec<String>,
    rows: Rows,
    halves: Vec<half::f16>,
    floats: Vec<f32>,
    _lock: Lock,
}

#[derive(Debug)]
struct OpenFile {
    status: Dataset,
    error: Dataset,
    file: File,
}

#[derive(Debug)]
struct OpenLayer {
    info: LayerInfo,
    /// None once the file was given up.
    handles: Option<(Dataset, Attribute)>,
}

impl Writer {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Provenance as the file has it: of an existing file, the one it was made with.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Classes as the file has them; the labels of [`Self::rows`] are indices into these.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of rows in the file.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// The rows, with what is known of them so far.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// All layers of the file, in the order in which they were added.
    pub fn layers(&self) -> impl Iterator<Item = (LayerId, &LayerInfo)> {
        self.layers.iter().enumerate().map(|(index, layer)| (LayerId(index), &layer.info))
    }

    /// How many rows of a layer are final: 0..committed.
    pub fn committed(&self, layer: LayerId) -> usize {
        self.layers.get(layer.0).map_or(0, |layer| layer.info.committed)
    }

    /// Whether every row of every layer is final.
    pub fn is_complete(&self) -> bool {
        self.layers.iter().all(|layer| layer.info.committed == self.rows.len())
    }

    /// Adds a layer with nothing committed, or finds the one the file has; see [`Self::add_layers`].
    pub fn add_layer(&mut self, desc: &LayerDesc) -> Result<LayerId> {
        Ok(self.add_layers(std::slice::from_ref(desc))?[0])
    }

    /// Adds layers in one go, which is quicker than one by one; those that the file has are found.
    ///
    /// # Errors
    /// [`Error::LayerMismatch`] when a layer of that name has rows of another shape or is stored otherwise.
    pub fn add_layers(&mut self, descs: &[LayerDesc]) -> Result<Vec<LayerId>> {
        let mut ids = Vec::with_capacity(descs.len());
        let mut new: Vec<&LayerDesc> = Vec::new();
        for desc in descs {
            desc.check()?;
            let name = desc.name();
            if let Some(index) = self.layers.iter().position(|layer| layer.info.name == name) {
                self.check_layer(desc, &self.layers[index].info)?;
                ids.push(LayerId(index));
            } else if let Some(index) = new.iter().position(|other| other.name() == name) {
                ids.push(LayerId(self.layers.len() + index));
            } else {
                ids.push(LayerId(self.layers.len() + new.len()));
                new.push(desc);
            }
        }
        if !new.is_empty() {
            let (rows, order) = (self.rows.len(), self.layers.len() as u64);
            let path = self.path.clone();
            let added = self.restructure(|file| {
                let group = file.group(LAYERS).at(&path, "cannot open /layers")?;
                let create = |(desc, order): (&&LayerDesc, u64)| {
                    let dataset = create_layer(&group, desc, rows, order);
                    OpenLayer::new(
                        info(desc, rows),
                        dataset.at(&path, format!("cannot add layer {}", desc.name()))?,
                        &path,
                    )
                };
                new.iter().zip(order..).map(create).collect::<Result<Vec<_>>>()
            })?;
            self.layers.extend(added);
        }
        Ok(ids)
    }

    /// Ends the writing: everything is on disk when this returns, and the lock is gone.
    ///
    /// The file need not be complete ([`Self::is_complete`]); another run continues it.
    pub fn finish(mut self) -> Result<()> {
        self.open()?.file.flush().at(&self.path, "cannot flush")?;
        self.give_up();
        std::fs::File::open(&self.path).and_then(|file| file.sync_all()).at(&self.path, "cannot sync to disk")
    }

    fn check_layer(&self, desc: &LayerDesc, info: &LayerInfo) -> Result<()> {
        let mismatch = |what, file: String, run: String| {
            Err(Error::LayerMismatch { path: self.path.clone(), layer: desc.name(), what, file, run })
        };
        if desc.stored != info.stored {
            return mismatch("rows of shape", format!("{:?}", info.stored), format!("{:?}", desc.stored));
        }
        if desc.store != info.store {
            return mismatch("values stored as", info.store.to_string(), desc.store.to_string());
        }
        Ok(())
    }

    fn open(&self) -> Result<&OpenFile> {
        self.file.as_ref().ok_or_else(|| Error::Closed { path: self.path.clone() })
    }

    /// Changes the structure of the file, entirely or not at all, whatever happens meanwhile.
    fn restructure<T>(&mut self, change: impl FnOnce(&File) -> Result<T>) -> Result<T> {
        let path = self.path.clone();
        let file = &self.open()?.file;
        file.flush().at(&path, "cannot flush")?;
        let journal = Journal::begin(file, &path)?;
        let result = change(file).and_then(|value| file.flush().at(&path, "cannot flush").map(|()| value));
        match result.and_then(|value| journal.commit().map(|()| value)) {
            Ok(value) => Ok(value),
            Err(error) => {
                self.give_up();
                abandon(&path);
                if let Err(second) = roll_back(&path) {
                    // The journal stays, and whoever opens the file next tries again.
                    tracing::warn!("{second}");
                }
                Err(error)
            }
        }
    }

    /// Closes everything that HDF5 holds.
    fn give_up(&mut self) {
        for layer in &mut self.layers {
            layer.handles = None;
        }
        self.file = None;
    }
}

impl OpenLayer {
    fn new(info: LayerInfo, dataset: Dataset, path: &Path) -> Result<Self> {
        let mark = dataset.attr(COMMITTED).at(path, format!("cannot open layer {}", info.name))?;
        Ok(Self { info, handles: Some((dataset, mark)) })
    }
}

fn info(desc: &LayerDesc, rows: usize) -> LayerInfo {
    let width: usize = desc.stored.iter().product();
    LayerInfo {
        name: desc.name(),
        layer: desc.layer.clone(),
        pool: desc.pool.clone(),
        shape: desc.shape.clone(),
        stored: desc.stored.clone(),
        width,
        store: desc.store,
        device: desc.device.clone(),
        tool_version: desc.tool_version.clone(),
        committed: 0,
        bytes: (rows * width * desc.store.size()) as u64,
    }
}
