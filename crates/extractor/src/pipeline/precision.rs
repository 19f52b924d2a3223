//! Which precision a run computes in, and whether the features survive it: a reduced precision is compared with f32 on some
//! of the images before anything is written.

use super::ExtractError;
use crate::{
    backbone::Backbone,
    engine::{Agreement, Engine, Precision, agreements, cpu_precisions},
    graph::{Pass, Tap},
    images::{
        batch,
        pixels::{Buffers, Pixels},
    },
};
use headstart_cache::Provenance;
use std::{fmt, path::Path, str::FromStr};

/// Images that a reduced precision is judged by, at most.
const JUDGED: usize = 16;

/// What `--dtype` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// The precision of the file where there is one; else the fastest that gives the same features, or f32.
    Auto,
    /// This one.
    Is(Precision),
}

impl PrecisionChoice {
    /// The precision to continue a file in: its own, unless another is asked for (which the writer will refuse, naming both).
    pub fn of_file(self, file: &Provenance) -> Precision {
        match self {
            Self::Is(precision) => precision,
            // What is not ours is not extended: the writer says why.
            Self::Auto => file.compute_dtype.parse().unwrap_or(Precision::F32),
        }
    }
}

impl FromStr for PrecisionChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "auto" {
            return Ok(Self::Auto);
        }
        word.parse().map(Self::Is).map_err(|error: String| format!("{error}, or auto"))
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Is(precision) => precision.fmt(f),
        }
    }
}

/// The fastest precision of a device, which has to prove itself: f16 on a GPU, bf16 on a processor that has it.
pub fn fastest(device: tch::Device) -> Precision {
    if device.is_cuda() {
        Precision::F16
    } else if cpu_precisions().contains(&Precision::Bf16) {
        Precision::Bf16
    } else {
        Precision::F32
    }
}

/// Whether values are rounded on the way more than f32 rounds them.
pub fn is_reduced(precision: Precision) -> bool {
    matches!(precision, Precision::Bf16 | Precision::F16)
}

/// The decoded pixels of some images, spread evenly over `files`; broken ones are left out.
pub fn sample(backbone: &Backbone, files: &[&Path]) -> Pixels {
    let count = files.len().min(JUDGED);
    let view = |at: usize| batch::View { image: Ok(files[at * files.len() / count]), name: "", number: 0 };
    let views: Vec<batch::View> = (0..count).map(view).collect();
    let input = batch::Input { preprocessing: &backbone.preprocessing, augmenter: None, fast: false };
    batch::decode(0, &views, input, &Buffers::default()).pixels
}

/// What `taps` give for `pixels` (from [`sample`]) in this precision with these passes over the plan.
///
/// # Errors
/// When the device fails.
pub fn values(
    backbone: &Backbone,
    taps: &[Tap],
    pixels: &[u8],
    device: tch::Device,
    precision: Precision,
    passes: &[Pass],
) -> Result<Vec<Vec<f32>>, ExtractError> {
    let (graph, weights) = (&backbone.graph, &backbone.weights);
    let engine = Engine::with(graph, taps, weights, &backbone.preprocessing, device, precision, passes)?;
    Ok(engine.run(pixels)?)
}

/// How this precision agrees with f32 on some of the images, tap by tap; nothing where none of them can be decoded.
///
/// # Errors
/// When the device fails.
pub fn judge(
    backbone: &Backbone,
    taps: &[Tap],
    files: &[&Path],
    device: tch::Device,
    precision: Precision,
) -> Result<Vec<Agreement>, ExtractError> {
    let pixels = sample(backbone, files);
    if pixels.is_empty() {
        return Ok(Vec::new());
    }
    let run = |precision| values(backbone, taps, &pixels, device, precision, &Pass::ALL);
    Ok(agreements(taps, &run(Precision::F32)?, &run(precision)?))
}

/// Why this precision does not give the same features; none where it does.
pub fn objection(precision: Precision, judged: &[Agreement]) -> Option<String> {
    let Some(worst) = judged.iter().min_by(|a, b| a.lowest.total_cmp(&b.lowest)) else {
        return Some(format!(
            "{precision} cannot be compared with f32, because none of the images looked at can be decoded"
        ));
    };
    (!worst.holds()).then(|| {
        let (layer, lowest) = (&worst.layer, worst.lowest);
        format!(
            "{layer} in {precision} has a cosine of {lowest:.5} to f32 on one of the images, below {}",
            crate::engine::SAME_FEATURES
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line() {
        assert_eq!("auto".parse(), Ok(PrecisionChoice::Auto));
        assert_eq!("bf16".parse(), Ok(PrecisionChoice::Is(Precision::Bf16)));
        assert!("f8".parse::<PrecisionChoice>().unwrap_err().ends_with("tf32, or auto"));
    }

    #[test]
    fn the_worst_layer_is_named() {
        let agreement =
            |layer: &str, lowest| Agreement { layer: layer.into(), lowest, mean: lowest, largest_difference: 0.0 };
        let judged = [agreement("layer1:gap", 0.9999), agreement("layer2:gap", 0.9), agreement("layer3:gap", 0.99)];
        let text = objection(Precision::Bf16, &judged).unwrap();
        assert!(text.starts_with("layer2:gap in bf16 has a cosine of 0.90000 to f32"), "{text}");
        assert_eq!(objection(Precision::Bf16, &judged[..1]), None);
        assert!(objection(Precision::F16, &[]).unwrap().contains("decoded"));
    }
}
