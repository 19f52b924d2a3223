//! The head file: safetensors, so that nothing in it can execute and any language can read it.
//!
//! Two tensors, `weight` (F64, k × d) and `bias` (F64, k): scores are `weight · x + bias` on raw features, the largest wins; for
//! logistic heads their softmax is the probabilities. In the `__metadata__` map one key, `headstart_head`, holds a JSON text:
//!
//! ```json
//! {"format": "headstart-head", "format_version": 1, "kind": "logistic", "classes": ["no", "yes"], "c": 0.01,
//!  "source": {"layer": "layer4:gap", "pool": "gap", "provenance": { … as in the cache … }},
//!  "training": { … see TrainingSummary … }}
//! ```
//!
//! Where rows of features are divided by their Euclidean norms first (zeros stay zeros), `format_version` is 2 and there is
//! `"normalize": "l2"`.
//!
//! One key and no times in it: the same training writes the same bytes.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use ndarray::{Array1, Array2};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::head::{Head, Source, TrainingSummary};
use crate::model::LinearModel;
use crate::normalize::Normalize;
use crate::params::HeadKind;
use crate::part_file::PartFile;

/// Version of the format above; raised when an older reader would misread a newer file. Heads that need nothing of version 2,
/// which brought `normalize`, are written as version 1.
pub const HEAD_FORMAT_VERSION: u32 = 2;

/// The one key of `__metadata__`.
pub(crate) const DESCRIPTION_KEY: &str = "headstart_head";
/// Says what the file is, inside the JSON text.
const FORMAT: &str = "headstart-head";

/// The fields that tell what the rest is; read first, so that a newer file is refused as newer and not as damaged.
#[derive(Deserialize)]
struct Identity {
    format: String,
    format_version: u32,
}

/// The JSON text.
#[derive(Serialize, Deserialize)]
struct Description {
    format: String,
    format_version: u32,
    kind: HeadKind,
    classes: Vec<String>,
    c: f64,
    #[serde(default, skip_serializing_if = "Normalize::is_none")]
    normalize: Normalize,
    source: Source,
    training: TrainingSummary,
}

impl Head {
    /// Writes the head, replacing the file in one step: a reader sees the old head or the new one, never half of one.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let bytes = self.to_bytes()?;
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut file = PartFile::create(path).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.finish()).map_err(failed)
    }

    /// Reads a head and checks every field.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::HeadFile`] saying which field is wrong.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|reason| Error::HeadFile { place: path.display().to_string(), reason })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::HeadFile`] if the head cannot be written down, which heads made by this crate always can.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let failed = |reason: String| Error::HeadFile { place: "head".into(), reason };
        let text = self.description()?;
        let bytes_of =
            |values: &mut dyn Iterator<Item = &f64>| values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let weight = bytes_of(&mut self.model.weights().iter());
        let bias = bytes_of(&mut self.model.bias().iter());
        let view = |shape: &[usize], bytes| TensorView::new(Dtype::F64, shape.to_vec(), bytes);
        let tensors = [
            ("weight", view(self.model.weights().shape(), &weight).map_err(|error| failed(error.to_string()))?),
            ("bias", view(self.model.bias().shape(), &bias).map_err(|error| failed(error.to_string()))?),
        ];
        safetensors::serialize(tensors, Some(HashMap::from([(DESCRIPTION_KEY.to_owned(), text)])))
            .map_err(|error| failed(error.to_string()))
    }

    /// The JSON text under [`DESCRIPTION_KEY`]: everything about the head but its numbers.
    ///
    /// # Errors
    /// [`Error::HeadFile`] if it cannot be written down, which of heads made by this crate it always can.
    pub(crate) fn description(&self) -> Result<String, Error> {
        let description = Description {
            format: FORMAT.into(),
            format_version: if self.model.normalize().is_none() { 1 } else { HEAD_FORMAT_VERSION },
            kind: self.model.kind(),
            classes: self.model.classes().to_vec(),
            c: self.model.c(),
            normalize: self.model.normalize(),
            source: self.source.clone(),
            training: self.training.clone(),
        };
        serde_json::to_string(&description)
            .map_err(|error| Error::HeadFile { place: "head".into(), reason: error.to_string() })
    }

    /// Reads the bytes of a head file.
    ///
    /// # Errors
    /// [`Error::HeadFile`] saying which field is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes).map_err(|reason| Error::HeadFile { place: "head".into(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|error| format!("not a complete safetensors file ({error}); train or copy the head again"))?;
        let text = header.metadata().as_ref().and_then(|map| map.get(DESCRIPTION_KEY)).ok_or_else(|| {
            format!("a safetensors file without the metadata key {DESCRIPTION_KEY}; was it made by headstart train?")
        })?;
        let identity: Identity =
            serde_json::from_str(text).map_err(|error| format!("metadata {DESCRIPTION_KEY}: {error}"))?;
        if identity.format != FORMAT {
            return Err(format!("format: '{}' instead of '{FORMAT}'", identity.format));
        }
        if !(1..=HEAD_FORMAT_VERSION).contains(&identity.format_version) {
            return Err(format!(
                "format_version: {}, but this headstart reads 1 to {HEAD_FORMAT_VERSION}; use the version that wrote it or train again",
                identity.format_version
            ));
        }
        let description: Description =
            serde_json::from_str(text).map_err(|error| format!("metadata {DESCRIPTION_KEY}: {error}"))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (shape, weight) = tensor(&tensors, "weight", 2)?;
        let weights =
            Array2::from_shape_vec((shape[0], shape[1]), weight).map_err(|error| format!("weight: {error}"))?;
        let (_, bias) = tensor(&tensors, "bias", 1)?;
        let Description { kind, classes, c, normalize, source, training, .. } = description;
        let model = LinearModel::new(kind, classes, weights, Array1::from(bias), c)?.on_rows(normalize);
        if training.class_counts.len() != model.classes().len() {
            return Err(format!(
                "training.class_counts: {} entries for {} classes",
                training.class_counts.len(),
                model.classes().len()
            ));
        }
        Ok(Self { model, source, training })
    }
}

/// Shape and values of an F64 tensor.
fn tensor(tensors: &SafeTensors, name: &str, dimensions: usize) -> Result<(Vec<usize>, Vec<f64>), String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("{name}: the tensor is missing"))?;
    if tensor.dtype() != Dtype::F64 {
        return Err(format!("{name}: dtype {:?} instead of F64", tensor.dtype()));
    }
    if tensor.shape().len() != dimensions {
        return Err(format!("{name}: shape {:?} instead of {dimensions} dimension(s)", tensor.shape()));
    }
    let values = tensor.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    Ok((tensor.shape().to_vec(), values))
}
