//! A map of the images as a layer sees them: two dimensions, coloured by class.

use super::{ImageRow, LookError, image, rows};
use crate::plot::{MapPlot, MapPlotPoint};
use headstart_cache::{Cache, LayerInfo};
use headstart_trainer::principal_components;
use linfa::{ParamGuard, traits::Transformer};
use linfa_tsne::TSneParams;
use ndarray::{Array2, ArrayView2};
use rand::{SeedableRng, rngs::SmallRng};
use serde::Serialize;
use std::path::PathBuf;

/// How many dimensions become two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MapMethod {
    /// The first two principal components: distances are true as far as these two hold the variance.
    Pca,
    /// Exact t-SNE (van der Maaten and Hinton 2008) of the first 50 principal components: neighbours stay neighbours, distances
    /// between groups mean little. Time grows with the square of the images.
    Tsne,
}

impl std::str::FromStr for MapMethod {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "pca" => Ok(Self::Pca),
            "tsne" => Ok(Self::Tsne),
            _ => Err(format!("unknown method {word:?}; use pca or tsne")),
        }
    }
}

/// What to map, and how.
#[derive(Debug, Clone)]
pub struct MapOptions {
    /// The method.
    pub method: MapMethod,
    /// Images at most; of more, so many are taken, spread evenly over the cache.
    pub images: usize,
    /// For t-SNE: about how many neighbours an image has. Lowered to what so few images allow.
    pub perplexity: f64,
    /// For t-SNE: seed of the positions to begin with.
    pub seed: u64,
}

/// An image on the map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapPoint {
    /// The image.
    #[serde(flatten)]
    pub image: ImageRow,
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
}

/// A map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureMap {
    /// The cache.
    pub cache: PathBuf,
    /// `layer:pool`.
    pub layer: String,
    /// How it was made.
    pub method: MapMethod,
    /// Images that could have been mapped.
    pub available: usize,
    /// Shares of the variance that the two directions hold; none for t-SNE.
    pub shares: Option<[f64; 2]>,
    /// Perplexity that was used; none for PCA.
    pub perplexity: Option<f64>,
    /// Share of the labelled images whose nearest neighbour among these has their class, by the features themselves. None of fewer than
    /// two.
    pub same_class_in_features: Option<f64>,
    /// The same on the map: where it is lower, the map mixes what the features keep apart.
    pub same_class_on_map: Option<f64>,
    /// The images.
    pub points: Vec<MapPoint>,
}

/// Principal components that t-SNE begins with, as its authors do: the rest is noise, and takes time.
const COMPONENTS: usize = 50;
/// Steps of t-SNE.
const STEPS: usize = 1000;

/// Maps the images of a layer as they are, without augmented views.
///
/// The same seed gives the same map, whatever the number of threads: t-SNE runs on one, and exactly, for the search tree of the
/// approximation is built at random.
///
/// # Errors
/// A layer without images, or with fewer than four; a cache that cannot be read.
pub fn feature_map(cache: &Cache, layer: &LayerInfo, options: &MapOptions) -> Result<FeatureMap, LookError> {
    let all = rows(cache, layer)?;
    let wanted = options.images.clamp(1, all.len());
    let rows: Vec<usize> = (0..wanted).map(|index| all[index * all.len() / wanted]).collect();
    if rows.len() < FEWEST {
        return Err(LookError::TooFew {
            path: cache.path().to_path_buf(),
            layer: layer.name.clone(),
            images: rows.len(),
            fewest: FEWEST,
        });
    }
    let features = cache.read_rows(layer, &rows)?;
    let unmapped =
        |reason: String| LookError::Unmapped { path: cache.path().to_path_buf(), layer: layer.name.clone(), reason };
    let count = if options.method == MapMethod::Pca { 2 } else { COMPONENTS };
    let found = principal_components(features.view(), count).map_err(|error| unmapped(error.to_string()))?;
    let (mut shares, mut perplexity) = (None, None);
    let places = match options.method {
        MapMethod::Pca => {
            shares = Some([found.shares[0], found.shares.get(1).copied().unwrap_or(0.0)]);
            found.scores
        }
        MapMethod::Tsne => {
            // More is refused, for there would not be so many neighbours.
            let most = (rows.len() - 1) as f64 / 3.0;
            let used = options.perplexity.min(most);
            perplexity = Some(used);
            t_sne(found.scores, used, options.seed).map_err(unmapped)?
        }
    };
    let images: Vec<ImageRow> = rows.iter().map(|&row| image(cache, row)).collect();
    let labels: Vec<Option<&str>> = images.iter().map(|image| image.class.as_deref()).collect();
    let at = |row: usize, column: usize| places.get([row, column]).copied().unwrap_or(0.0);
    let flat = Array2::from_shape_fn((rows.len(), 2), |(row, column)| at(row, column));
    let points = images.iter().enumerate();
    let points = points.map(|(row, image)| MapPoint { image: image.clone(), x: at(row, 0), y: at(row, 1) }).collect();
    Ok(FeatureMap {
        cache: cache.path().to_path_buf(),
        layer: layer.name.clone(),
        method: options.method,
        available: all.len(),
        shares,
        perplexity,
        same_class_in_features: same_class(features.mapv(f64::from).view(), &labels),
        same_class_on_map: same_class(flat.view(), &labels),
        points,
    })
}

/// With fewer images there is nothing to see.
const FEWEST: usize = 4;

/// Positions of the rows.
fn t_sne(rows: Array2<f64>, perplexity: f64, seed: u64) -> Result<Array2<f64>, String> {
    // One thread: sums over threads come in any order, and t-SNE makes large differences of small ones.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| error.to_string())?;
    // Rows may have but one component, and two are needed.
    let mut wide = Array2::zeros((rows.nrows(), rows.ncols().max(2)));
    wide.slice_mut(ndarray::s![.., ..rows.ncols()]).assign(&rows);
    // With components all of unit size at most, the default learning rate suits features of any scale.
    let size = wide.iter().fold(0f64, |size, value| size.max(value.abs()));
    if size > 0.0 {
        wide /= size;
    }
    pool.install(|| {
        let params = TSneParams::embedding_size_with_rng(2, SmallRng::seed_from_u64(seed));
        let params = params.perplexity(perplexity).approx_threshold(0.0).max_iter(STEPS);
        let params = params.check().map_err(|error| error.to_string())?;
        params.transform(wide).map_err(|error| error.to_string())
    })
}

/// Share of the labelled rows whose nearest labelled row is of their class.
fn same_class(rows: ArrayView2<f64>, labels: &[Option<&str>]) -> Option<f64> {
    use rayon::prelude::*;
    let labelled: Vec<(usize, &str)> =
        labels.iter().enumerate().filter_map(|(row, label)| Some((row, (*label)?))).collect();
    if labelled.len() < 2 {
        return None;
    }
    let apart = |a: usize, b: usize| rows.row(a).iter().zip(rows.row(b)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let agrees = |&(row, label): &(usize, &str)| {
        let others = labelled.iter().filter(|(other, _)| *other != row);
        let nearest = others.min_by(|a, b| apart(row, a.0).total_cmp(&apart(row, b.0)));
        nearest.is_some_and(|(_, other)| *other == label)
    };
    let same = labelled.par_iter().filter(|row| agrees(row)).count();
    Some(same as f64 / labelled.len() as f64)
}

impl MapPoint {
    /// Whether it is drawn as an outline: an image that is not trained on.
    pub fn is_hollow(&self) -> bool {
        matches!(self.image.split.as_str(), "test" | "val")
    }

    /// Its class, or that it has none.
    pub fn class(&self) -> &str {
        self.image.class.as_deref().unwrap_or("no label")
    }
}

impl FeatureMap {
    /// The classes there are, in the order in which they come.
    pub fn classes(&self) -> Vec<String> {
        let mut classes: Vec<String> = Vec::new();
        for class in self.points.iter().map(MapPoint::class) {
            if !classes.iter().any(|known| known == class) {
                classes.push(class.to_string());
            }
        }
        classes
    }

    /// The picture: a colour and a marker for each class, test images hollow.
    pub fn plot(&self, title: &str) -> MapPlot {
        let classes = self.classes();
        let index = |point: &MapPoint| classes.iter().position(|class| class == point.class()).unwrap_or_default();
        let points = self.points.iter();
        let points = points
            .map(|point| MapPlotPoint { x: point.x, y: point.y, class: index(point), hollow: point.is_hollow() })
            .collect();
        let axes = match (self.method, self.shares) {
            (MapMethod::Pca, Some([first, second])) => [
                format!("first principal component ({:.0} % of the variance)", 100.0 * first),
                format!("second ({:.0} %)", 100.0 * second),
            ],
            _ => ["t-SNE".into(), String::new()],
        };
        MapPlot { title: title.into(), axes, classes, points }
    }

    /// The points as a table: path, class, split, x, y.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_csv(&self, to: impl std::io::Write) -> Result<(), csv::Error> {
        let mut table = csv::Writer::from_writer(to);
        table.write_record(["path", "class", "split", "x", "y"])?;
        for point in &self.points {
            let class = point.image.class.as_deref().unwrap_or_default();
            let (x, y) = (point.x.to_string(), point.y.to_string());
            table.write_record([&point.image.path, class, &point.image.split, &x, &y])?;
        }
        Ok(table.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of ten, in five dimensions.
    fn groups() -> (Array2<f64>, Vec<Option<&'static str>>) {
        let noise = |row: usize, column: usize| ((row * 31 + column * 17) % 13) as f64 / 13.0;
        let rows = Array2::from_shape_fn((30, 5), |(row, column)| {
            noise(row, column) + if column == row / 10 { 12.0 } else { 0.0 }
        });
        (rows, (0..30).map(|row| Some(["a", "b", "c"][row / 10])).collect())
    }

    #[test]
    fn t_sne_keeps_groups_apart_and_is_the_same_again() {
        let (rows, labels) = groups();
        let map = t_sne(rows.clone(), 5.0, 1).unwrap();
        assert_eq!(map.dim(), (30, 2));
        assert!(map.iter().all(|value| value.is_finite()));
        assert_eq!(same_class(map.view(), &labels), Some(1.0));
        assert_eq!(map, t_sne(rows.clone(), 5.0, 1).unwrap());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(map, pool.install(|| t_sne(rows.clone(), 5.0, 1)).unwrap());
        assert_ne!(map, t_sne(rows, 5.0, 2).unwrap());
    }

    #[test]
    fn neighbours_count_where_there_are_labels() {
        let rows = ndarray::array![[0.0, 0.0], [1.0, 0.0], [1.1, 0.0], [9.0, 9.0]];
        assert_eq!(same_class(rows.view(), &[Some("a"), Some("a"), Some("b"), None]), Some(1.0 / 3.0));
        assert_eq!(same_class(rows.view(), &[Some("a"), None, None, None]), None);
    }
}
