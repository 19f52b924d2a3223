//! From image files to classes: a trained head behind the exact extraction it was trained on, or a backbone's own
//! ImageNet classifier.

use super::{Guess, Prediction, Scored, Scores};
use headstart_cache::{Preprocessing, Provenance};
use headstart_extractor::{
    backbone::{Backbone, BackboneError, WeightsChoice},
    engine::{DeviceChoice, Precision},
    graph::{LayerSpec, SelectError, Tap},
    images::{
        DECODER, FAST_DECODER,
        augment::{Augmenter, RecipeError},
        batch::Input,
        geometry,
    },
    pipeline::{ExtractError, View, for_each_vector},
    zoo::{self, imagenet_classes},
};
use headstart_trainer::Head;
use ndarray::ArrayView2;
use std::path::PathBuf;

/// Why a prediction could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The head was trained on vectors from elsewhere.
    #[error(
        "this head was trained on imported vectors, so no image can be turned into its input; score vectors with `headstart evaluate` or `headstart predict --cache`"
    )]
    Imported,
    /// The weights differ from those the head was trained with.
    #[error(
        "the head was trained on {backbone} with weights {wanted} ({source_name}), but these are {found}; give the right file with --weights"
    )]
    OtherWeights {
        /// The backbone.
        backbone: String,
        /// Hash the head names.
        wanted: String,
        /// Where those weights came from.
        source_name: String,
        /// Hash of the weights at hand.
        found: String,
    },
    /// The classifier of a backbone that has none for ImageNet.
    #[error(
        "{0} does not tell ImageNet's classes apart; classify works with the other backbones of `headstart models`"
    )]
    NotImageNet(String),
    /// A field of the head that makes no sense, as only an edited file has.
    #[error("the head's {field}: {reason}; use the head as `headstart train` wrote it, or train again")]
    Field {
        /// Its path in the head's provenance.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Views are to be summed, and the head knows of none.
    #[error(
        "the head was trained on images as they are, so it does not know which views to add up; leave --sum-views out, or \
         train on a cache that was extracted with --augment"
    )]
    NoViews,
    /// The recipe of the head's views.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The head's layer or pool is not one of this backbone's.
    #[error("the head's layer does not fit its backbone: {0}")]
    Layer(#[from] SelectError),
    /// The backbone or its weights.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// The forward pass.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The head.
    #[error(transparent)]
    Head(#[from] headstart_trainer::Error),
}

/// An image to be classified.
#[derive(Debug, Clone)]
pub struct Image {
    /// The file.
    pub file: PathBuf,
    /// What it is called in the predictions.
    pub name: String,
    /// Name of its true class, where that is known.
    pub label: Option<String>,
}

/// Classifies images with a trained head, rebuilding the extraction from the head's provenance, and hands `each` what the
/// head says about every image, in order. With `sum_views`, every image gets the views that training images had, and what the
/// head says of them is averaged. Memory does not grow with the number of images.
///
/// # Errors
/// When the weights at hand are not those the head was trained with, the network fails, or `each` does; a broken image is no
/// error.
pub fn predict<E: From<PredictError> + From<ExtractError>>(
    head: &Head,
    images: &[Image],
    weights: &WeightsChoice,
    device: DeviceChoice,
    sum_views: bool,
    mut each: impl FnMut(Scored) -> Result<(), E>,
) -> Result<(), E> {
    let provenance = head.source.provenance.as_ref().ok_or(PredictError::Imported)?;
    let (backbone, tap, precision) = rebuild(head, provenance, weights)?;
    let augmenter = Augmenter::of(&provenance.augmentation).map_err(PredictError::from)?.filter(|_| sum_views);
    if sum_views && augmenter.is_none() {
        return Err(PredictError::NoViews.into());
    }
    let views = if augmenter.is_some() { provenance.augmentation.views } else { 1 };
    let all = images.iter().flat_map(|Image { file, name, .. }| {
        (0..views).map(move |number| View { image: Ok(file.as_path()), name, number })
    });
    let mut images = images.iter();
    let (mut seen, mut vectors, mut failure) = (0, Vec::with_capacity(views as usize * tap.width()), None);
    let input = Input {
        preprocessing: &backbone.preprocessing,
        augmenter: augmenter.as_ref(),
        fast: provenance.decoder.as_deref() == Some(FAST_DECODER),
    };
    for_each_vector(&backbone, &tap, all, input, device, precision, |values| {
        seen += 1;
        match values {
            Err(reason) => failure = Some(reason),
            Ok(values) => vectors.extend_from_slice(values),
        }
        if seen < views {
            return Ok(());
        }
        let Some(Image { name, label, .. }) = images.next().cloned() else { return Ok(()) };
        let outcome = match failure.take() {
            Some(reason) => Err(reason),
            None => Ok(scores(head, &vectors, views as usize).map_err(PredictError::from)?),
        };
        seen = 0;
        vectors.clear();
        each(Scored { path: name, label, outcome })
    })
}

fn rebuild(
    head: &Head,
    provenance: &Provenance,
    weights: &WeightsChoice,
) -> Result<(Backbone, Tap, Precision), PredictError> {
    let Some(input) = &provenance.preprocessing else { return Err(PredictError::Imported) };
    check_input(&provenance.backbone, input)?;
    let precision: Precision = provenance.compute_dtype.parse().map_err(|reason| field("compute_dtype", reason))?;
    // `random:SEED` weights are not stored anywhere: the head says how to make them again.
    let made_again = match (weights, provenance.weights.source.parse()) {
        (WeightsChoice::Pretrained, Ok(random @ WeightsChoice::Random(_))) => random,
        _ => weights.clone(),
    };
    let mut backbone = Backbone::load(&provenance.backbone, &made_again, Some(input.size), Some(input.resize))?;
    let found = backbone.weights_id();
    if found.sha256 != provenance.weights.sha256 {
        return Err(PredictError::OtherWeights {
            backbone: provenance.backbone.clone(),
            wanted: provenance.weights.sha256.clone(),
            source_name: provenance.weights.source.clone(),
            found: format!("{} ({})", found.sha256, found.source),
        });
    }
    backbone.preprocessing = input.clone();
    if ![DECODER, FAST_DECODER].map(Some).contains(&provenance.decoder.as_deref()) {
        tracing::warn!(
            "the head's vectors were decoded by {:?}, this headstart decodes by {DECODER:?}; predictions may differ slightly",
            provenance.decoder.as_deref().unwrap_or("?")
        );
    }
    let spec: LayerSpec = head.source.layer.parse()?;
    let tap = backbone.select(&[spec])?.swap_remove(0);
    Ok((backbone, tap, precision))
}

/// Whether the input that a head describes can be made, and is one that its backbone takes.
fn check_input(backbone: &str, input: &Preprocessing) -> Result<(), PredictError> {
    geometry::check(input).map_err(|error| {
        let name = error.field().map_or("preprocessing".into(), |field| format!("preprocessing.{field}"));
        field(&name, error.to_string())
    })?;
    let takes = zoo::find(backbone).map_err(BackboneError::from)?.preprocessing.channels;
    if input.channels != takes {
        return Err(field(
            "preprocessing.channels",
            format!("{} channels, but {backbone} takes {takes}", input.channels),
        ));
    }
    Ok(())
}

fn field(name: &str, reason: String) -> PredictError {
    PredictError::Field { field: name.to_string(), reason }
}

/// The scores of one image, given the vectors of its views one after another.
fn scores(head: &Head, values: &[f32], views: usize) -> Result<Scores, headstart_trainer::Error> {
    let width = values.len() / views;
    // As many values as rows times columns, by the division above.
    let rows = ArrayView2::from_shape((views, width), &values[..views * width])
        .map_err(|_| headstart_trainer::Error::Width { expected: head.width(), got: width })?;
    Ok(Scores::of_views(head, rows, &[views])?.swap_remove(0))
}

/// The `top` likeliest ImageNet-1k classes of each image, by the backbone's own classifier.
///
/// # Errors
/// When the backbone has no ImageNet classifier, or its weights or the network fail; a broken image is no error.
pub fn classify(
    backbone: &Backbone,
    images: &[PathBuf],
    top: usize,
    device: DeviceChoice,
    precision: Precision,
) -> Result<Vec<Prediction>, PredictError> {
    let name = backbone.architecture.name;
    let names = imagenet_classes();
    let last = backbone.graph.nodes().len() - 1;
    if backbone.shapes[last].elements() != names.len() {
        return Err(PredictError::NotImageNet(name.to_string()));
    }
    let spec = LayerSpec { layer: backbone.graph.node(last).name.clone(), pool: None };
    let tap = backbone.select(&[spec])?.swap_remove(0);
    let mut predictions = Vec::with_capacity(images.len());
    let mut paths = images.iter();
    let views = images.iter().map(|path| View { image: Ok(path), name: "", number: 0 });
    let input = Input { preprocessing: &backbone.preprocessing, augmenter: None, fast: false };
    for_each_vector(backbone, &tap, views, input, device, precision, |values| {
        let path = paths.next().map(|path| path.display().to_string()).unwrap_or_default();
        let (guesses, error) = match values {
            Err(reason) => (Vec::new(), Some(reason)),
            Ok(logits) => (softmax_top(logits, names, top), None),
        };
        predictions.push(Prediction { path, label: None, guesses, error });
        Ok::<(), PredictError>(())
    })?;
    Ok(predictions)
}

fn softmax_top(logits: &[f32], names: &[&str], top: usize) -> Vec<Guess> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order
        .into_iter()
        .take(top)
        .map(|class| Guess {
            class: names[class].to_string(),
            probability: Some(f64::from(logits[class] - largest).exp() / sum),
            score: f64::from(logits[class]),
        })
        .collect()
}
