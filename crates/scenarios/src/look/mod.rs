//! A look at the images behind features: a map of all, the nearest of an image, those that excite a unit most.

pub mod map;
pub mod neighbors;
mod page;
pub mod units;

use headstart_cache::{Cache, LayerInfo, Status};
use serde::Serialize;
use std::path::PathBuf;

/// An image as a cache names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageRow {
    /// Its path.
    pub path: String,
    /// Its class; none without a label.
    pub class: Option<String>,
    /// Its split; may be empty.
    pub split: String,
    /// Its row in the cache.
    pub row: usize,
}

/// Why images cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The cache cannot be read.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// No image of the layer can be used.
    #[error("{}: layer {layer} has no images yet", .path.display())]
    NoImages {
        /// The cache.
        path: PathBuf,
        /// The layer.
        layer: String,
    },
    /// An image that is not in the cache.
    #[error("{}: no image '{image}'; write its path as `headstart predict --cache` lists it, or the end of it", .path.display())]
    Unknown {
        /// The cache.
        path: PathBuf,
        /// What was asked for.
        image: String,
    },
    /// The end of the paths of several images.
    #[error("{}: '{image}' is the end of the paths of {count} images, such as {first}; write more of it", .path.display())]
    Ambiguous {
        /// The cache.
        path: PathBuf,
        /// What was asked for.
        image: String,
        /// How many fit.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// Too few images for a map.
    #[error("{}: layer {layer} has {images} image(s); a map needs {fewest}", .path.display())]
    TooFew {
        /// The cache.
        path: PathBuf,
        /// The layer.
        layer: String,
        /// How many it has.
        images: usize,
        /// How many there have to be.
        fewest: usize,
    },
    /// Features that cannot be mapped.
    #[error("{}, layer {layer}: {reason}", .path.display())]
    Unmapped {
        /// The cache.
        path: PathBuf,
        /// The layer.
        layer: String,
        /// Why.
        reason: String,
    },
    /// A unit that the layer does not have.
    #[error("{}: unit {unit}; layer {layer} has units 0 to {}", .path.display(), width - 1)]
    NoUnit {
        /// The cache.
        path: PathBuf,
        /// The layer.
        layer: String,
        /// What was asked for.
        unit: usize,
        /// How many it has.
        width: usize,
    },
}

/// Values that are in memory at once.
const VALUES: usize = 1 << 22;

/// The rows of images as they are (no augmented views) that the layer has.
fn rows(cache: &Cache, layer: &LayerInfo) -> Result<Vec<usize>, LookError> {
    let all = cache.rows();
    let usable = |&row: &usize| all.status[row] == Status::Done && all.view[row] == 0;
    let rows: Vec<usize> = (0..layer.committed.min(all.len())).filter(usable).collect();
    match rows.is_empty() {
        true => Err(LookError::NoImages { path: cache.path().to_path_buf(), layer: layer.name.clone() }),
        false => Ok(rows),
    }
}

/// So many rows at a time that they fit into little memory.
fn blocks<'r>(rows: &'r [usize], layer: &LayerInfo) -> impl Iterator<Item = &'r [usize]> {
    rows.chunks((VALUES / layer.width.max(1)).max(1))
}

fn image(cache: &Cache, row: usize) -> ImageRow {
    let all = cache.rows();
    ImageRow {
        path: all.path[row].clone(),
        class: usize::try_from(all.label[row]).ok().and_then(|label| cache.classes().get(label)).cloned(),
        split: all.split[row].clone(),
        row,
    }
}

/// The row of an image by its path, or by so much of the end of it (or of a longer path that ends with it) as is clear.
fn find(cache: &Cache, rows: &[usize], name: &str) -> Result<usize, LookError> {
    let all = cache.rows();
    if let Some(&row) = rows.iter().find(|&&row| all.path[row] == name) {
        return Ok(row);
    }
    let ends = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|before| before.ends_with('/'));
    let name = name.trim_start_matches("./");
    let fits = |&row: &usize| all.path[row] == name || ends(&all.path[row], name) || ends(name, &all.path[row]);
    let found: Vec<usize> = rows.iter().copied().filter(fits).collect();
    let (path, image) = (cache.path().to_path_buf(), name.to_owned());
    match found[..] {
        [row] => Ok(row),
        [] => Err(LookError::Unknown { path, image }),
        [first, ..] => Err(LookError::Ambiguous { path, image, count: found.len(), first: all.path[first].clone() }),
    }
}

#[cfg(test)]
mod tests;
