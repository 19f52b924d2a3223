//! LEEP: Nguyen, Hassner, Seeger and Archambeau, "LEEP: A New Measure to Evaluate Transferability of Learned Representations",
//! ICML 2020 (arXiv:2002.12462).

use super::check_labels;
use crate::Error;
use ndarray::{Array1, Array2, ArrayView2};

/// The mean log-likelihood of `labels` (below `classes`) under the classifier that first draws a source class from
/// `probabilities` (n × source classes, rows sum to 1) and then a label as often as it came with that source class: at most 0, at
/// least minus the entropy of the labels.
///
/// # Errors
/// When there are no rows, labels that do not fit, fewer than two classes, or probabilities that are no probabilities.
pub fn leep(probabilities: ArrayView2<f64>, labels: &[usize], classes: usize) -> Result<f64, Error> {
    let (rows, source) = probabilities.dim();
    if rows == 0 {
        return Err(Error::NoRows);
    }
    if source == 0 {
        return Err(Error::NoColumns);
    }
    check_labels(labels, rows, classes)?;
    if let Some(((row, column), &value)) = probabilities.indexed_iter().find(|(_, p)| !(0.0..=1.0 + 1e-6).contains(*p))
    {
        return Err(Error::NotFinite { row, column, value: value as f32 });
    }
    let mut joint = Array2::<f64>::zeros((classes, source));
    for (row, &label) in labels.iter().enumerate() {
        let mut sums = joint.row_mut(label);
        sums += &probabilities.row(row);
    }
    let drawn: Array1<f64> = joint.sum_axis(ndarray::Axis(0));
    let given = joint / drawn.mapv(|sum| if sum > 0.0 { sum } else { 1.0 });
    let likelihood = |(row, &label): (usize, &usize)| given.row(label).dot(&probabilities.row(row)).ln();
    Ok(labels.iter().enumerate().map(likelihood).sum::<f64>() / rows as f64)
}
