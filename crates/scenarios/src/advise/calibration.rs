//! What is measured on data sets of known kind: the only ground that thresholds stand on.
//!
//! `calibration.json` is written by `scripts/calibrate_advise`, which anyone can run again; the sets are few, so thresholds are the
//! middle between the kinds and nothing cleverer.

use super::measure::{Measure, Measured};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Everything measured.
#[derive(Debug, Clone, Deserialize)]
pub struct Calibration {
    backbones: Vec<CalibratedBackbone>,
}

/// One backbone on every set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CalibratedBackbone {
    /// Its name.
    pub backbone: String,
    /// sha256 of its weights: thresholds are theirs, not the architecture's.
    pub weights: String,
    /// Input side in pixels.
    pub input: u32,
    /// The sets.
    pub sets: Vec<KnownSet>,
}

/// A data set of known kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KnownSet {
    /// Its public name.
    pub name: String,
    /// Where it comes from.
    pub origin: String,
    /// Whether it is similar to ImageNet, which people said before anything was measured.
    pub similar: bool,
    /// Images measured.
    pub images: usize,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

static CALIBRATION: LazyLock<Calibration> = LazyLock::new(|| {
    serde_json::from_str(include_str!("calibration.json")).expect("the calibration in the source is well-formed")
});

/// What is known of a backbone with these weights at this input size; none where it was never calibrated.
pub fn known(backbone: &str, weights: &str, input: u32) -> Option<&'static CalibratedBackbone> {
    let is_it =
        |known: &&CalibratedBackbone| known.backbone == backbone && known.weights == weights && known.input == input;
    CALIBRATION.backbones.iter().find(is_it)
}

/// What is known of a backbone with its usual weights.
pub fn of_backbone(name: &str) -> Option<&'static CalibratedBackbone> {
    CALIBRATION.backbones.iter().find(|known| known.backbone == name)
}

/// The names of calibrated backbones.
pub fn backbones() -> Vec<&'static str> {
    CALIBRATION.backbones.iter().map(|known| known.backbone.as_str()).collect()
}

/// How one measure is turned into a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scale {
    /// Halfway between the most different of the similar sets and the most similar of the different ones.
    pub threshold: f64,
    /// The standard deviation within kinds, pooled: what a score of 1 is.
    pub unit: f64,
    /// Distance between these two sets in such units; negative where the kinds overlap, so that the measure alone does not tell
    /// them apart.
    pub gap: f64,
}

impl Scale {
    /// From the sets' values, with whether each set is similar; none with fewer than two of a kind.
    pub fn of(measure: Measure, sets: &[&KnownSet]) -> Option<Self> {
        let kind = |similar: bool| -> Vec<f64> {
            let values = sets.iter().filter(|set| set.similar == similar);
            values.filter_map(|set| set.measured.get(measure)).map(|value| measure.sign() * value).collect()
        };
        let (similar, different) = (kind(true), kind(false));
        if similar.len() < 2 || different.len() < 2 {
            return None;
        }
        let spread = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
        };
        let freedom = (similar.len() + different.len() - 2) as f64;
        let unit = ((spread(&similar) + spread(&different)) / freedom).sqrt();
        let lowest = similar.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = different.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let threshold = measure.sign() * 0.5 * (lowest + highest);
        (unit > 0.0).then_some(Self { threshold, unit, gap: (lowest - highest) / unit })
    }

    /// How many units a value lies on the similar side of the threshold.
    pub fn score(&self, measure: Measure, value: f64) -> f64 {
        measure.sign() * (value - self.threshold) / self.unit
    }
}
