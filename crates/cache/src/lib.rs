//! The feature cache: one HDF5 file whose rows are images (times views) and whose columns are the activations of any
//! number of layers, with everything needed to know where each number came from.
//!
//! [`Writer`] makes, extends and continues a file; it can be killed at any moment. [`Cache`] reads one, also while it is
//! being written, and [`Outline`] what can be said without reading its rows. [`verify`] checks every row, [`summarize`] says what a file holds, and [`import_npz`] brings vectors made
//! elsewhere, and [`NpzWriter`] writes arrays for elsewhere. The layout of the file is described in the source of `schema`, and any HDF5 reader can read it.

mod contents;
mod error;
mod import;
mod journal;
mod layer_reader;
mod lock;
mod npz;
mod npz_writer;
mod outline;
mod provenance;
mod reader;
mod row_digest;
mod schema;
mod summary;
mod verify;
mod writer;

pub use contents::Rows;
pub use error::{Error, KeyDifference, Result};
pub use import::import_npz;
pub use layer_reader::LayerReader;
pub use npz_writer::NpzWriter;
pub use outline::Outline;
pub use provenance::{Augmentation, FORMAT_VERSION, Preprocessing, Provenance, Resize, WeightsId};
pub use reader::Cache;
pub use row_digest::RowDigest;
pub use schema::{LayerDesc, LayerInfo, RowSpec, Status, Store};
pub use summary::{ClassSummary, FailedRow, RowCounts, Summary, summarize};
pub use verify::{Report, verify};
pub use writer::{LayerId, RowOutcome, Writer};

/// Version of the HDF5 library that is built in.
pub fn hdf5_version() -> String {
    let (major, minor, patch) = hdf5::library_version();
    format!("{major}.{minor}.{patch}")
}
