//! Exact search for the nearest vectors, by brute force.
//!
//! Matrix products in f32 of blocks of queries with blocks of vectors leave, for each query, those vectors that can be among the k
//! nearest whatever the rounding; distances to these are computed in f64, and of equal ones the first vector wins. So the result
//! is that of f64 throughout, on any machine and number of threads, in memory that does not grow with the number of queries.

use std::collections::BinaryHeap;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rayon::prelude::*;

use super::{KnnMetric, Standardization};

/// Queries handled at once.
const QUERY_BLOCK: usize = 64;
/// Vectors that they are multiplied with at once.
const VECTOR_BLOCK: usize = 2048;

/// Vectors made ready to be searched.
#[derive(Debug)]
pub(crate) struct Index {
    vectors: Array2<f32>,
    metric: KnnMetric,
    standardization: Option<Standardization>,
    /// The vectors as products take them: centred and of about unit size; for cosines each of unit length.
    ready: Array2<f32>,
    /// Squared norms of these.
    norms: Array1<f64>,
    /// What `ready` is relative to.
    centre: Array1<f64>,
    scale: Array1<f64>,
}

/// f64 in their total order, for heaps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Index {
    pub(crate) fn new(vectors: Array2<f32>, metric: KnnMetric, standardization: Option<Standardization>) -> Self {
        let width = vectors.ncols();
        let (mut centre, mut scale) = match &standardization {
            Some(Standardization { mean, scale }) => (mean.clone(), scale.clone()),
            None => (Array1::zeros(width), Array1::ones(width)),
        };
        if metric == KnnMetric::Euclidean {
            // Distances do not depend on the centre, but what rounding does to products does; nor does their order on the unit.
            centre = mean(vectors.view());
            let squares = |row: ArrayView1<f32>| {
                let values = row.iter().zip(&centre).zip(&scale);
                values.map(|((&value, centre), scale)| ((f64::from(value) - centre) / scale).powi(2)).sum::<f64>()
            };
            let mean_square = vectors.outer_iter().map(squares).sum::<f64>() / vectors.nrows().max(1) as f64;
            let unit = mean_square.sqrt();
            if unit > 0.0 && unit.is_finite() {
                scale *= unit;
            }
        }
        let ready = Array2::zeros((0, width));
        let norms = Array1::zeros(0);
        let mut index = Self { vectors, metric, standardization, ready, norms, centre, scale };
        (index.ready, index.norms) = index.made_ready(index.vectors.view());
        index
    }

    pub(crate) fn vectors(&self) -> ArrayView2<'_, f32> {
        self.vectors.view()
    }

    pub(crate) fn metric(&self) -> KnnMetric {
        self.metric
    }

    pub(crate) fn standardization(&self) -> Option<&Standardization> {
        self.standardization.as_ref()
    }

    /// Whether another index holds the same and searches in the same way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.vectors, self.metric, &self.standardization) == (&other.vectors, other.metric, &other.standardization)
    }

    /// For each of n × d raw queries the nearest `count` vectors, or all if there are fewer, the nearest first; of equal
    /// distances the first vector.
    pub(crate) fn nearest(&self, queries: ArrayView2<f32>, count: usize) -> Vec<Vec<usize>> {
        let blocks: Vec<Vec<Vec<usize>>> = queries
            .axis_chunks_iter(Axis(0), QUERY_BLOCK)
            .into_par_iter()
            .map(|block| self.nearest_to_block(block, count))
            .collect();
        blocks.concat()
    }

    fn nearest_to_block(&self, queries: ArrayView2<f32>, count: usize) -> Vec<Vec<usize>> {
        let (ready, norms) = self.made_ready(queries);
        // Of products of n terms in f32, with each factor rounded to f32: Higham, "Accuracy and Stability of Numerical Algorithms",
        // section 3.1, with room to spare.
        let relative = (self.vectors.ncols() + 16) as f64 * f64::from(f32::EPSILON);
        let mut candidates: Vec<Candidates> = (0..queries.nrows()).map(|_| Candidates::new(count)).collect();
        for (block, start) in self.ready.axis_chunks_iter(Axis(0), VECTOR_BLOCK).zip((0..).step_by(VECTOR_BLOCK)) {
            let products = ready.dot(&block.t());
            for (query, products) in products.outer_iter().enumerate() {
                for (offset, &product) in products.iter().enumerate() {
                    let (norm, product) = (self.norms[start + offset], f64::from(product));
                    let lengths = (norms[query] * norm).sqrt();
                    let distance = match self.metric {
                        KnnMetric::Euclidean => norms[query] + norm - 2.0 * product,
                        KnnMetric::Cosine => -2.0 * product,
                    };
                    // Norms are of the rounded vectors, products of these as well, but the distance is of the exact ones.
                    let off = relative * (2.0 * lengths + norms[query] + norm) + f64::MIN_POSITIVE;
                    candidates[query].add(start + offset, distance, off);
                }
            }
        }
        let exact = |(query, candidates): (ArrayView1<f32>, Candidates)| {
            let mut nearest: Vec<(Ordered, usize)> =
                candidates.left().map(|index| (Ordered(self.exact(query, self.vectors.row(index))), index)).collect();
            nearest.sort();
            nearest.into_iter().take(count).map(|(_, index)| index).collect()
        };
        queries.outer_iter().zip(candidates).map(exact).collect()
    }

    /// Squared distance, or the negative cosine, of two raw vectors, in f64 and always in the same order.
    pub(super) fn exact(&self, a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
        let pairs = a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        match (self.metric, &self.standardization) {
            (KnnMetric::Euclidean, None) => pairs.map(|(a, b)| (a - b).powi(2)).sum(),
            (KnnMetric::Euclidean, Some(standard)) => {
                pairs.zip(&standard.scale).map(|((a, b), scale)| ((a - b) / scale).powi(2)).sum()
            }
            (KnnMetric::Cosine, _) => {
                let (mut product, mut first, mut second) = (0.0, 0.0, 0.0);
                for ((a, b), (centre, scale)) in pairs.zip(self.centre.iter().zip(&self.scale)) {
                    let (a, b) = ((a - centre) / scale, (b - centre) / scale);
                    (product, first, second) = (product + a * b, first + a * a, second + b * b);
                }
                // Less than nothing would sort before it.
                if first > 0.0 && second > 0.0 { 0.0 - product / (first.sqrt() * second.sqrt()) } else { 0.0 }
            }
        }
    }

    /// Raw rows as products take them, with their squared norms.
    fn made_ready(&self, rows: ArrayView2<f32>) -> (Array2<f32>, Array1<f64>) {
        let mut ready = Array2::zeros(rows.dim());
        let mut norms = Array1::zeros(rows.nrows());
        let make = |row: ArrayView1<f32>, mut out: ArrayViewMut1<f32>| -> f64 {
            let values = row.iter().zip(&self.centre).zip(&self.scale);
            let values = values.map(|((&value, centre), scale)| (f64::from(value) - centre) / scale);
            let length = match self.metric {
                KnnMetric::Euclidean => 1.0,
                KnnMetric::Cosine => values.clone().map(|value| value * value).sum::<f64>().sqrt(),
            };
            let length = if length > 0.0 { length } else { 1.0 };
            out.iter_mut().zip(values).for_each(|(out, value)| *out = (value / length) as f32);
            out.iter().map(|&value| f64::from(value).powi(2)).sum()
        };
        ndarray::Zip::from(rows.rows())
            .and(ready.rows_mut())
            .and(&mut norms)
            .par_for_each(|row, out, norm| *norm = make(row, out));
        (ready, norms)
    }
}

/// Mean of each column.
fn mean(rows: ArrayView2<f32>) -> Array1<f64> {
    let mut sum = Array1::zeros(rows.ncols());
    rows.outer_iter().for_each(|row| sum.zip_mut_with(&row, |sum, &value| *sum += f64::from(value)));
    sum / rows.nrows().max(1) as f64
}

/// Whether a distance of at least `least` is above the bound. Products beyond f32 are not known at all: their vectors stay.
fn is_beyond(least: f64, bound: f64) -> bool {
    least > bound
}

/// The vectors that can still be among the nearest to one query.
struct Candidates {
    count: usize,
    /// The smallest of what distances are at most; the largest on top.
    most: BinaryHeap<Ordered>,
    /// What each distance is at least, and whose it is.
    kept: Vec<(f64, usize)>,
    /// How many are kept before those beyond the bound are let go; doubled where few go, as among equal distances.
    room: usize,
}

impl Candidates {
    fn new(count: usize) -> Self {
        Self { count, most: BinaryHeap::with_capacity(count + 1), kept: Vec::new(), room: 4 * count + 256 }
    }

    /// What the distance of the last of the nearest is at most.
    fn bound(&self) -> f64 {
        if self.most.len() < self.count { f64::INFINITY } else { self.most.peek().map_or(f64::INFINITY, |top| top.0) }
    }

    /// A vector whose distance is known to within `off`.
    fn add(&mut self, index: usize, distance: f64, off: f64) {
        let (least, most) = (distance - off, distance + off);
        if is_beyond(least, self.bound()) {
            return;
        }
        self.kept.push((least, index));
        if most.is_finite() {
            self.most.push(Ordered(most));
            if self.most.len() > self.count {
                self.most.pop();
            }
        }
        if self.kept.len() > self.room {
            let bound = self.bound();
            self.kept.retain(|&(least, _)| !is_beyond(least, bound));
            self.room = self.room.max(2 * self.kept.len());
        }
    }

    fn left(self) -> impl Iterator<Item = usize> {
        let bound = self.bound();
        self.kept.into_iter().filter(move |&(least, _)| !is_beyond(least, bound)).map(|(_, index)| index)
    }
}
