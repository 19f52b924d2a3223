//! Everything in a file but the values, read at once: what reader, writer and verification start from.

use std::path::Path;

use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, File, H5Type};

use crate::error::{At, Error, Result};
use crate::provenance::{FORMAT_VERSION, Provenance};
use crate::schema::{
    CLASSES, COMMITTED, LAYERS, LayerInfo, PROVENANCE, ROW_DIGEST, ROWS, Reason, Status, Store, VERSION, from_hdf5,
    read_string_attr,
};

/// The columns of `/rows`, all of one length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The image, as the user would name it.
    pub path: Vec<String>,
    /// Index into the classes, or −1 for none.
    pub label: Vec<i32>,
    /// `train`, `val`, `test`, …; may be empty.
    pub split: Vec<String>,
    /// Which augmentation; 0 is the image as it is.
    pub view: Vec<u32>,
    /// What became of the row.
    pub status: Vec<Status>,
    /// Why the row failed; empty for the others.
    pub error: Vec<String>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.path.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }

    /// The rows with a status, in order.
    pub fn with_status(&self, status: Status) -> Vec<usize> {
        (0..self.len()).filter(|&row| self.status[row] == status).collect()
    }

    /// Treats rows that no layer has as pending, whatever an interrupted run wrote in them; returns those that said more.
    pub(crate) fn forget_from(&mut self, committed: usize) -> Vec<usize> {
        let stale = |row: &usize| self.status[*row] != Status::Pending || !self.error[*row].is_empty();
        let stale: Vec<usize> = (committed..self.len()).filter(stale).collect();
        for &row in &stale {
            self.status[row] = Status::Pending;
            self.error[row].clear();
        }
        stale
    }
}

/// A file, taken in.
pub(crate) struct Contents {
    pub(crate) provenance: Provenance,
    pub(crate) classes: Vec<String>,
    pub(crate) rows: Rows,
    /// What [`crate::RowDigest`] said of the rows when they were written.
    pub(crate) row_digest: Option<String>,
    /// In the order in which the layers were added.
    pub(crate) layers: Vec<(LayerInfo, Dataset)>,
    /// What contradicts something else; an undamaged file has none.
    pub(crate) problems: Vec<String>,
}

impl Contents {
    pub(crate) fn read(file: &File, path: &Path) -> Result<Self> {
        let provenance = read_provenance(file, path)?;
        let mut problems = Vec::new();
        // The marks before the statuses: during a run statuses are written first, so that what a mark covers is final.
        let layers = read_layers(file, path, &mut problems)?;
        let classes =
            file.dataset(CLASSES).and_then(|column| read_strings(&column)).at(path, "cannot read /classes")?;
        let rows = read_rows(file, path, &mut problems)?;
        for (layer, dataset) in &layers {
            let length = dataset.shape().first().copied().unwrap_or(0);
            if length != rows.len() {
                problems.push(format!("layer {} has {length} rows, /rows has {}", layer.name, rows.len()));
            }
            if layer.committed > length {
                problems.push(format!("layer {} has {length} rows and {} committed", layer.name, layer.committed));
            }
        }
        let group = file.group(ROWS).at(path, "cannot open /rows")?;
        let row_digest = read_string_attr(&group, ROW_DIGEST).ok();
        Ok(Self { provenance, classes, rows, row_digest, layers, problems })
    }

    /// Rows that at least one layer has.
    pub(crate) fn committed_anywhere(&self) -> usize {
        self.layers.iter().map(|(layer, _)| layer.committed).max().unwrap_or(0)
    }

    pub(crate) fn refuse_problems(&self, path: &Path) -> Result<()> {
        match self.problems.first() {
            None => Ok(()),
            Some(problem) => Err(Error::Damaged { path: path.to_owned(), detail: problem.clone() }),
        }
    }
}

pub(crate) fn read_provenance(file: &File, path: &Path) -> Result<Provenance> {
    let foreign = |detail: &str| Error::NotACache { path: path.to_owned(), detail: detail.into() };
    let version: u32 = match file.attr(VERSION) {
        Ok(attribute) => attribute.read_scalar().at(path, "cannot read the attribute format_version")?,
        Err(_) => return Err(foreign("no attribute format_version")),
    };
    if version > FORMAT_VERSION {
        return Err(Error::Newer { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    for group in [ROWS, LAYERS, CLASSES] {
        if !file.link_exists(group) {
            return Err(foreign(&format!("no /{group}")));
        }
    }
    let json =
        read_string_attr(file, PROVENANCE).map_err(|error| foreign(&format!("attribute provenance: {error}")))?;
    serde_json::from_str(&json).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        detail: format!("attribute provenance is not what headstart writes: {error}"),
    })
}

fn read_rows(file: &File, path: &Path, problems: &mut Vec<String>) -> Result<Rows> {
    let group = file.group(ROWS).at(path, "cannot open /rows")?;
    let doing = |column: &str| format!("cannot read /rows/{column}");
    let column = |name: &str| group.dataset(name).at(path, doing(name));
    let (paths, label, split, view, status, error) =
        (column("path")?, column("label")?, column("split")?, column("view")?, column("status")?, column("error")?);
    let mut rows = Rows { path: read_strings(&paths).at(path, doing("path"))?, ..Rows::default() };
    let len = rows.path.len();
    // A damaged length may be any number: what is not as long as the others is not read.
    let mut fits = |name: &str, column: &Dataset| {
        let length = column.size();
        if length != len {
            problems.push(format!("/rows/{name} has {length} rows, /rows/path has {len}"));
        }
        length == len
    };
    if fits("label", &label) {
        rows.label = label.read_raw().at(path, doing("label"))?;
    }
    if fits("split", &split) {
        rows.split = read_strings(&split).at(path, doing("split"))?;
    }
    if fits("view", &view) {
        rows.view = view.read_raw().at(path, doing("view"))?;
    }
    let codes = if fits("status", &status) { read_column(&status).at(path, doing("status"))? } else { Vec::new() };
    let has_reasons = fits("error", &error);
    // From here on all columns have one length, so that a damaged file can still be looked at.
    rows.label.resize(len, -1);
    rows.split.resize(len, String::new());
    rows.view.resize(len, 0);
    rows.status = (0..len)
        .map(|row| {
            let code: u8 = codes.get(row).copied().unwrap_or(0);
            Status::from_code(code).unwrap_or_else(|| {
                problems.push(format!("row {row} has status {code}"));
                Status::Pending
            })
        })
        .collect();
    rows.error = vec![String::new(); len];
    // Reasons are long and nearly all empty: worth reading only when something failed.
    if has_reasons && rows.status.contains(&Status::Failed) {
        let reasons: Vec<Reason> = error.read_raw().at(path, doing("error"))?;
        for (row, reason) in reasons.iter().take(len).enumerate() {
            if rows.status[row] == Status::Failed {
                rows.error[row] = String::from_utf8_lossy(reason.as_bytes()).into_owned();
            }
        }
    }
    Ok(rows)
}

pub(crate) fn read_layers(file: &File, path: &Path, problems: &mut Vec<String>) -> Result<Vec<(LayerInfo, Dataset)>> {
    let group = file.group(LAYERS).at(path, "cannot open /layers")?;
    let names = group.member_names().at(path, "cannot list /layers")?;
    let mut layers = Vec::with_capacity(names.len());
    for name in names {
        let doing = format!("cannot read the attributes of layer {name}");
        let dataset = group.dataset(&name).at(path, &doing)?;
        match read_layer(&dataset, &name).at(path, &doing)? {
            Ok((order, layer)) => layers.push((order, (layer, dataset))),
            Err(problem) => problems.push(problem),
        }
    }
    layers.sort_by_key(|(order, _)| *order);
    Ok(layers.into_iter().map(|(_, layer)| layer).collect())
}

fn read_layer(dataset: &Dataset, name: &str) -> hdf5::Result<Result<(u64, LayerInfo), String>> {
    let dims = dataset.shape();
    let dtype = dataset.dtype()?;
    let store = if dtype.is::<f32>() {
        Store::F32
    } else if dtype.is::<half::f16>() {
        Store::F16
    } else {
        return Ok(Err(format!("layer {name} is neither f32 nor f16")));
    };
    let Some((&rows, stored)) = dims.split_first().filter(|(_, stored)| !stored.is_empty()) else {
        return Ok(Err(format!("layer {name} has {} dimensions", dims.len())));
    };
    let committed: u64 = dataset.attr(COMMITTED)?.read_scalar()?;
    let order: u64 = dataset.attr("order")?.read_scalar()?;
    let shape: Vec<u64> = dataset.attr("shape")?.read_raw()?;
    let width = stored.iter().product();
    let info = LayerInfo {
        name: name.to_owned(),
        layer: read_string_attr(dataset, "layer")?,
        pool: read_string_attr(dataset, "pool")?,
        shape: shape.iter().map(|&dim| dim as usize).collect(),
        stored: stored.to_vec(),
        width,
        store,
        device: read_string_attr(dataset, "device")?,
        tool_version: read_string_attr(dataset, "tool_version")?,
        committed: usize::try_from(committed).unwrap_or(usize::MAX),
        bytes: (rows * width * store.size()) as u64,
    };
    if format!("{}:{}", info.layer, info.pool) != name {
        return Ok(Err(format!("layer {name} says that it is {}:{}", info.layer, info.pool)));
    }
    if width == 0 {
        return Ok(Err(format!("layer {name} has rows of the empty shape {stored:?}")));
    }
    Ok(Ok((order, info)))
}

/// All of a column, which cannot have more rows than the file has bytes.
pub(crate) fn read_column<T: H5Type>(column: &Dataset) -> hdf5::Result<Vec<T>> {
    let (rows, bytes) = (column.size(), column.file()?.size());
    if rows as u64 > bytes {
        return Err(hdf5::Error::from(format!("{rows} rows in a file of {bytes} bytes")));
    }
    column.read_raw()
}

fn read_strings(column: &Dataset) -> hdf5::Result<Vec<String>> {
    let strings: Vec<VarLenUnicode> = read_column(column)?;
    strings.iter().map(|string| from_hdf5(string.as_bytes())).collect()
}
