//! k nearest neighbours: the training vectors themselves, and a vote of those that are nearest.
//!
//! The class of a row is the one with most votes; of several with as many, the one whose nearest member is nearest (scikit-learn
//! takes the first class then). Probabilities are the shares of the votes.

mod index;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(crate) use index::Index;

use crate::Error;
use crate::features::Features;
use crate::normalize::Normalize;

/// Queries that are in memory at once.
pub(crate) const QUERIES: usize = 4096;

/// What near means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnnMetric {
    /// The straight line between two vectors.
    #[default]
    Euclidean,
    /// The angle between them; a vector of zeros is at a right angle to all others.
    Cosine,
}

impl KnnMetric {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::Cosine => "cosine",
        }
    }
}

impl std::str::FromStr for KnnMetric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "euclidean" => Ok(Self::Euclidean),
            "cosine" => Ok(Self::Cosine),
            _ => Err(Error::Parameter {
                name: "--knn-metric",
                value: format!("'{text}'"),
                wanted: "choose euclidean or cosine",
            }),
        }
    }
}

/// For each of n × d queries the nearest `count` of the vectors with their distances, the nearest first, of equal ones the first
/// vector: Euclidean distances, or 1 − cosine. Exact in f64.
pub fn nearest(
    vectors: Array2<f32>,
    queries: ArrayView2<f32>,
    metric: KnnMetric,
    count: usize,
) -> Vec<Vec<(usize, f64)>> {
    let index = Index::new(vectors, metric, None);
    let found = index.nearest(queries, count);
    let distance = |exact: f64| match metric {
        KnnMetric::Euclidean => exact.sqrt(),
        // The cosine of a vector with itself may be a hair above 1.
        KnnMetric::Cosine => (1.0 + exact).max(0.0),
    };
    let of_query = |(query, found): (ndarray::ArrayView1<f32>, Vec<usize>)| {
        let vectors = index.vectors();
        let exact = |at: usize| index.exact(query, vectors.row(at));
        found.into_iter().map(|at| (at, distance(exact(at)))).collect()
    };
    queries.outer_iter().zip(found).map(of_query).collect()
}

/// What is done to features before they are compared: (x − mean) / scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardization {
    /// Mean of each feature over the training rows.
    pub mean: Array1<f64>,
    /// Its standard deviation; 1 where that is 0.
    pub scale: Array1<f64>,
}

impl Standardization {
    /// Of n × d training vectors.
    pub(crate) fn of(vectors: ArrayView2<f32>) -> Self {
        let n = vectors.nrows() as f64;
        let mut mean = Array1::<f64>::zeros(vectors.ncols());
        vectors.outer_iter().for_each(|row| mean.zip_mut_with(&row, |sum, &value| *sum += f64::from(value)));
        mean /= n;
        let mut scale = Array1::<f64>::zeros(vectors.ncols());
        for row in vectors.outer_iter() {
            ndarray::Zip::from(&mut scale)
                .and(&row)
                .and(&mean)
                .for_each(|sum, &value, &mean| *sum += (f64::from(value) - mean).powi(2));
        }
        ndarray::Zip::from(&mut scale).and(&mean).for_each(|scale, &mean| {
            let deviation = (*scale / n).sqrt();
            // What rounding leaves of a constant feature must not be blown up.
            *scale = if deviation <= n * f64::EPSILON * mean.abs() { 1.0 } else { deviation };
        });
        Self { mean, scale }
    }
}

/// Training vectors with their classes, and how many of the nearest vote.
#[derive(Debug, Clone)]
pub struct NeighborsModel {
    classes: Vec<String>,
    labels: Vec<usize>,
    neighbors: usize,
    normalize: Normalize,
    /// Shared by copies of the model: this is as large as the training set.
    index: Arc<Index>,
}

impl PartialEq for NeighborsModel {
    fn eq(&self, other: &Self) -> bool {
        let Self { classes, labels, neighbors, normalize, index } = self;
        (classes, labels, neighbors, normalize) == (&other.classes, &other.labels, &other.neighbors, &other.normalize)
            && index.is_same(&other.index)
    }
}

impl NeighborsModel {
    /// Puts a model together from n × d vectors and their n class indices.
    ///
    /// # Errors
    /// Says which part is wrong: fewer than two classes or twice the same one, lengths that do not fit, values that are not finite,
    /// a number of neighbours that is 0 or beyond that of the vectors.
    pub fn new(
        classes: Vec<String>,
        vectors: Array2<f32>,
        labels: Vec<usize>,
        neighbors: usize,
        metric: KnnMetric,
        standardization: Option<Standardization>,
    ) -> Result<Self, String> {
        crate::model::check_classes(&classes)?;
        let (rows, width) = vectors.dim();
        if labels.len() != rows || width == 0 {
            return Err(format!("vectors: shape [{rows}, {width}] for {} labels", labels.len()));
        }
        if let Some(label) = labels.iter().find(|&&label| label >= classes.len()) {
            return Err(format!("labels: {label} among {} classes", classes.len()));
        }
        if !(1..=rows).contains(&neighbors) {
            return Err(format!("neighbors: {neighbors} of {rows} vectors"));
        }
        if !vectors.iter().all(|value| value.is_finite()) {
            return Err("vectors: some values are not finite".into());
        }
        if let Some(Standardization { mean, scale }) = &standardization {
            let sound = mean.iter().all(|value| value.is_finite()) && scale.iter().all(|s| s.is_finite() && *s > 0.0);
            if mean.len() != width || scale.len() != width || !sound {
                return Err(format!("mean, scale: not {width} finite numbers each, scales above 0"));
            }
        }
        let index = Arc::new(Index::new(vectors, metric, standardization));
        Ok(Self { classes, labels, neighbors, normalize: Normalize::None, index })
    }

    /// The same for rows that are normalised before they are compared; the vectors are so already.
    pub fn on_rows(self, normalize: Normalize) -> Self {
        Self { normalize, ..self }
    }

    /// Class names, in the order of scores and labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class index of each training vector.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// How many of the nearest vote.
    pub fn neighbors(&self) -> usize {
        self.neighbors
    }

    /// What is done to each row before it is compared.
    pub fn normalize(&self) -> Normalize {
        self.normalize
    }

    /// The training vectors, n × d, as they were given.
    pub fn vectors(&self) -> ArrayView2<'_, f32> {
        self.index.vectors()
    }

    /// What near means.
    pub fn metric(&self) -> KnnMetric {
        self.index.metric()
    }

    /// What is done to features first.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.index.standardization()
    }

    /// Number of features it expects.
    pub fn width(&self) -> usize {
        self.vectors().ncols()
    }

    /// Bytes of the training vectors, which a head file holds.
    pub fn bytes(&self) -> usize {
        self.vectors().len() * size_of::<f32>()
    }

    /// The vote on each of n × d raw features.
    ///
    /// # Errors
    /// [`Error::Width`] for features of another width, [`Error::NotFinite`] for NaN and infinities.
    pub(crate) fn votes(&self, features: ArrayView2<f32>) -> Result<Votes, Error> {
        if features.ncols() != self.width() {
            return Err(Error::Width { expected: self.width(), got: features.ncols() });
        }
        Features::from(features).check_finite()?;
        Ok(self.votes_of_block(features))
    }

    /// The vote on each of the rows of these numbers, some at a time; features must be finite and as wide as the vectors.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub(crate) fn votes_of_rows(&self, features: Features, rows: &[usize]) -> Result<Votes, Error> {
        let mut all = Votes { shares: Array2::zeros((rows.len(), self.classes.len())), predicted: Vec::new() };
        for (rows, mut shares) in rows.chunks(QUERIES).zip(all.shares.axis_chunks_iter_mut(Axis(0), QUERIES)) {
            let votes = self.votes_of_block(features.read(rows)?.view());
            shares.assign(&votes.shares);
            all.predicted.extend(votes.predicted);
        }
        Ok(all)
    }

    fn votes_of_block(&self, features: ArrayView2<f32>) -> Votes {
        let normalized = self.normalize.rows(features.reborrow());
        let features = normalized.as_ref().map_or(features.reborrow(), |rows| rows.view());
        let nearest = self.index.nearest(features, self.neighbors);
        Votes::count(&nearest, &self.labels, self.classes.len(), self.neighbors)
    }
}

/// What the nearest neighbours of some rows say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Votes {
    /// n × classes shares of the votes.
    pub(crate) shares: Array2<f64>,
    /// The class of each row.
    pub(crate) predicted: Vec<usize>,
}

impl Votes {
    /// Counts the first `neighbors` of each row's list, the nearest first, of indices into `labels`.
    pub(crate) fn count(nearest: &[Vec<usize>], labels: &[usize], classes: usize, neighbors: usize) -> Self {
        let mut shares = Array2::zeros((nearest.len(), classes));
        let mut predicted = Vec::with_capacity(nearest.len());
        for (row, list) in nearest.iter().enumerate() {
            let mut votes = vec![0usize; classes];
            let voters = list.iter().take(neighbors).map(|&index| labels[index]);
            voters.clone().for_each(|class| votes[class] += 1);
            let most = votes.iter().copied().max().unwrap_or(0);
            // The first of the winning classes that turns up has the nearest member.
            predicted.push(voters.clone().find(|&class| votes[class] == most).unwrap_or(0));
            let cast = voters.count().max(1) as f64;
            votes.iter().enumerate().for_each(|(class, &votes)| shares[[row, class]] = votes as f64 / cast);
        }
        Self { shares, predicted }
    }
}

#[cfg(test)]
mod tests;
