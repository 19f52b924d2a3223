//! What to run next, and what would have to be there for more.

use super::{
    AdviseOptions, LeftOut, calibration, calibration::CalibratedBackbone, is_cache, layers::Roles, rules::RuleCheck,
};
use crate::{report::command::quoted, sweep::Sweep};
use headstart_cache::{Cache, Provenance};
use headstart_extractor::backbone::{Backbone, WeightsChoice};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What thresholds there are for the weights of a cache, or why there are none.
pub(super) fn calibrated(provenance: &Provenance, input: Option<u32>) -> Result<&'static CalibratedBackbone, String> {
    let backbones = calibration::backbones().join(", ");
    if provenance.backbone == "imported" {
        return Err(format!(
            "the vectors were made elsewhere, so what their network was trained on is not known; give images, or a cache of {backbones}"
        ));
    }
    if provenance.weights.source.starts_with("random:") {
        return Err("random weights were trained on nothing, so there is no source data to be similar to".into());
    }
    calibration::known(&provenance.backbone, &provenance.weights.sha256, input.unwrap_or(0)).ok_or_else(|| {
        format!(
            "similarity is calibrated for {backbones} with the weights of `headstart weights get` at their own input size, not for \
             {} ({}, {} px); values are measured, but there are no thresholds to judge them by",
            provenance.backbone,
            provenance.weights.source,
            input.unwrap_or(0)
        )
    })
}

/// The backbone that made a cache, if its weights are here; else what that leaves out.
pub(super) fn backbone_of(cache: &Cache, given: Option<&WeightsChoice>) -> Result<Option<Backbone>, LeftOut> {
    let provenance = cache.provenance();
    let left = |why: String, command| LeftOut { what: "similarity to the source data".into(), why, command };
    if provenance.backbone == "imported" || provenance.weights.source.starts_with("random:") {
        // There is nothing that it could be similar to, which the similarity says.
        return Ok(None);
    }
    let file = PathBuf::from(&provenance.weights.source);
    let chosen = match given {
        Some(choice) => choice.clone(),
        None if file.is_file() => WeightsChoice::File(file),
        None => WeightsChoice::Pretrained,
    };
    let name = &provenance.backbone;
    let loaded = Backbone::load(name, &chosen, provenance.preprocessing.as_ref().map(|p| p.size), None);
    let get = || Some(format!("headstart weights get {name}"));
    match loaded {
        Ok(backbone) if backbone.weights.sha256 == provenance.weights.sha256 => Ok(Some(backbone)),
        Ok(_) => Err(left(
            format!("the weights of {name} on this machine are not those of the cache; name them with --weights FILE"),
            None,
        )),
        Err(error) => Err(left(error.to_string(), get())),
    }
}

/// What a cache lacks for measuring similarity, with the extraction that would add it.
pub(super) fn missing_layers(cache: &Cache, roles: &Roles, images: Option<&Path>) -> Vec<LeftOut> {
    let provenance = cache.provenance();
    let images = images.map(Path::to_path_buf).or_else(|| provenance.images.clone().map(PathBuf::from));
    let command = |layers: &str| {
        let parts: Vec<OsString> = vec![
            "headstart".into(),
            "extract".into(),
            "--images".into(),
            images.clone().unwrap_or_else(|| "IMAGES".into()).into(),
            "--backbone".into(),
            provenance.backbone.clone().into(),
            "--layers".into(),
            layers.into(),
            "-o".into(),
            cache.path().into(),
        ];
        Some(quoted(&parts))
    };
    let (scores, inputs) = roles.missing();
    let mut left = Vec::new();
    if let Some(layer) = scores {
        left.push(LeftOut {
            what: "confidence of and information in the source classes, and LEEP".into(),
            why: format!("the cache lacks {layer}, the scores of the source classes"),
            command: command(&layer),
        });
    }
    if !inputs.is_empty() {
        left.push(LeftOut {
            what: "distance from the source statistics".into(),
            why: format!("the cache lacks the inputs of {} batch normalisations", inputs.len()),
            command: command(&inputs.join(",")),
        });
    }
    if !roles.has_classifier() {
        left.push(LeftOut {
            what: "confidence of and information in the source classes, and LEEP".into(),
            why: "the weights end before the classifier".into(),
            command: None,
        });
    }
    left
}

/// What weights without a classifier leave out.
#[cfg(feature = "torch")]
pub(super) fn no_classifier(backbone: &Backbone) -> LeftOut {
    LeftOut {
        what: "confidence of and information in the source classes, and LEEP".into(),
        why: format!("the weights of {} on this machine end before its classifier", backbone.architecture.name),
        command: None,
    }
}

/// The commands to go on with: what the first open scenario's rule and the measurement together say. Where no head can be trained,
/// a look at the images, which needs no labels.
pub(super) fn commands(
    options: &AdviseOptions,
    sample: &Cache,
    rules: &[RuleCheck],
    sweep: Option<&Sweep>,
) -> Vec<String> {
    let from_cache = is_cache(&options.target);
    let name = name(&options.target);
    let cache: PathBuf = if from_cache { options.target.clone() } else { format!("features/{name}.h5").into() };
    let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    let mut commands = Vec::new();
    if !from_cache {
        let mut extract = words(&["headstart", "extract", "--images"]);
        extract.push(options.target.clone().into());
        extract.extend(words(&["--backbone", &sample.provenance().backbone]));
        match &options.weights {
            Some(WeightsChoice::File(file)) => extract.extend([OsString::from("--weights"), file.into()]),
            Some(WeightsChoice::Random(seed)) => extract.extend(words(&["--weights", &format!("random:{seed}")])),
            _ => {}
        }
        extract.extend(words(&["--layers", "stages", "-o"]));
        extract.push(cache.clone().into());
        commands.push(quoted(&extract));
    }
    let chosen = sweep.zip(rules.first().and_then(|rule| rule.take)).map(|(sweep, take)| &sweep.rows[take]);
    let Some(row) = chosen else {
        // Layers come in the order of the network, and what the last one sees is nearest to what people see.
        let layer = super::vectors(sample).last().filter(|_| from_cache);
        commands.extend(layer.map(|layer| {
            let mut map = words(&["headstart", "map"]);
            map.push(cache.into());
            map.extend(words(&["--layer", &layer.name, "-o", &format!("{name}-map.png")]));
            quoted(&map)
        }));
        return commands;
    };
    let mut compare = words(&["headstart", "sweep"]);
    compare.push(cache.clone().into());
    compare.extend(words(&["--standardize"]));
    commands.push(quoted(&compare));
    let mut train = words(&["headstart", "train"]);
    train.push(cache.into());
    train.extend(words(&["--layer", &row.name(), "--head", row.head.name(), "--standardize", "-o"]));
    train.push(format!("heads/{name}.head").into());
    commands.push(quoted(&train));
    commands
}

/// What to call the files of a data set: its name without ending, or its folder's where that says nothing.
fn name(target: &Path) -> String {
    let target = std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf());
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let own = stem(&target).unwrap_or_default();
    match own.as_str() {
        "images" | "list" | "labels" | "train" | "data" => target.parent().and_then(stem).unwrap_or(own),
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_called_by_their_own_name() {
        assert_eq!(name(Path::new("/data/elpv/images.csv")), "elpv");
        assert_eq!(name(Path::new("/data/flowers/")), "flowers");
        assert_eq!(name(Path::new("/data/cells.csv")), "cells");
    }
}
