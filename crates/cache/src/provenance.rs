//! Where the numbers in a cache come from: enough to make them again, and to refuse mixing them with others.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::KeyDifference;

/// Version of the file layout described in ARCHITECTURE.md; raised when an older reader would misread a newer file.
pub const FORMAT_VERSION: u32 = 1;

/// How an image becomes the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Side of the square the network sees, in pixels.
    pub size: u32,
    /// How the image is brought to that square.
    pub resize: Resize,
    /// For [`Resize::Crop`]: length the shorter side is scaled to before the centre is cut out, in pixels.
    pub shorter_side: u32,
    /// Colour channels, 3 (RGB) or 1 (grey).
    pub channels: u32,
    /// Subtracted from each channel after scaling to 0…1.
    pub mean: Vec<f32>,
    /// Each channel is divided by this afterwards.
    pub std: Vec<f32>,
}

/// How an image of any shape is brought to a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Scale the shorter side (bilinear, antialiased), then cut out the centre, as torchvision's evaluation transforms do.
    Crop,
    /// Scale both sides to the square, whatever that does to the proportions.
    Squash,
}

impl std::fmt::Display for Resize {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::Crop => "crop",
            Self::Squash => "squash",
        })
    }
}

impl std::str::FromStr for Resize {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "crop" => Ok(Self::Crop),
            "squash" => Ok(Self::Squash),
            _ => Err(format!("unknown geometry {word:?}; use crop or squash")),
        }
    }
}

/// The weights a backbone ran with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsId {
    /// Where they came from, for people: a file name, a package, `random:SEED`.
    pub source: String,
    /// sha256 over the parameters themselves (names, shapes, f32 values), so that the same weights in another file format
    /// have the same hash.
    pub sha256: String,
}

/// How training images were varied before extraction. View 0 is always the image as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augmentation {
    /// What people call the recipe; `none` for one view per image.
    pub recipe: String,
    /// Views per training image.
    pub views: u32,
    /// Seed of the random choices.
    pub seed: u64,
    /// The recipe itself: everything that decides what views look like. None for one view per image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<serde_json::Value>,
}

impl Augmentation {
    /// One view per image.
    pub fn none() -> Self {
        Self { recipe: "none".into(), views: 1, seed: 0, definition: None }
    }

    /// Whether a file with these views can be extended by a run that asks for `run`'s: the views there are stay what they are
    /// whatever their number, so more views of the same recipe and seed can be added, and any views where there are none.
    fn compare(&self, run: &Self, differences: &mut Vec<KeyDifference>) {
        let mut differs = |field: &str, file: String, run: String| {
            differences.push(KeyDifference { part: format!("augmentation{field}"), file, run });
        };
        match (&self.definition, &run.definition) {
            _ if *self == Self::none() => {}
            (Some(file), Some(now)) if file != now && self.recipe == run.recipe => {
                differs(".definition", file.to_string(), now.to_string());
            }
            (file, now) if file != now => differs("", self.recipe.clone(), run.recipe.clone()),
            _ if self.seed != run.seed => differs(".seed", self.seed.to_string(), run.seed.to_string()),
            _ if self.views > run.views => {
                differs(".views", self.views.to_string(), format!("{} (as many or more can be asked for)", run.views));
            }
            _ => {}
        }
    }
}

/// The root attribute `provenance`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of headstart that made the file.
    pub tool_version: String,
    /// Name of the backbone, or `imported` for vectors made elsewhere.
    pub backbone: String,
    /// Its weights.
    pub weights: WeightsId,
    /// How images were prepared; none for imported vectors.
    pub preprocessing: Option<Preprocessing>,
    /// What decodes and resizes (library and rules); none for imported vectors.
    pub decoder: Option<String>,
    /// Precision of the forward pass: `f32`, `tf32`, `bf16` or `f16`.
    pub compute_dtype: String,
    /// Augmentation recipe and seed.
    pub augmentation: Augmentation,
    /// The folder or CSV the images were listed from, as an absolute path; for people and reports, not part of the key.
    pub images: Option<String>,
}

impl Provenance {
    /// The parts that must agree before a file may be extended, each with its name and its value as JSON. The number of views is
    /// none of them, nor what the recipe is called.
    pub fn key_parts(&self) -> Vec<(&'static str, serde_json::Value)> {
        let json = |value: Result<serde_json::Value, serde_json::Error>| value.unwrap_or(serde_json::Value::Null);
        let Augmentation { definition, seed, .. } = &self.augmentation;
        vec![
            ("format version", self.format_version.into()),
            ("backbone", self.backbone.clone().into()),
            ("weights", self.weights.sha256.clone().into()),
            ("preprocessing", json(serde_json::to_value(&self.preprocessing))),
            ("decoder", json(serde_json::to_value(&self.decoder))),
            ("compute dtype", self.compute_dtype.clone().into()),
            ("augmentation", serde_json::json!({ "definition": definition, "seed": seed })),
        ]
    }

    /// What keeps `run` from extending a file of this provenance: where their keys differ, or fewer views. A file without augmented
    /// views can get any.
    pub fn differences(&self, run: &Self) -> Vec<KeyDifference> {
        let mut differences = Vec::new();
        for ((part, file), (_, run)) in self.key_parts().into_iter().zip(run.key_parts()) {
            if part != "augmentation" {
                compare(part, &file, &run, &mut differences);
            }
        }
        self.augmentation.compare(&run.augmentation, &mut differences);
        differences
    }

    /// The file key: sha256 over [`Self::key_parts`], in hex.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in self.key_parts() {
            hash.update(format!("{name}={value}\n"));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Lists where two parts of a key differ; of two objects, only the fields that do.
fn compare(part: &str, file: &serde_json::Value, run: &serde_json::Value, differences: &mut Vec<KeyDifference>) {
    use serde_json::Value;
    match (file, run) {
        _ if file == run => {}
        (Value::Object(a), Value::Object(b)) => {
            let fields: Vec<&String> = a.keys().chain(b.keys().filter(|field| !a.contains_key(*field))).collect();
            for field in fields {
                let value = |object: &serde_json::Map<String, Value>| object.get(field).cloned().unwrap_or(Value::Null);
                compare(&format!("{part}.{field}"), &value(a), &value(b), differences);
            }
        }
        _ => differences.push(KeyDifference { part: part.into(), file: file.to_string(), run: run.to_string() }),
    }
}
