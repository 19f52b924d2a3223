//! What can be wrong with caches or images that curves are asked of.

use crate::sweep::GivenTwice;
use headstart_cache::{Cache, LayerInfo};
use std::path::PathBuf;

/// Why there are no curves.
#[derive(Debug, thiserror::Error)]
pub enum CurveError {
    /// A cache cannot be read, or lacks a layer.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// A head cannot be trained.
    #[error("{}, layer {layer}: {source}", .cache.display())]
    Train {
        /// The cache.
        cache: PathBuf,
        /// The layer.
        layer: String,
        /// Why.
        source: Box<headstart_trainer::Error>,
    },
    /// A cache without layers.
    #[error("{}: the cache has no layers", .0.display())]
    NoLayers(PathBuf),
    /// No test image is of a class that is trained on.
    #[error(
        "{}: no image of split {split} is of a class that has training images ({classes}); check the labels of that split",
        .path.display()
    )]
    OtherClasses {
        /// The cache.
        path: PathBuf,
        /// The split that is tested on.
        split: String,
        /// The classes of the training images.
        classes: String,
    },
    /// A cache is given twice.
    #[error(transparent)]
    Twice(#[from] GivenTwice),
    /// Caches of different images.
    #[error(
        "{}: of its {images} {what} images only {common} are in every cache (matched by class and path); curves compare \
         caches of the same images, so run the command for each set of images", .path.display()
    )]
    OtherImages {
        /// The cache.
        path: PathBuf,
        /// Which images.
        what: String,
        /// How many it has.
        images: usize,
        /// How many all have.
        common: usize,
    },
    /// Caches that are tested on different splits.
    #[error(
        "{} is tested on split {first_split}, {} on split {other_split}; curves need the same test images for all caches",
        .first.display(), .other.display()
    )]
    Splits {
        /// A cache.
        first: PathBuf,
        /// Its split.
        first_split: String,
        /// Another cache.
        other: PathBuf,
        /// Its split.
        other_split: String,
    },
    /// No class has an image to spare.
    #[error("there are neither test nor val images, and no class has two images, one of which could be held out")]
    NothingToTest,
    /// A total with less than one image of each class.
    #[error("--total {images}: there are {classes} classes, of each of which an image is needed")]
    TooFew {
        /// Images asked for.
        images: usize,
        /// Classes.
        classes: usize,
    },
}

impl CurveError {
    pub(super) fn about(cache: &Cache, layer: &LayerInfo, source: headstart_trainer::Error) -> Self {
        Self::Train { cache: cache.path().to_path_buf(), layer: layer.name.clone(), source: Box::new(source) }
    }
}
