//! Which of the four scenarios of transfer learning a set of images is, by measurement, and what to do about it.
//!
//! Two axes: how many images there really are ([`size`]), and how similar they are to the data that the backbone was trained on
//! ([`similarity`]), judged by thresholds from data sets of known kind ([`calibration`]). The rule of thumb for the scenario is held
//! against a quick sweep on a few hundred images ([`rules`]). Everything is judged from vectors in a cache, so it needs no libtorch;
//! from images, such a cache is made first.

pub mod calibration;
mod images;
mod layers;
pub mod measure;
mod next;
mod page;
pub mod rules;
mod sample;
pub mod similarity;
pub mod size;
#[cfg(feature = "torch")]
mod torch;

pub use images::Duplicates;
pub use layers::Transferability;

use crate::{
    scenario::Scenario,
    sweep::{Sweep, SweepError, SweepOptions, sweep},
};
use headstart_cache::{Cache, LayerInfo};
#[cfg(feature = "torch")]
use headstart_extractor::engine::DeviceChoice;
use headstart_extractor::{
    backbone::{Backbone, BackboneError, WeightsChoice},
    images::{ListError, list},
};
use headstart_trainer::{HeadKind, HeadParams, Memory, Search, Validation};
use images::Named;
use rules::RuleCheck;
use serde::Serialize;
use similarity::Similarity;
use size::Size;
use std::path::{Path, PathBuf};

/// What a measurement says of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// Small, or different.
    Low,
    /// Too near a threshold to say; both readings hold.
    Between,
    /// Large, or similar.
    High,
}

/// What to advise on.
#[derive(Debug, Clone)]
pub struct AdviseOptions {
    /// A folder or CSV of images, or a cache.
    pub target: PathBuf,
    /// For a cache: where its images are, if not where they were.
    pub images: Option<PathBuf>,
    /// For images: the backbone that looks at them.
    pub backbone: String,
    /// Its weights; for a cache too, where they are not where they were.
    pub weights: Option<WeightsChoice>,
    /// For images: where the backbone runs.
    #[cfg(feature = "torch")]
    pub device: DeviceChoice,
    /// Images to measure.
    pub sample: usize,
    /// Whether all images are compared with each other.
    pub compare: bool,
    /// Seed of the folds of the quick sweep.
    pub seed: u64,
}

/// Something that was not measured.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// The command that would make it possible.
    pub command: Option<String>,
}

/// The advice, with everything it stands on.
#[derive(Debug, Serialize)]
pub struct Advice {
    /// What it is about.
    pub target: PathBuf,
    /// The backbone.
    pub backbone: String,
    /// Where its weights came from.
    pub weights: String,
    /// sha256 of the weights.
    pub weights_sha256: String,
    /// Input side in pixels; none for vectors made elsewhere.
    pub input: Option<u32>,
    /// How many images there are.
    pub size: Size,
    /// Which of them show the same; none where they were not compared.
    pub duplicates: Option<Duplicates>,
    /// How similar they are to the source data.
    pub similarity: Similarity,
    /// The scenarios that the two axes leave open; one, where both are clear.
    pub scenarios: Vec<Scenario>,
    /// LogME and H-score of each layer of the quick sweep.
    pub layers: Vec<Transferability>,
    /// LEEP (Nguyen et al. 2020) of the source classifier; none where there are no probabilities or labels.
    pub leep: Option<f64>,
    /// The quick sweep, on the sample; none where there are too few labels.
    pub sweep: Option<Sweep>,
    /// The rule of each open scenario against the quick sweep.
    pub rules: Vec<RuleCheck>,
    /// What to run next.
    pub next: Vec<String>,
    /// What was not measured.
    pub left_out: Vec<LeftOut>,
}

/// Why there is no advice.
#[derive(Debug, thiserror::Error)]
pub enum AdviseError {
    /// The images cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// The backbone or its weights.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// The vectors.
    #[error(transparent)]
    Vectors(#[from] headstart_trainer::Error),
    /// The quick sweep.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// The forward pass.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Extract(#[from] headstart_extractor::pipeline::ExtractError),
    /// Nothing to measure.
    #[error("{}: no image to train on could be read (images of val and test are not measured)", .path.display())]
    NoImages {
        /// What was given.
        path: PathBuf,
    },
    /// Other images than the cache's.
    #[error("{}: does not name every image of {}; give the folder or CSV that it was extracted from", .images.display(), .cache.display())]
    OtherImages {
        /// The cache.
        cache: PathBuf,
        /// What was given.
        images: PathBuf,
    },
    /// A temporary file.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Images, but no libtorch to look at them with.
    #[cfg(not(feature = "torch"))]
    #[error(
        "advise runs a network on images, and this headstart was built without libtorch; give a cache, or build it with \
         `scripts/setup && cargo build --release`"
    )]
    NeedsTorch,
}

/// Told what is going on: what is done, how far, of how many.
pub type Progress<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// Whether a file is a cache: whether it begins as HDF5 files do.
pub fn is_cache(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 8];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"\x89HDF\r\n\x1a\n"
}

/// Measures and judges.
///
/// # Errors
/// See [`AdviseError`]. What cannot be measured for want of layers, labels or files is no error: the advice says so.
pub fn advise(options: &AdviseOptions, progress: Progress) -> Result<Advice, AdviseError> {
    let folder = tempfile::tempdir().map_err(|source| AdviseError::Io { path: std::env::temp_dir(), source })?;
    let sampled = folder.path().join("sample.h5");
    if is_cache(&options.target) {
        from_cache(options, &sampled, progress)
    } else {
        from_images(options, &sampled, progress)
    }
}

fn from_cache(options: &AdviseOptions, sampled: &Path, progress: Progress) -> Result<Advice, AdviseError> {
    let cache = Cache::open(&options.target)?;
    let provenance = cache.provenance();
    let listing = images::find_listing(&cache, options.images.as_deref())?;
    let images = images::of_cache(&cache, listing.as_ref().map(|(_, listing)| listing));
    let mut left_out = Vec::new();
    if listing.is_none() && options.compare {
        left_out.push(LeftOut {
            what: "duplicates".into(),
            why: "the images are not where they were extracted from; --images DIR|CSV says where they are".into(),
            command: None,
        });
    }
    let backbone = next::backbone_of(&cache, options.weights.as_ref()).unwrap_or_else(|left| {
        left_out.push(left);
        None
    });
    let whole = |layer: &&LayerInfo| layer.committed == cache.rows().len();
    let roles = backbone.as_ref().map(|backbone| layers::Roles::of(&cache, backbone));
    let mut kept: Vec<LayerInfo> = match &roles {
        Some(roles) => roles.candidates(&cache),
        None => vectors(&cache).filter(whole).cloned().collect(),
    };
    let candidates = kept.clone();
    if let Some(roles) = &roles {
        let evidence = roles.scores.iter().map(|(layer, _)| layer).chain(roles.inputs.iter().map(|(_, layer)| layer));
        for layer in evidence {
            if !kept.iter().any(|known| known.name == layer.name) {
                kept.push(layer.clone());
            }
        }
        let place = options.images.clone().or_else(|| listing.map(|(path, _)| path));
        left_out.extend(next::missing_layers(&cache, roles, place.as_deref()));
    }
    sample::write(&cache, &kept, options.sample, sampled)?;
    let subject = Subject { images, classes: cache.classes(), backbone: backbone.as_ref(), provenance, candidates };
    subject.judge(options, sampled, left_out, progress)
}

#[cfg(feature = "torch")]
fn from_images(options: &AdviseOptions, sampled: &Path, progress: Progress) -> Result<Advice, AdviseError> {
    let listing = list(&options.target)?;
    let mut images = images::of_listing(&listing);
    let weights = options.weights.clone().unwrap_or_default();
    let mut backbone = Backbone::describe(&options.backbone, &weights, None, None)?;
    let extracted = sampled.with_file_name("extracted.h5");
    let broken = torch::extract_sample(&listing, &images, &backbone, &weights, options, &extracted, progress)?;
    let is_broken = |file: &Path| std::path::absolute(file).is_ok_and(|file| broken.contains(&file));
    images.retain(|image| !image.file.as_deref().is_some_and(is_broken));
    backbone.read_weights()?;
    let cache = Cache::open(&extracted)?;
    // Without the rows of images that could not be read.
    sample::write(&cache, cache.layers(), options.sample, sampled)?;
    let roles = layers::Roles::of(&cache, &backbone);
    let mut left_out = Vec::new();
    if !roles.has_classifier() {
        left_out.push(next::no_classifier(&backbone));
    }
    let candidates = roles.candidates(&cache);
    let subject = Subject {
        images,
        classes: &listing.classes,
        backbone: Some(&backbone),
        provenance: cache.provenance(),
        candidates,
    };
    subject.judge(options, sampled, left_out, progress)
}

#[cfg(not(feature = "torch"))]
fn from_images(options: &AdviseOptions, _: &Path, _: Progress) -> Result<Advice, AdviseError> {
    // A mistake in the path is the likelier trouble.
    list(&options.target)?;
    Err(AdviseError::NeedsTorch)
}

/// Groups of images that show the same and of which some are trained on and some are not; empty where nothing is held out.
#[cfg(feature = "torch")]
pub(crate) fn leaks(listing: &headstart_extractor::images::Listing) -> Vec<Vec<String>> {
    let images = images::of_listing(listing);
    match images.iter().all(|image| image.trains) {
        true => Vec::new(),
        false => images::duplicates(&images, &|_, _| {}).leaks,
    }
}

/// The layers of a cache that hold vectors, not maps.
fn vectors(cache: &Cache) -> impl Iterator<Item = &LayerInfo> {
    cache.layers().iter().filter(|layer| layer.stored.len() == 1)
}

/// What is judged: all images by name, and what a sample of them was measured with.
struct Subject<'a> {
    images: Vec<Named>,
    classes: &'a [String],
    backbone: Option<&'a Backbone>,
    provenance: &'a headstart_cache::Provenance,
    candidates: Vec<LayerInfo>,
}

impl Subject<'_> {
    fn judge(
        &self,
        options: &AdviseOptions,
        sampled: &Path,
        mut left_out: Vec<LeftOut>,
        progress: Progress,
    ) -> Result<Advice, AdviseError> {
        let provenance = self.provenance;
        let known_files = self.images.iter().any(|image| image.file.is_some());
        let duplicates = (options.compare && known_files)
            .then(|| images::duplicates(&self.images, &|done, all| progress("comparing images", done, all)));
        let copy = |index: usize| duplicates.as_ref().is_some_and(|found| found.copy[index]);
        let training: Vec<(Option<usize>, bool)> = self
            .images
            .iter()
            .enumerate()
            .filter(|(_, image)| image.trains)
            .map(|(index, image)| (image.label, copy(index)))
            .collect();
        let held_out = self.images.len() - training.len();
        let size = size::size(self.classes, &training, duplicates.is_some(), held_out);

        let sample = Cache::open(sampled)?;
        let roles = self.backbone.map(|backbone| layers::Roles::of(&sample, backbone));
        let evidence = match &roles {
            Some(roles) => roles.evidence(&sample)?,
            None => measure::Evidence::default(),
        };
        let input = provenance.preprocessing.as_ref().map(|preprocessing| preprocessing.size);
        let calibrated = next::calibrated(provenance, input);
        let similarity = similarity::similarity(&evidence, sample.rows().len(), calibrated);
        let scenarios = rules::possible(size.reading, similarity.reading);

        let (mut leep, mut transferability, mut swept) = (None, Vec::new(), None);
        match folds(&sample, &training, options.sample) {
            Err(left) => left_out.push(left),
            Ok(_) if self.candidates.is_empty() => left_out.push(LeftOut {
                what: "the quick sweep".into(),
                why: "there is no layer to train a head on".into(),
                command: None,
            }),
            Ok(folds) => {
                leep = layers::leep_of(&sample, &evidence)?;
                let (constant, candidates): (Vec<_>, Vec<_>) =
                    self.candidates.iter().partition(|layer| layers::is_constant(&sample, layer));
                left_out.extend(constant.into_iter().map(|layer| LeftOut {
                    what: layer.name.clone(),
                    why: "it is the same for all training images of the sample".into(),
                    command: None,
                }));
                if !candidates.is_empty() {
                    transferability = layers::transferability(&sample, &candidates)?;
                    swept = Some(self.sweep(options, sampled, &candidates, folds, progress)?);
                }
            }
        }
        let rules: Vec<RuleCheck> = match &swept {
            Some(sweep) => scenarios.iter().map(|&scenario| rules::check(scenario, sweep)).collect(),
            None => Vec::new(),
        };
        let next = next::commands(options, &sample, &rules, swept.as_ref());
        Ok(Advice {
            target: options.target.clone(),
            backbone: provenance.backbone.clone(),
            weights: provenance.weights.source.clone(),
            weights_sha256: provenance.weights.sha256.clone(),
            input,
            size,
            duplicates,
            similarity,
            scenarios,
            layers: transferability,
            leep,
            sweep: swept,
            rules,
            next,
            left_out,
        })
    }

    /// Logistic regression and SVM on every one of these layers, by the same folds.
    fn sweep(
        &self,
        options: &AdviseOptions,
        sampled: &Path,
        candidates: &[&LayerInfo],
        folds: usize,
        progress: Progress,
    ) -> Result<Sweep, AdviseError> {
        let grid = || Search::new([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]);
        let sweeping = SweepOptions {
            caches: vec![sampled.to_path_buf()],
            layers: candidates.iter().map(|layer| layer.name.clone()).collect(),
            pools: Vec::new(),
            joined: Vec::new(),
            heads: vec![(HeadParams::new(HeadKind::Logistic), grid()), (HeadParams::new(HeadKind::Svm), grid())],
            validation: Validation::Repeated { folds, repeats: REPEATS },
            scaling: true.into(),
            seed: options.seed,
            memory: Memory::of_this_machine(),
        };
        let mut found = sweep(&sweeping, &|layer, done, all| progress(layer, done, all))?;
        found.rows.iter_mut().for_each(|row| row.cache = options.target.clone());
        Ok(found)
    }
}

/// Deals of the folds of the quick sweep.
const REPEATS: usize = 3;

/// How many folds the labels of a sample allow: five, or as many as the smallest class has images. `training`: the labels of all
/// training images; `wanted`: how many of them the sample was to hold.
fn folds(sample: &Cache, training: &[(Option<usize>, bool)], wanted: usize) -> Result<usize, LeftOut> {
    let mut counts = vec![0usize; sample.classes().len()];
    for &label in &sample.rows().label {
        if let Some(count) = usize::try_from(label).ok().and_then(|label| counts.get_mut(label)) {
            *count += 1;
        }
    }
    let present: Vec<(usize, usize)> = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
    let left = |why: String| LeftOut { what: "the quick sweep, LogME, H-score and LEEP".into(), why, command: None };
    match present.iter().copied().min_by_key(|&(_, count)| count) {
        _ if present.len() < 2 => {
            let first = training.iter().find_map(|(label, _)| *label);
            let several = training.iter().any(|(label, _)| label.is_some() && *label != first);
            Err(left(match several && sample.rows().len() >= wanted {
                true => "there is one class in the sample; give a larger --sample".into(),
                false => "the images have no labels of two classes".into(),
            }))
        }
        Some((class, 1)) => {
            let name = &sample.classes()[class];
            let of_class = training.iter().filter(|(label, _)| *label == Some(class)).count();
            // A sample that is not full holds every image that can be used.
            let more = of_class > 1 && sample.rows().len() >= wanted;
            Err(left(match more {
                true => format!("class '{name}' has one image in the sample; give a larger --sample"),
                false => format!("class '{name}' has a single image; add images of it, or leave the class out"),
            }))
        }
        smallest => Ok(smallest.map_or(2, |(_, count)| count).min(5)),
    }
}
