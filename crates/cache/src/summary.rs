//! What a file holds, in one serializable value: what `headstart inspect` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{At, Result};
use crate::lock::holder;
use crate::provenance::Provenance;
use crate::reader::Cache;
use crate::schema::{LayerInfo, Status};

/// A file at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes; file systems that keep holes may use less while a run is under way.
    pub bytes: u64,
    /// Who writes it at this moment, as `process PID on HOST`.
    pub writer: Option<String>,
    /// Whether every row of every layer is there.
    pub complete: bool,
    /// Rows by status.
    pub rows: RowCounts,
    /// The classes, in the order of their labels.
    pub classes: Vec<ClassSummary>,
    /// Rows without a label, by split.
    pub unlabelled: BTreeMap<String, usize>,
    /// The layers, in the order in which they were added.
    pub layers: Vec<LayerInfo>,
    /// Rows whose image could not be read.
    pub failed: Vec<FailedRow>,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// What must agree before the file may be extended, as a hash.
    pub key: String,
}

/// Rows by status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// All of them.
    pub total: usize,
    /// Images, of which they are views.
    pub images: usize,
    /// Read and computed.
    pub done: usize,
    /// Could not be read.
    pub failed: usize,
    /// Not reached by any layer yet.
    pub pending: usize,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassSummary {
    /// Its name.
    pub name: String,
    /// Its rows, by split (the empty name where the dataset gave none).
    pub splits: BTreeMap<String, usize>,
}

/// A row whose image could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedRow {
    /// Its number.
    pub row: usize,
    /// The image.
    pub path: String,
    /// Its view.
    pub view: u32,
    /// Why.
    pub reason: String,
}

/// Says what a file holds; also while a run writes it.
pub fn summarize(path: impl AsRef<Path>) -> Result<Summary> {
    let path = path.as_ref();
    let cache = Cache::open(path)?;
    let bytes = std::fs::metadata(path).at(path, "cannot read the size")?.len();
    let rows = cache.rows();
    let mut classes: Vec<ClassSummary> =
        cache.classes().iter().map(|name| ClassSummary { name: name.clone(), splits: BTreeMap::new() }).collect();
    let mut unlabelled = BTreeMap::new();
    for (&label, split) in rows.label.iter().zip(&rows.split) {
        let class = usize::try_from(label).ok().and_then(|label| classes.get_mut(label));
        let counts = class.map_or(&mut unlabelled, |class| &mut class.splits);
        *counts.entry(split.clone()).or_insert(0) += 1;
    }
    let count = |status| rows.status.iter().filter(|&&own| own == status).count();
    let failed = rows.with_status(Status::Failed).into_iter().map(|row| FailedRow {
        row,
        path: rows.path[row].clone(),
        view: rows.view[row],
        reason: rows.error[row].clone(),
    });
    Ok(Summary {
        path: path.to_owned(),
        bytes,
        writer: holder(path),
        complete: cache.is_complete(),
        rows: RowCounts {
            total: rows.len(),
            images: rows.path.iter().collect::<BTreeSet<_>>().len(),
            done: count(Status::Done),
            failed: count(Status::Failed),
            pending: count(Status::Pending),
        },
        classes,
        unlabelled,
        layers: cache.layers().to_vec(),
        failed: failed.collect(),
        provenance: cache.provenance().clone(),
        key: cache.provenance().key(),
    })
}
