//! Reads a cache as someone would who has only HDF5 and the description of the layout.

use hdf5::{
    File,
    types::{FixedUnicode, VarLenUnicode},
};
use serde_json::Value;
use std::path::Path;

/// Everything in a cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    pub provenance: Value,
    pub classes: Vec<String>,
    pub path: Vec<String>,
    pub label: Vec<i32>,
    pub split: Vec<String>,
    pub view: Vec<u32>,
    pub status: Vec<u8>,
    pub error: Vec<String>,
    /// In byte order of their names.
    pub layers: Vec<Layer>,
}

/// One dataset below /layers.
#[derive(Debug, Clone)]
pub struct Layer {
    pub name: String,
    pub shape: Vec<usize>,
    /// Bytes per stored value.
    pub value_bytes: usize,
    pub committed: u64,
    pub values: Vec<f32>,
}

/// Bit by bit, so that NaN equals NaN.
impl PartialEq for Layer {
    fn eq(&self, other: &Self) -> bool {
        let bits = |layer: &Layer| layer.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        (&self.name, &self.shape, self.value_bytes, self.committed)
            == (&other.name, &other.shape, other.value_bytes, other.committed)
            && bits(self) == bits(other)
    }
}

#[cfg(feature = "torch")]
impl Layer {
    /// Values per row.
    pub fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width()..(row + 1) * self.width()]
    }
}

impl Contents {
    pub fn read(path: impl AsRef<Path>) -> Self {
        let file = File::open(path).unwrap();
        let strings = |name: &str| -> Vec<String> {
            let values = file.dataset(name).unwrap().read_raw::<VarLenUnicode>().unwrap();
            values.iter().map(ToString::to_string).collect()
        };
        let reasons = file.dataset("rows/error").unwrap().read_raw::<FixedUnicode<160>>().unwrap();
        let provenance = file.attr("provenance").unwrap().read_scalar::<VarLenUnicode>().unwrap();
        let mut layers: Vec<Layer> = file.group("layers").unwrap().datasets().unwrap().iter().map(read_layer).collect();
        layers.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            provenance: serde_json::from_str(&provenance).unwrap(),
            classes: strings("classes"),
            path: strings("rows/path"),
            label: file.dataset("rows/label").unwrap().read_raw().unwrap(),
            split: strings("rows/split"),
            view: file.dataset("rows/view").unwrap().read_raw().unwrap(),
            status: file.dataset("rows/status").unwrap().read_raw().unwrap(),
            error: reasons.iter().map(ToString::to_string).collect(),
            layers,
        }
    }

    #[track_caller]
    pub fn layer(&self, name: &str) -> &Layer {
        let have: Vec<&str> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
        self.layers.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("no layer {name}: {have:?}"))
    }

    #[cfg(feature = "torch")]
    /// The label of a row as the name of its class.
    pub fn class(&self, row: usize) -> &str {
        usize::try_from(self.label[row]).map_or("", |label| &self.classes[label])
    }
}

fn read_layer(dataset: &hdf5::Dataset) -> Layer {
    let name = dataset.name();
    Layer {
        name: name.rsplit('/').next().unwrap_or_default().to_string(),
        shape: dataset.shape(),
        value_bytes: dataset.dtype().unwrap().size(),
        committed: dataset.attr("committed_rows").unwrap().read_scalar().unwrap(),
        values: dataset.read_raw().unwrap(),
    }
}
