//! How well labels follow from the features of a layer, without training a head on it: [`log_me`], [`h_score`] and [`leep`].
//!
//! All three are formulas of a few hundred labelled rows. They compare layers (or backbones) on the same images; scores of
//! different data sets cannot be compared. A cross-validated head says more and is nearly as cheap here, so these are second
//! opinions, and [`leep`] the only one that needs nothing but the classifier of the backbone.

mod h_score;
mod leep;
mod log_me;

#[cfg(test)]
mod tests;

pub use h_score::h_score;
pub use leep::leep;
pub use log_me::log_me;

use crate::Error;
use crate::eigen::PrincipalAxes;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// The thin singular value decomposition of a matrix of rows, as far as it is not rounding.
struct Axes {
    /// Squared singular values, the largest first.
    energies: Array1<f64>,
    /// Left singular vectors: rows × axes.
    vectors: Array2<f64>,
}

impl Axes {
    /// Of `rows` (n × d), by the Gram matrix of its shorter side.
    fn of(rows: &Array2<f64>) -> Result<Self, Error> {
        if rows.nrows() <= rows.ncols() {
            let axes = PrincipalAxes::new(&rows.dot(&rows.t()))?.strong();
            return Ok(Self { energies: axes.sizes.mapv(|size| size * size), vectors: axes.vectors });
        }
        let axes = PrincipalAxes::new(&rows.t().dot(rows))?.strong();
        let vectors = rows.dot(&axes.vectors) / &axes.sizes;
        Ok(Self { energies: axes.sizes.mapv(|size| size * size), vectors })
    }
}

/// Rows as f64, once they and their labels (indices below `classes`) are found sound.
fn sound(features: ArrayView2<f32>, labels: &[usize], classes: usize) -> Result<Array2<f64>, Error> {
    let (rows, width) = features.dim();
    if rows == 0 {
        return Err(Error::NoRows);
    }
    if width == 0 {
        return Err(Error::NoColumns);
    }
    check_labels(labels, rows, classes)?;
    if let Some(((row, column), &value)) = features.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::NotFinite { row, column, value });
    }
    Ok(features.mapv(f64::from))
}

/// Refuses labels that do not belong to these rows, or of which there is only one.
fn check_labels(labels: &[usize], rows: usize, classes: usize) -> Result<(), Error> {
    if labels.len() != rows {
        return Err(Error::Length { what: "labels", got: labels.len(), rows });
    }
    if let Some((row, &label)) = labels.iter().enumerate().find(|(_, label)| **label >= classes) {
        return Err(Error::Label { row, label, classes });
    }
    match labels.iter().find(|label| **label != labels[0]) {
        Some(_) => Ok(()),
        None => Err(Error::OneClass { class: labels[0].to_string(), rows }),
    }
}

/// The rows of each class that has any.
fn members(labels: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(row, &label)| members[label].push(row));
    members.retain(|rows| !rows.is_empty());
    members
}

/// Rows minus their mean.
fn centred(rows: Array2<f64>) -> Array2<f64> {
    let mean = rows.sum_axis(Axis(0)) / rows.nrows() as f64;
    rows - &mean
}
