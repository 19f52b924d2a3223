//! How much of the features the chosen precision and the fast plan keep, on some of the user's images; nothing is written.

use super::{ExtractError, ExtractOptions, PrecisionChoice, device_name, precision};
use crate::{
    backbone::Backbone,
    engine::{self, Agreement, Precision, SAME_FEATURES, agreements},
    graph::Pass,
    images,
};
use serde::Serialize;
use std::path::Path;

/// What was compared, and how it came out.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// The backbone.
    pub backbone: String,
    /// Where it was computed.
    pub device: String,
    /// The precision that was checked: of `auto`, the fastest of the device.
    pub precision: &'static str,
    /// Images looked at.
    pub images: usize,
    /// The lowest cosine that counts as the same features.
    pub threshold: f64,
    /// Against f32, computed in the same way.
    pub to_f32: Vec<Agreement>,
    /// Against f32 with every node computed by itself, nothing folded or fused.
    pub to_plain: Vec<Agreement>,
    /// Whether every tap reaches the threshold on every image.
    pub holds: bool,
}

/// Compares the taps of `options` in its precision with f32, on at most sixteen images.
///
/// # Errors
/// When images, backbone or device cannot be used, or no image can be decoded.
pub fn check(options: &ExtractOptions) -> Result<CheckReport, ExtractError> {
    let mut listing = images::list(&options.images)?;
    if let Some(limit) = options.limit {
        listing.limit(limit);
    }
    let backbone = Backbone::load(&options.backbone, &options.weights, options.size, options.resize)?;
    let taps = backbone.select(&options.layers)?;
    let (device, chosen) = match options.precision {
        PrecisionChoice::Is(precision) => (engine::resolve(options.device, precision)?, precision),
        PrecisionChoice::Auto => {
            let device = engine::resolve(options.device, Precision::F32)?;
            (device, precision::fastest(device))
        }
    };
    let files: Vec<&Path> = listing.items.iter().map(|item| item.path.as_path()).collect();
    let pixels = precision::sample(&backbone, &files);
    if pixels.is_empty() {
        return Err(ExtractError::NothingToCheck { path: options.images.clone() });
    }
    let run = |precision, passes: &[Pass]| precision::values(&backbone, &taps, &pixels, device, precision, passes);
    let plain = run(Precision::F32, &[])?;
    let exact = run(Precision::F32, &Pass::ALL)?;
    let given = run(chosen, &Pass::ALL)?;
    let to_f32 = agreements(&taps, &exact, &given);
    let to_plain = agreements(&taps, &plain, &given);
    let prepared = &backbone.preprocessing;
    Ok(CheckReport {
        backbone: options.backbone.clone(),
        device: device_name(device),
        precision: chosen.name(),
        images: pixels.len() / (prepared.size * prepared.size * prepared.channels) as usize,
        threshold: SAME_FEATURES,
        holds: to_f32.iter().chain(&to_plain).all(Agreement::holds),
        to_f32,
        to_plain,
    })
}
