//! What can be said of a file without reading its rows.

use std::path::Path;

use hdf5::File;

use crate::contents::{read_column, read_layers, read_provenance};
use crate::error::{At, Result};
use crate::provenance::Provenance;
use crate::reader::read_file;
use crate::schema::{LayerInfo, ROW_DIGEST, ROWS, Status, read_string_attr};

/// A file without its rows.
#[derive(Debug, Clone)]
pub struct Outline {
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// The layers, in the order in which they were added.
    pub layers: Vec<LayerInfo>,
    /// Number of rows.
    pub rows: usize,
    /// How many of them were computed.
    pub done: usize,
    /// [`crate::RowDigest`] of all of them; none in a file that was made before there was one.
    pub row_digest: Option<String>,
}

impl Outline {
    /// Reads it, in a time that hardly depends on the number of rows.
    ///
    /// # Errors
    /// Those of [`crate::Cache::open`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        read_file(path, |file| Self::of(file, path))
    }

    fn of(file: &File, path: &Path) -> Result<Self> {
        let provenance = read_provenance(file, path)?;
        let mut problems = Vec::new();
        let layers = read_layers(file, path, &mut problems)?.into_iter().map(|(layer, _)| layer).collect();
        let group = file.group(ROWS).at(path, "cannot open /rows")?;
        let status: Vec<u8> =
            group.dataset("status").and_then(|column| read_column(&column)).at(path, "cannot read /rows/status")?;
        let done = status.iter().filter(|&&code| code == Status::Done.code()).count();
        // A file with problems is somebody else's to report.
        let row_digest = read_string_attr(&group, ROW_DIGEST).ok().filter(|_| problems.is_empty());
        Ok(Self { provenance, layers, rows: status.len(), done, row_digest })
    }
}
