//! What is measured of images against the data that a backbone was trained on.

use headstart_extractor::source::SourceStatistics;
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

/// A way to measure similarity to the source data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// How sure the source classifier is: the mean of its largest probability.
    Confidence,
    /// How much the source classes tell of an image: the mutual information of image and source class, in nats.
    Information,
    /// How far the activations are from their statistics over the source data.
    Distance,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Confidence, Self::Information, Self::Distance];

    /// 1 where more is more similar, −1 where less is.
    pub fn sign(self) -> f64 {
        if self == Self::Distance { -1.0 } else { 1.0 }
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::Confidence => "confidence of the source classifier",
            Self::Information => "information in the source classes (nats)",
            Self::Distance => "distance from the source statistics",
        }
    }

    /// What exactly is measured, and where it comes from.
    pub fn provenance(self) -> &'static str {
        match self {
            Self::Confidence => {
                "mean over images of the largest probability that the backbone's own classifier gives (Hendrycks and Gimpel 2017, \
                 arXiv:1610.02136)"
            }
            Self::Information => {
                "entropy of the mean probabilities less the mean entropy of the probabilities: the logarithm of the Inception \
                 Score (Salimans et al. 2016, arXiv:1606.03498); low where all images look alike to the classifier"
            }
            Self::Distance => {
                "(mean − running mean)² / running variance of the input of every batch normalisation, averaged over channels and \
                 layers, less what sampling adds: the symmetrised Kullback-Leibler divergence of two normal distributions, as in \
                 AdaBN (Li et al. 2016, arXiv:1603.04779), with the variances taken as equal because pooled vectors hold means only"
            }
        }
    }
}

/// The values; none where the cache lacks what a measure needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// [`Measure::Confidence`].
    pub confidence: Option<f64>,
    /// [`Measure::Information`].
    pub information: Option<f64>,
    /// [`Measure::Distance`].
    pub distance: Option<f64>,
    /// Mean entropy of the source classifier's probabilities, in nats. It says what the confidence says, so it is told and not counted.
    #[serde(default)]
    pub entropy: Option<f64>,
}

impl Measured {
    /// One of the values.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Confidence => self.confidence,
            Measure::Information => self.information,
            Measure::Distance => self.distance,
        }
    }

    /// Which of them there are.
    pub fn measures(&self) -> Vec<Measure> {
        Measure::ALL.into_iter().filter(|&measure| self.get(measure).is_some()).collect()
    }
}

/// What measures are computed from, for the same images in the same order.
#[derive(Debug, Default)]
pub struct Evidence<'a> {
    /// Images × source classes; rows sum to 1.
    pub probabilities: Option<Array2<f64>>,
    /// For some batch normalisations the channel means of every image (images × channels), with what the weights know of them.
    pub activations: Vec<(Array2<f32>, SourceStatistics<'a>)>,
}

impl Evidence<'_> {
    /// Measures the images of these rows.
    pub fn measured(&self, rows: &[usize]) -> Measured {
        let mut found = Measured::default();
        if let Some(probabilities) = &self.probabilities {
            let chosen = probabilities.select(Axis(0), rows);
            let largest = chosen.outer_iter().map(|row| row.iter().copied().fold(0.0, f64::max));
            found.confidence = Some(largest.sum::<f64>() / rows.len() as f64);
            let mean = chosen.sum_axis(Axis(0)) / rows.len() as f64;
            let entropies =
                chosen.outer_iter().map(|row| entropy(row.iter().copied())).sum::<f64>() / rows.len() as f64;
            found.information = Some(entropy(mean.iter().copied()) - entropies);
            found.entropy = Some(entropies);
        }
        if !self.activations.is_empty() {
            let distances = self.activations.iter().map(|(values, known)| distance(values, known, rows));
            found.distance = Some(distances.sum::<f64>() / self.activations.len() as f64);
        }
        found
    }
}

/// Softmax of each row of scores.
pub fn softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

fn entropy(shares: impl Iterator<Item = f64>) -> f64 {
    shares.filter(|share| *share > 0.0).map(|share| -share * share.ln()).sum()
}

/// Mean over channels of the squared distance of means in units of the source's variance, less the part that comes from having
/// few images (the variance of the mean).
fn distance(values: &Array2<f32>, known: &SourceStatistics, rows: &[usize]) -> f64 {
    let n = rows.len() as f64;
    let channels = known.mean.len();
    let mut total = 0.0;
    for channel in 0..channels {
        let column = values.column(channel);
        let mean = rows.iter().map(|&row| f64::from(column[row])).sum::<f64>() / n;
        let spread = rows.iter().map(|&row| (f64::from(column[row]) - mean).powi(2)).sum::<f64>();
        let sampling = if rows.len() > 1 { spread / (n * (n - 1.0)) } else { 0.0 };
        total += ((mean - f64::from(known.mean[channel])).powi(2) - sampling) / f64::from(known.variance[channel]);
    }
    total / channels as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probabilities(rows: &[[f64; 3]]) -> Evidence<'static> {
        let matrix = Array2::from_shape_fn((rows.len(), 3), |(row, class)| rows[row][class]);
        Evidence { probabilities: Some(matrix), activations: Vec::new() }
    }

    #[test]
    fn sure_of_different_classes_and_sure_of_one() {
        let varied = probabilities(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).measured(&[0, 1, 2]);
        assert_eq!(varied.confidence, Some(1.0));
        assert!((varied.information.unwrap() - 3f64.ln()).abs() < 1e-12);
        let alike = probabilities(&[[0.6, 0.2, 0.2]; 4]).measured(&[0, 1, 2, 3]);
        assert!((alike.confidence.unwrap() - 0.6).abs() < 1e-12 && alike.information.unwrap().abs() < 1e-12);
        assert_eq!(alike.distance, None);
        assert_eq!(alike.measures(), [Measure::Confidence, Measure::Information]);
    }

    #[test]
    fn distance_is_that_of_the_means_and_does_not_grow_with_small_samples() {
        let mean = [1.0, -2.0];
        let known = SourceStatistics { input: 0, mean: &mean, variance: vec![4.0, 0.25] };
        // Each channel two standard deviations off, without spread.
        let off = Array2::from_shape_fn((5, 2), |(_, channel)| if channel == 0 { 5.0 } else { -1.0 });
        let rows = [0, 1, 2, 3, 4];
        assert!((distance(&off, &known, &rows) - 4.0).abs() < 1e-6);
        // Values that alternate around the mean, with a period of two and of four: all that two images seem off comes from sampling.
        // Over pairs at all distances up to four, every combination is as frequent as by chance.
        let around = Array2::from_shape_fn((1000, 2), |(row, channel)| {
            mean[channel] + if (row / (1 + channel)) % 2 == 0 { 1.0 } else { -1.0 }
        });
        let all: Vec<usize> = (0..1000).collect();
        assert!(distance(&around, &known, &all).abs() < 0.01);
        let pairs = (0..996).flat_map(|row| (1..=4).map(move |step| [row, row + step]));
        let mean_of_pairs = pairs.map(|pair| distance(&around, &known, &pair)).sum::<f64>() / 3984.0;
        assert!(mean_of_pairs.abs() < 0.05, "{mean_of_pairs}");
    }

    #[test]
    fn softmax_of_large_scores() {
        let mut scores = [1000.0, 1000.0, -1000.0];
        softmax(&mut scores);
        assert_eq!(scores, [0.5, 0.5, 0.0]);
    }
}
