//! Names, types and chunk shapes of the file: the one place that knows the layout.
//!
//! ```text
//! /                    attributes: format_version (u32), provenance (JSON)
//! /classes             names of the classes
//! /rows/path           one row per image × view, in the order of the file
//! /rows/label          index into /classes, -1 for none
//! /rows/split          train, val, test or whatever the dataset says; may be empty
//! /rows/view           0 is the image as it is
//! /rows/status         0 pending, 1 done, 2 failed
//! /rows/error          why a row failed
//! /layers/NODE:POOL    rows × width, or rows × C × H × W; attributes: committed_rows, layer, pool, shape, device, …
//! ```

use std::ops::Range;
use std::path::Path;

use hdf5::dataset::{AllocTime, FillTime};
use hdf5::file::LibraryVersion;
use hdf5::types::{FixedUnicode, VarLenUnicode};
use hdf5::{Attribute, Dataset, FileBuilder, Group, H5Type, Hyperslab, Location, Selection, SliceOrIndex};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub(crate) const ROWS: &str = "rows";
/// Attribute of `/rows`: [`crate::RowDigest`] of all rows.
pub(crate) const ROW_DIGEST: &str = "digest";
pub(crate) const LAYERS: &str = "layers";
pub(crate) const CLASSES: &str = "classes";
pub(crate) const PROVENANCE: &str = "provenance";
pub(crate) const VERSION: &str = "format_version";
pub(crate) const COMMITTED: &str = "committed_rows";

/// A reason for failure, as stored. Of fixed length, because a variable-length string would allocate metadata during a run.
pub(crate) type Reason = FixedUnicode<160>;

/// An image × view that a caller wants to have in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSpec {
    /// The image, as the user would name it; with `view`, the identity of the row.
    pub path: String,
    /// Index into the classes given with the rows, or −1 for none.
    pub label: i32,
    /// `train`, `val`, `test`, …; may be empty.
    pub split: String,
    /// Which deterministic augmentation; 0 is the image as it is.
    pub view: u32,
}

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No layer has it yet.
    Pending,
    /// The image was read; every layer that has reached the row holds its activation.
    Done,
    /// The image could not be read; every layer that has reached the row holds NaN.
    Failed,
}

impl Status {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Done => 1,
            Self::Failed => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Failed].into_iter().find(|status| status.code() == code)
    }
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// 4 bytes per value.
    F32,
    /// 2 bytes per value (IEEE 754 half precision), magnitudes up to 65504.
    F16,
}

impl Store {
    /// Bytes per value.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

impl std::str::FromStr for Store {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        match word {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            _ => Err(format!("unknown stored precision {word:?}; use f32 or f16")),
        }
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

/// A layer that a caller wants to have in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDesc {
    /// Name of the node, as typed.
    pub layer: String,
    /// `gap`, `flatten`, `raw`, …
    pub pool: String,
    /// Shape of the node's value for one image: `[C, H, W]` or `[D]`.
    pub shape: Vec<usize>,
    /// Shape of one row in the file: `[width]`, or `[C, H, W]` for raw maps.
    pub stored: Vec<usize>,
    /// How the numbers are stored.
    pub store: Store,
    /// What computes it (`cpu`, `cuda:0 NVIDIA H200`); for people.
    pub device: String,
    /// Version of headstart that computes it.
    pub tool_version: String,
}

impl LayerDesc {
    /// Name of the dataset under `/layers`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.layer, self.pool)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let name = self.name();
        if self.layer.is_empty() || self.pool.is_empty() || name.contains(['/', '\0']) {
            return Err(Error::BadSchema(format!(
                "layer {name:?}: a name without '/', a ':' and a pooling are expected"
            )));
        }
        if self.stored.is_empty() || self.stored.contains(&0) {
            return Err(Error::BadSchema(format!(
                "layer {name}: its rows would have the empty shape {:?}",
                self.stored
            )));
        }
        Ok(())
    }
}

/// A layer that a file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// Name of the dataset under `/layers`, `layer:pool`.
    pub name: String,
    /// Name of the node, as typed when it was extracted.
    pub layer: String,
    /// How the node's value was pooled.
    pub pool: String,
    /// Shape of the node's value for one image: `[C, H, W]` or `[D]`.
    pub shape: Vec<usize>,
    /// Shape of one row in the file.
    pub stored: Vec<usize>,
    /// Values per row: the product of `stored`.
    pub width: usize,
    /// How the numbers are stored.
    pub store: Store,
    /// What computed it.
    pub device: String,
    /// Version of headstart that computed it.
    pub tool_version: String,
    /// Rows 0..committed are final; the rest is still to be computed.
    pub committed: usize,
    /// Bytes that its values take in the file, at full length.
    pub bytes: u64,
}

/// How every file is opened: old superblock, no HDF5 lock, no chunk cache.
///
/// The old superblock survives a kill (the newest format does not reopen without repair). Without a chunk cache every write
/// goes straight to the system: nothing unwritten is left in the library when a write fails, and no chunk is copied twice.
pub(crate) fn file_options() -> FileBuilder {
    let mut options = FileBuilder::new();
    options.with_fapl(|p| {
        p.libver_bounds(LibraryVersion::Earliest, LibraryVersion::latest())
            .file_locking(false)
            .chunk_cache(521, 0, 0.75)
    });
    options
}

/// Rows per chunk of a layer: 64, fewer for wide rows (chunks stay below 1 MiB where a row does), more for very narrow ones.
pub(crate) fn chunk_rows(row_bytes: usize) -> usize {
    let row_bytes = row_bytes.max(1);
    let at_most = ((1 << 20) / row_bytes).max(1);
    64.max((64 << 10) / row_bytes).min(at_most)
}

/// Creates a column of `/rows`, or `/classes`: one dimension, resizable.
pub(crate) fn create_column<T: H5Type>(parent: &Group, name: &str, len: usize, chunk: usize) -> hdf5::Result<Dataset> {
    parent.new_dataset_builder().chunk(chunk).empty::<T>().shape(len..).create(name)
}

/// Creates a column that is written during a run: its storage is there, and zero, from the start.
pub(crate) fn create_run_column<T: H5Type>(
    parent: &Group,
    name: &str,
    len: usize,
    chunk: usize,
) -> hdf5::Result<Dataset> {
    let builder =
        parent.new_dataset_builder().chunk(chunk).alloc_time(Some(AllocTime::Early)).fill_time(FillTime::Alloc);
    builder.empty::<T>().shape(len..).create(name)
}

/// Creates the dataset of a layer with its attributes and nothing committed.
///
/// Storage is allocated at once but not written (most file systems keep it as a hole): the chunk index is complete before
/// the first row arrives, so that a run changes raw data and one counter, never the structure of the file.
pub(crate) fn create_layer(parent: &Group, desc: &LayerDesc, rows: usize, order: u64) -> hdf5::Result<Dataset> {
    let width: usize = desc.stored.iter().product();
    let mut chunk = vec![chunk_rows(width * desc.store.size())];
    chunk.extend(&desc.stored);
    let mut extents = vec![hdf5::Extent::resizable(rows)];
    extents.extend(desc.stored.iter().map(|&dim| hdf5::Extent::fixed(dim)));
    let builder =
        parent.new_dataset_builder().chunk(chunk).alloc_time(Some(AllocTime::Early)).fill_time(FillTime::Never);
    let extents = hdf5::SimpleExtents::new(extents);
    let name = desc.name();
    let dataset = match desc.store {
        Store::F32 => builder.empty::<f32>().shape(extents).create(name.as_str())?,
        Store::F16 => builder.empty::<half::f16>().shape(extents).create(name.as_str())?,
    };
    dataset.new_attr::<u64>().create(COMMITTED)?.write_scalar(&0_u64)?;
    dataset.new_attr::<u64>().create("order")?.write_scalar(&order)?;
    let shape: Vec<u64> = desc.shape.iter().map(|&dim| dim as u64).collect();
    dataset.new_attr_builder().with_data(&shape).create("shape")?;
    for (name, value) in
        [("layer", &desc.layer), ("pool", &desc.pool), ("device", &desc.device), ("tool_version", &desc.tool_version)]
    {
        write_string_attr(&dataset, name, value)?;
    }
    Ok(dataset)
}

/// Rows `range` of a dataset with `ndim` dimensions, whole.
pub(crate) fn select_rows(range: Range<usize>, ndim: usize) -> Selection {
    let mut dims = vec![SliceOrIndex::from(range)];
    dims.resize(ndim.max(1), SliceOrIndex::Unlimited { start: 0, step: 1, block: 1 });
    Hyperslab::from(dims).into()
}

/// A string as HDF5 stores it; a NUL inside would end it there.
pub(crate) fn to_hdf5(text: &str) -> hdf5::Result<VarLenUnicode> {
    text.parse().map_err(|_| hdf5::Error::from(format!("{text:?} contains a NUL character")))
}

/// A string as HDF5 stored it, checked.
pub(crate) fn from_hdf5(bytes: &[u8]) -> hdf5::Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| hdf5::Error::from("a string that is not UTF-8"))
}

pub(crate) fn write_string_attr(parent: &Location, name: &str, value: &str) -> hdf5::Result<Attribute> {
    let attribute = parent.new_attr::<VarLenUnicode>().create(name)?;
    attribute.write_scalar(&to_hdf5(value)?)?;
    Ok(attribute)
}

pub(crate) fn read_string_attr(parent: &Location, name: &str) -> hdf5::Result<String> {
    from_hdf5(parent.attr(name)?.read_scalar::<VarLenUnicode>()?.as_bytes())
}

/// A reason cut to what fits, at a character boundary; never empty.
pub(crate) fn reason(text: &str) -> Reason {
    let text = text.replace('\0', " ");
    let text = if text.trim().is_empty() { "no reason given" } else { text.trim() };
    let mut end = text.len().min(Reason::capacity());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].parse().unwrap_or_default()
}

/// Whether a path holds an HDF5 file, judged by its first bytes.
pub(crate) fn check_signature(path: &Path) -> Result<()> {
    use crate::error::At;
    use std::io::Read;

    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(error).at(path, "cannot open"),
    };
    let mut head = [0; 8];
    match file.read_exact(&mut head) {
        Ok(()) if head == *b"\x89HDF\r\n\x1a\n" => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error).at(path, "cannot read"),
        _ => Err(Error::NotHdf5 { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_stay_between_one_row_and_a_mebibyte() {
        assert_eq!(chunk_rows(2048 * 4), 64);
        assert_eq!(chunk_rows(256 * 56 * 56 * 2), 1);
        assert_eq!(chunk_rows(25088 * 4), 10);
        assert_eq!(chunk_rows(40), 1638);
    }

    #[test]
    fn a_reason_is_cut_between_characters_and_never_empty() {
        let long = "é".repeat(200);
        assert_eq!(reason(&long).as_str(), "é".repeat(80));
        assert_eq!(reason(&format!("x{long}")).as_str(), format!("x{}", "é".repeat(79)));
        assert_eq!(reason(" \0").as_str(), "no reason given");
    }
}
