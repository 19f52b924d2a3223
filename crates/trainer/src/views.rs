//! One answer for several views of an image: what a model says of each of them, added up.
//!
//! As Razavian et al. 2014 (“CNN features off-the-shelf”) do at test time. Probabilities are added where a model has them, else
//! scores; either is divided by the number of views, so that probabilities still sum to 1.

use ndarray::{Array2, Axis, s};

use crate::Error;
use crate::calibration::log_losses_of_probabilities;
use crate::classifier::{Model, Verdicts};
use crate::criterion::roc_auc;
use crate::features::Features;
use crate::metrics::{Metrics, argmax_rows};
use crate::samples;

impl Verdicts {
    /// One verdict for each run of rows: the next `sizes[0]` rows, then the next `sizes[1]`, and so on. Where every run is a single
    /// row, these are the verdicts as they are.
    ///
    /// # Panics
    /// When the sizes do not add up to the rows, or one is 0.
    #[must_use]
    pub fn summed(self, sizes: &[usize]) -> Self {
        assert_eq!(sizes.iter().sum::<usize>(), self.predicted.len(), "every row is in a run");
        // The class that a head says of one row may be that of a nearest neighbour, which scores do not tell.
        if sizes.iter().all(|&size| size == 1) {
            return self;
        }
        let means = |all: &Array2<f64>| {
            let mut means = Array2::zeros((sizes.len(), all.ncols()));
            let mut first = 0;
            for (mut mean, &size) in means.rows_mut().into_iter().zip(sizes) {
                assert!(size > 0, "no run is empty");
                mean.assign(&(all.slice(s![first..first + size, ..]).sum_axis(Axis(0)) / size as f64));
                first += size;
            }
            means
        };
        let decision = means(&self.decision);
        let probabilities = self.probabilities.as_ref().map(means);
        let predicted = argmax_rows(probabilities.as_ref().unwrap_or(&decision).view());
        Self { decision, probabilities, predicted }
    }
}

/// Rows whose scores are in memory at once.
const BLOCK: usize = 4096;

/// Scores a model (or a [`Head`](crate::Head)) on images that have several views each: rows of one group are one image, of one label.
///
/// # Errors
/// Those of [`evaluate`](crate::evaluate).
pub fn evaluate_views<'f>(
    model: &Model,
    features: impl Into<Features<'f>>,
    labels: &[usize],
    groups: &[usize],
) -> Result<Metrics, Error> {
    let features = features.into();
    let rows = features.nrows();
    if rows == 0 {
        return Err(Error::NoRows);
    }
    for (what, got) in [("the labels array", labels.len()), ("the groups array", groups.len())] {
        if got != rows {
            return Err(Error::Length { what, got, rows });
        }
    }
    samples::check_labels(labels, model.classes().len())?;
    model.check_width(features.ncols())?;
    features.check_finite()?;

    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|&row| (groups[row], row));
    let images: Vec<&[usize]> = order.chunk_by(|&a, &b| groups[a] == groups[b]).collect();
    let (mut truth, mut predicted, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let mut decision = Array2::zeros((0, model.classes().len()));
    for block in images.chunks(BLOCK.div_ceil(rows.div_ceil(images.len()))) {
        let rows: Vec<usize> = block.concat();
        let sizes: Vec<usize> = block.iter().map(|views| views.len()).collect();
        let verdicts = model.verdicts_of_rows(features, &rows)?.summed(&sizes);
        let labels: Vec<usize> = block.iter().map(|views| labels[views[0]]).collect();
        if let Some(probabilities) = &verdicts.probabilities {
            losses.extend(log_losses_of_probabilities(probabilities.view(), &labels));
        }
        truth.extend(labels);
        predicted.extend(verdicts.predicted);
        decision.append(Axis(0), verdicts.decision.view()).map_err(|error| Error::Split(error.to_string()))?;
    }
    let losses = model.has_probabilities().then_some(&losses[..]);
    let mut metrics = Metrics::new(model.classes(), &truth, &predicted, losses);
    metrics.auc = roc_auc(decision.view(), &truth);
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn views_are_added_before_a_class_is_chosen() {
        let decision = array![[3.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 1.0]];
        let verdicts = Verdicts { decision, probabilities: None, predicted: vec![0, 1, 1, 1] };
        let summed = verdicts.clone().summed(&[3, 1]);
        assert_eq!(summed.decision, array![[1.0, 2.0 / 3.0], [-1.0, 1.0]]);
        assert_eq!(summed.predicted, [0, 1], "the one strong answer outweighs the two weak ones");
        let probabilities = Some(array![[0.6, 0.4], [0.1, 0.9], [0.6, 0.4], [0.5, 0.5]]);
        let summed = Verdicts { probabilities, ..verdicts.clone() }.summed(&[3, 1]);
        assert_eq!(summed.predicted, [1, 0], "probabilities go before scores");
        assert!((summed.probabilities.unwrap().row(0).sum() - 1.0).abs() < 1e-12);
        let nearest = Verdicts { predicted: vec![1; 4], ..verdicts };
        assert_eq!(nearest.summed(&[1; 4]).predicted, [1; 4], "a view alone keeps the class that was said of it");
    }
}
