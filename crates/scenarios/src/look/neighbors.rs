//! The images of a cache that are nearest to one of them.

use super::{ImageRow, LookError, blocks, find, image, page::Sheet, rows};
use crate::report::{ReportError, write_page};
use headstart_cache::{Cache, LayerInfo};
use headstart_trainer::{KnnMetric, nearest};
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// An image with those that are nearest to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Query {
    /// The image.
    #[serde(flatten)]
    pub image: ImageRow,
    /// The nearest, itself left out.
    pub neighbors: Vec<Near>,
}

/// One of the nearest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Near {
    /// The image.
    #[serde(flatten)]
    pub image: ImageRow,
    /// How far it is: a Euclidean distance, or 1 − cosine.
    pub distance: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbors {
    /// The cache.
    pub cache: PathBuf,
    /// `layer:pool`.
    pub layer: String,
    /// What near means.
    pub metric: KnnMetric,
    /// Images that were searched.
    pub images: usize,
    /// One for each image that was asked for.
    pub queries: Vec<Query>,
}

/// Searches all images of a layer for the nearest of these. Exact; of equally near ones the first in the cache.
///
/// # Errors
/// Images that are not in the cache, or not clearly; a cache that cannot be read.
pub fn neighbors(
    cache: &Cache,
    layer: &LayerInfo,
    images: &[String],
    metric: KnnMetric,
    count: usize,
) -> Result<Neighbors, LookError> {
    let rows = rows(cache, layer)?;
    let asked: Vec<usize> = images.iter().map(|name| find(cache, &rows, name)).collect::<Result<_, _>>()?;
    let queries = cache.read_rows(layer, &asked)?;
    let mut found: Vec<Vec<(f64, usize)>> = vec![Vec::new(); asked.len()];
    for block in blocks(&rows, layer) {
        // One more than wanted, for an image is its own nearest.
        let near = nearest(cache.read_rows(layer, block)?, queries.view(), metric, count + 1);
        for ((found, near), &own) in found.iter_mut().zip(near).zip(&asked) {
            found.extend(near.into_iter().map(|(at, distance)| (distance, block[at])).filter(|(_, row)| *row != own));
            found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            found.truncate(count);
        }
    }
    let near = |(distance, row)| Near { image: image(cache, row), distance };
    let query = |(&row, found): (&usize, Vec<(f64, usize)>)| Query {
        image: image(cache, row),
        neighbors: found.into_iter().map(near).collect(),
    };
    Ok(Neighbors {
        cache: cache.path().to_path_buf(),
        layer: layer.name.clone(),
        metric,
        images: rows.len(),
        queries: asked.iter().zip(found).map(query).collect(),
    })
}

impl Query {
    /// How many of the nearest are of the image's own class; none without a label.
    pub fn of_its_class(&self) -> Option<usize> {
        let class = self.image.class.as_ref()?;
        Some(self.neighbors.iter().filter(|near| near.image.class.as_ref() == Some(class)).count())
    }
}

impl Neighbors {
    /// Writes a contact sheet (`index.html` and `metrics.json`) into a folder, and gives the path of the page.
    ///
    /// # Errors
    /// When the folder or a file cannot be written. Images that cannot be read are no error: the page says so.
    pub fn write_report(&self, cache: &Cache, command: &[OsString], folder: &Path) -> Result<PathBuf, ReportError> {
        let mut sheet = Sheet::new(cache, command);
        let distance = match self.metric {
            KnnMetric::Euclidean => "distance",
            KnnMetric::Cosine => "1 − cosine",
        };
        for query in &self.queries {
            let of_class = query.of_its_class().map_or_else(String::new, |count| {
                format!("{count} of the {} nearest are of its class.", query.neighbors.len())
            });
            let nearest = query.neighbors.iter().map(|near| {
                (&near.image, format!("{distance} {:.4}", near.distance), near.image.class == query.image.class)
            });
            let own = (&query.image, "the image itself".to_owned(), true);
            sheet.section(&query.image.path, &of_class, std::iter::once(own).chain(nearest));
        }
        let about = format!("{}, {} images", self.layer, self.images);
        write_page(folder, self, &sheet.page("Nearest images", &about))
    }
}
