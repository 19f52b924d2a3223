//! The head file: safetensors, so that nothing in it can execute and any language can read it.
//!
//! Two tensors, `weight` (F64, k × d) and `bias` (F64, k): scores are `weight · x + bias` on raw features, the largest wins; for
//! logistic heads their softmax is the probabilities, unless there is a calibration. In the `__metadata__` map one key, `headstart_head`, holds a JSON text:
//!
//! ```json
//! {"format": "headstart-head", "format_version": 1, "kind": "logistic", "classes": ["no", "yes"], "c": 0.01,
//!  "source": {"layer": "layer4:gap", "pool": "gap", "provenance": { … as in the cache … }},
//!  "training": { … see TrainingSummary … }}
//! ```
//!
//! A calibrated head has one field more, and is of format version 2, since a reader that knows nothing of it would give other
//! probabilities:
//!
//! ```json
//! "calibration": {"method": "temperature", "temperature": 1.2}
//! "calibration": {"method": "platt", "slope": [2.1, …], "intercept": [0.3, …]}
//! "calibration": {"method": "isotonic", "curves": [{"score": [-1.0, …], "probability": [0.0, …]}, …]}
//! ```
//!
//! Temperature: softmax(scores / temperature). Others have one map for each class, applied to its score (for two classes one map
//! to the probability of the second, applied to its score less that of the first); their results are divided by their sum.
//!
//! Heads of kind `ncm` have no field `c`, and are of version 2. So are those of kind `knn`, which have other tensors, `vectors` (F32,
//! n × d, the training vectors as they are), `labels` (I64, n) and, where features were standardised, `mean` and `scale` (F64, d),
//! and the fields `"neighbors": 5, "knn_metric": "euclidean"` in place of `c`.
//!
//! Where rows of features are divided by their Euclidean norms first (zeros stay zeros), `format_version` is 2 and there is
//! `"normalize": "l2"`.
//!
//! One key and no times in it: the same training writes the same bytes.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::calibration::Calibration;
use crate::classifier::Model;
use crate::head::{Head, Source, TrainingSummary};
use crate::head_tensors::{self, Numbers};
use crate::neighbors::{KnnMetric, NeighborsModel};
use crate::normalize::Normalize;
use crate::params::HeadKind;
use crate::part_file::PartFile;
use crate::tuned::Tuned;

/// Newest version of the format above; raised when an older reader would misread a newer file. Heads that older readers
/// understand are still written as version 1.
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
    #[serde(flatten)]
    tuned: Tuned,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    knn_metric: Option<KnnMetric>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    calibration: Option<Calibration>,
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
        let numbers = head_tensors::of(self.model.rule());
        let tensors = numbers
            .iter()
            .map(|Numbers { name, dtype, shape, bytes }| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| failed(error.to_string()))?;
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
            format_version: if is_known_to_version_1(&self.model) { 1 } else { HEAD_FORMAT_VERSION },
            kind: self.model.kind(),
            classes: self.model.classes().to_vec(),
            tuned: self.model.tuned(),
            knn_metric: self.model.neighbors().map(NeighborsModel::metric),
            calibration: self.model.calibration().cloned(),
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
        let Description { kind, classes, tuned, knn_metric, normalize, calibration, source, training, .. } =
            description;
        let model =
            head_tensors::model(&tensors, kind, classes, tuned, knn_metric, normalize)?.calibrated(calibration)?;
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

/// Whether readers of version 1 take the head for what it is.
fn is_known_to_version_1(model: &Model) -> bool {
    model.kind().has_c() && model.calibration().is_none() && model.normalize().is_none()
}
